"""Sound to features and features to sound, of any length, block by block in bounded memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError
from sonograph.infer.windows import Sound, blocks_of
from sonograph.nn.vocoder import Vocoder
from sonograph.nn.weight_norm import WeightNorm, fold
from sonograph.outputs import Audio

FRAMES = 512  # of features at once: 8 s at 16 kHz and a hop of 256
FADE_FRAMES = 16  # where pieces of a vocoder without bounded context meet
LEVEL = 30.0  # log-mels lie far within; values beyond are no features

Block = Float[Tensor, "rows t"]


def vocoder_of(model: nn.Module) -> Vocoder:
    """The vocoder inside a model, ready to run: itself or what an objective trains."""
    inner: Any = getattr(model, "vocoder", model)
    if not isinstance(inner, Vocoder):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} is no vocoder: `sonograph models` "
            "lists what is"
        )
    if any(isinstance(part, WeightNorm) for part in inner.modules()):
        inner = fold(copy.deepcopy(inner))
    inner.eval()
    return inner


@torch.inference_mode()
def analyse(sound: Sound, spec: FeatureSpec, frames: int = FRAMES) -> Iterator[Block]:
    """The features of a sound (mono, at the spec's rate), `frames` at a time.

    Joined, the blocks equal those of the whole sound. Raises InputError for features that depend
    on the whole sound, and for a sound shorter than a frame.
    """
    whole = (spec.normalise, spec.top_db, spec.level, spec.clip_mean, spec.deltas, spec.kind)
    if whole != ("fixed", None, "keep", "keep", 0, "log_mel"):
        raise InputError("these features depend on the whole sound: they come in no blocks")
    frontend, hop = Frontend(spec), spec.hop_samples
    edge = math.ceil(spec.fft_samples / hop) + 1  # frames that see the cut at an end of a piece
    held, before, given = np.zeros((1, 0), np.float32), 0, 0
    for block in blocks_of(sound, spec.rate_hz):
        held = np.concatenate((held, block), axis=1)
        while held.shape[1] > (before + frames + edge) * hop:
            piece = torch.from_numpy(held[:, : (before + frames + edge) * hop].copy())
            yield frontend(piece).values[0, :, before : before + frames]
            given += frames
            drop = before + frames - edge
            held, before = held[:, drop * hop :], edge
    rest = frontend(torch.from_numpy(held.copy())).values[0, :, before:]
    if rest.shape[1]:
        yield rest
    elif not given:
        raise InputError(
            f"{held.shape[1]} samples at {spec.rate_hz} Hz are less than a frame of {hop}: "
            "give a longer sound"
        )


@torch.inference_mode()
def synthesise(
    vocoder: Vocoder,
    blocks: Iterable[Block],
    generator: torch.Generator | None = None,
    frames: int = FRAMES,
) -> Iterator[Float32[np.ndarray, "1 n"]]:
    """The sound of features that come in blocks of any lengths, as soon as it is known.

    Joined, it equals the sound of all features at once where the vocoder's context is bounded;
    otherwise pieces are made one by one and cross-faded. Values beyond full scale are cut.
    """
    if vocoder.context_frames is None:
        yield from _faded(vocoder, _grouped(blocks, frames, vocoder.spec), generator, frames)
        return
    context, hop = vocoder.context_frames, vocoder.spec.hop_samples
    held: Tensor | None = None
    before = 0
    for block in _grouped(blocks, frames, vocoder.spec):
        held = block if held is None else torch.cat((held, block), dim=1)
        while held.shape[1] > before + frames + context:
            piece = held[:, : before + frames + context]
            made = vocoder(piece[None], generator)[:, before * hop : (before + frames) * hop]
            yield made.clamp(-1, 1).numpy()
            kept = min(context, before + frames)
            held, before = held[:, before + frames - kept :], kept
    if held is None:
        raise InputError("there are no features to make sound of")
    yield vocoder(held[None], generator)[:, before * hop :].clamp(-1, 1).numpy()


def vocode(
    vocoder: Vocoder, features: Float[Tensor, "rows t"] | np.ndarray, seed: int = 0
) -> Audio:
    """The sound of features. Raises InputError where they cannot be this vocoder's."""
    values = torch.as_tensor(np.asarray(features), dtype=torch.float32)
    made = synthesise(vocoder, [values], torch.Generator().manual_seed(seed))
    return Audio(np.concatenate(list(made), axis=1), vocoder.spec.rate_hz)


def _grouped(blocks: Iterable[Block], frames: int, spec: FeatureSpec) -> Iterator[Block]:
    """Checked blocks of at most `frames`."""
    for block in blocks:
        if block.ndim != 2 or block.shape[0] != spec.rows:
            raise InputError(
                f"features of shape {tuple(block.shape)}: this vocoder takes ({spec.rows}, frames)"
            )
        if not bool(torch.isfinite(block).all()) or bool((block.abs() > LEVEL).any()):
            raise InputError(f"features hold values that are no {spec.log} of a spectrum")
        yield from block.split(frames, dim=1)


def _faded(
    vocoder: Vocoder, blocks: Iterator[Block], generator: torch.Generator | None, frames: int
) -> Iterator[Float32[np.ndarray, "1 n"]]:
    """Pieces that overlap by FADE_FRAMES, each made on its own, cross-faded linearly."""
    hop = vocoder.spec.hop_samples
    overlap, held, tail = FADE_FRAMES * hop, None, None
    up = torch.linspace(0, 1, overlap + 2)[1:-1]

    def made(piece: Tensor) -> Tensor:
        nonlocal tail
        sound = vocoder(piece[None], generator)
        if tail is not None:
            sound = torch.cat((tail * (1 - up) + sound[:, :overlap] * up, sound[:, overlap:]), 1)
        return sound

    for block in blocks:
        held = block if held is None else torch.cat((held, block), dim=1)
        while held.shape[1] > frames + FADE_FRAMES:
            sound = made(held[:, : frames + FADE_FRAMES])
            held, tail = held[:, frames:], sound[:, -overlap:]
            yield sound[:, :-overlap].clamp(-1, 1).numpy()
    if held is None:
        raise InputError("there are no features to make sound of")
    yield made(held).clamp(-1, 1).numpy()
