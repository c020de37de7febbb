from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.fbank import kaldi_fbank
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.audio.mel import mel_bank

FLOOR = -15.942385


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    stream = np.random.default_rng(0)
    return (0.1 * stream.standard_normal(16000) + 0.05).astype(np.float32)  # with an offset


@pytest.mark.parametrize(("window", "named"), [("hann_symmetric", "hanning"), ("povey", "povey")])
def test_equals_kaldi_native_fbank(waveform, window, named):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = named
    options.mel_opts.num_bins = 80
    options.energy_floor = 0
    reference = knf.OnlineFbank(options)
    reference.accept_waveform(16000, waveform.tolist())
    reference.input_finished()
    want = np.stack([reference.get_frame(i) for i in range(reference.num_frames_ready)])
    got = kaldi_fbank(torch.from_numpy(waveform)[None], 80, window)[0].T
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=4e-4, rtol=0)


@pytest.mark.parametrize("window", ["hann_symmetric", "povey"])
def test_equals_transformers_numpy_path(waveform, window):
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    bank = mel_filter_bank(
        257, 128, 20, 8000, 16000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    named = {"hann_symmetric": "hann", "povey": "povey"}[window]
    want = spectrogram(
        waveform.astype(np.float64),
        window_function(400, named, periodic=False),
        400,
        160,
        512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=bank,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    )
    got = kaldi_fbank(torch.from_numpy(waveform)[None], 128, window)[0]
    np.testing.assert_allclose(got, want, atol=4e-4, rtol=0)


def test_equals_the_ast_feature_extractor(waveform):
    from transformers import ASTFeatureExtractor

    from sonograph.audio.feature_spec import FeatureSpec, Frontend

    want = ASTFeatureExtractor(max_length=98)(waveform, sampling_rate=16000, return_tensors="np")
    got = Frontend(FeatureSpec(clip_mean="keep"))(torch.from_numpy(waveform)[None]).values[0].T
    np.testing.assert_allclose(got, want["input_values"][0], atol=5e-5, rtol=0)


def test_exactly_row_3_of_128_is_empty(waveform):
    """Between 20 Hz and 8 kHz the fourth of 128 Kaldi triangles lies between two FFT bins."""
    bank = mel_bank(128, 512, 16000, 20, 8000, "kaldi")
    assert np.flatnonzero(~bank.any(axis=1)).tolist() == [3]
    for bins in (64, 80):
        assert mel_bank(bins, 512, 16000, 20, 8000, "kaldi").any(axis=1).all()
    values = kaldi_fbank(torch.from_numpy(waveform)[None])[0]
    assert torch.allclose(values[3], torch.tensor(FLOOR), atol=1e-6, rtol=0)
    assert (values > FLOOR + 1).any(dim=1).sum() == 127


def test_silence_is_the_floor():
    assert torch.allclose(kaldi_fbank(torch.zeros(1, 800)), torch.tensor(FLOOR))


def test_first_sample_under_a_window_that_is_not_zero_there():
    """Pre-emphasis begins anew in each frame, which only windows like Hamming's can see."""
    from sonograph.audio.feature_spec import FeatureSpec, Frontend
    from sonograph.audio.stft import window_values

    spec = FeatureSpec(window="hamming_symmetric", mean=0.0, deviation=1.0, log="none")
    waveform = torch.randn(1, 2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    frames = waveform[0].unfold(0, 400, 160).clone()
    frames -= frames.mean(1, keepdim=True)
    frames = frames - 0.97 * torch.cat((frames[:, :1], frames[:, :-1]), 1)
    frames *= torch.from_numpy(window_values("hamming_symmetric", 400))
    power = torch.fft.rfft(frames, 512).abs() ** 2
    want = torch.from_numpy(mel_bank(128, 512, 16000, 20, 8000, "kaldi")) @ power.T
    got = Frontend(spec).double()(waveform).values[0]
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("window", ["hann_symmetric", "povey"])
@pytest.mark.parametrize("clip_mean", ["keep", "subtract"])
def test_a_constant_leaves_nothing_behind(window, clip_mean):
    """A microphone's offset, five times as large as its sound: in single precision as in double."""
    sound = 0.5 + 0.1 * torch.randn(1, 32000, generator=torch.Generator().manual_seed(0))
    spec = FeatureSpec(window=window, clip_mean=clip_mean, mean=0.0, deviation=1.0)
    single = Frontend(spec)(sound).values
    double = Frontend(spec).double()(sound.double()).values
    torch.testing.assert_close(single.double(), double, atol=5e-4, rtol=0)
