from __future__ import annotations

import itertools
import math

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn import monotonic


def paths(frames: int, tokens: int):
    """Durations of every monotonic path."""
    for cuts in itertools.combinations(range(1, frames), tokens - 1):
        ends = [0, *cuts, frames]
        yield [b - a for a, b in itertools.pairwise(ends)]


def total(scores: torch.Tensor, durations: list[int]) -> float:
    frame, sum_ = 0, 0.0
    for token, count in enumerate(durations):
        sum_ += scores[frame : frame + count, token].sum().item()
        frame += count
    return sum_


@pytest.mark.parametrize("tie", ["diagonal", "stay"])
def test_the_best_path_of_all(tie):
    torch.manual_seed(0)
    frames, tokens = torch.tensor([7, 5, 3, 4]), torch.tensor([3, 4, 3, 1])
    scores = torch.randn(4, 8, 5)
    found = monotonic.search(scores, frames, tokens, tie)
    for k in range(4):
        t, n = int(frames[k]), int(tokens[k])
        best = max(paths(t, n), key=lambda d: total(scores[k], d))
        assert found.frames[k, :n].tolist() == best
        assert found.frames[k, n:].sum() == 0
        assert found.score[k].item() == pytest.approx(total(scores[k], best) / t, abs=1e-5)


def test_a_tie_goes_where_it_is_told():
    flat, three, two = torch.zeros(1, 3, 2), torch.tensor([3]), torch.tensor([2])
    # read from the end, the diagonal move is the first one met
    assert monotonic.search(flat, three, two, "diagonal").frames.tolist() == [[2, 1]]
    assert monotonic.search(flat, three, two, "stay").frames.tolist() == [[1, 2]]


def test_equals_the_package():
    package = pytest.importorskip("monotonic_alignment_search")
    torch.manual_seed(1)
    frames, tokens = torch.tensor([60, 41, 30]), torch.tensor([20, 20, 7])
    scores = torch.randn(3, 60, 20)
    scores[2] = 0  # all ties
    mask = (torch.arange(60) < frames[:, None])[:, :, None] & (torch.arange(20) < tokens[:, None])[
        :, None
    ]
    want = package.maximum_path(
        scores.transpose(1, 2).contiguous(), mask.transpose(1, 2).float(), implementation="cython"
    )
    found = monotonic.search(scores, frames, tokens, "stay").frames
    assert torch.equal(monotonic.to_hard(found, 60), want.transpose(1, 2))


def test_forbidden_cells_are_not_taken_and_no_path_is_an_error():
    scores = torch.zeros(1, 4, 2)
    scores[0, 1, 0] = -math.inf
    lengths = torch.tensor([4]), torch.tensor([2])
    assert monotonic.search(scores, *lengths).frames.tolist() == [[1, 3]]
    scores[0, 1] = math.nan
    with pytest.raises(InputError, match="clip prompt cannot be aligned"):
        monotonic.search(scores, *lengths, names=["prompt"])


def test_too_few_frames_are_named():
    scores = torch.zeros(2, 3, 4)
    with pytest.raises(InputError, match="clip b has 3 frames for 4 tokens"):
        monotonic.search(scores, torch.tensor([3, 3]), torch.tensor([2, 4]), names=["a", "b"])
    with pytest.raises(InputError, match="number 0 has 3 frames for 0 tokens"):
        monotonic.search(scores, torch.tensor([3, 3]), torch.tensor([0, 1]))


def said(path: tuple[int, ...]) -> list[int]:
    return [c for c, _ in itertools.groupby(path) if c != 0]


@pytest.mark.parametrize("target", [[1, 2], [1, 1], [2]])
def test_forced_alignment_is_the_best_of_all_paths(target):
    torch.manual_seed(len(target) + target[0])
    logs = torch.randn(1, 5, 3).log_softmax(2)
    targets, length = torch.tensor([[*target, 9, 9]]), torch.tensor([len(target)])
    found = monotonic.forced(logs, targets, torch.tensor([5]), length)
    allowed = [p for p in itertools.product(range(3), repeat=5) if said(p) == target]
    score = lambda p: sum(logs[0, t, c].item() for t, c in enumerate(p))  # noqa: E731
    best = max(allowed, key=score)
    assert found.score.item() == pytest.approx(score(best) / 5, abs=1e-5)
    assert found.frames.sum() == 5
    assert found.frames[0, len(target) :].sum() == 0
    runs = [(c, len(list(g))) for c, g in itertools.groupby(best)]
    spoken = [n for c, n in runs if c != 0]
    assert all(a >= b for a, b in zip(found.frames[0].tolist(), spoken))


def test_blanks_are_shared_out():
    path = [0, 1, 0, 0, 0, 2, 0]
    logs = torch.full((1, 7, 3), -9.0)
    logs[0, torch.arange(7), path] = 0.0
    found = monotonic.forced(logs, torch.tensor([[1, 2]]), torch.tensor([7]), torch.tensor([2]))
    assert found.frames.tolist() == [[1 + 1 + 2, 1 + 1 + 1]]
    with pytest.raises(InputError, match="2 frames for 3 tokens"):
        monotonic.forced(logs, torch.tensor([[1, 1]]), torch.tensor([2]), torch.tensor([2]))


def test_the_most_diagonal_head_is_asked():
    flat = torch.full((2, 6, 3), 1 / 3)
    sharp = monotonic.to_hard(torch.tensor([[2, 3, 1], [4, 1, 0]]), 6)
    attention = torch.stack([flat, 0.9 * sharp + 0.1 * flat])
    frames, tokens = torch.tensor([6, 5]), torch.tensor([3, 2])
    found = monotonic.from_attention(attention, frames, tokens)
    assert found.frames.tolist() == [[2, 3, 1], [4, 1, 0]]
    rates = monotonic.focus_rate(attention, frames, tokens)
    torch.testing.assert_close(rates[0], torch.full((2,), 1 / 3))
    torch.testing.assert_close(found.score, rates[1])


def test_hard_alignments_and_durations_are_two_faces_of_one_thing():
    durations = torch.tensor([[2, 0, 3], [1, 1, 0]])
    hard = monotonic.to_hard(durations, 6)
    assert torch.equal(monotonic.of_hard(hard), durations)
    assert monotonic.of_hard(hard, torch.tensor([3, 2])).tolist() == [[2, 0, 1], [1, 1, 0]]
    index = monotonic.token_of_frame(durations, 6)
    assert index.tolist() == [[0, 0, 2, 2, 2, -1], [0, 1, -1, -1, -1, -1]]
    assert torch.equal(hard.sum(2), (index >= 0).float())
