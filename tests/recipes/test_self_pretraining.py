from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.nn.heads import Network
from sonograph.recipes import recipe_module
from sonograph.recipes.represent import self_pretraining as recipe
from sonograph.systems.represent import ssast
from sonograph.train.finetune import Examples, measure
from sonograph.train.optim import build as optimizer_of
from tests.recipes.test_long_range import cifar_files


def examples(rows: int = 1, n: int = 60, count: int = 12) -> Examples:
    """Two classes: slow and quick waves."""
    targets = torch.arange(count) % 2
    rate = (0.2 + 0.6 * targets)[:, None, None]
    values = torch.sin(rate * torch.arange(n) + torch.rand(count, 1, 1)).expand(-1, rows, -1)
    ids = tuple(map(str, range(count)))
    return Examples(values.contiguous(), torch.full((count,), n), targets, ("a", "b"), ids)


def test_every_preset_has_a_recipe():
    for preset in registry.presets("self-pretraining-*"):
        found = recipe_module(preset.system).recipe_of(preset.name)
        assert type(found).from_json(found.to_json()) == found
        assert found.train.steps > found.train.warmup_steps


def test_the_published_recipe():
    image = recipe.recipe_of("self-pretraining-image")
    assert (image.batch, image.train.lr, image.train.warmup_steps) == (32, 1e-3, 2500)
    assert (image.train.weight_decay, image.train.schedule) == (0, "constant")
    assert recipe.recipe_of("self-pretraining-pathx").train.lr == 5e-4
    path = recipe.recipe_of("self-pretraining-pathfinder")
    assert (path.train.lr, path.train.steps) == (5e-4, 250_000)
    speech = recipe.recipe_of("self-pretraining-speech")
    assert (speech.batch, speech.train.lr, speech.train.weight_decay) == (16, 1e-3, 0.05)


@pytest.mark.parametrize(
    ("name", "steps", "state", "batch"),
    [("image", 1e-2, 1e-3, 50), ("pathx", 5e-4, 5e-4, 32), ("speech", 1e-3, 1e-3, 16)],
)
def test_the_published_rates_of_kernels(name, steps, state, batch):
    """Rates of their own: of the steps, and of A, B and the low-rank term."""
    found = recipe.recipe_of(f"self-pretraining-{name}-s4")
    assert found.batch == batch
    model = registry.build("self-pretraining-digits")
    rates = {
        id(weight): found.train.lr * group["factor"]
        for group in optimizer_of(model, found.train, False).param_groups
        for weight in group["params"]
    }
    for place, weight in model.named_parameters():
        kind = place.rsplit(".")[-1]
        want = {"log_step": steps}.get(kind, found.train.lr)
        if kind in ("log_decay", "frequency", "into", "low_rank"):
            want = state
        assert rates[id(weight)] == pytest.approx(want), place


def test_kernels_learn_slowly_and_do_not_decay():
    model, train = registry.build("self-pretraining-s4d"), recipe.schedule(10, 1e-3)
    groups = {
        id(weight): (group["factor"], group["weight_decay"])
        for group in optimizer_of(model, train, False).param_groups
        for weight in group["params"]
    }
    for name, weight in model.named_parameters():
        slow = name.rsplit(".")[-1] in ("log_step", "log_decay", "frequency", "into")
        assert groups[id(weight)][0] == (0.1 if slow else 1.0), name
        assert not slow or groups[id(weight)][1] == 0


def test_the_low_rank_term_learns_slowly_too():
    model = registry.build("self-pretraining-digits")
    groups = {
        id(weight): group["factor"]
        for group in optimizer_of(model, recipe.schedule(10, 1e-3), False).param_groups
        for weight in group["params"]
    }
    kernel = model.layers[0].space.kernel
    assert groups[id(kernel.low_rank)] == 0.1
    assert groups[id(kernel.out)] == 1.0


def test_what_cannot_be_pre_trained_on_clips(tmp_path):
    with pytest.raises(InputError, match="no preset of self-pre-training"):
        recipe.recipe_of("ssast-test")
    with pytest.raises(InputError, match="takes token ids, not sound"):
        recipe.pretrain("self-pretraining-listops", None, tmp_path)


@pytest.mark.parametrize("kind", ["own", "other"])
def test_any_encoder_learns_from_a_tasks_inputs(kind, tmp_path):
    if kind == "own":
        encoder, given = registry.build("self-pretraining-test"), examples()
    else:
        encoder, given = ssast.SSAST(ssast.test()), examples(128, 64)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    made = recipe.self_pretrain(encoder, given, tmp_path, recipe.schedule(3, 1e-3), batch=4)
    assert made is encoder
    assert any(not torch.equal(value, before[n]) for n, value in encoder.state_dict().items())
    loaded = weights.load(tmp_path)
    assert loaded.describe()["system"] == "self_pretraining"
    state = loaded.encoder.state_dict()
    assert all(torch.equal(value, state[n]) for n, value in encoder.state_dict().items())


def test_digits_are_divided():
    pytest.importorskip("sklearn")
    train, test = recipe.pixels("self-pretraining-digits")
    assert (len(train), len(test)) == (1198, 599)
    assert not set(train.ids) & set(test.ids)


def test_a_task_of_pixels_from_its_inputs_to_its_head(tmp_path):
    name, train = "self-pretraining-digits", examples(n=256, count=24)
    train = dataclasses.replace(  # dark pictures and light ones
        train, features=0.4 * train.features + train.targets[:, None, None] - 0.5
    )
    test = train.take(range(8))
    second = recipe.fine_tuning(name).override({"train": recipe.schedule(20, 5e-3).to_dict()})
    made = recipe.learn_pixels(name, train, test, tmp_path, recipe.schedule(4, 2e-3), second)
    taught = made.model
    assert isinstance(taught.head, Network)
    assert measure(taught, train).accuracy > 0.8
    first = weights.load(tmp_path / "pretrained")
    assert first.decode.out_features == 256
    loaded, x = weights.load(tmp_path / "task").eval(), test.features[:3]
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), taught.eval()(x))
    assert loaded.labels == ("a", "b")


def test_tasks_of_pixels_as_published(tmp_path):
    image, pathx = (recipe.fine_tuning(f"self-pretraining-{n}") for n in ("image", "pathx"))
    assert (image.head, image.pool, image.batch) == ("network", "tokens", 50)
    assert (image.train.lr, image.train.warmup_steps, image.train.schedule) == (
        1e-3, 2000, "constant",
    )  # fmt: skip
    assert image.train.steps == 180_000
    assert (pathx.head, pathx.pool, pathx.train.lr) == ("linear", "largest", 5e-4)
    assert (image.noise, image.roll_frames) == (0, 0)
    for size, task in recipe.PIXELS.items():
        assert registry.preset(f"self-pretraining-{size}").make().frames == task.side**2
    train, test = recipe.pixels("self-pretraining-pathfinder", count=20)
    assert (len(train), len(test), train.classes) == (18, 2, ("apart", "joined"))
    large, _ = recipe.pixels("self-pretraining-pathx", count=10)
    assert large.features.shape == (9, 1, 128 * 128)
    cifar_files(tmp_path)
    train, _ = recipe.pixels("self-pretraining-image-s4", tmp_path)
    assert train.classes[0] == "airplane"


def test_what_is_no_task_of_pixels(tmp_path):
    with pytest.raises(InputError, match="self-pretraining-text has no task of pixels"):
        recipe.pixels("self-pretraining-text")
    with pytest.raises(InputError, match="pictures of 16 x 16, not of 32 x 32"):
        recipe.pixels("self-pretraining-digits", tmp_path)
    with pytest.raises(InputError, match="32 x 32 pixels, not of 64 in all"):
        recipe.learn_pixels("self-pretraining-image", examples(n=64), None, tmp_path)


def test_both_ways_make_as_many_updates(tmp_path):
    plan = recipe.SCALES["cpu"].override(
        {"pretrain_updates": 2, "adapt_updates": 3, "batch": 4, "width": 8, "samples": 64}
    )
    steps = {}
    for way in recipe.WAYS:
        place, given = tmp_path / way, examples(n=64)
        accuracy = recipe.learned("s4d", way, given, given, plan, 0, place, lambda *_: None)
        assert 0 <= accuracy <= 1
        steps[way] = weights.read_json(place / "task" / weights.CARD)["steps"]
        if (place / "pretrain").is_dir():
            steps[way] += weights.read_json(place / "pretrain" / weights.CARD)["steps"]
    assert steps == {"scratch": 5, "self-pre-trained": 5}


@pytest.mark.parametrize(
    ("scratch", "after", "verdict"),
    [
        (0.30, 0.05, "shown"),
        (0.30, 0.28, "not shown"),
        (0.30, 0.15, "inconclusive"),
        (0.0, -0.3, "inconclusive"),  # there was no gap
    ],
)
def test_the_rule_decides(scratch, after, verdict):
    noise = np.array([0.01, -0.01, 0.02, -0.02, 0.005, -0.005])
    assert recipe.judged(scratch + noise, after - noise)[0] == verdict


def test_records_of_a_table():
    row = {
        f"{name}, {way}": [0.5 + 0.1 * k + 0.01 * s for s in range(3)]
        for k, name in enumerate(recipe.ENCODERS)
        for way in recipe.WAYS
    }
    tone = {arm: values for arm, values in row.items() if "mamba" not in arm}
    found = dict(recipe.records_of({"digits": row, "tone": tone}, recipe.SCALES["cpu"]))
    assert set(found) == {"claim", "claim-mamba", *(f"claim-gain-{n}" for n in recipe.ENCODERS)}
    gap = {figure.name: figure.value for figure in found["claim"].measured}
    assert gap["gap from scratch"] == pytest.approx(0.1)
    assert gap["gap self-pre-trained"] == pytest.approx(0.1)
    assert "6 pairs" in found["claim"].rule
    assert "3 pairs" in found["claim-mamba"].rule
    assert found["claim-mamba"].data == ("UCI digits (scikit-learn)",)


def test_the_arms_have_sizes_of_one_order():
    plan = recipe.SCALES["cpu"]
    sizes = [
        sum(p.numel() for p in recipe.encoder_for(name, plan, 0).parameters())
        for name in recipe.ENCODERS
    ]
    assert max(sizes) < 2.5 * min(sizes)
