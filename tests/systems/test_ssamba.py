from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.nn.mamba import Mamba
from sonograph.systems.represent import ssamba
from sonograph.weights import rename


def official_state(config: ssamba.Config, classes: int = 0, frames: int | None = None) -> dict:
    """Weights under official names, from our table read backwards."""
    torch.manual_seed(0)
    model = Classifier(ssamba.build(config), [str(k) for k in range(max(2, classes))])
    ours = {
        name: value for name, value in model.state_dict().items() if classes or "head" not in name
    }
    state = rename(ours, [(new, old) for old, new in ssamba.PUBLISHED_NAMES])
    state |= {"v.head.weight": torch.zeros(1000, config.width), "v.head.bias": torch.zeros(1000)}
    if frames:
        state["p_input_tdim"] = torch.tensor(frames)
        state["p_input_fdim"] = torch.tensor(128)
    return {f"module.{name}": value for name, value in state.items()}


SMALL = ssamba.Config(width=32, depth=4, drop_path=0.0)


@pytest.mark.parametrize("frames", [512, 1024])
def test_a_pre_training_file_says_its_length(frames):
    config = dataclasses.replace(SMALL, frames=frames)
    loaded = ssamba.load_published(official_state(config, frames=frames))
    assert isinstance(loaded, ssamba.SSAMBA)
    assert (loaded.config.frames, loaded.config.stride) == (frames, (16, 16))
    assert (loaded.config.width, loaded.config.depth, loaded.config.states) == (32, 4, 16)


@pytest.mark.parametrize("frames", [128, 512, 1024])
@pytest.mark.parametrize("stride", [10, 16])
@torch.no_grad()
def test_a_fine_tuned_file_is_a_classifier(frames, stride):
    config = dataclasses.replace(SMALL, frames=frames, stride=(stride, stride))
    state = official_state(config, classes=5)
    loaded = ssamba.load_published(state).eval()
    assert isinstance(loaded, Classifier)
    assert (loaded.encoder.config.frames, loaded.encoder.config.stride) == (frames, (stride,) * 2)
    assert loaded(torch.randn(1, 128, frames)).shape == (1, 5)
    assert torch.equal(
        loaded.encoder.layers[1].mixer.directions[1].skip, state["module.v.layers.1.mixer.D_b"]
    )


def test_a_file_of_no_known_length_is_refused():
    state = official_state(SMALL)
    with pytest.raises(InputError, match="512 positions"):
        ssamba.load_published(state)


@torch.no_grad()
def vision_mamba(encoder: ssamba.SSAMBA, x: torch.Tensor) -> torch.Tensor:
    """The official pairs as they are run there, the sequence and what comes of it flipped."""

    def layer(number: int, hidden, residual):
        residual = hidden if residual is None else residual + hidden
        part = encoder.layers[number]
        mixer = Mamba(encoder.width, ("forward", "backward"), part.mixer.directions[0].states)
        mixer.load_state_dict(part.mixer.state_dict())
        return mixer(part.norm(residual)), residual

    hidden, residual = x, None
    for pair in range(len(encoder.layers) // 2):
        first, r = layer(2 * pair, hidden, residual)
        turned = None if residual is None else residual.flip(1)
        second, s = layer(2 * pair + 1, hidden.flip(1), turned)
        hidden, residual = first + second.flip(1), r + s.flip(1)
    return encoder.norm(encoder.norm(residual + hidden))


@torch.no_grad()
def test_layers_are_wired_as_published():
    torch.manual_seed(0)
    encoder = ssamba.build(SMALL).eval()
    features = torch.randn(2, 128, 64)
    tokens = encoder(features)
    x = torch.cat([encoder.class_token.expand(2, -1, -1), encoder.patch_tokens(features).values], 1)
    places = encoder.positions[:, 1:].unflatten(1, (8, 64))[:, :, :4].flatten(1, 2)
    x = x + torch.cat([encoder.positions[:, :1], places], 1)
    got = torch.cat([tokens.special, tokens.values], 1)
    torch.testing.assert_close(got, vision_mamba(encoder, x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pairings_differ_in_the_residual_alone():
    torch.manual_seed(0)
    doubled = ssamba.build(SMALL).eval()
    x, answers = torch.randn(1, 17, 32), {}
    for pairing in ("doubled", "mean", "none"):
        other = ssamba.build(dataclasses.replace(SMALL, pairing=pairing)).eval()
        other.load_state_dict(doubled.state_dict())
        seen: list[torch.Tensor] = []
        other.layers[2].register_forward_hook(lambda _, __, out, kept=seen: kept.append(out[1]))
        other.mix(x)
        answers[pairing] = seen[0]
    first = doubled.layers[0](x, None)[0] + doubled.layers[1](x, None)[0]
    torch.testing.assert_close(answers["doubled"], 2 * x + first)
    torch.testing.assert_close(answers["mean"], x + first)
    assert not torch.allclose(answers["none"], answers["mean"], atol=1e-3)


def test_pairs_need_an_even_depth():
    with pytest.raises(InputError, match="3 layers do not make pairs"):
        ssamba.build(dataclasses.replace(SMALL, depth=3))
    assert len(ssamba.build(dataclasses.replace(SMALL, depth=3, pairing="none")).layers) == 3


def test_the_residual_is_float32_under_autocast():
    encoder, seen = ssamba.build(SMALL), list[torch.dtype]()
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _, __, out: seen.append(out[1].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        encoder(torch.randn(1, 128, 64))
    assert seen == [torch.float32] * 4


def test_dropped_paths():
    torch.manual_seed(0)
    x, residual = torch.ones(2000, 1, 1), torch.full((2000, 1, 1), 2.0)
    dropped = ssamba.drop_path(x, 0.25, True, residual)
    assert sorted(dropped.unique().tolist()) == pytest.approx([2.0, 2 + 4 / 3])
    assert abs(float(dropped.mean()) - 3) < 0.05
    assert torch.equal(ssamba.drop_path(x, 0.25, False, residual), x + residual)
    rates = [layer.drop for layer in ssamba.build(ssamba.Config(width=32, depth=4)).layers]
    assert rates == pytest.approx([0, 0, 0.1 / 3, 0.2 / 3])


@torch.no_grad()
def test_refit_keeps_what_it_can():
    encoder = ssamba.build(dataclasses.replace(SMALL, frames=256)).eval()
    longer = ssamba.refit(encoder, frames=512, stride=(10, 10))
    assert longer.grid == (12, 50)
    assert longer.positions.shape == (1, 601, 32)
    assert torch.equal(longer.class_token, encoder.class_token)
    same = ssamba.refit(encoder, frames=256).eval()
    features = torch.randn(1, 128, 256)
    assert torch.equal(same(features).values, encoder(features).values)


def test_inputs_that_do_not_fit():
    encoder = ssamba.build(ssamba.test())
    with pytest.raises(InputError, match="128 bins, not 64"):
        encoder(torch.zeros(1, 64, 32))
    with pytest.raises(InputError, match=r"129 frames are more than the 128 .* `refit\("):
        encoder(torch.zeros(1, 128, 129))


def test_pre_training_needs_patches_that_do_not_overlap():
    config = dataclasses.replace(SMALL, stride=(10, 10))
    with pytest.raises(InputError, match="do not overlap"):
        ssamba.Pretraining(nn.Module.eval(ssamba.build(config)))


@pytest.mark.parametrize(("name", "hidden"), [("tiny", 400), ("small_300", 300), ("base_250", 250)])
def test_presets_hide_as_many_patches_as_published(name, hidden):
    config = getattr(ssamba, name)()
    assert round(config.mask_share * config.grid[0] * config.grid[1]) == hidden


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_give_nearly_the_same(dtype):
    """The residual of twelve pairs has grown 4,096-fold: it stays in float32."""
    torch.manual_seed(0)
    config = ssamba.Config(width=48, depth=24, states=4, frames=128)
    model, x = ssamba.build(config).eval(), 8 * torch.randn(2, 128, 128)
    with torch.no_grad():
        want = model(x).values
        half = model.to(dtype)(x.to(dtype)).values
    assert half.dtype == dtype
    assert bool(half.isfinite().all())
    assert float((half.float() - want).norm() / want.norm()) < 0.02
