"""Tables of tokens: what a model reads instead of phones or letters, by name.

>>> ALPHABETS["arpabet"].size, ALPHABETS["rtvc"].size
(77, 66)
>>> ALPHABETS["arpabet"].numbers(["HH", "AY1", "."])
[59, 24, 3]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from sonograph.errors import InputError, did_you_mean
from sonograph.text.arpabet import PHONES

if TYPE_CHECKING:
    from sonograph.text.utterance import Utterance

PADDING = "_"
SILENCE = "sil"  # at both ends of an utterance
MARKS = (",", ".", "?", "!", ";", ":")
Units = Literal["letters", "arpabet", "ipa"]


class Encoded(NamedTuple):
    """Token ids and, for each of them, the index of its word in `Utterance.words`.

    Every word has a token, so the indices begin at 0 and go up by 0 or 1.
    """

    ids: list[int]
    words: list[int]


@dataclasses.dataclass(frozen=True)
class Alphabet:
    """A table of symbols; the place of a symbol is its number, number 0 is the padding.

    `begin` and `end` are put around an utterance, `gap` between words; empty: nothing. Words are
    written in `units`; phones of ARPAbet stand behind `prefix`, also where a word of an alphabet of
    letters is given in them. `language`: the only one that can be written; empty: any.
    """

    name: str
    symbols: tuple[str, ...]
    begin: str = ""
    end: str = ""
    gap: str = ""
    units: Units = "letters"
    prefix: str = ""
    language: Literal["", "en"] = ""

    def __post_init__(self) -> None:
        if len(set(self.symbols)) != len(self.symbols):
            twice = sorted({sign for sign in self.symbols if self.symbols.count(sign) > 1})
            raise InputError(f"alphabet {self.name!r} has symbols twice: {' '.join(twice)}")

    @property
    def size(self) -> int:
        return len(self.symbols)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {symbol: place for place, symbol in enumerate(self.symbols)}

    def __contains__(self, symbol: str) -> bool:
        return self._places.get(symbol, 0) > 0

    def numbers(self, symbols: Iterable[str]) -> list[int]:
        """The number of each symbol. Raises InputError that names those it has not (or pads)."""
        given = list(symbols)
        unknown = [symbol for symbol in dict.fromkeys(given) if symbol not in self]
        if unknown:
            shown = " ".join(map(repr, unknown[:8]))
            raise InputError(
                f"alphabet {self.name!r} has no symbol {shown}: leave them out, or choose another "
                f"alphabet ({', '.join(ALPHABETS)})"
            )
        return [self._places[symbol] for symbol in given]

    @cached_property
    def has_phones(self) -> bool:
        """Whether words can be given as sounds: in ARPAbet or IPA."""
        return self.units != "letters" or self.prefix + PHONES[0] in self

    def encode(self, utterance: Utterance) -> Encoded:
        """The tokens of an utterance that was made for this alphabet."""
        if utterance.alphabet != self.name:
            raise InputError(
                f"the utterance is written in {utterance.alphabet!r}, the model reads "
                f"{self.name!r}: make it with alphabet={self.name!r}"
            )
        ids: list[int] = []
        words: list[int] = []
        for index, word in enumerate(utterance.words):
            ids += self.numbers(word.phones)
            words += [index] * len(word.phones)
        return Encoded(ids, words)

    def decode(self, ids: Sequence[int]) -> list[str]:
        """The symbols of token ids."""
        return [self.symbols[number] for number in ids]


def character_alphabet(name: str, letters: Iterable[str]) -> Alphabet:
    """An alphabet of single letters, with padding, silence, marks, digits and the space."""
    common = (PADDING, SILENCE, *MARKS, " ", "'", "-", *"0123456789")
    return Alphabet(
        name,
        (*common, *(letter for letter in dict.fromkeys(letters) if letter not in common)),
        begin=SILENCE,
        end=SILENCE,
        gap=" ",
    )


# Small letters of the languages of the corpora and their neighbours: Latin with its accents
# (Spanish, French, Italian, Portuguese, German, Scandinavian, Polish, Czech, Turkish and more),
# Russian, Ukrainian, Belarusian, Bulgarian and Serbian.
LETTERS = (
    "abcdefghijklmnopqrstuvwxyz"
    "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿßāăąćčďđēėęěğģīįıķĺľļłńňņőœŕřśşšťţțșūůűųźżžſ"
    "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    "ёєіїґўђјљњћџѓќѕ"
)
# The letters and marks of the International Phonetic Alphabet, one character each; affricates and
# diphthongs are two of them.
IPA_LETTERS = (
    "abcdefhijklmnopqrstuvwxyzɡæçðøħŋœɐɑɒɓɔɕɖɗɘəɚɛɜɝɞɟɠɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘ"
    "ʙʛʜʝʟʡʢβθχⱱᵻǀǁǂǃ"
    "ˈˌːˑˠˤʰʱʲʷʼ˞˥˦˧˨˩\u0303\u0306\u0308\u030a\u0325\u0329\u032a\u032f\u0361"
)

# NVIDIA's Tacotron 2, and FastPitch ("english_basic"): pad, marks, letters of both cases, ARPAbet
# by name, vowels without stress too. Text mixes letters and phones, which stand in braces there.
NVIDIA = (
    *"_-!'(),.:;? ",
    *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    *"abcdefghijklmnopqrstuvwxyz",
    *sorted({f"@{phone}" for one in PHONES for phone in (one, one.rstrip("012"))}),
)

ALPHABETS: dict[str, Alphabet] = {
    alphabet.name: alphabet
    for alphabet in (
        # ours: no token between words, whose bounds the word indices tell; marks are tokens
        Alphabet(
            "arpabet",
            (PADDING, SILENCE, *MARKS, *PHONES),
            begin=SILENCE,
            end=SILENCE,
            units="arpabet",
            language="en",
        ),
        Alphabet(
            "ipa",
            (PADDING, SILENCE, *MARKS, *IPA_LETTERS),
            begin=SILENCE,
            end=SILENCE,
            units="ipa",
        ),
        character_alphabet("characters", LETTERS),
        # Real-Time-Voice-Cloning's synthesizer: pad, end, letters of both cases, marks, space
        Alphabet(
            "rtvc",
            (
                "_",
                "~",
                *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                *"abcdefghijklmnopqrstuvwxyz",
                *"!'\"(),-.:;? ",
            ),
            end="~",
            gap=" ",
            language="en",
        ),
        Alphabet("nvidia", NVIDIA, gap=" ", prefix="@", language="en"),
        Alphabet("nvidia-arpabet", NVIDIA, gap=" ", units="arpabet", prefix="@", language="en"),
    )
}


def alphabet(name: str) -> Alphabet:
    """An alphabet by name; InputError with the known names."""
    if name not in ALPHABETS:
        raise InputError(
            f"there is no alphabet {name!r}.{did_you_mean(name, ALPHABETS)} Known: "
            f"{', '.join(ALPHABETS)}"
        )
    return ALPHABETS[name]
