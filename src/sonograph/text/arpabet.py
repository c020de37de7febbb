"""The phones of English: the 39 of ARPAbet, stress on the vowels, and the same in IPA.

Stress is a digit behind a vowel: 1 primary, 2 secondary, 0 none.

>>> to_ipa("HH AH0 L OW1".split())
['h', 'ə', 'l', 'ˈoʊ']
>>> from_ipa("həlˈoʊ")
('HH', 'AH0', 'L', 'OW1')
"""

from __future__ import annotations

from collections.abc import Sequence

from sonograph.errors import InputError
from sonograph.text import listed

VOWELS = tuple(listed("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"))
CONSONANTS = tuple(listed("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"))
PHONES = (*(vowel + stress for vowel in VOWELS for stress in "012"), *CONSONANTS)

STRESS_IPA = {"0": "", "1": "ˈ", "2": "ˌ"}
_CONSONANTS_IPA = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ",
    "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_VOWELS_IPA = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ",
    "EY": "eɪ", "IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
}  # fmt: skip
_UNSTRESSED_IPA = {"AH0": "ə", "ER0": "ɚ"}  # the two that General American reduces

IPA = {
    **{
        vowel + digit: mark + _UNSTRESSED_IPA.get(vowel + digit, ipa)
        for vowel, ipa in _VOWELS_IPA.items()
        for digit, mark in STRESS_IPA.items()
    },
    **_CONSONANTS_IPA,
}
_SAME = {
    "g": "ɡ",
    "r": "ɹ",
    "əʊ": "oʊ",
    "ɒ": "ɑ",
    "e": "ɛ",
    "ɜ": "ɝ",
    "a": "ɑ",
    "ʧ": "tʃ",
    "ʤ": "dʒ",
}
_FROM_IPA = {ipa: phone for phone, ipa in IPA.items()}
_FROM_IPA |= {
    mark + other: _FROM_IPA[mark + ours]
    for other, ours in _SAME.items()
    for mark in STRESS_IPA.values()
    if mark + ours in _FROM_IPA
}
_LONGEST = max(map(len, _FROM_IPA))


def is_vowel(phone: str) -> bool:
    return phone[-1:].isdigit()


def to_ipa(phones: Sequence[str]) -> list[str]:
    """Each phone in IPA, the mark of stress directly before its vowel."""
    return [IPA[phone] for phone in phones]


def from_ipa(text: str) -> tuple[str, ...]:
    """English phones from IPA letters, longest match first; length marks and dots are passed over.

    A mark of stress before consonants goes to the next vowel. Raises InputError for other letters.
    """
    phones: list[str] = []
    mark, at = "", 0
    text = text.replace("'", "ˈ")
    while at < len(text):
        if text[at] in "ˈˌ":
            mark, at = text[at], at + 1
            continue
        if text[at] in "ː.‿ \u0361\u032f\u0329":
            at += 1
            continue
        for size in range(_LONGEST, 0, -1):
            piece = text[at : at + size]
            phone = _FROM_IPA.get(mark + piece) if mark else None
            phone, used = (phone, "") if phone else (_FROM_IPA.get(piece), mark)
            if phone and not (mark and used and is_vowel(phone)):
                phones.append(phone)
                mark, at = used, at + size
                break
            if phone and piece == "ə":  # a stressed schwa is the vowel of "but"
                phones.append("AH" + ("1" if mark == "ˈ" else "2"))
                mark, at = "", at + size
                break
        else:
            raise InputError(
                f"{text[at]!r} in the IPA {text[:40]!r} is no sound of English: use "
                f"{' '.join(sorted(set(_VOWELS_IPA.values()) | set(_CONSONANTS_IPA.values())))}"
            )
    return tuple(phones)


def from_arpabet(text: str) -> tuple[str, ...]:
    """Phones as they are written, "HH AH0 L OW1"; a vowel without a digit is unstressed."""
    phones = []
    for given in text.upper().split():
        phone = given + "0" if given in VOWELS else given
        if phone not in PHONES:
            raise InputError(
                f"{given!r} is no ARPAbet phone: use {' '.join(VOWELS)} with 0, 1 or 2 behind, or "
                f"{' '.join(CONSONANTS)}"
            )
        phones.append(phone)
    return tuple(phones)
