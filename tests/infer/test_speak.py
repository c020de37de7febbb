"""A text said sentence by sentence: times, pauses, streams, and what cannot be said."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest

from sonograph import registry, weights
from sonograph.audio.io import info
from sonograph.cli import main
from sonograph.errors import InputError
from sonograph.infer.speak import GAP_S, Manner, Voice
from sonograph.outputs import Audio, Said, subtitles


@pytest.fixture(scope="module")
def voice() -> Voice:
    acoustic = registry.build("fastspeech-test")
    bias = [value for name, value in acoustic.duration.named_parameters() if value.shape == (1,)]
    bias[-1].data.fill_(2.4)  # log(1 + 10 frames): untrained, it would say nothing
    return Voice(acoustic, registry.build("istftnet-test"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    for name in ("fastspeech-test", "istftnet-test"):
        weights.save_folder(place / name, registry.build(name), {"name": name})
    return ["--model", str(place / "fastspeech-test"), "--vocoder", str(place / "istftnet-test")]


def test_sentences_follow_each_other_without_a_gap_in_time(voice):
    said = list(voice.say("One. Two, three! Is it four?"))
    assert [one.text for one in said] == ["One.", "Two, three!", "Is it four?"]
    at = 0.0
    for one in said:
        assert one.start_s == pytest.approx(at)
        assert one.audio.samples.shape[0] == 1
        at = one.end_s
    hop_s = 1 / voice.spec.frame_rate_hz
    first = said[1].words[0]
    assert first.start_s - said[1].start_s >= GAP_S - hop_s


def test_words_point_into_the_text(voice):
    text = "First one.  Dr. Lee has 12 cats."
    for one in voice.say(text):
        for word in one.words:
            assert text[word.start : word.end] == word.word


def test_pieces_of_a_stream_are_the_whole(voice):
    text = "Hello there. It costs five dollars! Is that so?"
    whole = [one.audio.samples for one in voice.say(text)]
    pieces = [one.audio.samples for one in voice.say(iter([text[:20], text[20:]]))]
    assert len(whole) == 3
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_a_stream_without_end_is_said_as_it_comes(voice):
    taken = 0

    def lines():
        nonlocal taken
        while True:
            taken += 1
            yield "Again and again.\n\n"

    said = list(itertools.islice(voice.say(lines()), 5))
    assert len(said) == 5
    assert taken < 5 + 10


def test_markup_pauses_and_changes_pace(voice):
    plain = next(voice.say("one two"))
    paused = next(voice.say('<speak>one <break time="800ms"/> two</speak>'))
    assert paused.audio.duration_s - plain.audio.duration_s == pytest.approx(0.8, abs=0.01)
    assert paused.words[1].start_s - paused.words[0].end_s == pytest.approx(0.8, abs=0.01)
    slow = next(voice.say('<speak><prosody rate="50%">one two</prosody></speak>'))
    assert slow.audio.duration_s > 1.5 * plain.audio.duration_s


def test_a_manner_scales_the_length_and_has_bounds(voice):
    lengths = [
        next(voice.say("a long enough sentence to count", Manner(pace=pace))).audio.duration_s
        for pace in (0.5, 1.0, 2.0)
    ]
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=0.05)
    assert lengths[2] == pytest.approx(lengths[1] / 2, rel=0.1)
    for bad in ({"pace": 0.0}, {"pitch": 100.0}, {"energy": float("nan")}):
        with pytest.raises(InputError, match=r"give 0\.25 to 4"):
            Manner(**bad)


@pytest.mark.parametrize("text", ["", "   ", "...", "?! - ()", "\N{GRINNING FACE}", "\n\n\n"])
def test_nothing_to_say_is_one_line(voice, text):
    with pytest.raises(InputError, match="nothing to say"):
        list(voice.say(text))


def test_what_cannot_be_said_among_what_can_is_passed_over(voice):
    said = list(voice.say("Hello! \N{GRINNING FACE} \N{GRINNING FACE}! Bye."))
    assert said[0].text == "Hello!"
    assert said[-1].text.endswith("Bye.")


@pytest.mark.parametrize("text", ["x", "mm", "I", "a b"])
def test_the_shortest_texts_have_sound(voice, text):
    (said,) = voice.say(text)
    assert said.audio.duration_s > 0
    assert np.isfinite(said.audio.samples).all()


def test_other_scripts_and_languages_say_what_is_wrong(voice):
    with pytest.raises(InputError, match="no language 'xx'"):
        list(voice.say("Hello.", language="xx"))
    with pytest.raises(InputError, match="of English"):
        list(voice.say("Hola.", language="es"))
    with pytest.raises(InputError):
        list(voice.say("\N{CYRILLIC CAPITAL LETTER EN}\N{CYRILLIC SMALL LETTER IE}"))


def test_a_vocoder_of_other_features_is_refused_by_name():
    with pytest.raises(InputError, match=r"rate_hz 16000 / 22050"):
        Voice(registry.build("fastspeech-test"), registry.build("hifigan-v2"))
    with pytest.raises(InputError, match="does not speak"):
        Voice(registry.build("istftnet-test"), registry.build("istftnet-test"))
    with pytest.raises(InputError, match="is no vocoder"):
        Voice(registry.build("fastspeech-test"), registry.build("fastspeech-test"))


def test_a_voice_that_cannot_imitate_says_so(voice):
    with pytest.raises(InputError, match="cannot imitate"):
        voice.imitate(Audio(np.zeros((1, 16000), np.float32), 16000))


def test_subtitles():
    audio = Audio(np.zeros((1, 16000), np.float32), 16000)
    said = [Said("One\ntwo.", audio, 0.0, ()), Said("Three.", audio, 3661.5, ())]
    assert subtitles(said, "srt").splitlines() == [
        "1", "00:00:00,000 --> 00:00:01,000", "One two.", "",
        "2", "01:01:01,500 --> 01:01:02,500", "Three.",
    ]  # fmt: skip
    assert subtitles(said, "vtt").startswith("WEBVTT\n\n1\n00:00:00.000 --> ")


# --- the verb ------------------------------------------------------------------------------------


def test_speak_writes_sound_and_timings(folders, tmp_path, capsys):
    out, words = tmp_path / "out.wav", tmp_path / "words.json"
    assert main(["speak", "Hi. You!", "-o", str(out), "--timings", str(words), "--json",
                 *folders]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["duration_s"] == pytest.approx(info(out).duration_s, abs=0.01)
    assert told["first_sound_s"] <= told["seconds"]
    kept = json.loads(words.read_text())["sentences"]
    assert [one["text"] for one in kept] == ["Hi.", "You!"]


def test_speak_reads_files_and_pipes(folders, tmp_path, monkeypatch, capfdbinary):
    story = tmp_path / "story.txt"
    story.write_text("Hi there.\n\nYou too.")
    assert main(["speak", "--file", str(story), "-o", str(tmp_path / "a.wav"), *folders]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(story.read_text()))
    capfdbinary.readouterr()
    assert main(["speak", "-o", "-", *folders]) == 0
    piped = np.frombuffer(capfdbinary.readouterr().out, "<i2")
    assert len(piped) == round(info(tmp_path / "a.wav").duration_s * 16000)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["Hi."], "say where the sound goes"),
        (["Hi.", "-o", "out.wav", "--timings", "a.txt"], "must end in"),
        (["Hi.", "-o", "out.wav", "--file", "b.txt"], "not both"),
        (["--file", "missing.txt", "-o", "out.wav"], "cannot be read"),
        (["Hi.", "-o", "out.wav", "--like", "missing.wav"], "missing.wav"),
        (["Hi.", "-o", "no/such/folder/out.wav"], "does not exist"),
    ],
)
def test_bad_calls_of_speak_are_one_line(folders, words, error, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["speak", *words, *folders]) == 2
    said = capsys.readouterr().err.strip()
    assert error in said
    assert "\n" not in said
    assert not list(tmp_path.glob("*.wav"))
