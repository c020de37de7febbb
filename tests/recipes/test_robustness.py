from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import records, registry
from sonograph.audio.io import Audio, write
from sonograph.data.clips import Clip, Clips
from sonograph.progress import silent
from sonograph.recipes.speak import robustness
from sonograph.recipes.speak.listener import Listener
from sonograph.recipes.speak.robustness import Ear, Reading, Said, Scale, path_of, written
from sonograph.text.hard_sentences import HARD_SENTENCES

TEXTS = (
    "Hello.", "Goodbye.", "Press one.", "Press two.", "Thank you.", "Call me.", "Not now.",
    "You are late.", "Try again.", "It works.", "Stop.", "All is well.",
)  # fmt: skip
PLAN = Scale(
    updates=2, listener_updates=2, batch=4, frames=1000, together=3, frames_a_token=1, seeds=3
)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch, clips):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)
    monkeypatch.setenv("SONOGRAPH_DATA", str(clips[0].path.parent))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Buzzing in place of speech; names that fall into all parts."""
    folder, made = tmp_path_factory.mktemp("buzz"), []
    for k in range(30):
        text = TEXTS[k % len(TEXTS)]
        time = np.arange(round(16000 * (0.3 + len(text) / 14))) / 16000
        sound = sum(np.sin(2 * np.pi * (120 + 9 * k) * n * time) / n for n in range(1, 20))
        write(folder / f"{k}.wav", Audio(0.1 * np.asarray(sound, np.float32)[None], 16000))
        made.append(Clip(f"c{k}", folder / f"{k}.wav", len(time) / 16000, 16000, text=text))
    return Clips(made)


# --- the path -------------------------------------------------------------------------------------

CATS = written("The cat sat.")


def reading(*words_and_frames: tuple[int, int]) -> list[int]:
    """Tokens of frames that read the first token of these words, for so many frames each."""
    return [CATS.words.index(word) for word, count in words_and_frames for _ in range(count)]


def test_a_sentence_has_words_and_marks():
    assert len(CATS.said) == 3
    assert CATS.sounds[-3:] == ["S", "AE", "T"]
    assert set("".join(CATS.sounds)).isdisjoint("012.")


def test_every_word_once_is_no_failure():
    words = sorted(CATS.said)
    path = path_of(CATS, reading(*((word, 5) for word in words)), True)
    assert path == Reading(0, 0, False)
    assert not path.failed


def test_skips_and_returns_and_no_end_are_counted():
    one, two, three = sorted(CATS.said)
    assert path_of(CATS, reading((one, 5), (three, 5)), True) == Reading(1, 0, False)
    again = reading((one, 5), (two, 5), (one, 5), (two, 5), (three, 5))
    assert path_of(CATS, again, True) == Reading(0, 1, False)
    glance = reading((one, 5), (two, 5), (one, 2), (two, 5), (three, 1))
    assert path_of(CATS, glance, True) == Reading(0, 0, False)
    assert path_of(CATS, reading((one, 5), (two, 5), (three, 50)), False).failed


def test_all_hard_sentences_can_be_written():
    texts = [written(one.text) for one in HARD_SENTENCES]
    assert all(text.said and text.sounds for text in texts)
    assert max(len(text.ids) for text in texts) < 400


def test_a_student_reads_no_word_twice():
    model = registry.build("fastspeech-student-mini").eval()
    listener = Listener(len(robustness.SOUNDS) + 1, torch.zeros(80), torch.ones(80)).eval()
    sentences = [written("No no no, not now."), CATS]
    for said in robustness.said_by_student(model, sentences, listener):
        assert said.path.repeated == 0
        assert not said.path.endless


def test_a_teacher_that_never_stops_is_endless_and_one_that_stops_at_once_skips():
    model = registry.build("fastspeech-teacher-mini").eval()
    listener = Listener(len(robustness.SOUNDS) + 1, torch.zeros(80), torch.ones(80)).eval()
    sentences = [CATS, written("Stop.")]
    plan = PLAN.override({"frames_a_token": 1, "spare_frames": 4})
    with torch.no_grad():
        model.stop.weight.zero_()
        model.stop.bias.fill_(-1.0)
        endless = robustness.said_by_teacher(model, sentences, listener, plan, 0)
        model.stop.bias.fill_(1.0)
        short = robustness.said_by_teacher(model, sentences, listener, plan, 0)
    assert [said.path.endless for said in endless] == [True, True]
    assert [said.path.endless for said in short] == [False, False]
    assert short[0].path.skipped >= 2


# --- the ear --------------------------------------------------------------------------------------


def test_what_is_heard_of_phones():
    found = robustness.ear_of(list("abcde"), list("axdee"))
    assert found == Ear(5, 3, 1, 1)
    assert found.slips == pytest.approx(0.4)


# --- the claim ------------------------------------------------------------------------------------


def test_the_claim_is_measured_with_a_tiny_plan(clips, tmp_path):
    sentences = [HARD_SENTENCES[k] for k in (26, 8, 0, 41)]
    record = robustness.measured(clips, PLAN, tmp_path, sentences, lambda title: silent)
    records.check(records.stamped(record, 1.0), "here")
    assert "4 hard sentences" in record.rule
    assert record.data == (robustness.CORPUS,)
    values = {figure.name: figure.value for figure in record.measured}
    assert values["FastSpeech, words gone back to by path"] == 0


@pytest.mark.parametrize(
    ("teacher", "student", "right", "verdict"),
    [
        (Reading(1, 0, False), Reading(0, 0, False), 8, "shown"),
        (Reading(1, 0, False), Reading(0, 0, False), 2, "not shown"),
        (Reading(0, 0, False), Reading(0, 0, False), 8, "inconclusive"),
        (Reading(0, 0, False), Reading(0, 3, False), 8, "not shown"),
    ],
)
def test_the_rule(teacher, student, right, verdict):
    worse, better = Ear(10, 6, 3, 2), Ear(10, right, 1, 0)
    sentences = HARD_SENTENCES[:6]
    texts = [written(one.text) for one in sentences]
    record = robustness.record_of(
        [[Said(teacher, worse)] * 3] * 6,
        [[Said(student, better)]] * 6,
        [Ear(100, 80, 10, 5)],
        texts,
        sentences,
        PLAN,
        {},
    )
    assert record.verdict == verdict
    assert ("cause" in record.details) == (right == 2)
