"""Words of tokens and of frames: pooling, expanding, places within a word, whole durations.

A map (b, n) says of each position which word it belongs to, counted from 1, 0 where there is only
padding; positions of a word stand side by side, words in order. Ren et al. 2021 (PortaSpeech), 3.1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor, nn

from sonograph.errors import InputError


def word_map(words: Int64[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
    """The map of tokens whose words are counted from 0, as in `nn.acoustic.Text`.

    >>> word_map(torch.tensor([[0, 0, 1, 0]]), torch.tensor([[True, True, True, False]])).tolist()
    [[1, 1, 2, 0]]
    """
    numbers = torch.where(mask, words + 1, 0)
    steps = torch.where(mask[:, 1:], numbers[:, 1:] - numbers[:, :-1], 0)
    if (steps < 0).any() or (steps > 1).any() or (mask[:, 0] & (numbers[:, 0] != 1)).any():
        raise InputError(
            "words of a text are counted from 0 and rise by 1: a token is out of order"
        )
    return numbers


def counts(words: Int64[Tensor, "b n"], most: int) -> Int64[Tensor, "b w"]:
    """How many positions each word has."""
    room = words.new_zeros(len(words), most + 1)
    return room.scatter_add(1, words, torch.ones_like(words))[:, 1:]


def pooled(
    values: Float[Tensor, "b n c"], words: Int64[Tensor, "b n"], most: int
) -> Float[Tensor, "b w c"]:
    """The mean of each word's positions, 0 for words that have none."""
    sums = values.new_zeros(len(values), most + 1, values.shape[2])
    sums = sums.scatter_add(1, words[:, :, None].expand_as(values), values)[:, 1:]
    return sums / counts(words, most).clamp(min=1)[:, :, None]


def summed(
    values: Real[Tensor, "b n"], words: Int64[Tensor, "b n"], most: int
) -> Real[Tensor, "b w"]:
    """The sum over each word's positions."""
    return values.new_zeros(len(values), most + 1).scatter_add(1, words, values)[:, 1:]


def expanded(values: Float[Tensor, "b w c"], words: Int64[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
    """Each position gets what its word has; padding gets 0."""
    padded = nn.functional.pad(values, (0, 0, 1, 0))
    return padded.gather(1, words[:, :, None].expand(-1, -1, values.shape[2]))


def place_in_word(words: Int64[Tensor, "b n"], most: int) -> Float[Tensor, "b n"]:
    """1 / n, 2 / n, .. 1 for the n positions of a word; 0 for padding.

    >>> place_in_word(torch.tensor([[1, 1, 2, 0]]), 2).tolist()
    [[0.5, 1.0, 1.0, 0.0]]
    """
    lengths = nn.functional.pad(counts(words, most), (1, 0))  # of word 0, which is padding: 0
    starts = lengths.cumsum(1) - lengths
    at = torch.arange(words.shape[1], device=words.device)[None]
    index = at - starts.gather(1, words) + 1
    return torch.where(words > 0, index / lengths.gather(1, words).clamp(min=1), 0.0)


def sinusoid(places: Float[Tensor, "b n"], width: int) -> Float[Tensor, "b n width"]:
    """Sines, then cosines, of a place at falling frequencies: 10000^(-i / (width / 2 - 1))."""
    half = width // 2
    falls = -math.log(10000) / (half - 1)
    rates = torch.exp(torch.arange(half, device=places.device) * falls)
    angles = places[:, :, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def frame_map(frames: Int64[Tensor, "b w"]) -> Int64[Tensor, "b t"]:
    """The map of frames of words that last so long; t is the longest sum.

    >>> frame_map(torch.tensor([[2, 0, 1], [1, 0, 0]])).tolist()
    [[1, 1, 3], [1, 0, 0]]
    """
    ends = frames.cumsum(1)
    at = torch.arange(int(ends[:, -1].max()), device=frames.device)[None].expand(len(frames), -1)
    found = torch.searchsorted(ends, at.contiguous(), right=True) + 1
    return torch.where(at < ends[:, -1:], found, 0)


def cut_to_multiple(frames: Int64[Tensor, "b w"], multiple: int) -> Int64[Tensor, "b w"]:
    """Frames of words whose sum is a multiple: up to multiple - 1 frames go at the end.

    A text shorter than one multiple lasts that long instead.

    >>> cut_to_multiple(torch.tensor([[3, 2, 4, 1], [1, 1, 0, 0]]), 4).tolist()
    [[3, 2, 3, 0], [1, 3, 0, 0]]
    """
    ends = frames.cumsum(1)
    last = (ends < ends[:, -1:]).sum(1, keepdim=True).clamp(max=frames.shape[1] - 1)
    whole = (ends[:, -1:] // multiple * multiple).clamp(min=multiple)
    missing = (whole - ends[:, -1:]).clamp(min=0)  # of a text that is too short
    frames = frames.scatter_add(1, last, missing)
    ends = frames.cumsum(1).clamp(max=whole)
    return torch.diff(ends, dim=1, prepend=torch.zeros_like(whole))


def shared_out(
    wishes: Real[Tensor, "b n"], words: Int64[Tensor, "b n"], frames: Int64[Tensor, "b w"]
) -> Int64[Tensor, "b n"]:
    """Whole durations of tokens that sum up to their word's, in proportion to their wishes.

    Ends of tokens are rounded, not durations, so that nothing is lost.

    >>> shared_out(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[1, 1, 2]]),
    ...            torch.tensor([[4, 5]])).tolist()
    [[1, 3, 5]]
    """
    most = frames.shape[1]
    wishes = torch.where(words > 0, wishes.double(), 0.0)
    totals = summed(wishes, words, most)
    before = nn.functional.pad(totals.cumsum(1) - totals, (1, 0))
    share = (wishes.cumsum(1) - before.gather(1, words)) / nn.functional.pad(totals, (1, 0)).gather(
        1, words
    ).clamp(min=1e-12)
    share = torch.where(place_in_word(words, most) == 1, 1.0, share)
    room = nn.functional.pad(frames, (1, 0))
    starts = (nn.functional.pad(frames.cumsum(1), (1, 0)) - room).gather(1, words)
    ends = starts + (share * room.gather(1, words)).round().long()
    ends = torch.where(words > 0, ends, 0).cummax(1).values
    return torch.diff(ends, dim=1, prepend=ends.new_zeros(len(ends), 1))
