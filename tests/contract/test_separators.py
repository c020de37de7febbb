"""What every separator has to pass, on its `-test` preset."""

from __future__ import annotations

import time

import pytest
import torch

from sonograph import registry, weights
from sonograph.infer.separate import separator_of
from sonograph.nn.separator import Separator
from tests.contract.cases import SMALL

SEPARATORS = [
    p
    for p in SMALL
    if registry.system(p.system).task == "separate"
    and isinstance(registry.build(p.name, device="meta"), Separator)
]


@pytest.fixture(params=SEPARATORS, ids=lambda preset: preset.name)
def preset(request) -> registry.Preset:
    return request.param


@pytest.fixture
def separator(preset) -> Separator:
    return registry.build(preset.name).eval()


def noise(separator: Separator, samples: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn((batch, separator.channels, samples), generator=draw)


def batch_for(separator: Separator, samples: int = 4000, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    count = len(separator.stems) + 1
    sources = 0.1 * torch.randn((2, count, separator.channels, samples), generator=draw)
    return {"mixture": sources.sum(1), "sources": sources}


def test_small_and_built_at_once(preset):
    began = time.process_time()
    model = registry.build(preset.name)
    assert time.process_time() - began < 1
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_says_what_it_gives(separator):
    assert separator.rate_hz > 0
    assert separator.channels in (1, 2)
    assert len(set(separator.stems)) == len(separator.stems) > 0
    assert separator.window_samples % separator.step_samples == 0
    assert separator.rest not in separator.stems


def test_parts_are_as_long_as_the_mixture(separator):
    with torch.inference_mode():
        for samples in (1, 2, 100, separator.step_samples, 3 * separator.step_samples + 1, 7777):
            made = separator(noise(separator, samples))
            assert made.shape == (1, len(separator.stems), separator.channels, samples), samples
            assert made.dtype == torch.float32
            assert torch.isfinite(made).all(), samples


def test_silence_gives_silence(separator):
    with torch.inference_mode():
        made = separator(torch.zeros(1, separator.channels, 5000))
    assert made.abs().max() < 1e-4
    assert torch.isfinite(made).all()


def test_clips_of_a_batch_do_not_touch(separator):
    both = torch.cat((noise(separator, 6000), 3 * noise(separator, 6000, seed=1)))
    with torch.inference_mode():
        together, alone = separator(both), separator(both[:1])
    torch.testing.assert_close(together[:1], alone, atol=2e-5, rtol=1e-4)


def test_other_weights_other_parts(preset, separator):
    other = registry.build(preset.name, seed=1).eval()
    mixture = noise(separator, 4000)
    with torch.inference_mode():
        assert torch.equal(separator(mixture), separator(mixture))
        assert not torch.equal(separator(mixture), other(mixture))


def test_saved_and_loaded_to_equal_bits(separator, tmp_path):
    weights.save_folder(tmp_path, separator, {"name": "saved"})
    loaded = weights.load(tmp_path)
    assert loaded.describe() == separator.describe()
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in separator.state_dict().items())
    mixture = noise(separator, 3000)
    with torch.inference_mode():
        assert torch.equal(separator_of(loaded)(mixture), separator(mixture))


def test_every_weight_has_a_finite_gradient(preset, separator):
    model = registry.module(preset.system).Pretraining(separator.train())
    found = model(batch_for(separator), torch.Generator().manual_seed(0))
    found["loss"].backward()
    for name, weight in model.separator.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert torch.isfinite(weight.grad).all(), name


def test_a_few_steps_lower_the_loss(preset, separator):
    model = registry.module(preset.system).Pretraining(separator.train())
    batch = batch_for(separator)
    optimizer = torch.optim.Adam(model.separator.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = model(batch, torch.Generator().manual_seed(0))["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.separator.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
