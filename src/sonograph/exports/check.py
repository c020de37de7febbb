"""A written file beside the model that it came from, on inputs that neither has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.exports.ports import BATCH, Surface

LIMIT = 1e-3  # of the largest value: more than this is another model
Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


@dataclasses.dataclass(frozen=True)
class Compared:
    """One call: clips, their length, and the largest error as a share of the largest value."""

    clips: int
    length: int
    error: float


def compared(
    run: Run, surface: Surface, free: tuple[str, ...], least: int, seed: int = 1
) -> list[Compared]:
    """Calls of several lengths and batch sizes, as far as they are free.

    Raises InputError where an answer has another shape, or differs by more than LIMIT.
    """
    length = dataclasses.replace(surface.length, least=least)
    sizes = [length.usual]
    if length.name in free:
        sizes += [length.fitted(share * length.usual) for share in (0.37, 0.71, 1.3)]
        sizes.append(length.fitted(least))
    batches = surface.batches if BATCH in free else (surface.batches[0],)
    done = []
    for number, size in enumerate(dict.fromkeys(sizes)):
        clips = batches[number % len(batches)]
        done.append(_one(run, surface, clips, size, seed + number))
    if len(batches) > len(done):
        done += [_one(run, surface, clips, sizes[0], seed) for clips in batches[len(done) :]]
    if (worst := max(one.error for one in done)) > LIMIT:
        raise InputError(
            f"what was written differs from the model by {worst:.1e} of the largest value"
        )
    return done


@torch.no_grad()
def _one(run: Run, surface: Surface, clips: int, length: int, seed: int) -> Compared:
    inputs = surface.draw(clips, length, torch.Generator().manual_seed(seed))
    return Compared(clips, length, error_of(surface.module(*inputs), run(inputs), surface))


def error_of(ours: Sequence[Tensor], theirs: Sequence[Tensor], surface: Surface) -> float:
    """The largest difference of all outputs, each as a share of its largest value."""
    errors = []
    for port, mine, other in zip(surface.outputs, ours, theirs, strict=True):
        if mine.shape != other.shape:
            raise InputError(
                f"{port.name} of what was written is of shape {tuple(other.shape)}, "
                f"the model's of {tuple(mine.shape)}"
            )
        most = float(mine.abs().max())
        errors.append(float((mine.double() - other.double()).abs().max()) / max(most, 1e-12))
    return max(errors)
