"""The checks that every registered system has to pass, on its `-test` preset.

A new system gets them by registering a preset whose name ends in `-test`. What a system does not
offer (an objective, published weights, export) is passed over for it.
"""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from sonograph import registry, weights
from sonograph.audio.feature_spec import Frontend
from sonograph.infer.embed import Moments, embed
from sonograph.infer.windows import window_batches
from sonograph.nn.encoder import Tokens
from sonograph.outputs import Audio
from sonograph.train.trainer import TrainConfig, Trainer
from tests.contract.cases import CROSSED, PRESETS, SMALL, Case, shapes


@pytest.fixture(params=CROSSED, ids=lambda preset: preset.name)
def case(request) -> Case:
    return Case(request.param)


@pytest.fixture(params=PRESETS, ids=lambda preset: preset.name)
def preset(request) -> registry.Preset:
    return request.param


# --- every preset, whatever its size


def test_the_published_number_of_parameters(preset):
    count = sum(p.numel() for p in registry.build(preset.name, device="meta").parameters())
    if preset.parameters is None:
        assert count > 0
    else:
        assert count == preset.parameters


def test_configurations_survive_json(preset):
    config = preset.make()
    assert type(config).from_json(config.to_json()) == config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_every_built_system_has_a_test_preset():
    assert {p.system for p in SMALL} == {p.system for p in PRESETS}


# --- building


def test_small_and_built_at_once(case):
    began = time.process_time()
    model = case.build()
    assert time.process_time() - began < 1
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    features = case.features(1)
    with torch.inference_mode():
        model(features)
        began = time.process_time()
        model(features)
    assert time.process_time() - began < 0.2


def test_the_same_seed_gives_the_same_answer(case):
    features = case.features()
    first, again, other = case.build(), case.build(), case.build(seed=1)
    with torch.inference_mode():
        assert torch.equal(first(features).values, again(features).values)
        assert not torch.equal(first(features).values, other(features).values)


def test_building_leaves_the_callers_random_numbers_alone(case):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    case.build()
    assert torch.equal(torch.rand(4), expected)


# --- forward


def test_shapes_and_types(case):
    model, features = case.build(), case.features(3)
    tokens = model(features)
    assert isinstance(tokens, Tokens)
    rows, columns = tokens.grid
    assert tokens.values.shape == (3, rows * columns, model.width)
    assert tokens.values.dtype == torch.float32
    assert tokens.mask is None or tokens.mask.shape == (3, rows * columns)
    assert tokens.pool().shape == (3, model.width)
    assert case.classifier(5)(features).shape == (3, 5)
    assert model.spec == case.preset.make().features


@pytest.mark.parametrize("share", [0.03, 0.29, 0.5, 0.99])
def test_padding_changes_nothing(case, share):
    """A clip alone, and beside a full one with noise where it has ended."""
    model, frames = case.build(), case.preset.make().frames
    length = max(1, int(frames * share))
    alone = case.features(1, length)
    batch = case.features(2, frames, seed=2)
    batch[0, :, :length] = alone[0]
    lengths = torch.tensor([length, frames])
    with torch.inference_mode():
        one = model(alone)
        both = model(batch, lengths)
        other = model(batch[1:])
    got = both.values[0] if both.mask is None else both.values[0][both.mask[0]]
    assert got.shape == one.values[0].shape
    torch.testing.assert_close(got, one.values[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.pool()[0], one.pool()[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.values[1], other.values[0], atol=1e-5, rtol=1e-5)


def test_bf16_is_close(case):
    model, features = case.build(), case.features()
    with torch.inference_mode():
        full = model(features).values
        with torch.autocast("cpu", torch.bfloat16):
            half = model(features).values.float()
    assert (half - full).norm() < 0.03 * full.norm()


def test_windows_together_are_the_whole(case):
    """`embed` of a sound of several windows is the moments of all windows' tokens."""
    model, config = case.build(), case.preset.make()
    rate, size = config.features.rate_hz, config.features.samples(config.frames)
    # a frame looks beyond the next one's start, or only to its own middle
    hop = min(size, config.frames * config.features.hop_samples)
    noise = np.random.default_rng(0).standard_normal(int(3.4 * size)).astype(np.float32)
    sound = Audio(0.1 * noise, rate)
    together = embed(model, sound, batch=8).values[0]
    np.testing.assert_allclose(embed(model, sound, batch=1).values[0], together, atol=1e-5)

    moments = Moments(model.grid[0], model.width)
    with torch.inference_mode():
        for k in range(4):
            piece = torch.from_numpy(0.1 * noise[k * hop : k * hop + size])[None]
            features = Frontend(config.features)(piece, torch.tensor([piece.shape[1]]))
            moments.add(model(features.values, features.lengths))
    np.testing.assert_allclose(moments.vector("statistics"), together, atol=1e-5)
    batches = list(window_batches(sound, config.features, config.frames, config.frames, 8))
    assert sum(len(batch.start_s) for batch in batches) == 4


def test_a_tagger_answers(case):
    model = case.tagger()
    if model is None:
        pytest.skip(f"{case.preset.system} has no labels of its own")
    config = case.preset.make()
    with torch.inference_mode():
        logits = model(case.features(3))
        short = torch.tensor([config.frames // 2, config.frames])
        alone = model(case.features(2)[:1, :, : config.frames // 2])
        beside = model(case.features(2), short)[:1]
    assert logits.shape == (3, len(model.labels))
    assert len(set(model.labels)) == len(model.labels)
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)
    scores = model.scores(logits)
    assert ((scores >= 0) & (scores <= 1)).all()
    noise = np.random.default_rng(0).standard_normal(config.features.samples(config.frames))
    tags = model.tag(Audio(0.1 * noise[None].astype(np.float32), config.features.rate_hz))
    assert set(tags.scores) == set(model.labels)


# --- backward


def test_every_weight_has_a_finite_gradient(case):
    model = case.tagger() or case.classifier()
    lengths = torch.tensor([case.preset.make().frames // 2, case.preset.make().frames])
    last = len(model.labels) - 1
    cross_entropy(model(case.features(), lengths), torch.tensor([0, last])).backward()
    assert_gradients(model)


def test_every_weight_of_the_objective_has_a_finite_gradient(case):
    model = case.pretraining()
    if model is None:
        pytest.skip(f"{case.preset.system} has no objective of its own")
    model(case.features(), None, torch.Generator().manual_seed(0))["loss"].backward()
    assert_gradients(model)


def assert_gradients(model: torch.nn.Module) -> None:
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, f"{name} has no gradient"
            assert torch.isfinite(weight.grad).all(), name
            assert weight.grad.abs().max() > 0, f"{name} has a gradient of zero"


def test_learns_one_batch_by_heart(case):
    model, features = case.classifier(4).train(), case.features(8)
    targets = torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(200):
        loss = cross_entropy(model(features), targets)
        if loss < 0.05:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss is {loss:.3f} after 200 steps")


def test_the_objective_learns_one_batch(case):
    model = case.pretraining()
    if model is None:
        pytest.skip(f"{case.preset.system} has no objective of its own")
    features = case.features(2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(100):
        loss = model(features, None, torch.Generator().manual_seed(0))["loss"]
        losses.append(loss.item())
        if losses[-1] < 0.7 * losses[0]:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss fell from {losses[0]:.3f} only to {min(losses):.3f}")


class Noise:
    """Batch k of random features, a function of k alone."""

    def __init__(self, case: Case):
        self.case, self.first = case, 0

    def start_at(self, k: int) -> Noise:
        self.first = k
        return self

    def __iter__(self):
        k = self.first
        while True:
            targets = torch.tensor([k % 3, (k + 1) % 3])
            yield {"features": self.case.features(2, seed=k), "targets": targets}
            k += 1


def test_resumed_in_the_middle_equals_uninterrupted(case, tmp_path):
    def objective(model, batch, generator):
        if case.pretraining() is not None:
            return model(batch["features"], None, generator)
        return {"loss": cross_entropy(model(batch["features"]), batch["targets"])}

    def train(name: str, steps: int) -> dict[str, torch.Tensor]:
        model = case.classifier() if case.pretraining() is None else case.pretraining()
        config = TrainConfig(steps=steps, schedule="constant", save_every=0, lr=1e-3)
        Trainer(model, objective, Noise(case), tmp_path / name, config).run()
        return weights.read_tensors(tmp_path / name / "last.safetensors")

    whole = train("whole", 4)
    train("cut", 2)
    resumed = train("cut", 4)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


# --- saving, names


@pytest.mark.parametrize("kind", ["model", "build", "classifier", "pretraining"])
def test_saved_and_loaded_to_equal_bits(case, kind, tmp_path):
    model = getattr(case, kind)()
    if model is None:
        pytest.skip(f"{case.preset.system} has no objective of its own")
    weights.save_folder(tmp_path, model, {"name": "saved"})
    loaded = weights.load(tmp_path)
    assert type(loaded) is type(model)
    assert loaded.describe() == model.describe()
    state = model.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert loaded.card["name"] == "saved"
    assert not loaded.training


def test_weights_keep_their_names(case):
    """A rename orphans every saved model: if it is meant, record anew and convert old files."""
    model = case.pretraining() or case.model()
    assert shapes(model.state_dict()) == case.recorded["state"]


def published(case: Case) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """For each recorded official layout: the preset, and weights that each hold one number."""
    return [
        (preset, {name: torch.full(size, float(n)) for n, (name, size) in enumerate(rows.items())})
        for preset, rows in case.recorded["published"].items()
    ]


def test_official_names_fill_every_weight_once(case):
    if not hasattr(case.module, "from_published"):
        pytest.skip(f"{case.preset.system} has no published weights")
    assert case.recorded["published"]
    for preset, official in published(case):
        assert case.module.is_published(official)
        ours = case.module.from_published(official)
        model = registry.build(preset, device="meta")
        own = shapes(model.state_dict())
        if case.tagger() is None:  # an encoder, perhaps with its objective, of which all or nothing
            own = {f"encoder.{name}": size for name, size in own.items()}
            whole = (
                shapes(case.module.Pretraining(model).state_dict()) if case.pretraining() else {}
            )
            if set(ours) & (set(whole) - set(own)):
                own = whole
        for name, size in own.items():
            assert list(ours[name].shape) == size, name
        heard = [value for tensor in ours.values() for value in tensor.unique().tolist()]
        assert len(heard) == len(set(heard)), "two of our weights hold the same official one"


def test_official_names_there_and_back(case):
    if not hasattr(case.module, "PUBLISHED_NAMES"):
        pytest.skip(f"{case.preset.system} has no table of published names")
    back = [(new, old) for old, new in case.module.PUBLISHED_NAMES]
    for _, state in published(case):
        official = {name.removeprefix("module."): value for name, value in state.items()}
        ours = case.module.from_published(official)
        known = {name: value for name, value in ours.items() if name != "encoder.special"}
        returned = weights.rename(known, back)
        assert returned.keys() <= official.keys()
        assert all(torch.equal(returned[name], official[name]) for name in returned)
        left = {name: official[name] for name in official.keys() - returned.keys()}
        joined = {*getattr(case.module, "SPECIAL", ())}
        assert not weights.rename(
            {name: value for name, value in left.items() if name not in joined},
            [],
            case.module.UNUSED,
        )


def test_an_official_name_that_nobody_knows_is_told(case):
    if not hasattr(case.module, "from_published"):
        pytest.skip(f"{case.preset.system} has no published weights")
    _, official = published(case)[0]
    with pytest.raises(ValueError, match=r"surprise\.weight"):
        case.module.from_published({**official, "surprise.weight": torch.zeros(1)})


# --- export


def test_export_gives_the_same(case):
    """The encoder on clips that fill their batch, batch size left open."""
    if not getattr(case.module, "EXPORTS", False):
        pytest.skip(f"{case.preset.system} does not promise torch.export")

    class Values(torch.nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, features):
            return self.encoder(features).values

    model = Values(case.build())
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (case.features(2),), dynamic_shapes=({0: batch},))
    with torch.inference_mode():
        for size in (1, 3):
            features = case.features(size)
            torch.testing.assert_close(program.module()(features), model(features))
