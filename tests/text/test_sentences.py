"""Sentences out of a stream of text, never cut where they do not end."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonograph.text.sentences import LONGEST, sentences

CUT = {
    "One. Two! Three? Four": ["One.", "Two!", "Three?", "Four"],
    "Dr. Lee has 3.5 cats. Really?": ["Dr. Lee has 3.5 cats.", "Really?"],
    "At 5 p.m. we left. At 6 p.m. They came.": ["At 5 p.m. we left.", "At 6 p.m.", "They came."],
    "The U.S. Army. J. R. Smith came.": ["The U.S. Army.", "J. R. Smith came."],
    "See No. 5. No. It is gone.": ["See No. 5.", "No.", "It is gone."],
    "Wait... what? He said \"Stop!\" Then he left.": [
        "Wait... what?", "He said \"Stop!\"", "Then he left.",
    ],
    "A title\n\nA text\nthat goes on.": ["A title", "A text\nthat goes on."],
    "www.example.com is up. Go to 1.2.3.4 now": ["www.example.com is up.", "Go to 1.2.3.4 now"],
    "¿Qué? ¡Sí! Ну да. Нет": ["¿Qué?", "¡Sí!", "Ну да.", "Нет"],
    "... ?! Hello.": ["Hello."],
    "": [],
    " \n\n ": [],
    "etc. The end. e.g. This": ["etc.", "The end. e.g. This"],
}  # fmt: skip


@pytest.mark.parametrize("text", list(CUT))
def test_where_sentences_end(text):
    assert [sentence.text for sentence in sentences(text)] == CUT[text]


@pytest.mark.parametrize("text", list(CUT))
def test_pieces_of_any_size_give_the_same(text):
    whole = list(sentences(text))
    assert list(sentences(list(text))) == whole
    assert list(sentences([text[:7], "", text[7:]])) == whole


def test_long_ones_are_cut_at_commas_then_spaces():
    commas = list(sentences("one two three four five, " * 40))
    assert all(len(sentence.text) <= LONGEST for sentence in commas)
    assert all(sentence.text.endswith(",") for sentence in commas)
    spaces = list(sentences("word " * 400))
    assert all(set(sentence.text.split()) == {"word"} for sentence in spaces)
    assert sum(len(sentence.text.split()) for sentence in spaces) == 400
    solid = list(sentences("x" * 1000))
    assert [len(sentence.text) for sentence in solid] == [400, 400, 200]


@given(st.text(st.sampled_from("ab .,!?\n\"'DrSt5A…("), max_size=900))
def test_nothing_but_marks_is_lost_and_places_are_true(text):
    at = 0
    for sentence in sentences(text):
        assert sentence.text == sentence.text.strip()
        assert len(sentence.text) <= LONGEST + 10
        assert sentence.start >= at
        assert text[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert not any(letter.isalnum() for letter in text[at : sentence.start])
        at = sentence.start + len(sentence.text)
    assert not any(letter.isalnum() for letter in text[at:])


@pytest.mark.parametrize("line", ["A sentence of five words. ", "word ", " ", "\n", "x", ".", ". "])
def test_a_stream_without_end_is_read_in_bounded_memory(line):
    tracemalloc.start()
    count = sum(1 for _ in sentences(line * 20 for _ in range(600)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
    assert (count > 0) == any(letter.isalnum() for letter in line)


def test_a_sentence_is_given_before_the_stream_ends():
    taken = []

    def lines():
        for number in range(1000):
            taken.append(number)
            yield f"This is line {number}.\n"

    assert next(iter(sentences(lines()))).text == "This is line 0."
    assert len(taken) < 5
