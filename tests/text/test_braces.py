"""NVIDIA's numbers, counted by hand from the order of its table; letters and phones mixed."""

from __future__ import annotations

import pytest

from sonograph.errors import InputError
from sonograph.text.braces import from_braces, to_braces
from sonograph.text.ssml import read_ssml
from sonograph.text.tokens import ALPHABETS
from sonograph.text.utterance import utterance

NVIDIA = ALPHABETS["nvidia"]
# of "Turn left on {HH AW1 S S T AH0 N} Street.", the example in the code's own documentation
EXAMPLE = [
    31, 58, 55, 51, 11, 49, 42, 43, 57, 11, 52, 51, 11,
    106, 82, 131, 131, 133, 73, 119,
    11, 30, 57, 55, 42, 42, 57, 7,
]  # fmt: skip


def test_places_of_the_published_table():
    """pad, "-", nine marks and the space, 52 letters, 84 phones in the order of their names."""
    first = {"_": 0, "-": 1, "!": 2, " ": 11, "A": 12, "Z": 37, "a": 38, "z": 63}
    phones = {
        "@AA": 64, "@AA0": 65, "@AH0": 73, "@AY2": 87, "@B": 88, "@CH": 89, "@D": 90, "@DH": 91,
        "@ER": 96, "@F": 104, "@HH": 106, "@IY1": 113, "@JH": 115, "@NG": 120, "@OW": 121,
        "@P": 129, "@UW2": 142, "@V": 143, "@ZH": 147,
    }  # fmt: skip
    for name in ("nvidia", "nvidia-arpabet"):
        table = ALPHABETS[name]
        assert table.size == 148
        assert {sign: table.symbols.index(sign) for sign in first | phones} == first | phones


def test_the_example_of_their_documentation():
    text = "Turn left on {HH AW1 S S T AH0 N} Street."
    assert from_braces(text, NVIDIA) == EXAMPLE
    assert to_braces(EXAMPLE, NVIDIA) == text


def test_what_the_table_has_not():
    assert from_braces("a_*b{}", NVIDIA) == [38, 39]  # no padding, no star, nothing in the braces
    with pytest.raises(InputError, match="no symbol '@XX'"):
        from_braces("{AA1 XX}", NVIDIA)
    with pytest.raises(InputError, match="'rtvc' has no phones"):
        from_braces("{AA1}", ALPHABETS["rtvc"])


def test_english_is_said_in_phones_with_spaces_between_words():
    said = utterance("Hello, my house.", alphabet="nvidia-arpabet")
    assert to_braces(said.encode().ids, NVIDIA) == "{HH AH0 L OW1}, {M AY1} {HH AW1 S}."
    plain = utterance("Hello, my house.", alphabet="arpabet")
    phones = [sign for word in plain.words if word.kind == "word" for sign in word.phones]
    ours = [sign for word in said.words if word.kind == "word" for sign in word.phones]
    assert ours == [f"@{phone}" for phone in phones]


def test_a_word_given_in_sounds_stands_among_letters():
    text = 'on <phoneme alphabet="x-arpabet" ph="HH AW1 S">Hous</phoneme> street'
    said = utterance(read_ssml(f"<speak>{text}</speak>"), alphabet="nvidia")
    assert to_braces(said.encode().ids, NVIDIA) == "on {HH AW1 S} street"
    with pytest.raises(InputError, match="alphabet 'rtvc' has letters"):
        utterance(read_ssml(f"<speak>{text}</speak>"), alphabet="rtvc")
