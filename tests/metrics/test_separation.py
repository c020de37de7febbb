"""Metrics of separation: what they do not change with, edges, and what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.metrics.separation import (
    TORCHMETRICS,
    best_order,
    bss_eval_v3,
    bss_eval_v4,
    csdr,
    ideal_ratio_mask,
    si_sdr,
    si_sdr_improvement,
    snr,
    usdr,
)

RATE = 2000


@pytest.fixture(scope="module")
def sounds() -> tuple[np.ndarray, np.ndarray]:
    """Estimates and sources, (2, 2, 3.5 s): leaking, filtered and noisy."""
    draw = np.random.default_rng(3)
    sources = 0.1 * draw.standard_normal((2, 2, 7000))
    made = sources + 0.2 * sources[::-1] + 0.02 * draw.standard_normal(sources.shape)
    return made.astype(np.float32), sources.astype(np.float32)


def test_si_sdr_does_not_change_with_level_and_means_are_told(sounds) -> None:
    made, wanted = (sound[:, 0] for sound in sounds)
    assert si_sdr(7.5 * made, wanted) == pytest.approx(si_sdr(made, wanted), abs=1e-5)
    shifted = made + 0.5
    assert si_sdr(shifted, wanted) == pytest.approx(si_sdr(made, wanted), abs=1e-4)
    assert (si_sdr(shifted, wanted, mean="kept") < si_sdr(made, wanted) - 10).all()
    by_hand = np.float64(made[0]) - np.float64(made[0]).mean()
    true = np.float64(wanted[0]) - np.float64(wanted[0]).mean()
    target = by_hand @ true / (true @ true) * true
    expected = 20 * np.log10(np.linalg.norm(target) / np.linalg.norm(by_hand - target))
    assert si_sdr(made, wanted)[0] == pytest.approx(expected, abs=1e-9)


def test_improvement_is_zero_for_the_mixture_itself(sounds) -> None:
    made, wanted = sounds
    mixture = wanted.sum(0, keepdims=True)
    untouched = np.repeat(mixture, 2, 0)
    assert si_sdr_improvement(untouched, wanted, mixture) == pytest.approx(np.zeros((2, 2)))
    assert (si_sdr_improvement(made, wanted, mixture) > 5).all()


def test_edges_have_names() -> None:
    wave, silence = np.sin(np.arange(100.0)), np.zeros(100)
    for metric in (si_sdr, snr):
        assert np.isnan(metric(wave, silence))
        assert metric(wave, wave) > 250  # up to the rounding of the share
    assert snr(wave, wave) == np.inf
    assert si_sdr(silence, wave) == -np.inf
    assert snr(silence, wave) == pytest.approx(0)
    assert usdr(np.zeros((1, 9)), np.zeros((1, 9))) == pytest.approx(0)


def test_quiet_sound_with_an_epsilon_scores_as_in_torchmetrics() -> None:
    k = np.arange(100.0)
    wanted = 1e-4 * np.sin(k)
    made = wanted + 3e-5 * np.cos(3 * k) + 1e-5
    # torchmetrics 1.9 of the same in float32
    assert si_sdr(made, wanted, "kept", TORCHMETRICS) == pytest.approx(5.487330, abs=1e-5)
    assert si_sdr(made, wanted, epsilon=TORCHMETRICS) == pytest.approx(5.746202, abs=1e-5)
    assert snr(made, wanted, TORCHMETRICS) == pytest.approx(5.491945, abs=1e-5)
    silence = np.zeros(100)
    assert si_sdr(made, silence, "kept", TORCHMETRICS) == pytest.approx(-7.5246, abs=1e-3)
    assert snr(silence, silence, TORCHMETRICS) == 0
    assert si_sdr(made, wanted, "kept") == pytest.approx(9.5278, abs=1e-3)


def test_usdr_over_channels_and_in_pieces() -> None:
    wanted = np.ones((2, 3, (1 << 20) + 5), np.float32)
    made = 0.9 * wanted
    assert usdr(made, wanted) == pytest.approx([20, 20], abs=1e-4)


def test_best_order_takes_infinite_and_missing_scores() -> None:
    scores = np.array([[np.inf, 3.0, 0], [-np.inf, 2, np.nan], [5, np.inf, 1]])
    assert best_order(scores).tolist() == [0, 1, 2]
    assert best_order(scores[::-1]).tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="too many orders"):
        best_order(np.zeros((9, 9)))
    with pytest.raises(InputError, match="one row"):
        best_order(np.zeros((2, 3)))


def test_a_filtered_source_is_no_distortion_in_v3(sounds) -> None:
    made, wanted = (sound[:, 0] for sound in sounds)
    late = np.pad(wanted, ((0, 0), (3, 0)))[:, :-3]
    scores = bss_eval_v3(late[::-1], wanted, taps=16)
    assert scores.order.tolist() == [1, 0]
    assert (scores.sdr > 20).all()
    assert (snr(late, wanted) < 0).all()
    given = bss_eval_v3(late[::-1], wanted, "given", taps=16)
    assert given.order.tolist() == [0, 1]
    assert (given.sir < 0).all()
    assert np.isnan(bss_eval_v3(made, wanted * [[1], [0]]).sdr).all()


def test_v4_is_nan_where_something_is_silent(sounds) -> None:
    made, wanted = (sound.copy() for sound in sounds)
    wanted[1, :, RATE : 2 * RATE] = 0
    scores = bss_eval_v4(made, wanted, RATE, taps=32)
    for values in (scores.sdr, scores.isr, scores.sir, scores.sar):
        assert values.shape == (2, 3)  # the half second at the end is no window
        assert np.isnan(values).tolist() == [[False, True, False]] * 2
    assert scores.medians()["sdr"] == pytest.approx(csdr(made, wanted, RATE), abs=1e-9)
    assert np.isnan(csdr(made, 0 * wanted, RATE)).all()
    opposite = np.stack([wanted[:, 0], -wanted[:, 0]], 1)
    assert not np.isnan(bss_eval_v4(made, opposite, RATE, taps=32).sdr[:, 0]).any()


def test_v4_of_blocks_equals_v4_of_one(sounds, monkeypatch) -> None:
    made, wanted = sounds
    whole = bss_eval_v4(made, wanted, RATE, taps=32)
    monkeypatch.setattr("sonograph.metrics.separation.BLOCK", 1024)
    blocks = bss_eval_v4(made, wanted, RATE, taps=32)
    for name in ("sdr", "isr", "sir", "sar"):
        assert getattr(blocks, name) == pytest.approx(getattr(whole, name), abs=1e-7)
    v3 = bss_eval_v3(made[:, 0], wanted[:, 0], taps=32)
    monkeypatch.undo()
    assert v3.sar == pytest.approx(bss_eval_v3(made[:, 0], wanted[:, 0], taps=32).sar, abs=1e-7)


def test_two_equal_channels_score_as_one(sounds) -> None:
    """The correlations are singular there; museval's answer is rounding noise."""
    made, wanted = (sound[:, :1] for sound in sounds)
    one = bss_eval_v4(made, wanted, RATE, taps=32)
    two = bss_eval_v4(made.repeat(2, 1), wanted.repeat(2, 1), RATE, taps=32)
    for name in ("sdr", "isr", "sir", "sar"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=1e-5)


def test_v4_of_a_short_sound_is_one_window(sounds) -> None:
    made, wanted = (sound[..., :700] for sound in sounds)
    scores = bss_eval_v4(made, wanted, RATE, taps=32)
    assert scores.sdr.shape == (2, 1)
    assert scores.sdr[:, 0] == pytest.approx(snr(made.reshape(2, -1), wanted.reshape(2, -1)))


def test_the_oracle_adds_up_and_is_a_ceiling(sounds) -> None:
    draw = np.random.default_rng(0)
    time = np.arange(6000) / RATE
    tone = np.sin(2 * np.pi * 200 * time)[None]
    noise = 0.3 * draw.standard_normal((1, 6000))
    sources = np.stack([tone, noise]).astype(np.float32)
    parts = ideal_ratio_mask(sources, fft=256)
    assert parts.sum(0) == pytest.approx(sources.sum(0), abs=1e-5)
    assert (si_sdr(parts, sources) > si_sdr(sources.sum(0)[None].repeat(2, 0), sources) + 5).all()
    batch = ideal_ratio_mask(np.stack([sources, 0 * sources]), fft=256)
    assert np.array_equal(batch[0], parts)
    assert not batch[1].any()


def test_the_oracle_in_stretches_equals_the_whole() -> None:
    import torch

    sources = np.random.default_rng(1).standard_normal((2, 1, 20_000)).astype(np.float32)
    parts = ideal_ratio_mask(sources, fft=64)  # 256 hops of 16: five stretches
    window = torch.hann_window(64)
    spectra = torch.stft(
        torch.as_tensor(sources[:, 0]), 64, 16, window=window, pad_mode="constant",
        return_complex=True,
    )  # fmt: skip
    masks = spectra.abs() / spectra.abs().sum(0)
    whole = torch.istft(masks * spectra.sum(0), 64, 16, window=window, length=20_000)
    assert parts[:, 0] == pytest.approx(whole.numpy(), abs=1e-5)


def test_what_cannot_be_compared_is_told(sounds) -> None:
    made, wanted = sounds
    with pytest.raises(InputError, match="equal shapes"):
        si_sdr(made[:1], wanted)
    with pytest.raises(InputError, match="without samples"):
        snr(np.zeros(0), np.zeros(0))
    with pytest.raises(InputError, match="removed"):
        si_sdr(made, wanted, mean="zero")
    with pytest.raises(InputError, match="best"):
        bss_eval_v3(made[:, 0], wanted[:, 0], order="all")
    with pytest.raises(InputError, match="sources, samples"):
        bss_eval_v3(made, wanted)
    with pytest.raises(InputError, match="sources, channels, n"):
        bss_eval_v4(made[0], wanted[0], RATE)
    with pytest.raises(InputError, match="hold no sample"):
        bss_eval_v4(made, wanted, RATE, window_s=0)
    with pytest.raises(InputError, match="true sources"):
        ideal_ratio_mask(np.zeros((2, 1, 9), int))
    with pytest.raises(InputError, match="hop"):
        ideal_ratio_mask(wanted, fft=64, hop_samples=64)
