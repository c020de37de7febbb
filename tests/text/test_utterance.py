"""Utterances: places in the text, phones of the alphabet, tokens and their words."""

from __future__ import annotations

import itertools
import sys
import time
import tracemalloc
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.errors import InputError
from sonograph.text.hard_sentences import HARD_SENTENCES
from sonograph.text.ssml import Segment
from sonograph.text.tokens import ALPHABETS, Alphabet, alphabet, character_alphabet
from sonograph.text.utterance import LANGUAGES, encode, utterance


def check(said) -> None:
    """What holds for every utterance."""
    table = ALPHABETS[said.alphabet]
    at = 0
    for word in said.words:
        assert at <= word.start <= word.end <= len(said.text)
        at = word.start
        assert word.written == said.text[word.start : word.end]
        assert word.phones
        assert (word.kind == "pause") or word.written
    ids, words = encode(said)
    assert len(ids) == len(words)
    assert all(0 < number < table.size for number in ids)
    assert words[0] == 0
    assert words[-1] == len(said.words) - 1
    assert all(right - left in (0, 1) for left, right in itertools.pairwise(words))


def test_words_places_and_tokens():
    said = utterance("Pay $3.50, Dr. Lee.")
    check(said)
    inner = [word for word in said.words if word.kind != "pause"]
    assert [word.written for word in inner] == [
        "Pay", "$3.50", "$3.50", "$3.50", "$3.50", "$3.50", ",", "Dr.", "Lee", ".",
    ]  # fmt: skip
    assert [word.said for word in inner][1:6] == ["three", "dollars", "and", "fifty", "cents"]
    assert [said.words[0].phones, said.words[-1].phones] == [("sil",), ("sil",)]
    ids, words = said.encode()
    table = ALPHABETS["arpabet"]
    assert table.decode(ids)[:4] == ["sil", "P", "EY1", "TH"]
    assert words[:4] == [0, 1, 1, 2]


@pytest.mark.parametrize("name", list(ALPHABETS))
def test_every_alphabet_takes_english(name):
    for sentence in HARD_SENTENCES:
        check(utterance(sentence.text, "en", name))
    assert ALPHABETS[name].numbers([ALPHABETS[name].symbols[1]]) == [1]


def test_letters_of_english_are_those_of_what_is_said():
    said = utterance("Dr. X, 5!", alphabet="rtvc")
    assert "".join(sign for word in said.words for sign in word.phones) == "doctor x, five!~"
    assert ALPHABETS["rtvc"].size == 66


def test_nvidia_letters():
    said = utterance("Dr. X, 5!", alphabet="nvidia")
    table = ALPHABETS["nvidia"]
    assert table.size == 148
    assert "".join(table.decode(said.encode().ids)) == "doctor x, five!"
    assert table.symbols[11:14] == (" ", "A", "B")
    assert table.symbols[64:70] == ("@AA", "@AA0", "@AA1", "@AA2", "@AE", "@AE0")
    assert table.symbols[-1] == "@ZH"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "¿Qué número? ¡Marque el 5, por favor!"),
        ("fr", "L’œuvre est activée… peut-être à Noël."),
        ("it", "Perché no? È così: più città."),
        ("ru", "Нажмите «решётку», пожалуйста. Ещё раз!"),
        ("de", "Größe, Übung: straße."),
    ],
)
def test_other_languages_as_they_stand(language, text):
    said = utterance(text, language, "characters")
    check(said)
    letters = "".join(sign for word in said.words for sign in word.phones)
    for word in text.lower().replace("’", "'").split():
        assert word.strip("¿¡!?.,:«»…") in letters


def test_decomposed_accents_are_composed():
    said = utterance("cafe\u0301", "fr", "characters")
    assert said.words[1].phones == ("c", "a", "f", "é")
    assert said.words[1].written == "cafe\u0301"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("hi", "xx", "arpabet"), "no language 'xx'.*Known: en"),
        (("hi", "en", "arpabett"), "Did you mean 'arpabet'"),
        (("hola", "es", "arpabet"), "'characters'"),
        (("", "en", "arpabet"), "empty"),
        (("  \n", "en", "arpabet"), "empty"),
        (("?!...", "en", "arpabet"), "nothing to say"),
        (("👍🎉", "en", "arpabet"), "nothing to say"),
        (("世界", "es", "characters"), "'世' '界'"),
        (("ça va 5€", "fr", "characters"), "'€'"),
    ],
)
def test_what_cannot_be_said_is_one_line(given, words):
    with pytest.raises(InputError, match=words) as error:
        utterance(*given)
    assert len(str(error.value).splitlines()) == 1


@settings(max_examples=120, deadline=None)
@given(st.text(max_size=50), st.sampled_from(list(ALPHABETS)), st.sampled_from(["en", "es"]))
def test_any_text_gives_tokens_or_an_input_error(text, name, language):
    if language == "es":
        name = "characters"
    message = ""
    try:
        check(utterance(text, language, name))
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) < 2


LIKELY = ["Dr.", "5", "$2", "a", "cat", "é", "x-y", "...", "!", "(", "3/4", "a.m.", "NASA", "1st"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LIKELY), min_size=1))
def test_likely_text_is_said(parts):
    try:
        check(utterance("cat " + " ".join(parts)))
    except InputError as error:
        pytest.fail(str(error))


def test_a_hundred_thousand_characters_in_linear_time_and_little_memory():
    unit = "The 2nd cat paid $3.50 at 5:30 p.m., Dr. Lee said; www.example.com knows! "

    def spent(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()  # what else is busy does not count
        encode(utterance(text))
        return time.process_time() - began

    spent(2000)
    small, large = min(spent(10_000) for _ in range(2)), spent(100_000)
    assert large < 25 * small + 0.05
    tracemalloc.start()
    utterance(unit * (20_000 // len(unit)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_segments_keep_their_factors_and_pauses():
    said = utterance(
        [
            Segment("Hello "),
            Segment("there", 0.5, pace=0.8, pitch=1.1, energy=1.2),
            Segment("", 1.0),
        ]
    )
    check(said)
    assert said.text == "Hello there"
    there = said.words[2]
    assert (there.written, there.start, there.pause_s) == ("there", 6, 0.5)
    assert (there.pace, there.pitch, there.energy) == (0.8, 1.1, 1.2)
    assert said.words[-1].pause_s == 1.0


def test_given_phones_are_used():
    segment = Segment(" tomato ", phones=("T", "AH0", "M", "AA1", "T", "OW0"))
    said = utterance(segment)
    assert said.words[1].phones == segment.phones
    assert said.words[1].written == "tomato"
    assert "".join(utterance(segment, alphabet="ipa").words[1].phones) == "təmˈɑtoʊ"
    with pytest.raises(InputError, match="has letters"):
        utterance(segment, alphabet="characters")


def test_alphabets():
    assert all(table.symbols[0] == "_" for table in ALPHABETS.values())
    with pytest.raises(InputError, match="has no symbol 'Q9'"):
        ALPHABETS["arpabet"].numbers(["AA1", "Q9"])
    with pytest.raises(InputError, match="has no symbol '_'"):
        ALPHABETS["arpabet"].numbers(["_"])  # the padding is no symbol of a text
    with pytest.raises(InputError, match="twice: a"):
        Alphabet("mine", ("_", "a", "a"))
    with pytest.raises(InputError, match="Known: arpabet"):
        alphabet("klingon")
    with pytest.raises(InputError, match="written in 'ipa'"):
        ALPHABETS["arpabet"].encode(utterance("hi", alphabet="ipa"))
    own = character_alphabet("greek", "αβγα")
    assert own.numbers(["γ"]) == [own.size - 1]


def test_espeak_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonemizer", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"sonograph\[espeak\]"):
        utterance("hola", "es", "ipa")


def test_what_espeak_says_keeps_its_words(monkeypatch):
    from sonograph.text import espeak

    told: list[str] = []

    class Backend:
        def __init__(self, name, with_stress, language_switch):
            assert name == LANGUAGES["es"]

        def phonemize(self, words, strip):
            return [f"ˈ{word} " for word in words]

    wrapper = types.SimpleNamespace(set_library=told.append, set_data_path=told.append)
    modules = {
        "phonemizer": types.ModuleType("phonemizer"),
        "phonemizer.backend": types.SimpleNamespace(EspeakBackend=Backend),
        "phonemizer.backend.espeak": types.ModuleType("espeak"),
        "phonemizer.backend.espeak.wrapper": types.SimpleNamespace(EspeakWrapper=wrapper),
        "espeakng_loader": types.SimpleNamespace(
            get_library_path=lambda: "library", get_data_path=lambda: "data"
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    espeak._voice.cache_clear()
    said = utterance("sol, mar", "es", "ipa")
    espeak._voice.cache_clear()
    check(said)
    assert told == ["library", "data"]
    assert [word.phones for word in said.words[1:4]] == [
        ("ˈ", "s", "o", "l"), (",",), ("ˈ", "m", "a", "r"),
    ]  # fmt: skip
