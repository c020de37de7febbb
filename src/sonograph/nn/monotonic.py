"""Which frames belong to which token: durations without an aligner from outside.

Four sources, one result, `Durations`:

- `search`: the best monotonic path through a score of every frame against every token (Kim et al.
  2020, Glow-TTS, algorithm 1; Shih et al. 2021, RAD-TTS, width 1);
- `from_attention`: a teacher's attention, its most diagonal head chosen by focus rate (Ren et al.
  2019, FastSpeech, section 3.3);
- `forced`: Viterbi through the CTC lattice of a known token sequence (Graves et al. 2006);
- `of_hard`: what a hard alignment says.

A path is taken frame by frame, over all tokens of all clips at once: no loop over cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from sonograph.errors import InputError

Tie = Literal["diagonal", "stay"]


class Durations(NamedTuple):
    """frames (b, n): of each token, 0 for padding; score (b,): the path's mean over its frames."""

    frames: Int64[Tensor, "b n"]
    score: Float[Tensor, "b"]


def search(
    scores: Float[Tensor, "b t n"],
    frames: Int[Tensor, "b"],
    tokens: Int[Tensor, "b"],
    tie: Tie = "diagonal",
    names: Sequence[str] | None = None,
) -> Durations:
    """The path of largest sum: first frame on the first token, last on the last, none left out.

    From frame to frame it stays or moves on by one token. Where both are equally good, `tie`
    decides: "diagonal" moves (RAD-TTS), "stay" stays (Glow-TTS); read backwards, from the end.
    Cells of -inf are forbidden. Raises InputError for a clip of fewer frames than tokens, or
    where no path is allowed.

    >>> search(torch.eye(3)[None], torch.tensor([3]), torch.tensor([3])).frames
    tensor([[1, 1, 1]])
    """
    require_frames(frames, tokens, names)
    values = _array(scores)
    ends, last = frames.cpu().numpy(), tokens.cpu().numpy() - 1
    first = np.full(values.shape[::2], -np.inf, values.dtype)  # (b, n)
    first[:, 0] = values[:, 0, 0]
    best, moved = _forward(np.ascontiguousarray(values.transpose(1, 0, 2)), first, tie)
    sums = best[ends - 1, np.arange(len(ends)), last]
    _require_a_path(sums, names)
    path = _backward(moved, ends, last)
    counts = _counts(path, ends, values.shape[2])
    return _durations(counts, sums / ends, scores)


def forced(
    log_probabilities: Float[Tensor, "b t classes"],
    targets: Int[Tensor, "b n"],
    frames: Int[Tensor, "b"],
    tokens: Int[Tensor, "b"],
    blank: int = 0,
    names: Sequence[str] | None = None,
) -> Durations:
    """The most probable CTC path that says exactly `targets`, and how long each token lasts.

    A run of blanks between two tokens is shared out, the odd frame to the earlier one; those at the
    ends belong to the first and the last token. Equal tokens in a row need a blank between them.
    Raises InputError where a clip has too few frames for its tokens.
    """
    wanted = targets.cpu().numpy()
    batch, n = wanted.shape
    inside = np.arange(n) < tokens.cpu().numpy()[:, None]
    again = np.zeros((batch, n), bool)
    again[:, 1:] = (wanted[:, 1:] == wanted[:, :-1]) & inside[:, 1:]
    needed = tokens.cpu() + torch.from_numpy(again.sum(1))
    require_frames(frames, needed, names)
    states = np.full((batch, 2 * n + 1), blank)
    states[:, 1::2] = np.where(inside, wanted, blank)
    skips = np.zeros((batch, 2 * n + 1), bool)  # from token to token, past the blank between them
    skips[:, 3::2] = ~again[:, 1:]
    values = _array(log_probabilities)
    cells = np.take_along_axis(values, states[:, None, :].repeat(values.shape[1], 1), 2)
    first = np.full(states.shape, -np.inf, values.dtype)
    first[:, :2] = cells[:, 0, :2]
    best, moved = _forward(np.ascontiguousarray(cells.transpose(1, 0, 2)), first, "stay", skips)
    ends, rows = frames.cpu().numpy(), np.arange(batch)
    last = 2 * tokens.cpu().numpy()  # the blank after the last token, or that token
    last = last - (best[ends - 1, rows, last - 1] >= best[ends - 1, rows, last])
    sums = best[ends - 1, rows, last]
    _require_a_path(sums, names)
    path = _backward(moved, ends, last)
    counts = _counts(path, ends, 2 * n + 1)
    blanks, spoken = counts[:, 0::2], counts[:, 1::2]
    before, after = blanks[:, :-1].copy(), blanks[:, 1:].copy()
    after[:, :-1] -= after[:, :-1] // 2  # the rest of it goes to the token that follows
    before[:, 1:] //= 2
    end = tokens.cpu().numpy() - 1
    after[rows, end] = blanks[rows, end + 1]
    spoken = np.where(inside, spoken + before + after, 0)
    return _durations(spoken, sums / ends, log_probabilities)


def from_attention(
    attention: Float[Tensor, "maps b t n"], frames: Int[Tensor, "b"], tokens: Int[Tensor, "b"]
) -> Durations:
    """Durations of a teacher: per clip the map of largest focus rate, each frame to its arg-max.

    maps: all heads of all layers. The score is that focus rate. FastSpeech, section 3.3.
    """
    rates = focus_rate(attention, frames, tokens)
    best = rates.argmax(0)
    chosen = attention[best, torch.arange(attention.shape[1], device=best.device)]
    chosen = chosen.masked_fill(~_valid(tokens, chosen.shape[2])[:, None], -torch.inf)
    hard = torch.nn.functional.one_hot(chosen.argmax(2), chosen.shape[2])
    return Durations(of_hard(hard, frames), rates.amax(0))


def focus_rate(
    attention: Float[Tensor, "*maps b t n"], frames: Int[Tensor, "b"], tokens: Int[Tensor, "b"]
) -> Float[Tensor, "*maps b"]:
    """Mean over frames of the largest weight among the tokens. FastSpeech, equation 5."""
    inside = _valid(tokens, attention.shape[-1])[:, None, :]
    largest = attention.masked_fill(~inside, 0.0).amax(-1)
    heard = _valid(frames, attention.shape[-2])
    return (largest * heard).sum(-1) / frames.to(largest.dtype)


def of_hard(hard: Tensor, frames: Int[Tensor, "b"] | None = None) -> Int64[Tensor, "b n"]:
    """Durations of a hard alignment (b, t, n): how many frames each token has."""
    if frames is not None:
        hard = hard * _valid(frames, hard.shape[1])[:, :, None]
    return hard.sum(1).round().long()


def to_hard(durations: Int64[Tensor, "b n"], length: int) -> Float[Tensor, "b t n"]:
    """The hard alignment of durations: 1 where a frame belongs to a token, rows of 0 past the end.

    >>> to_hard(torch.tensor([[1, 2]]), 4)[0].tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    """
    ends = durations.cumsum(1)
    place = torch.arange(length, device=durations.device)[None, :, None]
    return ((place < ends[:, None]) & (place >= (ends - durations)[:, None])).float()


def token_of_frame(durations: Int64[Tensor, "b n"], length: int) -> Int64[Tensor, "b t"]:
    """Which token each frame belongs to; -1 past the last one's end.

    >>> token_of_frame(torch.tensor([[1, 0, 2]]), 4).tolist()
    [[0, 2, 2, -1]]
    """
    ends = durations.cumsum(1)
    place = torch.arange(length, device=durations.device).expand(len(durations), -1).contiguous()
    index = torch.searchsorted(ends, place, right=True)
    return torch.where(place < ends[:, -1:], index, -1)


def require_frames(
    frames: Int[Tensor, "b"], tokens: Int[Tensor, "b"], names: Sequence[str] | None = None
) -> None:
    """Raise InputError naming the first clip with no token or with fewer frames than tokens."""
    for index, (have, need) in enumerate(zip(frames.tolist(), tokens.tolist())):
        if need < 1 or have < need:
            name = names[index] if names is not None else f"number {index}"
            raise InputError(
                f"clip {name} has {have} frames for {need} tokens: it needs at least one token, "
                "and a frame for each; drop it or shorten its text"
            )


def _require_a_path(sums: np.ndarray, names: Sequence[str] | None) -> None:
    for index in np.flatnonzero(~np.isfinite(sums)).tolist():
        name = names[index] if names is not None else f"number {index}"
        raise InputError(f"clip {name} cannot be aligned: every path is forbidden or NaN")


# --- the recursion -------------------------------------------------------------------------------


def _forward(
    cells: np.ndarray, first: np.ndarray, tie: Tie, skips: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Best sums that end in each cell (t, b, n), and by how many states the path came there.

    Q[j, i] = v[j, i] + max(Q[j-1, i], Q[j-1, i-1]); with `skips` (b, n) from i-2 too, where true.
    """
    best = np.empty_like(cells)
    moved = np.zeros(cells.shape, np.int8)
    best[0] = first
    previous = np.full((cells.shape[1], cells.shape[2] + 2), -np.inf, cells.dtype)
    stay, step, skip = previous[:, 2:], previous[:, 1:-1], previous[:, :-2]
    wins = np.greater_equal if tie == "diagonal" else np.greater
    barred = None if skips is None else np.where(skips, 0, -np.inf).astype(cells.dtype)
    for t in range(1, len(cells)):
        stay[:] = best[t - 1]
        wins(step, stay, out=moved[t], casting="unsafe")
        np.maximum(step, stay, out=best[t])
        if barred is not None:
            leap = skip + barred
            np.copyto(moved[t], 2, where=leap > best[t])
            np.maximum(leap, best[t], out=best[t])
        best[t] += cells[t]
    return best, moved


def _backward(moved: np.ndarray, ends: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The state of every frame (b, t), each path from its own end; past it, its last state."""
    frames, batch, _ = moved.shape
    rows, place = np.arange(batch), last.copy()
    path = np.empty((frames, batch), np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = place
        if t:
            steps = np.where(t < ends, moved[t, rows, place], 0)
            place = np.maximum(place - steps, 0)
    return path.T


def _counts(path: np.ndarray, ends: np.ndarray, states: int) -> np.ndarray:
    """How many of its first `ends` frames each clip spends in each state."""
    batch, frames = path.shape
    valid = np.arange(frames) < ends[:, None]
    flat = (path + states * np.arange(batch)[:, None])[valid]
    return np.bincount(flat, minlength=batch * states).reshape(batch, states)


def _array(scores: Tensor) -> np.ndarray:
    """In double precision where it is given, else in single: numpy knows no bfloat16."""
    whole = scores.detach().cpu()
    return (whole if whole.dtype == torch.float64 else whole.float()).numpy()


def _durations(counts: np.ndarray, score: np.ndarray, like: Tensor) -> Durations:
    values = torch.from_numpy(np.ascontiguousarray(counts)).long().to(like.device)
    return Durations(values, torch.from_numpy(np.asarray(score)).to(like.device, like.dtype))


def _valid(lengths: Int[Tensor, "b"], size: int) -> Bool[Tensor, "b size"]:
    return torch.arange(size, device=lengths.device) < lengths[:, None]
