"""What a separator is worth on mixtures whose parts are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sonograph.audio.io import read
from sonograph.data import mix
from sonograph.data.mixtures import Batch, Song
from sonograph.errors import InputError
from sonograph.infer.separate import separate
from sonograph.losses.separation import in_order, permutation_invariant
from sonograph.metrics.intervals import mean_interval
from sonograph.metrics.separation import csdr, ideal_ratio_mask, si_sdr, snr, usdr
from sonograph.nn.separator import Separator
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent

SPEECH_HZ = 16000  # at which listeners' models hear
SILENT = 1e-10  # of a part's mean square
ORACLE_S = 0.04  # the oracle's frames are the next power of two samples


def measure(
    separator: Separator, mixtures: Sequence[Batch], progress: Progress = silent
) -> dict[str, Any]:
    """Means over mixtures, for the model, for the mixture as it is, and for an oracle's mask.

    mixtures: batches of one clip each. SI-SDR with means removed and SNR, both in dB, of all stems;
    of an enhancer of speech also STOI and DNSMOS. The oracle is the ideal ratio mask of the true
    parts: what masking magnitudes can reach. Mixtures with a silent part do not count.
    """
    kinds = ("mixture", "model", "oracle mask")
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    stems = len(separator.stems)
    frame = 1 << int(separator.rate_hz * ORACLE_S).bit_length()
    for number, batch in enumerate(mixtures):
        with torch.inference_mode():
            made = separator(batch["mixture"])
        wanted = batch["sources"][:, :stems]
        if not separator.ordered:
            order = permutation_invariant(made.flatten(2), wanted.flatten(2))[1]
            made = in_order(made, order)
        mixture = batch["mixture"][0].numpy()
        oracle = ideal_ratio_mask(batch["sources"][0].numpy(), frame)[:stems]
        plain = np.repeat(mixture[None], stems, axis=0)
        if min(mix.power(source.numpy()) for source in batch["sources"][0]) < SILENT:
            continue  # one part alone is no mixture, and has no improvement
        for kind, parts in zip(kinds, (plain, made[0].numpy(), oracle), strict=True):
            rows[kind].append(_scores(parts, wanted[0].numpy(), separator))
        progress(number + 1, len(mixtures), "listening")
    if not rows["model"]:
        raise InputError("in every mixture a part is silent: there is nothing to measure")
    found: dict[str, Any] = {
        kind: {name: float(np.mean([row[name] for row in of])) for name in of[0]}
        for kind, of in rows.items()
    }
    gains = [
        ours["si_sdr"] - plain["si_sdr"] for ours, plain in zip(rows["model"], rows["mixture"])
    ]
    interval = mean_interval(gains)
    return {
        "mixtures": len(gains),
        "seconds": mixtures[0]["mixture"].shape[-1] / separator.rate_hz,
        "si_sdr_improvement": {
            "mean": interval.mean, "low": interval.low, "high": interval.high,
            "worse": sum(gain < 0 for gain in gains),
        },
        **found,
    }  # fmt: skip


def measure_songs(
    separator: Separator, some: Sequence[Song], progress: Progress = silent
) -> dict[str, Any]:
    """uSDR and cSDR in dB of the first stem over whole songs, beside the mixture and the oracle.

    Parts and their sum are at half level, so that the sum does not clip. uSDR is the mean over
    songs, cSDR the median over songs of the median over windows of a second.
    """
    kinds = ("mixture", "model", "oracle mask")
    rows: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    frame = 1 << int(separator.rate_hz * ORACLE_S).bit_length()
    stem = separator.stems[0]
    for number, song in enumerate(some):
        order = [stem, *sorted(set(song.stems) - {stem})]
        parts = np.stack(
            [read(song.stems[name].path, separator.rate_hz).samples / 2 for name in order]
        )
        mixture = parts.sum(0)
        made = separate(Audio(mixture, separator.rate_hz), separator)[stem].samples
        oracle = ideal_ratio_mask(parts, frame)[0]
        for kind, sound in zip(kinds, (mixture, made, oracle), strict=True):
            windowed = csdr(sound[None], parts[:1], separator.rate_hz)
            rows[kind].append((float(usdr(sound, parts[0])), float(windowed[0])))
        progress(number + 1, len(some), "whole songs")
    return {
        "songs": [song.name for song in some],
        "stem": stem,
        **{
            kind: {"usdr": float(np.mean([u for u, _ in of])),
                   "csdr": float(np.median([c for _, c in of]))}
            for kind, of in rows.items()
        },
    }  # fmt: skip


def _scores(made: np.ndarray, wanted: np.ndarray, separator: Separator) -> dict[str, float]:
    """Of one mixture; made, wanted: (stems, channels, n). Channels count as one signal."""
    flat, true = made.reshape(len(made), -1), wanted.reshape(len(wanted), -1)
    found = {"si_sdr": float(np.mean(si_sdr(flat, true))), "snr": float(np.mean(snr(flat, true)))}
    if separator.stems == ("speech",):
        from sonograph.metrics.opinion import dnsmos, stoi

        ours, theirs = (
            Audio(sound[0].astype(np.float32), separator.rate_hz).resample(SPEECH_HZ)
            for sound in (made, wanted)
        )
        opinion = dnsmos(ours)
        found |= {
            "stoi": stoi(ours, theirs),
            "dnsmos_signal": opinion.signal,
            "dnsmos_background": opinion.background,
            "dnsmos_overall": opinion.overall,
        }
    return found
