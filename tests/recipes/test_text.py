"""The recipes of the text front-end: packing a dictionary, learning letters from it."""

from __future__ import annotations

import gzip

from sonograph.recipes.text import dictionary, letters
from sonograph.text.letters import Letters
from sonograph.text.lexicon import lexicon


def test_a_dictionary_is_read_and_packed(tmp_path):
    file = tmp_path / "dict"
    file.write_text(
        "cat K AE1 T\ncat(2) K AA1 T\na.m. EY2 EH1 M\nact AE1 K T # remark\n'em AH0 M\n"
        "cat K AH0 T\nbad XX1\n"
    )
    words = dictionary.read(file)
    assert words == {
        "cat": ("K", "AE1", "T"),
        "act": ("AE1", "K", "T"),
        "'em": ("AH0", "M"),
    }
    packed = dictionary.pack(words)
    assert packed == dictionary.pack(dict(reversed(words.items())))
    assert gzip.decompress(packed).decode().split("\n")[:4] == ["'em", "act", "cat", ""]


def test_letters_are_aligned_with_their_phones():
    pairs = [pair for pair in letters.usable() if len(pair[0]) < 9][::120]
    costs = letters.learn_alignment(pairs, rounds=3)
    word, phones = "checks", ("CH", "EH1", "K", "S")
    ends = letters.align(word, phones, costs)
    chunks = [" ".join(phones[start:end]) for start, end in ends]
    assert " ".join(filter(None, chunks)) == " ".join(phones)
    assert chunks[2] == "EH1"
    assert chunks[5] == "S"


def test_forms_of_a_word_are_held_out_together():
    held = [letters.is_held_out(word) for word in ("record", "records", "recorded", "recording")]
    assert len(set(held)) == 1
    words = [word for word, _ in lexicon().items()][::20]
    share = sum(map(letters.is_held_out, words)) / len(words)
    assert 0.03 < share < 0.07


def test_edits():
    assert letters.edits(("A", "B", "C"), ("A", "C")) == 1
    assert letters.edits((), ("A",)) == 1
    assert letters.edits(("A", "B"), ("B", "A")) == 2
    assert letters.edits(("A",), ("A",)) == 0


def test_a_short_training_is_the_same_twice_and_learns(tmp_path):
    results = []
    for name in "ab":
        args = letters.Args(output=tmp_path / name, epochs=2, hidden=16, words=300)
        results.append(letters.train(args))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert results[0] == results[1]
    assert results[0]["last loss"] < 4.0


def test_the_weights_of_the_package_do_what_the_recipe_says():
    held_out = [pair for pair in letters.usable() if letters.is_held_out(pair[0])][::40]
    found = letters.measure(Letters.load(), held_out)
    assert found["phone error rate %"] < 14
    assert found["word accuracy without stress %"] > 58
    assert len(lexicon()) > 100_000
