from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sonograph import records, weights
from sonograph.audio.io import Audio, write
from sonograph.data.clips import Clip, Clips
from sonograph.nn.acoustic import Text
from sonograph.progress import silent
from sonograph.recipes.speak import fastspeech as recipe
from sonograph.recipes.speak.corpus import Speech, encode_with
from sonograph.recipes.speak.fastspeech import claims
from sonograph.train.optim import rate

TEXTS = (
    "Hello.", "Goodbye.", "Press one.", "Press two.", "Thank you.", "Call me.", "Not now.",
    "You are late.", "Try again.", "It works.", "Stop.", "All is well.",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch, clips):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)
    monkeypatch.setenv("SONOGRAPH_DATA", str(clips[0].path.parent))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Buzzing in place of speech, a second for every fourteen letters."""
    folder, made = tmp_path_factory.mktemp("speech"), []
    for k, text in enumerate(TEXTS):
        time = np.arange(round(16000 * (0.3 + len(text) / 14))) / 16000
        sound = sum(np.sin(2 * np.pi * (120 + 9 * k) * n * time) / n for n in range(1, 20))
        write(folder / f"{k}.wav", Audio(0.1 * np.asarray(sound, np.float32)[None], 16000))
        made.append(Clip(f"c{k}", folder / f"{k}.wav", len(time) / 16000, 16000, text=text))
    made.append(Clip("none", folder / "0.wav", 0.5, 16000))
    return Clips(made)


def test_it_learns_and_leaves_a_voice_and_its_lists(clips, tmp_path):
    found = recipe.fit(tmp_path, clips, 6)
    assert found["steps"] == 6
    assert found["loss_after"] < found["loss_before"]
    dropped = json.loads((tmp_path / "dropped.json").read_text())
    assert [row["id"] for row in dropped] == ["none"]
    assert (tmp_path / "suspicious.json").is_file()
    voice = weights.load_folder(tmp_path / "voice").eval()
    assert 100 < voice.config.pitch.mean < 250
    ids = torch.tensor([[1, 5, 9]])
    spoken = voice.speak(Text(ids, torch.tensor([3]), torch.zeros_like(ids)))
    assert torch.isfinite(spoken.features).all()
    again = recipe.fit(tmp_path, clips, 6)
    assert again["loss_after"] == found["loss_after"]


def test_pitch_by_wavelets_begins_at_the_voice(clips, tmp_path):
    plan = recipe.recipe_of("fastspeech2-wavelet-test").override({"train.steps": 2})
    found = recipe.train("fastspeech2-wavelet-test", clips, tmp_path, plan)
    assert found.before["pitch_mean"] < 0.5  # of ln F0: it would be five
    assert found.after["loss"] < found.before["loss"]
    ids = torch.tensor([[1, 5, 9, 30]])
    text = Text(ids, torch.tensor([4]), torch.zeros_like(ids))
    with torch.no_grad():
        said = weights.load_folder(tmp_path / "voice").eval()(text)
    assert 100 < float(2 ** said.pitch.mean()) < 250


def test_stopped_in_the_middle_it_goes_on_to_the_same_weights(clips, tmp_path):
    for steps in (3, 6):  # the cosine is of six steps either way
        plan = recipe.recipe_of("fastspeech-test").override(
            {"train.steps": steps, "train.schedule": "constant"}
        )
        recipe.train("fastspeech-test", clips, tmp_path / "halves", plan)
    recipe.train("fastspeech-test", clips, tmp_path / "whole", plan)
    one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("halves", "whole"))
    assert one == two


def test_the_three_stages_of_the_paper(clips, tmp_path):
    teacher, student = (
        recipe.Recipe(batch=4).override({"train.steps": 2, "train.warmup_steps": 0})
        for _ in range(2)
    )
    found = recipe.teach(clips, tmp_path, teacher, student)
    assert 0 < found["focus_rate"] <= 1
    assert found["student"]["loss_after"] < found["student"]["loss_before"]
    assert "stop" in found["teacher"]["after"]
    voice = weights.load_folder(tmp_path / "student" / "voice")
    assert voice.config.decoding == "parallel"


def test_what_the_teacher_says_is_what_the_student_hears(clips, tmp_path):
    from sonograph import registry

    model = registry.build("fastspeech-teacher-mini")
    speech = Speech.prepare(clips, model.spec, encode_with("arpabet"), tmp_path)
    plain = speech.batch([0, 3])
    taught = recipe.Taught(speech, model).listen(batch=4)
    batch = taught.batch([0, 3])
    assert batch.durations is not None
    assert torch.equal(batch.durations.sum(1), batch.lengths)
    assert torch.equal(batch.text.ids, plain.text.ids)
    assert not torch.allclose(batch.features, plain.features)
    assert batch.features[0, :, int(batch.lengths[0]) :].abs().sum() == 0
    assert len(taught.part("train")) + len(taught.part("valid")) <= len(taught)


def test_the_claim_is_measured_with_a_tiny_plan(tmp_path):
    plan = claims.Scale(
        student="fastspeech-student-mini",
        teacher="fastspeech-teacher-mini",
        vocoder="istftnet-test",
        frames=(8, 24),
        end_to_end=24,
        uncached=8,
        seeds=3,
        texts=4,
    )
    found = claims.measured_claim(plan, "cpu", tmp_path, lambda title: silent)
    assert [name for name, _ in found] == ["claim", "claim-pace"]
    for _, record in found:
        records.check(record, "here")
    speed, pace = (record for _, record in found)
    assert "24 frames" in speed.rule
    assert speed.measured[0].name.startswith("mel of 24 frames")
    assert speed.measured[0].value > 0
    assert pace.verdict == "shown"
    assert pace.measured[1].value > pace.measured[0].value


@pytest.mark.parametrize(
    ("ratio", "far", "verdict"),
    [(20.0, 30.0, "shown"), (0.5, 30.0, "not shown"), (3.0, 5.0, "not shown")],
)
def test_the_rule_of_speed(ratio, far, verdict):
    plan = claims.Scale(frames=(100, 800), end_to_end=100, seeds=3)
    noise = (0.99, 1.0, 1.01)
    rows = [
        {
            "student": {100: 0.1, 800: 0.8},
            "teacher": {100: 0.1 * ratio * k, 800: 0.8 * far * k},
            "vocoder": 1.0,
            "uncached": 9.0,
        }
        for k in noise
    ]
    assert claims.speed_record(plan, rows, {}).verdict == verdict


def test_every_preset_has_a_recipe():
    from sonograph import registry

    for one in registry.presets("fastspeech*"):
        plan = recipe.recipe_of(one.name)
        assert plan.train.steps >= 200
        if one.parameters:
            assert plan.train.warmup_steps == 4000


def test_published_learning_rates():
    """ming024's ScheduledOptim for a width of 256, and NATSpeech's WarmupSchedule."""
    ming, nat = (recipe.recipe_of(f"fastspeech2-{name}").train for name in ("ming024", "natspeech"))
    for update in (1, 4000, 300_000, 300_001, 450_000, 900_000):
        official = 256**-0.5 * min(update**-0.5, 4000**-1.5 * update)
        official *= 0.3 ** sum(update > bound for bound in (300_000, 400_000, 500_000))
        assert rate(ming, update - 1, 1.0) == pytest.approx(official)
        assert rate(nat, update - 1, 1.0) == pytest.approx(5e-4 * min(update / 4000, 1))
    assert (ming.betas, ming.epsilon, ming.weight_decay) == ((0.9, 0.98), 1e-9, 0.0)
    assert (nat.optimizer, nat.epsilon, nat.weight_decay) == ("adamw", 1e-8, 0.0)
