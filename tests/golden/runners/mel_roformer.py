"""Mel-RoFormer's golden cases: band layouts, the whole separator, its loss."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.audio.mel import mel_bank
from sonograph.losses.complex_stft import ComplexStft
from sonograph.nn.mel_bands import hand_made_bands, mel_bands, side_by_side
from sonograph.systems.separate import mel_roformer
from tests.golden.patches import named_signal


def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    if "freq_indices" in case.outputs:
        return layout(settings)
    if "estimate" in case.outputs and "target" in case.inputs:
        return loss(case)
    return separated(case, golden)


def layout(settings: dict[str, Any]) -> dict[str, Any]:
    """Indices into (bin, channel), channel fastest; bins a band; bands a bin."""
    rate, fft, count = (settings[key] for key in ("sample_rate", "n_fft", "bands"))
    bands = mel_bands(count, fft, rate)
    channels = 2 if settings.get("stereo") else 1
    bins = [np.arange(start, end) for start, end in bands]
    cover = np.zeros(fft // 2 + 1, np.int64)
    for inside in bins:
        cover[inside] += 1
    every = np.concatenate(bins)
    return {
        "freq_indices": (every[:, None] * channels + np.arange(channels)).ravel(),
        "bins_per_band": np.array([len(inside) for inside in bins]),
        "bands_per_bin": cover,
        # where the last triangle ends: 0, but for rounding
        "bank_last_value": np.resize(
            mel_bank(count, fft, rate, 0.0, rate / 2, "slaney", "slaney")[-1, -1], (2,)
        ),
    }


def loss(case: Any) -> dict[str, Any]:
    """Of the estimate that the case holds, so that errors of the model play no part."""
    settings, reference = case.about["settings"], case.about["reference"]
    made, wanted = (
        torch.as_tensor(values) for values in (case.outputs["estimate"], case.inputs["target"])
    )
    wanted = wanted[..., : made.shape[-1]]
    l1 = (made - wanted).abs().mean()
    spectral = torch.zeros(())
    for window in settings["multi_stft_resolutions_window_sizes"]:
        hop, fft = settings["multi_stft_hop_size"], settings["stft_n_fft"]
        if "lucidrains" in reference and "num_bands" in settings:  # its newer Mel code
            hop = max(hop, window // 4)
        unit = max(window, fft) ** 0.5 if settings.get("multi_stft_normalized") else 1.0
        spectral = spectral + ComplexStft(fft, [window], [hop])(made, wanted) / unit
    total = l1 + settings["multi_stft_resolution_loss_weight"] * spectral
    return {
        "estimate": made.numpy(),
        "l1": l1.numpy()[None],
        "multi_resolution": spectral.numpy()[None],
        "total": total.numpy()[None],
    }


@torch.no_grad()
def separated(case: Any, golden: Any) -> dict[str, Any]:
    """The waveform, and tokens on the way, thinned as the case says."""
    about = case.about
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    settings = about["settings"]
    # on in ZFTurbo's copy unless told otherwise, absent in the others
    told_dc = {"zero_dc": settings.get("zero_dc", "ZFTurbo" in about["reference"])}
    model = mel_roformer.load_published(state, settings={"model": settings | told_dc}).eval()
    mel_roformer_settings(model.config, settings)
    rotary = sum(v.numel() for n, v in state.items() if "rotary" in n)
    shared = rotary and 2 * (model.config.head_width // 2)  # one for time, one for frequency
    counted = sum(p.numel() for p in model.parameters())
    if "parameters_with_grad" in about:
        assert counted == about["parameters_with_grad"]
    assert counted + shared == about["parameters"]
    mixture = named_signal(about["input_rule"]["waveform"], golden)
    mixture = mixture[:, None] if mixture.ndim == 2 else mixture

    seen: dict[str, torch.Tensor] = {}
    model.split.register_forward_hook(lambda _, __, out: seen.update(band_split=out))
    first, last = model.layers[0][0], model.layers[-1][1]
    first.register_forward_hook(lambda _, __, out: seen.update(first_time=out))
    last.register_forward_hook(lambda _, __, out: seen.update(last_freq=out))
    made = model(mixture)
    made = made[:, 0] if len(model.stems) == 1 else made
    if not settings.get("match_input_audio_length", False):  # whole hops alone
        made = made[..., : made.shape[-1] // model.config.hop_samples * model.config.hop_samples]
    t, b, bands, width = seen["band_split"].shape
    answers = {
        "band_split": seen["band_split"].transpose(0, 1),
        # (t, b bands, d) -> (b bands, t, d); (t b, bands, d) -> (b t, bands, d)
        "first_time": seen["first_time"].transpose(0, 1),
        "last_freq": seen["last_freq"].view(t, b, bands, width).transpose(0, 1).flatten(0, 1),
        "waveform": made,
        "mean_square": made.square().mean()[None],
        "estimate": made,
    }
    told = about["outputs"]
    return {
        name: thinned(value, told[name]).numpy() for name, value in answers.items() if name in told
    }


def thinned(values: torch.Tensor, rule: str) -> torch.Tensor:
    """By words such as "[:, ::17, ::7, ::5]" at the end, or "every 16th sample"."""
    if every := re.search(r"every (\d+)(?:st|nd|rd|th) sample", rule):
        return values[..., :: int(every[1])]
    if steps := re.search(r"\[([:\d, ]+)\]$", rule):
        parts = [part.strip().strip(":") for part in steps[1].split(",")]
        return values[tuple(slice(None, None, int(part) if part else 1) for part in parts)]
    return values


def mel_roformer_settings(config: mel_roformer.Config, settings: dict[str, Any]) -> None:
    """What the shapes told, against what the case says."""
    assert config.width == settings["dim"]
    assert config.depth == settings["depth"]
    assert (config.num_heads, config.head_width) == (settings["heads"], settings["dim_head"])
    assert len(config.stems) == settings["num_stems"]
    assert config.channels == (2 if settings["stereo"] else 1)
    assert config.fft_samples == settings["stft_n_fft"]
    if "num_bands" in settings:
        assert config.bands == "mel"
        assert config.num_bands == settings["num_bands"]
        assert config.rate_hz == settings["sample_rate"]
    else:
        widths = settings.get("freqs_per_bands")
        layout = hand_made_bands(62, 2048, 44_100) if widths is None else side_by_side(widths)
        assert config.layout == layout
