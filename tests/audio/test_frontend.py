from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.audio import spectrum
from sonograph.audio.deltas import with_deltas
from sonograph.audio.feature_spec import (
    FeatureSpec,
    Frontend,
    cqt_spec,
    log_mel_spec,
    waveform_spec,
)
from sonograph.errors import InputError

SPECS = {
    "fbank": FeatureSpec(),
    "fbank-offset": FeatureSpec(remove_dc="none"),
    "log-mel": log_mel_spec(16000, 512, 160, 40, top_db=60.0),
    "log-mel-zeros": log_mel_spec(16000, 401, 160, 40).override(center="constant"),
    "log-mel-plain": log_mel_spec(16000, 512, 200, 40).override(center="none", power=1.0),
    "mfcc": log_mel_spec(16000, 512, 160, 40).override(kind="mfcc", coefficients=13),
    "cqt": cqt_spec(16000, 320, 220.0, 24),
    "own-level": log_mel_spec(16000, 512, 160, 40, log="ln").override(
        level="rms", level_to=0.05, log_offset=1e-6, normalise="bands", normalise_eps=1e-3
    ),
    "own-mean": log_mel_spec(16000, 512, 160, 40, top_db=80.0).override(
        level="deviation", normalise="clip", normalise_eps=1e-6
    ),
    "waveform": waveform_spec(16000),
    "own-waveform": waveform_spec(16000).override(normalise="clip", normalise_eps=1e-5),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.02


@each_spec
@given(samples=st.integers(0, 5000))
@settings(max_examples=25, deadline=None)
def test_number_of_frames(spec, samples):
    values, lengths = Frontend(spec)(noise(1, samples))
    assert values.shape == (1, spec.rows, spec.frames(samples))
    assert lengths.tolist() == [spec.frames(samples)]
    assert torch.isfinite(values).all()


@each_spec
@given(frames=st.integers(1, 2000))
@settings(max_examples=25, deadline=None)
def test_samples_is_the_shortest_clip(spec, frames):
    assert spec.frames(spec.samples(frames)) == frames
    assert spec.frames(spec.samples(frames) - 1) < frames


@each_spec
@given(lengths=st.lists(st.integers(0, 4000), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_padding_changes_nothing(spec, lengths, seed):
    """A clip in a padded batch, whatever the padding holds, equals the clip alone."""
    front = Frontend(spec)
    batch = noise(len(lengths), max(lengths) + 300, seed=seed) * 50
    got = front(batch, torch.tensor(lengths))
    fill = (0 - spec.mean) / spec.deviation
    for clip, n, values, frames in zip(batch, lengths, got.values, got.lengths.tolist()):
        assert frames == spec.frames(n)
        if frames:
            alone = front(clip[None, :n]).values[0]
            torch.testing.assert_close(values[:, :frames], alone, atol=1e-3, rtol=1e-4)
        assert torch.allclose(values[:, frames:], torch.tensor(fill))


@pytest.mark.parametrize("shape", [(1, 16000), (7, 4000), (3, 9000)])
@each_spec
def test_blocks_change_nothing(spec, shape, monkeypatch):
    """Many small blocks, with and without gradients, give what one large block gives."""
    front, waveform = Frontend(spec), noise(*shape)
    whole = front(waveform).values
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 37)
    torch.testing.assert_close(front(waveform).values, whole, atol=1e-4, rtol=1e-5)
    with_gradient = front(waveform.clone().requires_grad_()).values
    torch.testing.assert_close(with_gradient.detach(), whole, atol=1e-4, rtol=1e-5)
    assert with_gradient.requires_grad


@pytest.mark.parametrize("blocks", ["one", "many"])
@each_spec
def test_gradients(spec, blocks, monkeypatch):
    if spec.top_db is not None:
        spec = spec.override(top_db=200.0)  # the floor is a kink
    if blocks == "many":
        monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 2)
    front = Frontend(spec).double()
    waveform = noise(1, 1200).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: front(x).values, (waveform,), atol=1e-4, rtol=1e-3, fast_mode=True
    )


def test_clip_mean_takes_valid_samples_only():
    spec = FeatureSpec(remove_dc="none", preemphasis=0.0)
    clip = noise(1, 4000)
    padded = torch.cat((clip, torch.full((1, 1000), 9.0)), 1)
    got = Frontend(spec)(padded, torch.tensor([4000])).values[..., : spec.frames(4000)]
    torch.testing.assert_close(got, Frontend(spec)(clip + 3).values, atol=1e-2, rtol=1e-3)


def test_tables_survive_casts_and_the_meta_device():
    waveform = noise(1, 4000)
    want = Frontend(FeatureSpec())(waveform).values
    half = Frontend(FeatureSpec()).bfloat16()
    torch.testing.assert_close(half(waveform).values, want)
    with torch.device("meta"):
        empty = Frontend(FeatureSpec())
    torch.testing.assert_close(empty.to_empty(device="cpu")(waveform).values, want)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(Frontend(FeatureSpec())(waveform).values, want)
    assert not Frontend(FeatureSpec()).state_dict()


def test_exports():
    front = Frontend(FeatureSpec())
    any_length = {"waveform": {1: torch.export.Dim.AUTO}}
    with torch.no_grad():
        program = torch.export.export(front, (noise(1, 16000),), dynamic_shapes=any_length)
    other = noise(1, 23456)
    torch.testing.assert_close(program.module()(other).values, front(other).values)


def test_differing_recipes_are_named():
    with pytest.raises(InputError, match=r"the model and the vocoder .*hop_samples 160 / 200"):
        FeatureSpec().require_equal(FeatureSpec(hop_samples=200), "the model", "the vocoder")
    FeatureSpec().require_equal(FeatureSpec(), "a", "b")


@pytest.mark.parametrize(
    "wrong",
    [
        {"high_hz": 9000.0},
        {"rate_hz": 0},
        {"window_samples": 600},
        {"hop_samples": 0},
        {"top_db": 80.0},
        {"center": "reflect"},
        {"kind": "mfcc", "coefficients": 200},
        {"deltas": -1},
        {"kind": "cqt", "center": "constant", "bins": 200},
    ],
)
def test_impossible_recipes(wrong):
    with pytest.raises(InputError):
        FeatureSpec(**wrong)


def test_recipe_goes_through_json():
    spec = log_mel_spec(22050, 1024, 256, 80, top_db=80.0)
    assert FeatureSpec.from_json(spec.to_json()) == spec


def test_levels_are_of_the_clip():
    """Loudness no longer matters; an RMS and a deviation are what they say."""
    x = noise(2, 4000)
    for level, measured in (("rms", lambda y: y.square().mean(1).sqrt()), ("deviation", torch.std)):
        front = Frontend(waveform_spec(16000).override(level=level, level_to=0.3))
        for values in front(torch.stack([x[0], 50 * x[0]])).values:
            torch.testing.assert_close(measured(values).squeeze(), torch.tensor(0.3))
    silent = Frontend(waveform_spec(16000).override(level="rms"))(torch.zeros(1, 100))
    assert torch.equal(silent.values, torch.zeros(1, 1, 100))


@pytest.mark.parametrize(("normalise", "axes"), [("clip", (1, 2)), ("bands", (2,))])
def test_normalised_by_itself(normalise, axes):
    plain = log_mel_spec(16000, 512, 160, 40, log="ln")
    spec = plain.override(normalise=normalise, normalise_eps=1e-10)
    raw, values = Frontend(plain)(noise(2, 9000)).values, Frontend(spec)(noise(2, 9000)).values
    deviation, mean = torch.std_mean(raw, axes, keepdim=True)
    torch.testing.assert_close(values, (raw - mean) / (deviation + 1e-10))


def test_deltas_are_slopes_that_end_with_the_clip():
    """A ramp has its own slope inside, half of what a step tells at its ends, and no curvature."""
    ramp = 3 * torch.arange(12.0).expand(2, 1, 12)
    counts = torch.tensor([12, 8])
    values = with_deltas(ramp, counts, 2)
    assert values.shape == (2, 3, 12)
    torch.testing.assert_close(values[0, 1, 2:10], torch.full((8,), 3.0))
    torch.testing.assert_close(values[0, 2, 4:8], torch.zeros(4))
    alone = with_deltas(ramp[1:, :, :8], None, 2)
    torch.testing.assert_close(values[1:, :, :8], alone)
    # at the first frame: (1 (c1 - c0) + 2 (c2 - c0)) / 10
    torch.testing.assert_close(alone[0, 1, 0], torch.tensor(3 * (1 + 4) / 10))

    spec = log_mel_spec(16000, 512, 160, 40, log="ln").override(deltas=2)
    assert Frontend(spec)(noise(2, 9000)).values.shape[1] == spec.rows == 120


def test_an_offset_instead_of_a_floor():
    spec = log_mel_spec(16000, 512, 160, 40, log="none")
    energies = Frontend(spec)(noise(1, 4000)).values
    values = Frontend(spec.override(log="ln", log_offset=1e-3))(noise(1, 4000)).values
    torch.testing.assert_close(values, (energies + 1e-3).log())


@pytest.mark.parametrize(
    "changes",
    [
        {"hop_samples": 2},
        {"log": "ln"},
        {"center": "reflect"},
        {"normalise": "clip", "mean": 1.0},
    ],
)
def test_a_waveform_has_no_frames_of_its_own(changes):
    with pytest.raises(InputError):
        waveform_spec(16000).override(changes)
