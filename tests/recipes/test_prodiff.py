"""ProDiff's recipe: schedules, a teacher and its student that resume, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.recipes import recipe_module
from sonograph.recipes.speak import prodiff as recipes
from sonograph.recipes.speak.acoustic import Learned
from sonograph.recipes.speak.corpus import Speech, encode_with
from sonograph.recipes.speak.prodiff import claims, training
from sonograph.systems.speak.prodiff import Pretraining
from sonograph.train.optim import rate

TEXTS = ("a cat", "dogs run", "one two three", "it is", "we go home now", "so be it", "yes", "no")


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Clips:
    monkeypatch.setenv("SONOGRAPH_DATA", str(tmp_path / "data"))
    made = []
    for k, text in enumerate(TEXTS):
        seconds = 1.0 + 0.05 * k
        time = np.arange(round(seconds * 16000)) / 16000
        path = tmp_path / f"clip{k}.wav"
        wave = 0.3 * np.sin(2 * np.pi * (140 + 9 * k) * time) * (1 + np.sin(9 * time))
        write(path, Audio(wave[None].astype(np.float32) / 2, 16000))
        made.append(Clip(f"clip{k}", path, seconds, 16000, text=text))
    return Clips(made)


def test_every_preset_has_a_recipe():
    for preset in registry.presets("prodiff*"):
        recipe = recipe_module(preset.system).recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.distillation.lr == recipe.student_rate * recipe.train.lr
    with pytest.raises(InputError, match="at least 0"):
        recipes.Recipe(student_updates=-1)


def test_the_published_recipe():
    teacher, student = (recipes.recipe_of(name) for name in ("prodiff-teacher", "prodiff"))
    assert (teacher.batch, teacher.frames, teacher.train.steps) == (48, 32_000, 200_000)
    assert teacher.train.lr == pytest.approx(256**-0.5 * 2000**-0.5)
    assert (teacher.student_updates, student.distillation.steps) == (0, 200_000)
    assert student.distillation == student.train  # the official student has its teacher's schedule
    for update in (1, 500, 2000, 50_000, 200_000):  # RSQRTSchedule: lr 1, hidden size 256
        official = min(update / 2000, 1) * max(2000, update) ** -0.5 * 256**-0.5
        assert rate(teacher.train, update - 1, 1.0) == pytest.approx(official)


def test_statistics_of_the_corpus_go_into_a_teacher(clips, tmp_path):
    spec = registry.preset("prodiff-test").make().features
    speech = Speech.prepare(clips, spec, encode_with("arpabet"), tmp_path / "kept")
    config = training.configured("prodiff-test", speech)
    values = np.concatenate([item.read()[0] for item in speech.items], axis=1)
    assert (config.mean, config.deviation) == pytest.approx((values.mean(), values.std()), rel=1e-4)
    assert 130 < config.pitch_mean < 210
    assert config.energy_most == pytest.approx(np.sqrt(np.exp(2 * values).sum(0)).max(), rel=1e-4)
    official = training.configured("prodiff", speech)
    assert (official.mean, official.deviation, official.energy_most) == (0.0, 1.0, 4.0)
    assert (official.stride, official.pitch_mean) == (1, config.pitch_mean)


def test_teacher_and_student_go_on_to_equal_bits(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)  # slow, and not ours
    recipe = recipes.recipe_of("prodiff-test").override(
        {"batch": 4, "frames": 400, "student_updates": 2, "train.eval_every": 0}
    )

    def run(name: str, steps: int) -> Learned:
        one = recipe.override({"train.steps": steps, "train.schedule": "constant"})
        return training.train("prodiff-test", clips, tmp_path / name, one)

    done = run("whole", 2)
    after = done.after
    assert done.summary.steps == 2
    assert after["loss"] < done.before["loss"]
    assert {"l1", "ssim", "pitch", "forward_sum", "binarisation"} < set(after)

    stop = training.prodiff.Distillation

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.prodiff, "Distillation", killed)
    with pytest.raises(KeyboardInterrupt):
        run("cut", 1)
    monkeypatch.setattr(training.prodiff, "Distillation", stop)
    run("cut", 2)
    for part in ("", "student", "voice", "teacher"):
        whole, cut = (
            weights.read_tensors(tmp_path / name / part / "model.safetensors")
            for name in ("whole", "cut")
        )
        assert all(torch.equal(value, cut[name]) for name, value in whole.items()), part
    assert isinstance(weights.load(tmp_path / "whole"), Pretraining)
    voice, teacher = (weights.load(tmp_path / "whole" / name) for name in ("voice", "teacher"))
    assert (voice.config.steps, teacher.config.steps) == (2, 4)
    assert torch.equal(voice.embed.weight, teacher.embed.weight)
    assert not torch.equal(voice.denoiser.end.weight, teacher.denoiser.end.weight)


# --- the claim -----------------------------------------------------------------------------------


def scores(**errors: tuple[float, float, float]) -> claims.Scores:
    """Errors by the first word of an arm; all else alike."""
    plan = claims.Scale()
    clean, noise, many, few, student, mean = claims.arms_of(plan)
    given = {clean: "clean", noise: "noise", many: "many", few: "few", student: "student"}
    usual = {"clean": (1.0, 1.1, 1.05), "noise": (4.0, 4.1, 4.2), "many": (1.0, 1.1, 1.06),
             "few": (2.0, 2.1, 2.2), "student": (1.01, 1.11, 1.06)}  # fmt: skip
    found = {
        name: {
            "error": list(errors.get(word, usual[word])),
            "detail": [0.5] * 3,
            "noise": list(errors.get("learned", (0.3, 0.3, 0.3))),
            "distance": list(errors.get(f"{word}_distance", (0.6, 0.6, 0.6))),
            "seconds": list(
                errors.get(f"{word}_seconds", (0.5, 0.51, 0.5) if word == "student" else (1,) * 3)
            ),
        }
        for name, word in given.items()
    }
    return found | {mean: {"error": [1.6] * 3, "detail": [0.1] * 3}}


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ({}, "shown"),
        ({"few": (0.9, 1.0, 0.94)}, "not shown"),  # the better of the two counts
        ({"noise": (0.9, 1.0, 0.94)}, "not shown"),
        ({"few": (0.9, 1.3, 1.1)}, "inconclusive"),
        ({"clean": (1.5, 1.51, 1.52)}, "inconclusive"),  # it has not learned
        ({"learned": (0.7, 0.7, 0.7)}, "inconclusive"),  # nor have those beside it
    ],
)
def test_few_steps_are_judged_by_the_rule(errors, verdict):
    record = claims.noise_record(scores(**errors), claims.Scale(), ("x",))
    assert record.verdict == verdict
    assert "{" not in record.rule


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ({}, "shown"),
        ({"many": (0.8, 0.9, 0.85)}, "not shown"),
        ({"many": (0.9, 1.3, 1.0)}, "inconclusive"),
        ({"many": (1.5, 1.6, 1.55)}, "inconclusive"),  # it has not learned
        ({"many_distance": (0.1, 0.1, 0.1)}, "not shown"),  # near, but blurred beside it
    ],
)
def test_many_steps_are_judged_by_the_rule(errors, verdict):
    record = claims.many_record(scores(**errors), claims.Scale(), ("x",))
    assert record.verdict == verdict
    assert "{" not in record.rule


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ({}, "shown"),
        ({"student": (1.2, 1.3, 1.26)}, "not shown"),
        ({"student_seconds": (0.9, 0.91, 0.9)}, "not shown"),
        ({"student_seconds": (0.3, 0.9, 0.5)}, "inconclusive"),
    ],
)
def test_the_student_is_judged_by_the_rule(errors, verdict):
    record = claims.student_record(scores(**errors), claims.Scale(), ("x",))
    assert record.verdict == verdict
    assert "{" not in record.rule


def test_detail_of_nothing_is_far_off():
    found = claims.means_of([{"detail": 0.0, "error": 1.0}, {"detail": 0.0, "error": 2.0}])
    assert found["error"] == 1.5
    assert found["distance"] > 10
