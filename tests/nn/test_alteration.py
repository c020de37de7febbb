from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn.alteration import (
    FREQUENCY,
    MAGNITUDE,
    TIME,
    TIME_FREQUENCY,
    Alteration,
    alter,
)


def features(batch: int = 4, frames: int = 100, rows: int = 80) -> torch.Tensor:
    return torch.randn(batch, rows, frames, generator=torch.Generator().manual_seed(3))


def test_a_step_is_a_function_of_its_key():
    x = features()
    first, again, other = alter(x, None, 5), alter(x, None, 5), alter(x, None, 6)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)


def test_padding_and_neighbours_do_not_change_an_alteration():
    x = features(2, 60)
    padded = torch.nn.functional.pad(x, (0, 40), value=9.0)
    long, short = alter(padded, torch.tensor([60, 60]), 1), alter(x, None, 1)
    assert torch.equal(long.features[:, :, :60], short.features)
    assert torch.equal(long.features[:, :, 60:], padded[:, :, 60:])
    assert not long.positions[:, :, 60:].any()
    assert torch.equal(alter(x[:1], None, 1).features, short.features[:1])


def test_what_is_not_at_the_positions_stays():
    x = features(32)
    altered = alter(x, None, 2, TIME_FREQUENCY)
    assert torch.equal(altered.features[~altered.positions], x[~altered.positions])


def test_shares_and_fates_are_the_published_ones():
    x = 1 + features(1500).abs()
    only_time = alter(x, None, 0, TIME)
    hidden = only_time.positions[:, 0]
    # two blocks of seven frames whose starts differ overlap now and then
    assert 0.12 < hidden.float().mean() < 0.14
    inside = only_time.positions
    zero = ((only_time.features == 0) == inside).flatten(1).all(1)
    same = (only_time.features == x).flatten(1).all(1)
    for found, chance in ((zero, 0.8), (same, 0.1), (~zero & ~same, 0.1)):
        assert abs(found.float().mean() - chance) < 0.03
    copied = only_time.features[~zero & ~same]
    assert torch.isin(copied[:, 0], x[~zero & ~same][:, 0]).all()

    bands = alter(x, None, 0, FREQUENCY).positions[:, :, 0].sum(1)
    assert bands.min() == 0
    assert bands.max() == 16
    assert abs(bands.float().mean() - 8) < 0.5

    noisy = alter(x, None, 0, Alteration(time_share=0, frequency_share=0))
    touched = (noisy.features != x).flatten(1).any(1)
    assert abs(touched.float().mean() - 0.15) < 0.03
    assert abs((noisy.features - x)[touched].std() - 0.2) < 0.01


def test_ends_are_altered_too_but_not_in_the_published_draw():
    x = features(600, 40)
    mine = alter(x, None, 0, TIME_FREQUENCY).positions
    theirs = alter(x, None, 0, TIME_FREQUENCY.override(compat="published")).positions
    last_frame, last_row = mine[:, :, -1].all(1).any(), mine[:, -1].all(1).any()
    assert last_frame
    assert last_row
    assert not theirs[:, :, -1].all(1).any()
    assert not theirs[:, -1].all(1).any()


def test_published_noise_is_for_all_or_none():
    policy = MAGNITUDE.override(noise_chance=0.5)
    some: set[int] = set()
    all_or_none: set[int] = set()
    for key in range(20):
        x = features(4, 30)
        for found, how in ((some, "none"), (all_or_none, "published")):
            altered = alter(x, None, key, policy.override(compat=how)).features
            found.add(int((altered != x).flatten(1).any(1).sum()))
    assert all_or_none == {0, 4}
    assert some - {0, 4}


@pytest.mark.parametrize("frames", [1, 3, 7, 8])
def test_very_short_utterances_are_altered(frames):
    altered = alter(features(2, frames), None, 0, TIME)
    assert altered.positions.any(1).any(1).all()


@pytest.mark.parametrize(
    "wrong",
    [{"time_share": 1.5}, {"noise_chance": -1.0}, {"block_frames": 0}, {"zero_chance": 0.95}],
)
def test_impossible_policies(wrong):
    with pytest.raises(InputError, match="Alteration"):
        Alteration(**wrong)
