"""From text to an utterance: words with their places in the text and their phones, and tokens.

>>> said = utterance("Hello, Dr. Lee.")
>>> [(word.written, word.kind) for word in said.words if word.kind != "pause"]
[('Hello', 'word'), (',', 'punctuation'), ('Dr.', 'word'), ('Lee', 'word'), ('.', 'punctuation')]
>>> encode(said).words
[0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 4, 5, 6]
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from sonograph.errors import InputError, did_you_mean
from sonograph.text import tokens
from sonograph.text.arpabet import IPA
from sonograph.text.normalize import MARKS, folded, is_dropped, pieces
from sonograph.text.ssml import Segment
from sonograph.text.tokens import Alphabet, Encoded

Kind = Literal["word", "punctuation", "pause"]

# English is said by the rules and the dictionary of the package. Text of the others stays as it
# stands (alphabet "characters"), or goes through espeak-ng (alphabet "ipa", extra `espeak`); the
# value is espeak's name of the voice.
LANGUAGES = {
    "en": "en-us", "es": "es", "fr": "fr-fr", "it": "it", "ru": "ru", "de": "de", "pt": "pt",
    "nl": "nl", "pl": "pl", "cs": "cs", "sk": "sk", "sv": "sv", "da": "da", "nb": "nb", "fi": "fi",
    "hu": "hu", "ro": "ro", "tr": "tr", "ca": "ca", "uk": "uk", "bg": "bg", "sr": "sr",
}  # fmt: skip


class NothingToSay(InputError):
    """A text without a word, number or letter."""


@dataclasses.dataclass(frozen=True)
class Word:
    """One word that is said, a mark, or a pause.

    `written` is text[start:end] of the utterance; a number or short form that is said as several
    words gives several with the same place. `said` is the word in small letters (a capital is the
    name of a letter), `phones` are symbols of the utterance's alphabet, at least one. The factors
    and `pause_s`, the silence in front, come from SSML.
    """

    written: str
    start: int
    end: int
    phones: tuple[str, ...]
    kind: Kind
    said: str = ""
    pace: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0
    pause_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Utterance:
    """What is said: words in the order of the text, places that never go back."""

    text: str
    language: str
    alphabet: str
    words: tuple[Word, ...]

    def encode(self) -> Encoded:
        return encode(self)


def encode(utterance: Utterance) -> Encoded:
    """Token ids of an utterance in its own alphabet, and the word of each token."""
    return tokens.alphabet(utterance.alphabet).encode(utterance)


def utterance(
    text: str | Segment | Sequence[Segment], language: str = "en", alphabet: str = "arpabet"
) -> Utterance:
    """How a text is said: one piece for a model, so a sentence or a few (see `sentences`).

    The text may be segments of `read_ssml`. Raises InputError for an unknown language or alphabet,
    letters that the language or alphabet lacks, and for text in which nothing can be said.
    """
    table = tokens.alphabet(alphabet)
    if language not in LANGUAGES:
        raise InputError(
            f"there is no language {language!r}.{did_you_mean(language, LANGUAGES)} Known: "
            f"{', '.join(LANGUAGES)}"
        )
    if table.language not in ("", language):
        raise InputError(
            f"alphabet {table.name!r} is of English only: for {language!r} use 'characters', or "
            "'ipa' with the extra espeak"
        )
    segments = [Segment(text)] if isinstance(text, str) else text
    segments = [segments] if isinstance(segments, Segment) else list(segments)
    words: list[Word] = []
    offset, waiting = 0, 0.0
    for segment in segments:
        waiting += segment.pause_s
        for word in _words(segment, language, table):
            words.append(
                dataclasses.replace(
                    word,
                    start=word.start + offset,
                    end=word.end + offset,
                    pace=segment.pace,
                    pitch=segment.pitch,
                    energy=segment.energy,
                    pause_s=waiting,
                )
            )
            waiting = 0.0
        offset += len(segment.text)
    whole = "".join(segment.text for segment in segments)
    if not any(word.kind == "word" for word in words):
        shown = whole.strip()[:40]
        raise NothingToSay(
            f"there is nothing to say in {shown!r}: give words, numbers or letters"
            if shown
            else "the text is empty: give words, numbers or letters"
        )
    return Utterance(whole, language, alphabet, tuple(_framed(words, table, len(whole), waiting)))


def _framed(words: list[Word], table: Alphabet, length: int, rest_s: float) -> Iterator[Word]:
    """The words with what the alphabet puts around an utterance and between its words."""
    if table.begin:
        yield Word("", 0, 0, (table.begin,), "pause")
    for at, word in enumerate(words):
        behind = words[at - 1] if at else None
        if table.gap and behind is not None and word.kind == "word":
            yield Word("", word.start, word.start, (table.gap,), "pause")
        yield word
    if table.end:
        yield Word("", length, length, (table.end,), "pause", pause_s=rest_s)


def _words(segment: Segment, language: str, table: Alphabet) -> Iterator[Word]:
    if segment.phones:
        yield _given(segment, table)
    elif language != "en":
        yield from _as_written(segment.text, language, table)
    else:
        yield from _english(segment.text, table)


def _given(segment: Segment, table: Alphabet) -> Word:
    """A word whose phones the text gives itself."""
    if not table.has_phones:
        raise InputError(
            f"<phoneme> gives sounds, alphabet {table.name!r} has letters: use 'arpabet' or 'ipa'"
        )
    said = segment.text.strip()
    start = segment.text.find(said)
    phones = _ipa(segment.phones) if table.units == "ipa" else _named(segment.phones, table)
    return Word(said, start, start + len(said), phones, "word", said)


def _ipa(phones: Sequence[str]) -> tuple[str, ...]:
    return tuple("".join(IPA[phone] for phone in phones))


def _named(phones: Sequence[str], table: Alphabet) -> tuple[str, ...]:
    return tuple(table.prefix + phone for phone in phones)


def _english(text: str, table: Alphabet) -> Iterator[Word]:
    found = [(said, piece) for piece in pieces(text) for said in piece.said]
    if table.units != "letters":
        from sonograph.text.g2p import sounds

        all_phones = [
            _ipa(phones) if table.units == "ipa" else _named(phones, table)
            for phones in sounds([said for said, _ in found])
        ]
    else:  # letters of what is said; a digit that names a letter is that letter
        all_phones = [tuple(said.lower()) for said, _ in found]
    for (said, piece), phones in zip(found, all_phones):
        written = text[piece.start : piece.end]
        if said in MARKS:
            yield Word(written, piece.start, piece.end, (said,), "punctuation", said)
        elif phones:
            yield Word(written, piece.start, piece.end, phones, "word", said)


_RUN = re.compile(r"[\w\u0300-\u036f\u00ad]+(?:['-][\w\u0300-\u036f\u00ad]+)*|\s+|.", re.DOTALL)


def _as_written(text: str, language: str, table: Alphabet) -> Iterator[Word]:
    """Words of letters as they stand, in small letters; marks; what is no sound passed over."""
    plain = folded(text)
    found: list[tuple[str, int, int]] = []
    for run in _RUN.finditer(plain):
        said = unicodedata.normalize("NFC", run[0].replace("\u00ad", "")).lower()
        if run[0].isspace():
            continue
        if len(said) == 1 and not said.isalnum():
            said = "," if said in "…—()[]{}|/" else said
            if said in "\"'-" or (said not in table and is_dropped(said)):
                continue
            if found and said in MARKS and found[-1][0] in MARKS:  # a run: the strongest stays
                strongest = max(said, found[-1][0], key=MARKS.index)
                found[-1] = (strongest, found[-1][1], run.end())
                continue
        if said and (found or said not in MARKS):
            found.append((said, run.start(), run.end()))
    if table.units == "ipa":
        from sonograph.text.espeak import transcribe

        spoken = iter(transcribe([said for said, _, _ in found if said not in MARKS], language))
        letters = [(said,) if said in MARKS else next(spoken) for said, _, _ in found]
    else:
        letters = [tuple(said) for said, _, _ in found]
    unknown = dict.fromkeys(sign for signs in letters for sign in signs if sign not in table)
    if unknown:
        shown = " ".join(map(repr, list(unknown)[:8]))
        raise InputError(
            f"alphabet {table.name!r} has no {shown}: leave them out or write them in words"
        )
    for (said, start, end), signs in zip(found, letters):
        kind: Kind = "punctuation" if said in MARKS else "word"
        if signs:
            yield Word(text[start:end], start, end, signs, kind, said)
