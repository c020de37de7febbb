"""What every vocoder has to pass, on its `-test` preset."""

from __future__ import annotations

import time

import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.infer.vocode import vocode, vocoder_of
from sonograph.nn.vocoder import Vocoder
from sonograph.outputs import Audio
from tests.contract.cases import SMALL

VOCODERS = [
    p
    for p in SMALL
    if registry.system(p.system).task in ("vocode", "speak")
    and isinstance(registry.build(p.name, device="meta"), Vocoder)
]


@pytest.fixture(params=VOCODERS, ids=lambda preset: preset.name)
def preset(request) -> registry.Preset:
    return request.param


@pytest.fixture
def vocoder(preset) -> Vocoder:
    return registry.build(preset.name).eval()


def features(vocoder: Vocoder, frames: int = 40, seed: int = 0) -> torch.Tensor:
    """Of noise, as a front-end makes them."""
    draw = torch.Generator().manual_seed(seed)
    samples = vocoder.spec.samples(frames)
    noise = 0.1 * torch.randn((1, samples), generator=draw)
    return Frontend(vocoder.spec)(noise).values[..., :frames]


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_small_and_built_at_once(preset):
    began = time.process_time()
    model = registry.build(preset.name)
    assert time.process_time() - began < 1
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_a_hop_of_samples_a_frame(vocoder):
    with torch.inference_mode():
        for frames in (1, 2, 33):
            made = vocoder(features(vocoder, frames), drawn())
            assert made.shape == (1, frames * vocoder.spec.hop_samples)
            assert made.dtype == torch.float32
            assert torch.isfinite(made).all()


def test_the_same_seed_gives_the_same_sound(preset, vocoder):
    other = registry.build(preset.name, seed=1).eval()
    values = features(vocoder)
    with torch.inference_mode():
        assert torch.equal(vocoder(values, drawn()), vocoder(values, drawn()))
        assert not torch.equal(vocoder(values, drawn()), other(values, drawn()))


def test_clips_of_a_batch_do_not_touch(vocoder):
    both = torch.cat((features(vocoder), features(vocoder, seed=1)))
    with torch.inference_mode():
        together, alone = vocoder(both, drawn()), vocoder(both[:1], drawn())
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


def test_pieces_are_the_whole(vocoder):
    """Long features come out of pieces: to the same samples where the context is bounded."""
    values = features(vocoder, 1200)[0]
    pieces = vocode(vocoder, values).samples
    assert pieces.shape == (1, 1200 * vocoder.spec.hop_samples)
    if vocoder.context_frames is not None:
        with torch.inference_mode():
            whole = vocoder(values[None]).clamp(-1, 1).numpy()
        assert abs(pieces - whole).max() < 1e-5


def test_saved_and_loaded_to_equal_bits(vocoder, tmp_path):
    weights.save_folder(tmp_path, vocoder, {"name": "saved"})
    loaded = weights.load(tmp_path)
    assert loaded.describe() == vocoder.describe()
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in vocoder.state_dict().items())
    assert vocoder_of(loaded).spec == vocoder.spec


def test_every_weight_has_a_finite_gradient(preset, vocoder):
    module = registry.module(preset.system)
    model = module.Pretraining(vocoder.train())
    crop = Audio(0.1 * torch.randn(2, 32 * vocoder.spec.hop_samples).numpy(), 16000).samples
    if not hasattr(model, "turns"):  # one loss, without discriminators
        lengths = torch.full((2,), crop.shape[1])
        batch = {"waveform": torch.from_numpy(crop), "lengths": lengths}
        model(batch, drawn())["loss"].backward()
        for name, weight in model.vocoder.named_parameters():
            assert weight.grad is not None, name
            assert torch.isfinite(weight.grad).all(), name
        return
    losses = model.turns(torch.from_numpy(crop), drawn())
    for part in (model.discriminators, model.vocoder):
        next(losses)["loss"].backward()
        for name, weight in part.named_parameters():
            assert weight.grad is not None, name
            assert torch.isfinite(weight.grad).all(), name
        if part is model.discriminators:
            model.discriminators.requires_grad_(False)
    losses.close()


def test_features_of_others_are_refused(vocoder):
    with pytest.raises(InputError, match="this vocoder takes"):
        vocode(vocoder, torch.zeros(7, 20))
    with pytest.raises(InputError, match="hold values"):
        vocode(vocoder, torch.full((vocoder.spec.rows, 20), torch.nan))
    other = vocoder.spec.override(low_hz=50.0)
    with pytest.raises(InputError, match=r"low_hz 50\.0 / "):
        other.require_equal(vocoder.spec, "the voice", "the vocoder")
