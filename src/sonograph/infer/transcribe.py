"""The notes of a sound of any length, rate and number of channels, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from sonograph.audio.chunk import Piece, windows
from sonograph.errors import InputError
from sonograph.infer.windows import Sound, blocks_of, name_of, seconds_of
from sonograph.nn.notes import Heard, Transcriber, heard, notes_of
from sonograph.outputs import Notes
from sonograph.progress import Progress, silent

SILENCE = 1e-4  # of full scale, -80 dB: nothing is sung there
CONTEXT_S = 1.0  # heard on both sides of what a window is asked about


def transcriber_of(model: nn.Module) -> Transcriber:
    """The transcriber inside a model, itself or what a loss trains; InputError for others."""
    inner: Any = getattr(model, "transcriber", model)
    if not isinstance(inner, Transcriber):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} hears no notes: give a transcriber, "
            "a Mel-RoFormer that was fine-tuned to notes"
        )
    return inner.eval()


def transcribe_notes(model: nn.Module, sound: Sound, progress: Progress = silent) -> Notes:
    """The melody of a sound as notes that do not overlap.

    Windows overlap by twice CONTEXT_S; of each the middle counts, so a note that crosses from one
    to the next is one note. Of an hour some 2 MB are kept. Mixed down to mono first.
    """
    transcriber = transcriber_of(model)
    total = seconds_of(sound)

    def followed() -> Iterator[Heard]:
        for part, end_s in _parts(transcriber, sound):
            progress(min(end_s, total), None if math.isinf(total) else total)
            yield part

    hop_s = transcriber.hop_samples / transcriber.rate_hz
    notes = notes_of(Heard.joined(followed()), hop_s, transcriber.notes)
    return Notes(name_of(sound, 0), notes)


def _parts(model: Transcriber, sound: Sound) -> Iterator[tuple[Heard, float]]:
    """Frames that follow each other, each from the window that knows most around it."""
    hop = model.hop_samples
    size = max(4, model.window_samples // hop)  # in hops
    context = min(math.ceil(CONTEXT_S * model.rate_hz / hop), (size - 1) // 3)
    step = size - 2 * context
    held: Piece | None = None
    for piece in windows(blocks_of(sound, model.rate_hz), size * hop, step * hop):
        if held is not None:
            begin = context if held.start else 0
            yield (
                _heard(model, held)[begin : context + step],
                (held.start + step * hop) / model.rate_hz,
            )
        held = piece
    if held is None:
        raise InputError("the sound is empty")
    begin = context if held.start else 0
    yield _heard(model, held)[begin:], (held.start + held.valid) / model.rate_hz


@torch.inference_mode()
def _heard(model: Transcriber, piece: Piece) -> Heard:
    samples = piece.samples[:, : piece.valid]
    found = heard(
        model(torch.from_numpy(np.repeat(samples, model.channels, axis=0))[None]), model.notes
    )[0]
    half = model.hop_samples
    centres = np.arange(len(found.frame)) * model.hop_samples
    # the loudest sample within a hop of each frame
    blocks = np.abs(np.pad(samples[0], (half, 2 * half)))
    loud = np.array([blocks[c : c + 2 * half].max() for c in centres])
    return Heard(found.key, np.where(loud < SILENCE, 0, found.frame), found.begins)
