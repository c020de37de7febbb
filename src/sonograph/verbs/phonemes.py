"""`sonograph phonemes`: how a text is said, word by word, as a model reads it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    text: Positional[Annotated[tuple[str, ...], arg(metavar="TEXT")]]
    """What to say, SSML too; - reads standard input."""
    language: str = "en"
    """Language of the text; others than en as letters, or by espeak with --alphabet ipa."""
    alphabet: str = "arpabet"
    """arpabet, ipa, characters, rtvc, nvidia or nvidia-arpabet."""
    json: bool = False
    """Print JSON: words with their places in the text, phones and token ids."""


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.text.sentences import sentences
    from sonograph.text.ssml import is_ssml, read_ssml
    from sonograph.text.utterance import Utterance, encode, utterance
    from sonograph.verbs import show

    given = " ".join(args.text)
    if not given:
        raise InputError('no text: write it behind the verb, `sonograph phonemes "Hello."`')
    from_input = given == "-"
    whole = "" if from_input else given

    def spoken() -> Iterator[tuple[int, Utterance]]:
        if is_ssml(whole):
            yield 0, utterance(read_ssml(whole), args.language, args.alphabet)
            return
        for sentence in sentences(sys.stdin if from_input else whole):
            yield sentence.start, utterance(sentence.text, args.language, args.alphabet)

    rows, said = [], False
    for start, one in spoken():
        said = True
        if args.json:
            rows.append(
                {
                    "text": one.text,
                    "start": start,
                    "words": [
                        {
                            "written": word.written,
                            "start": start + word.start,
                            "end": start + word.end,
                            "kind": word.kind,
                            "said": word.said,
                            "phones": list(word.phones),
                        }
                        for word in one.words
                    ],
                    "tokens": encode(one)._asdict(),
                }
            )
            continue
        for word in one.words:
            if word.kind != "pause":
                # a number gives several words: each is shown by itself
                shown = word.written if word.said == word.written.lower() else word.said
                print(f"{shown:<20} {' '.join(word.phones)}")
    if not said:
        raise InputError("there is nothing to say in the text: give words, numbers or letters")
    if args.json:
        show.as_json(rows)
    return 0
