from __future__ import annotations

import pytest
import torch

from sonograph.nn.length_regulator import average, lengthen, paced


def test_lengthens_token_by_token():
    torch.manual_seed(0)
    values, durations = torch.randn(2, 3, 4), torch.tensor([[2, 0, 3], [1, 1, 0]])
    out = lengthen(values, durations)
    want = torch.zeros(2, 5, 4)
    for k in range(2):
        row = torch.repeat_interleave(values[k], durations[k], dim=0)
        want[k, : len(row)] = row
    assert torch.equal(out, want)
    assert torch.equal(lengthen(values, durations, 7)[:, :5], want)


def test_averages_undo_it_and_count_only_what_counts():
    values, durations = torch.tensor([[1.0, 5.0]]), torch.tensor([[3, 2]])
    frames = lengthen(values[:, :, None], durations, 6)[:, :, 0]
    torch.testing.assert_close(average(frames, durations), values)
    voiced = torch.tensor([[1, 0, 1, 0, 0, 1]]).bool()
    sounds = torch.tensor([[2.0, 9.0, 4.0, 7.0, 7.0, 8.0]])
    assert average(sounds, durations, voiced).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("pace", [0.5, 0.7, 1.0, 1.5, 2.0])
def test_the_pace_is_kept_however_short_the_tokens_are(pace):
    torch.manual_seed(0)
    durations = torch.randint(0, 4, (3, 100))
    out = paced(durations, torch.full((3, 100), pace))
    assert (out >= 0).all()
    assert (out.sum(1) - durations.sum(1) / pace).abs().max() <= 0.5
    if pace == 1.0:
        assert torch.equal(out, durations)


def test_one_word_alone_may_be_slower():
    pace = torch.tensor([[1.0, 0.5, 1.0]])
    assert paced(torch.tensor([[3, 4, 5]]), pace).tolist() == [[3, 8, 5]]
