"""Tasks of long sequences in the manner of the Long Range Arena, made or drawn here.

Tay et al. 2021, "Long Range Arena". Each is a set of `Examples` whose features are one row: values
from -1 to 1 (pixels, row by row), or token ids. ListOps and Pathfinder are made by rule; pictures
are digits that come with scikit-learn, CIFAR-10 where its files lie on the disk, and spectrograms
of real sounds; texts are those of clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn.functional import interpolate

from sonograph.audio.feature_spec import log_mel_spec
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.train.finetune import Examples, examples_of

# --- ListOps -------------------------------------------------------------------------------------

OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(np.median(values)),
    "[SM": lambda values: sum(values) % 10,
}
LISTOPS = ("<pad>", *map(str, range(10)), *OPERATORS, "]")  # token ids
OPERATOR_CHANCE = 0.25  # of a part to be an operator and not a digit


def listops(
    count: int,
    seed: int = 0,
    shortest: int = 500,
    longest: int = 2000,
    most_parts: int = 10,
    deepest: int = 10,
) -> Examples:
    """Nested lists of digits under an operator; the class is what they come to, 0 to 9.

    The grammar of Nangia and Bowman 2018 with the limits of the Long Range Arena: a part is a
    digit, or with a chance of a quarter an operator over 2 to `most_parts` parts, at most `deepest`
    deep. Lengths in tokens; brackets without meaning are left out. No two are equal.
    """
    random, made = np.random.default_rng(seed), dict[tuple[str, ...], int]()
    for _ in range(10_000 * count):
        tokens, value = _tree(random, most_parts, deepest, longest)
        if shortest <= len(tokens) <= longest:
            made[tuple(tokens)] = value
        if len(made) == count:
            break
    else:
        raise InputError(
            f"hardly any list has {shortest} to {longest} tokens: allow shorter ones, or more parts"
        )
    ids = {token: number for number, token in enumerate(LISTOPS)}
    rows = [[ids[token] for token in tokens] for tokens in made]
    digits = tuple(map(str, range(10)))
    return _examples(*_filled(rows, longest), list(made.values()), digits, "listops")


def _tree(
    random: np.random.Generator, most_parts: int, deepest: int, longest: int, depth: int = 1
) -> tuple[list[str], int]:
    """(tokens, value) of a part; the first is an operator, one that grows too long is cut short."""
    if depth > deepest or (depth > 1 and random.random() > OPERATOR_CHANCE):
        digit = int(random.integers(10))
        return [str(digit)], digit
    operator = tuple(OPERATORS)[random.integers(len(OPERATORS))]
    tokens, values = [operator], []
    for _ in range(random.integers(2, most_parts + 1)):
        part, value = _tree(random, most_parts, deepest, longest, depth + 1)
        tokens += part
        values.append(value)
        if len(tokens) > longest:
            break
    return [*tokens, "]"], OPERATORS[operator](values)


# --- Pathfinder ----------------------------------------------------------------------------------


def pathfinder(count: int, seed: int = 0, side: int = 32, distractors: int = 4) -> Examples:
    """Pictures of two dashed curves, short dashes and two dots: do the dots end the same curve?

    After Linsley et al. 2018, drawn by rules of ours: a curve is a walk of a slowly turning
    direction that stays inside and apart from the other. features (count, 1, side x side).
    """
    random = np.random.default_rng(seed)
    pictures = np.zeros((count, side, side), np.float32)
    same = np.arange(count) % 2
    for picture, together in zip(pictures, same):
        first, second = _two_curves(random, side)
        for curve in (first, second):
            for k in range(0, len(curve) - 1, 3):  # dashes of two steps, gaps of one
                _line(picture, curve[k], curve[min(k + 2, len(curve) - 1)])
        for _ in range(distractors):
            place, angle = random.uniform(0.1, 0.9, 2) * side, random.uniform(0, math.pi)
            _line(picture, place, place + 2 * np.array([math.cos(angle), math.sin(angle)]))
        ends = (first[0], first[-1]) if together else (first[0], second[random.integers(-1, 1)])
        for end in ends:
            _dot(picture, end, 1.3 * side / 32)
    order = random.permutation(count)
    values = torch.from_numpy(pictures[order] * 2 - 1).flatten(1)[:, None]
    lengths = torch.full((count,), side * side)
    return _examples(values, lengths, same[order].tolist(), ("apart", "joined"), "pathfinder")


def _two_curves(random: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    while True:
        first, second = _curve(random, side), _curve(random, side)
        gaps = np.linalg.norm(first[:, None] - second[None], axis=2)
        if gaps.min() > side / 12:
            return first, second


def _curve(random: np.random.Generator, side: int) -> np.ndarray:
    """Points of a walk within the picture, (steps, 2)."""
    step, count = side / 16, 14
    while True:
        angle = random.uniform(0, 2 * math.pi) + np.cumsum(random.normal(0, 0.3, count))
        walk = np.cumsum(step * np.stack([np.cos(angle), np.sin(angle)], 1), axis=0)
        walk += random.uniform(0.1, 0.9, 2) * side
        if walk.min() > 1.5 and walk.max() < side - 2.5:
            return walk


def _line(picture: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    for share in np.linspace(0, 1, 9):
        _dot(picture, start + share * (end - start), 0.6)


def _dot(picture: np.ndarray, place: np.ndarray, radius: float) -> None:
    """A disc whose edge fades over one pixel, over what is there already."""
    axis = np.arange(picture.shape[0])
    distance = np.hypot(axis[:, None] - place[0], axis[None] - place[1])
    np.maximum(picture, np.clip(radius + 0.5 - distance, 0, 1), out=picture)


# --- pictures and texts --------------------------------------------------------------------------


def digits(side: int = 16) -> Examples:
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, drawn larger.

    Alpaydin and Kaynak 1998, UCI; grey from -1 to 1, side x side pixels row by row, bilinear.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError("the digits come with scikit-learn: pip install scikit-learn") from None
    found: Any = load_digits()
    grey = torch.from_numpy(found.images).float()[:, None] / 16
    grey = interpolate(grey, (side, side), mode="bilinear", align_corners=False)
    names = tuple(map(str, range(10)))
    lengths = torch.full((len(grey),), side * side)
    return _examples(grey.flatten(2) * 2 - 1, lengths, found.target.tolist(), names, "digit")


CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_TRAIN, CIFAR_TEST = tuple(f"data_batch_{n}.bin" for n in range(1, 6)), ("test_batch.bin",)
LUMA = (19_595, 38_470, 7_471)  # of 65,536: red, green, blue; ITU-R BT.601


def cifar(folder: str | Path) -> tuple[Examples, Examples]:
    """(train, test): CIFAR-10 in grey, the Long Range Arena's Image, from its binary version.

    Krizhevsky 2009; `folder` holds data_batch_1.bin to data_batch_5.bin and test_batch.bin. Grey
    from -1 to 1, 1,024 pixels row by row. Raises InputError for files that are not these.
    """
    return _cifar(Path(folder), CIFAR_TRAIN), _cifar(Path(folder), CIFAR_TEST)


def _cifar(folder: Path, names: tuple[str, ...]) -> Examples:
    rows, size = [], 1 + 3 * 1024  # a class and three colours
    for name in names:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}: give the folder of the binary version of CIFAR-10"
            )
        found = np.fromfile(folder / name, np.uint8)
        if len(found) == 0 or len(found) % size or found[::size].max() >= len(CIFAR):
            raise InputError(f"{folder / name} is not of CIFAR-10: load it again")
        rows.append(found.reshape(-1, size))
    whole = np.concatenate(rows)
    colours = whole[:, 1:].reshape(-1, 3, 1024).astype(np.int64)
    grey = (np.tensordot(colours, np.array(LUMA), (1, 0)) + 32_768) >> 16
    values = torch.from_numpy(grey).float()[:, None] / 127.5 - 1
    lengths = torch.full((len(whole),), 1024)
    return _examples(values, lengths, whole[:, 0].tolist(), CIFAR, names[0].split(".")[0])


def pictures(clips: Clips, task: str, side: int = 32, seconds: float = 1.0) -> Examples:
    """Grey pictures of real sounds: log-mel spectrograms of their beginning, side x side pixels.

    Low bands are below; the loudest of a picture is 1, 60 dB below it and less -1.
    """
    rate_hz = 16_000
    spec = log_mel_spec(rate_hz, 1024, 256, max(side, 32), top_db=60.0)
    found = examples_of(clips, task, spec, spec.frames(int(seconds * rate_hz)))
    inside = torch.arange(found.features.shape[2]) < found.lengths[:, None]
    values = found.features.masked_fill(~inside[:, None], -math.inf)
    loudest = values.amax((1, 2), keepdim=True)
    grey = ((values - loudest + 60) / 60).clamp(0, 1).flip(1)[:, None]
    grey = interpolate(grey, (side, side), mode="area")
    lengths = torch.full((len(grey),), side * side)
    values = grey.flatten(2) * 2 - 1
    return Examples(values, lengths, found.targets, found.classes, found.ids)


def texts(clips: Clips, task: str, longest: int = 1024) -> Examples:
    """What is said in clips as bytes (UTF-8, token ids 1 to 255; 0 fills up), with their labels."""
    spoken = clips.labelled(task).filter(lambda clip: bool(clip.text))
    classes = tuple(spoken.classes(task))
    rows = [list((clip.text or "").encode())[:longest] for clip in spoken]
    targets = [classes.index(clip.labels[task]) for clip in spoken]
    values, lengths = _filled(rows, longest)
    return Examples(
        values, lengths, torch.tensor(targets), classes, tuple(clip.id for clip in spoken)
    )


# --- shared --------------------------------------------------------------------------------------


def _filled(
    rows: list[list[int]], longest: int
) -> tuple[Float[torch.Tensor, "n 1 longest"], Int[torch.Tensor, "n"]]:
    """Rows of ids as features, filled up with 0, and their lengths."""
    values = torch.zeros(len(rows), 1, longest)
    for row, ids in zip(values, rows):
        row[0, : len(ids)] = torch.tensor(ids, dtype=torch.float)
    return values, torch.tensor([len(ids) for ids in rows])


def _examples(
    values: torch.Tensor,
    lengths: torch.Tensor,
    targets: list[int],
    classes: tuple[str, ...],
    name: str,
) -> Examples:
    ids = tuple(f"{name}/{number}" for number in range(len(targets)))
    return Examples(values, lengths, torch.tensor(targets), classes, ids)
