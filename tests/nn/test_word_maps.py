"""Words of tokens and frames."""

from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn import word_maps as maps

TOKENS = torch.tensor([[1, 1, 1, 2, 3, 3], [1, 2, 2, 0, 0, 0]])


def test_pooling_takes_means_and_expanding_gives_them_back() -> None:
    values = torch.arange(12.0).reshape(2, 6, 1)
    pooled = maps.pooled(values, TOKENS, 4)
    assert pooled[..., 0].tolist() == [[1.0, 3.0, 4.5, 0.0], [6.0, 7.5, 0.0, 0.0]]
    spread = maps.expanded(pooled, TOKENS)[..., 0]
    assert spread.tolist() == [[1.0, 1.0, 1.0, 3.0, 4.5, 4.5], [6.0, 7.5, 7.5, 0.0, 0.0, 0.0]]
    assert maps.summed(values[..., 0], TOKENS, 3).tolist() == [[3.0, 3.0, 9.0], [6.0, 15.0, 0.0]]


def test_places_are_those_counted_word_by_word() -> None:
    places = maps.place_in_word(TOKENS, 3)
    for row, words in zip(places, TOKENS.tolist()):
        for at, word in enumerate(words):
            mine = [k for k, other in enumerate(words) if other == word]
            want = (mine.index(at) + 1) / len(mine) if word else 0.0
            assert row[at] == pytest.approx(want)


def test_sinusoid_has_sines_then_cosines() -> None:
    found = maps.sinusoid(torch.tensor([[0.0, 0.5]]), 6)
    assert found[0, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    torch.testing.assert_close(found[0, 1, 1], torch.tensor(0.5 * 10000**-0.5).sin())


@pytest.mark.parametrize("seed", range(5))
def test_durations_of_tokens_sum_up_to_their_words(seed: int) -> None:
    torch.manual_seed(seed)
    steps = (torch.rand(3, 20) < 0.4).long()
    lengths = torch.tensor([20, 13, 1])
    mask = torch.arange(20)[None] < lengths[:, None]
    words = maps.word_map(steps.cumsum(1) - steps[:, :1], mask)
    most = int(words.max())
    frames = maps.cut_to_multiple(
        torch.randint(0, 9, (3, most)) * (maps.counts(words, most) > 0), 4
    )
    assert (frames.sum(1) % 4 == 0).all()
    assert (frames >= 0).all()
    given = maps.shared_out(torch.rand(3, 20), words, frames)
    assert (given >= 0).all()
    assert (given[~mask] == 0).all()
    torch.testing.assert_close(maps.summed(given, words, most), frames)
    heard = maps.frame_map(frames)
    torch.testing.assert_close(maps.counts(heard, most), frames)
    assert (heard.diff(dim=1)[heard[:, 1:] > 0] >= 0).all()


def test_a_short_text_lasts_one_multiple() -> None:
    assert maps.cut_to_multiple(torch.tensor([[0, 0], [1, 0]]), 4).tolist() == [[4, 0], [4, 0]]
    assert maps.cut_to_multiple(torch.tensor([[3, 4, 0]]), 4).tolist() == [[3, 1, 0]]


@pytest.mark.parametrize("words", [[[1, 1]], [[0, 2]], [[0, 0, 1, 0]]])
def test_words_out_of_order_are_refused(words: list) -> None:
    tensor = torch.tensor(words)
    with pytest.raises(InputError, match="out of order"):
        maps.word_map(tensor, torch.ones_like(tensor, dtype=torch.bool))
