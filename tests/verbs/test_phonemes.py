"""`sonograph phonemes`: words and phones on stdout, faults in one line."""

from __future__ import annotations

import io
import json

import pytest

from sonograph import cli


def test_words_and_phones(capsys):
    assert cli.main(["phonemes", "Hello 2 worlds."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["Hello", "HH", "AH0", "L", "OW1"],
        ["two", "T", "UW1"],
        ["worlds", "W", "ER1", "L", "D", "Z"],
        [".", "."],
    ]


def test_json_has_places_in_the_whole_text(capsys):
    text = "One. Two."
    assert cli.main(["phonemes", text, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    words = [word for one in found for word in one["words"] if word["kind"] == "word"]
    assert [text[word["start"] : word["end"]] for word in words] == ["One", "Two"]
    assert all(len(one["tokens"]["ids"]) == len(one["tokens"]["words"]) for one in found)


def test_ssml_and_standard_input(capsys, monkeypatch):
    assert cli.main(["phonemes", '<speak><sub alias="cat">c</sub></speak>']) == 0
    assert capsys.readouterr().out.split() == ["cat", "K", "AE1", "T"]
    monkeypatch.setattr("sys.stdin", io.StringIO("A cat.\nA hat."))
    assert cli.main(["phonemes", "-", "--alphabet", "ipa"]) == 0
    assert "k ˈ æ t" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["phonemes"], "no text"),
        (["phonemes", "..."], "nothing to say"),
        (["phonemes", "hola", "--language", "xx"], "Known: en"),
        (["phonemes", "<speak>a"], "SSML"),
    ],
)
def test_faults(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
