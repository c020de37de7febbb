"""How well a mixture was pulled apart: SI-SDR, SNR, uSDR, BSS-eval v3 and v4, and an oracle.

Names are kept apart, since papers write "SDR" for five different numbers:

- `si_sdr`: scale-invariant; with means removed (SI-SNR of the talker papers) or kept.
- `snr`: plain, in dB. Both take the `epsilon` that a package adds to energies.
- `usdr`: SNR of a whole track over all channels, with 1e-7 on both sides ("new SDR" of the music
  demixing challenges, mean over tracks).
- `csdr`: median over 1-s windows (BSS-eval v4, museval; median over tracks). With filters that are
  allowed to distort, v4 gives `isr`, `sir` and `sar` too: `bss_eval_v4`.
- `bss_eval_v3`: what talker papers call SDR, SIR, SAR; the reference may be filtered by 512 taps.

Estimates come first, then the true sources. Values are dB in float64, higher is better; a silent
reference has no value (nan), a silent estimate of a sound is -inf, and a perfect one inf, unless
an epsilon is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from sonograph.errors import InputError

Mean = Literal["removed", "kept"]
TAPS = 512  # of the filters that BSS-eval allows
BLOCK = 65_536  # samples of a transform when a whole track is correlated
LOADING = 1e-12  # of the mean energy, so that sources without treble do not blow filters up
TORCHMETRICS = float(np.finfo(np.float32).eps)  # what that package adds to energies of float32
MOST_ORDERED = 8  # sources of which all orders are tried


def si_sdr(
    made: Float[np.ndarray, "*batch n"],
    wanted: Float[np.ndarray, "*batch n"],
    mean: Mean = "removed",
    epsilon: float = 0.0,
) -> Float64[np.ndarray, "*batch"]:
    """Scale-invariant signal-to-distortion ratio. Le Roux et al. 2019, equation 3.

    mean: "removed" takes the mean off both sounds first (also called SI-SNR), "kept" does not.
    epsilon: added to both sides of both ratios; `TORCHMETRICS` gives that package's numbers, which
        differ on very quiet sound.

    >>> si_sdr(np.array([3.0, 1.0, -4.0]), np.array([1.0, 0.0, -1.0])).round(3)
    np.float64(12.131)
    """
    made, wanted = _pair(made, wanted)
    if mean == "removed":
        made = made - made.mean(-1, keepdims=True)
        wanted = wanted - wanted.mean(-1, keepdims=True)
    elif mean != "kept":
        raise InputError(f'mean={mean!r} of SI-SDR: it is "removed" or "kept"')
    energy = (wanted**2).sum(-1) + epsilon
    share = ((made * wanted).sum(-1) + epsilon) / np.where(energy > 0, energy, 1)
    target = share[..., None] * wanted
    signal, error = (target**2).sum(-1), ((made - target) ** 2).sum(-1)
    return _decibels(signal + epsilon, error + epsilon, energy)


def si_sdr_improvement(
    made: Float[np.ndarray, "*batch n"],
    wanted: Float[np.ndarray, "*batch n"],
    mixture: Float[np.ndarray, "*batch n"],
    mean: Mean = "removed",
) -> Float64[np.ndarray, "*batch"]:
    """SI-SDRi: `si_sdr` of the estimate minus that of the untouched mixture.

    mixture: may have a source axis of 1, or broadcast in any other way.
    """
    mixture = np.broadcast_to(np.asarray(mixture), np.shape(wanted))
    return si_sdr(made, wanted, mean) - si_sdr(mixture, wanted, mean)


def snr(
    made: Float[np.ndarray, "*batch n"],
    wanted: Float[np.ndarray, "*batch n"],
    epsilon: float = 0.0,
) -> Float64[np.ndarray, "*batch"]:
    """Energy of the source over that of the error, `epsilon` added to both.

    >>> snr(np.array([1.0, 0.9]), np.array([1.0, 1.0])).round(2)
    np.float64(23.01)
    """
    made, wanted = _pair(made, wanted)
    energy = (wanted**2).sum(-1) + epsilon
    return _decibels(energy, ((wanted - made) ** 2).sum(-1) + epsilon, energy)


def usdr(
    made: Float[np.ndarray, "*batch channels n"],
    wanted: Float[np.ndarray, "*batch channels n"],
    epsilon: float = 1e-7,
) -> Float64[np.ndarray, "*batch"]:
    """SNR of a whole track over all channels, `epsilon` added to both energies. Finite always.

    Mitsufuji et al. 2022 (Music Demixing Challenge 2021), equation 2.
    """
    _same(made, wanted)
    signal = np.full(np.shape(made)[:-2], epsilon)
    error = signal.copy()
    for begin in range(0, np.shape(made)[-1], 1 << 20):  # float64 of a piece at a time
        ours = np.asarray(made)[..., begin : begin + (1 << 20)].astype(np.float64)
        true = np.asarray(wanted)[..., begin : begin + (1 << 20)].astype(np.float64)
        signal += (true**2).sum((-1, -2))
        error += ((true - ours) ** 2).sum((-1, -2))
    return 10 * np.log10(signal / error)


def best_order(scores: Float[np.ndarray, "estimates sources"]) -> Int[np.ndarray, "sources"]:
    """order[j] is the estimate that belongs to source j, so that the mean score is highest.

    >>> best_order(np.array([[1.0, 9.0], [8.0, 2.0]])).tolist()
    [1, 0]
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise InputError(f"scores of shape {scores.shape}: give one row an estimate and source")
    count = scores.shape[0]
    if count > MOST_ORDERED:
        raise InputError(f"{count} sources have too many orders: at most {MOST_ORDERED}")
    orders = np.array(list(itertools.permutations(range(count))))
    # infinite scores compare, but their sums with -inf do not
    finite = np.clip(np.nan_to_num(scores, nan=-1e9), -1e9, 1e9)
    return orders[np.argmax(finite[orders, np.arange(count)].mean(1))]


@dataclass(frozen=True, eq=False)
class BssEvalV3:
    """dB of each source; `order[j]` is the estimate that was held against source j."""

    sdr: Float64[np.ndarray, "sources"]
    sir: Float64[np.ndarray, "sources"]
    sar: Float64[np.ndarray, "sources"]
    order: Int[np.ndarray, "sources"]


def bss_eval_v3(
    made: Float[np.ndarray, "sources n"],
    wanted: Float[np.ndarray, "sources n"],
    order: Literal["best", "given"] = "best",
    taps: int = TAPS,
) -> BssEvalV3:
    """BSS-eval of sources: the reference may be filtered by `taps` before it is compared.

    Vincent et al. 2006, section III-B; "best" tries all orders for the highest mean SIR. The
    projections are nested, so their energies follow from the filters and correlations alone
    (Scheibler 2021): no filtered sound is made, and a long one takes no more memory than a short
    one. All values are nan where a source or estimate is silent.
    """
    if order not in ("best", "given"):
        raise InputError(f'order={order!r} of BSS-eval: it is "best" or "given"')
    _same(made, wanted)
    made, wanted = np.asarray(made), np.asarray(wanted)
    if made.ndim != 2:
        raise InputError(f"BSS-eval v3 of shape {made.shape}: give (sources, samples)")
    count = len(wanted)
    if not (wanted.any(-1).all() and made.any(-1).all()):
        nothing = np.full(count, np.nan)
        return BssEvalV3(nothing, nothing.copy(), nothing.copy(), np.arange(count))
    gram, cross = _correlations(made[:, None], wanted[:, None], taps)
    energy = np.array([np.dot(row, row) for row in made.astype(np.float64)])
    explained = _explained(gram, cross)  # |projection on all sources|^2, one an estimate
    own = np.empty((count, count))  # (estimate, source)
    for j in range(count):
        part = slice(j * taps, (j + 1) * taps)
        own[:, j] = _explained(gram[part, part], cross[part])
    explained = np.minimum(explained, energy)[:, None]
    own = np.minimum(own, explained)
    sdr = _decibels(own, energy[:, None] - own)
    sir = _decibels(own, explained - own)
    sar = _decibels(np.broadcast_to(explained, own.shape), energy[:, None] - explained)
    chosen = best_order(sir) if order == "best" else np.arange(count)
    places = (chosen, np.arange(count))
    return BssEvalV3(sdr[places], sir[places], sar[places], chosen)


@dataclass(frozen=True, eq=False)
class BssEvalV4:
    """dB of each source in each window; nan where a source or an estimate of it is silent."""

    sdr: Float64[np.ndarray, "sources windows"]
    isr: Float64[np.ndarray, "sources windows"]
    sir: Float64[np.ndarray, "sources windows"]
    sar: Float64[np.ndarray, "sources windows"]

    def medians(self) -> dict[str, Float64[np.ndarray, "sources"]]:
        """What is reported of a track: the median over the windows that have a value."""
        rows = {"sdr": self.sdr, "isr": self.isr, "sir": self.sir, "sar": self.sar}
        return {name: _median(row) for name, row in rows.items()}


def csdr(
    made: Float[np.ndarray, "sources channels n"],
    wanted: Float[np.ndarray, "sources channels n"],
    rate_hz: int,
    window_s: float = 1.0,
    hop_s: float = 1.0,
) -> Float64[np.ndarray, "sources"]:
    """Median SDR of BSS-eval v4 of a track, without its other three numbers.

    In v4 the reference is not filtered for the SDR, so it is the SNR of each window: the 512 taps
    cancel out (source + its filtering error + interference + artefacts is the estimate), and this
    takes milliseconds where `bss_eval_v4` takes seconds. Windows as there.
    """
    made, wanted = _tracks(made, wanted)
    return _median(
        np.stack([_window_sdr(*pair) for pair in _windows(made, wanted, rate_hz, window_s, hop_s)])
        .reshape(-1, len(wanted))
        .T
    )


def bss_eval_v4(
    made: Float[np.ndarray, "sources channels n"],
    wanted: Float[np.ndarray, "sources channels n"],
    rate_hz: int,
    window_s: float = 1.0,
    hop_s: float = 1.0,
    taps: int = TAPS,
) -> BssEvalV4:
    """BSS-eval of images: one set of filters for the whole track, scores in windows.

    Stöter et al. 2018 (SiSEC 2018); museval. Estimates stand in the order of the sources. A last
    window that is not full is left out; a sound shorter than a window is one window. Where any
    source or estimate is silent in a window, all of them are nan there. (museval also calls a
    window silent whose channels cancel out, left = -right; ours scores it.)

    Correlations are summed up in blocks and windows are filtered one at a time: beyond the given
    sounds it holds the matrix of correlations, (sources channels taps)^2 numbers.
    """
    made, wanted = _tracks(made, wanted)
    count, channels, _ = wanted.shape
    gram, cross = _correlations(made, wanted, taps)
    # rows: reference, its channel, tap; columns: estimate, its channel
    by_all = _filters(gram, cross).reshape(count * channels, taps, count, channels)
    by_own = np.empty((count, channels, taps, channels))
    for j in range(count):
        part = slice(j * channels * taps, (j + 1) * channels * taps)
        columns = slice(j * channels, (j + 1) * channels)
        own = _filters(gram[part, part], cross[part, columns])
        by_own[j] = own.reshape(channels, taps, channels)
    del gram
    size, seen = 0, []
    for ours, true in _windows(made, wanted, rate_hz, window_s, hop_s):
        if np.isnan(_window_sdr(ours, true)).all():
            seen.append(np.full((4, count), np.nan))
            continue
        n = true.shape[-1]
        if not size:
            size = _fast_size(n + taps - 1)
            all_spectra = np.fft.rfft(by_all, size, axis=1)
            own_spectra = np.fft.rfft(by_own, size, axis=2)
        references = np.fft.rfft(true, size)
        flat = references.reshape(count * channels, -1)
        of_all = np.einsum("ifec,if->ecf", all_spectra, flat)
        of_own = np.einsum("jdfc,jdf->jcf", own_spectra, references)
        project_all = np.fft.irfft(of_all, size)[..., : n + taps - 1]
        project_own = np.fft.irfft(of_own, size)[..., : n + taps - 1]
        whole, estimate = np.zeros_like(project_own), np.zeros_like(project_own)
        whole[..., :n], estimate[..., :n] = true, ours

        def energy(sound: np.ndarray) -> np.ndarray:
            return (sound**2).sum((-1, -2))

        seen.append(
            np.stack(
                [
                    _decibels(energy(whole), energy(estimate - whole)),
                    _decibels(energy(whole), energy(project_own - whole)),
                    _decibels(energy(project_own), energy(project_all - project_own)),
                    _decibels(energy(project_all), energy(estimate - project_all)),
                ]
            )
        )
    return BssEvalV4(*np.stack(seen, axis=-1))


def ideal_ratio_mask(
    sources: Float[np.ndarray, "*batch sources channels n"],
    fft: int = 2048,
    hop_samples: int | None = None,
    power: float = 1.0,
) -> Float[np.ndarray, "*batch sources channels n"]:
    """Estimates of an oracle: the mixture masked by the true magnitudes. A ceiling, not a method.

    Mask of source j: |S_j|^power / sum over k of |S_k|^power, on the spectrum of the sum of the
    sources (Hann, centred, hop a quarter of it), so the estimates add up to the mixture. 1 is
    "IRM1" of SiSEC, 2 the Wiener-like "IRM2". One clip is held in memory at a time.
    """
    import torch

    sources = np.asarray(sources)
    if sources.ndim < 3 or sources.dtype.kind != "f" or not sources.size:
        raise InputError(
            f"an oracle of {sources.dtype} of shape {sources.shape}: give floats "
            "(sources, channels, samples), true sources whose sum is the mixture"
        )
    hop = hop_samples or fft // 4
    if not 1 <= hop <= fft // 2:
        raise InputError(f"an oracle with frames of {fft} every {hop} samples: hop <= {fft // 2}")
    window = torch.hann_window(fft)
    reach = -(-fft // hop) * hop  # samples that share a frame with one another, in whole hops
    piece = 256 * hop
    clips = sources.reshape(-1, *sources.shape[-3:])
    out = np.empty_like(clips)
    for clip, answer in zip(clips, out):
        n = clip.shape[-1]
        for begin in range(0, n, piece):  # frames stand where they stand in the whole sound
            left, right = max(0, begin - reach), min(n, begin + piece + reach)
            wave = torch.as_tensor(clip[..., left:right], dtype=torch.float32)
            spectra = torch.stft(
                wave.flatten(0, 1), fft, hop, window=window, pad_mode="constant",
                return_complex=True,
            ).unflatten(0, wave.shape[:2])  # fmt: skip
            sizes = spectra.abs() ** power
            masks = sizes / sizes.sum(0, keepdim=True).clamp_min(1e-30)
            masked = (masks * spectra.sum(0, keepdim=True)).flatten(0, 1)
            parts = torch.istft(masked, fft, hop, window=window, length=wave.shape[-1])
            stop = min(n, begin + piece)
            inside = parts.unflatten(0, wave.shape[:2])[..., begin - left : stop - left]
            answer[..., begin:stop] = inside.numpy()
    return out.reshape(sources.shape)


def _decibels(
    signal: np.ndarray, error: np.ndarray, reference: np.ndarray | None = None
) -> np.ndarray:
    """10 log10(signal / error): inf without error, -inf without signal, nan without reference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(signal) - np.log10(error))
    ratio = np.where((signal == 0) & (error == 0), -np.inf, ratio)
    return np.where((signal if reference is None else reference) > 0, ratio, np.nan)[()]


def _median(rows: np.ndarray) -> np.ndarray:
    """The median of each row over what is a number; nan where nothing is."""
    return np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan
                     for row in rows])  # fmt: skip


def _same(made: Any, wanted: Any) -> None:
    if np.shape(made) != np.shape(wanted):
        raise InputError(
            f"estimates of shape {np.shape(made)} and sources of {np.shape(wanted)} cannot be "
            "compared: give equal shapes"
        )
    if not np.size(made):
        raise InputError("estimates without samples cannot be compared")


def _pair(made: Any, wanted: Any) -> tuple[np.ndarray, np.ndarray]:
    _same(made, wanted)
    return np.asarray(made).astype(np.float64), np.asarray(wanted).astype(np.float64)


def _tracks(made: Any, wanted: Any) -> tuple[np.ndarray, np.ndarray]:
    _same(made, wanted)
    if np.ndim(made) != 3:
        raise InputError(f"BSS-eval v4 of shape {np.shape(made)}: give (sources, channels, n)")
    return np.asarray(made), np.asarray(wanted)


def _windows(
    made: np.ndarray, wanted: np.ndarray, rate_hz: int, window_s: float, hop_s: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of both as float64; one of everything where the sound is shorter than a window."""
    n, window, hop = wanted.shape[-1], window_s * rate_hz, hop_s * rate_hz
    if window < 1 or hop < 1:
        raise InputError(f"windows of {window_s} s every {hop_s} s at {rate_hz} Hz hold no sample")
    count = int((n - window + hop) // hop) if window < n else 1
    for begin, stop in ((int(k * hop), min(n, int(k * hop + window))) for k in range(count)):
        yield (
            made[..., begin:stop].astype(np.float64),
            wanted[..., begin:stop].astype(np.float64),
        )


def _window_sdr(made: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """SDR of v4 of one window, (sources,); nan where anything is silent."""
    if not (made.any((-1, -2)).all() and wanted.any((-1, -2)).all()):
        return np.full(len(wanted), np.nan)
    return _decibels((wanted**2).sum((-1, -2)), ((wanted - made) ** 2).sum((-1, -2)))


def _correlations(
    made: np.ndarray, wanted: np.ndarray, taps: int
) -> tuple[Float64[np.ndarray, "rows rows"], Float64[np.ndarray, "rows columns"]]:
    """Inner products of the references' delayed versions with each other and with the estimates.

    made, wanted: (sources, channels, n). Rows: (source, channel, delay), columns: (estimate,
    channel). Spectra of blocks are multiplied and summed, so one inverse transform is enough.
    """
    n, size = wanted.shape[-1], BLOCK
    step = size - 2 * (taps - 1)
    if n + 2 * (taps - 1) < size:  # a short sound is one block
        step, size = n, _fast_size(n + 2 * (taps - 1))
    signals = wanted.shape[0] * wanted.shape[1]
    both = (wanted, made)
    inner = np.zeros((signals, 2 * signals, size // 2 + 1), np.complex128)
    for begin in range(0, n, step):
        left, right = max(0, begin - taps + 1), min(n, begin + step + taps - 1)
        around = np.zeros((2 * signals, size))
        offset = left - (begin - taps + 1)
        for which, sounds in enumerate(both):
            rows = slice(which * signals, (which + 1) * signals)
            piece = sounds[..., left:right].reshape(signals, -1)
            around[rows, offset : offset + right - left] = piece
        block = np.zeros((signals, size))
        width = min(n, begin + step) - begin
        block[:, :width] = around[:signals, taps - 1 : taps - 1 + width]
        first, second = np.fft.rfft(block).conj(), np.fft.rfft(around)
        for i in range(signals):
            inner[i] += first[i] * second
    # products[i, j, m + taps - 1] = sum over t of i[t] j[t + m], |m| < taps
    products = np.empty((signals, 2 * signals, 2 * taps - 1))
    for i in range(signals):
        products[i] = np.fft.irfft(inner[i], size)[:, : 2 * taps - 1]
    delays = np.arange(taps)
    toeplitz = taps - 1 + delays[:, None] - delays  # row delay minus column delay
    gram = np.empty((signals, taps, signals, taps))
    for i in range(signals):
        for j in range(signals):
            gram[i, :, j] = products[i, j][toeplitz]
    cross = products[:, signals:, taps - 1 :]  # (reference, estimate, delay)
    return (
        gram.reshape(signals * taps, signals * taps),
        cross.transpose(0, 2, 1).reshape(signals * taps, signals),
    )


def _filters(gram: np.ndarray, cross: np.ndarray) -> Float64[np.ndarray, "rows columns"]:
    """The filters that bring the references nearest to the estimates in least squares."""
    import torch

    loaded = torch.tensor(gram)  # a copy, of which the diagonal is raised
    loaded.diagonal().add_(LOADING * max(float(np.trace(gram)) / len(gram), 1e-200))
    factor, failed = torch.linalg.cholesky_ex(loaded)
    if int(failed):  # rounding made it indefinite
        return np.linalg.lstsq(gram, cross, rcond=None)[0]
    wanted = torch.from_numpy(np.ascontiguousarray(cross))
    found = torch.cholesky_solve(wanted, factor)
    # once more for what the loading left over: it would bound what is found of clean estimates
    return (found + torch.cholesky_solve(wanted - torch.from_numpy(gram) @ found, factor)).numpy()


def _explained(gram: np.ndarray, cross: np.ndarray) -> Float64[np.ndarray, "columns"]:
    """Energy of the estimates that the filtered references hold.

    As the estimates' energy less that of what remains, where small errors of filters cancel out.
    """
    filters = _filters(gram, cross)
    return (filters * (2 * cross - gram @ filters)).sum(0)


def _fast_size(least: int) -> int:
    """The smallest length of transform from `least` on that has no factor but 2, 3 and 5."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
