"""LOOK and supervised contrastive on encoders: memory, slow encoder, what the model answers."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from sonograph import registry, weights
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.systems.adapt.supervised_transfer import Config, LabelledMemory, numbers_of
from tests.contract.cases import TESTED, Case

SMALL = Config(labels=("a", "b", "c"), k=4, k_warmup=0, memory=24, dim=8, momentum=0.9)


def made(config: Config = SMALL, seed: int = 0) -> LabelledMemory:
    torch.manual_seed(seed)
    return LabelledMemory(registry.build("ssast-test", seed=seed), config)


def batch(count: int = 6, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 128, 32, generator=draw)
    return features, None, torch.arange(count) % 3, torch.arange(count) + 1000 * seed


def test_the_loss_is_that_of_a_memory_kept_by_hand():
    """Three updates beside plain code: slow weights, queue, own keys left out."""
    model = made().train()
    slow = {name: value.detach().clone() for name, value in model.encoder.named_parameters()}
    kept: list[tuple[torch.Tensor, int, int]] = []
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for step in range(3):
        features, _, targets, ids = batch(seed=step % 2)  # the third sees the first's clips again
        rate = min(0.9, (2 + step) / (11 + step))
        for name, value in model.encoder.named_parameters():
            slow[name] = rate * slow[name] + (1 - rate) * value.detach()
        loss = model.loss(features, None, targets, ids)["loss"]
        for name, value in model.key_encoder.module.named_parameters():
            torch.testing.assert_close(value, slow[name])
        with torch.no_grad():
            keys = model.key_projector(model.key_encoder(features).pool())
            query = model.query(features)
        kept = [*kept, *zip(keys, targets.tolist(), ids.tolist())][-24:]
        expected = 0.0
        for q, label, own in zip(query, targets.tolist(), ids.tolist()):
            others = sorted(
                ((float(q @ key), y) for key, y, number in kept if number != own), reverse=True
            )
            near = others[:4]
            if label not in [y for _, y in near]:
                near.append(next(one for one in others if one[1] == label))
            votes = torch.tensor([s for s, _ in near]).div(0.1).exp()
            right = torch.tensor([y == label for _, y in near])
            expected -= float((votes[right].sum() / votes.sum()).log()) / len(query)
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert int(model.updates) == 3


def test_the_own_older_key_is_left_out():
    """The same clips again would find themselves, and the loss be near nothing."""
    model = made(Config(labels=("a", "b"), k=1, k_warmup=0, memory=24, temperature=0.05))
    features = torch.randn(6, 128, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 0, 1, 0, 1])
    model.remember(features, None, targets, torch.arange(6))
    model.eval()
    known = model.loss(features, None, targets, torch.arange(6))
    unknown = model.loss(features, None, targets, torch.arange(6) + 100)
    assert unknown["loss"].item() < 1e-6
    assert unknown["accuracy"].item() == 1
    assert known["loss"].item() > 0.1


def test_evaluation_changes_nothing():
    model = made()
    model.train().loss(*batch())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval().loss(*batch(seed=1))
    model(batch(seed=1)[0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("objective", ["look", "supcon"])
@pytest.mark.parametrize("preset", TESTED, ids=lambda preset: preset.name)
def test_any_encoder_learns_by_it(preset, objective):
    case = Case(preset)
    torch.manual_seed(0)
    config = Config(labels=("a", "b"), objective=objective, k=2, memory=16, dim=8)
    model = LabelledMemory(case.build(), config).train()
    frames = preset.make().frames
    lengths = torch.tensor([frames, frames // 2, 1, frames])
    parts = model.loss(case.features(4), lengths, torch.tensor([0, 1, 0, 1]), torch.arange(4))
    parts["loss"].backward()
    assert torch.isfinite(parts["loss"])
    for name, weight in model.named_parameters():
        if name.startswith("key_"):
            assert weight.grad is None
    reached = [p.grad.abs().max() for p in model.encoder.parameters() if p.grad is not None]
    assert torch.stack(reached).isfinite().all()
    assert max(reached) > 0


@pytest.mark.parametrize("objective", ["look", "supcon"])
def test_one_batch_is_learned(objective):
    model = made(Config(labels=("a", "b", "c"), objective=objective, k=4, memory=24, dim=8)).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    features, _, targets, ids = batch(12)
    losses = []
    for _ in range(80):
        parts = model.loss(features, None, targets, ids)
        losses.append(parts["loss"].item())
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
    assert min(losses[-5:]) < 0.8 * losses[0]
    with torch.no_grad():
        answer = model.eval()(features).argmax(1)
    assert (answer == targets).all()


def test_saved_with_its_memory_and_loaded_like_any_model(tmp_path):
    model = made()
    model.train().loss(*batch())
    weights.save_folder(tmp_path, model.eval(), {"name": "look"})
    loaded = weights.load(tmp_path)
    assert isinstance(loaded, LabelledMemory)
    assert loaded.config == model.config
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    features = batch(seed=5)[0]
    with torch.no_grad():
        assert torch.equal(loaded(features), model(features))


def test_it_tags_by_its_neighbours():
    model = made()
    model.train().loss(*batch())
    model.eval()
    sound = Audio(torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)).numpy(), 16000)
    tags = model.tag(sound)
    assert set(tags.scores) == {"a", "b", "c"}
    assert sum(tags.scores.values()) == pytest.approx(1, abs=1e-5)
    assert model.embed(sound).values.shape[0] == 1


def test_an_empty_memory_says_so():
    with pytest.raises(InputError, match="remembers no clip"):
        made().eval()(batch()[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ("one",)}, "two at least"),
        ({"labels": ("one", "one")}, "each once"),
        ({"k": 24}, "a memory of more keys"),
        ({"k": 0}, "have to be positive"),
        ({"temperature": 0.0}, "temperature 0.0 has to be positive"),
        ({"momentum": 1.5}, "between 0 and 1"),
    ],
)
def test_bad_settings_are_one_line(changes, words):
    with pytest.raises(InputError, match=words):
        made(SMALL.override(changes))


def test_numbers_of_clips_are_the_same_everywhere():
    first = numbers_of(["a", "b", "a"])
    assert first[0] == first[2] != first[1]
    assert (first >= 0).all()
    assert first[0].item() == 2340832890917691671


def test_the_front_end_and_directions():
    model = made()
    assert isinstance(model.spec, FeatureSpec)
    query = model.query(batch()[0])
    torch.testing.assert_close(query, normalize(query, dim=1))
