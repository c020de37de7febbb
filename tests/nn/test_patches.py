from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.nn.patches import PatchEmbed, patch_grid, patchify, unpatchify


def test_tokens_run_along_time_first_then_up_in_frequency():
    """A single lit pixel lights exactly one token: row of bins x columns + column of frames."""
    for row, column in ((0, 0), (0, 3), (1, 0), (2, 1)):
        features = torch.zeros(1, 12, 20)
        features[0, row * 4 + 1, column * 5 + 2] = 1
        lit = patchify(features, (4, 5))[0].sum(1)
        assert lit.nonzero().flatten().tolist() == [row * 4 + column]


def test_within_a_patch_bins_come_before_frames():
    features = torch.zeros(1, 4, 5)
    features[0, 2, 3] = 1
    assert patchify(features, (4, 5))[0, 0].nonzero().item() == 2 * 5 + 3


@pytest.mark.parametrize("stride", [(4, 5), (3, 2)])
def test_each_token_is_the_linear_map_of_its_patch(stride):
    torch.manual_seed(0)
    embed = PatchEmbed(6, (4, 5), stride)
    features = torch.randn(2, 13, 22)
    tokens = embed(features)
    rows, columns = patch_grid((13, 22), (4, 5), stride)
    assert tokens.shape == (2, rows * columns, 6)
    weight, bias = embed.project.weight.flatten(1), embed.project.bias
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride[0], column * stride[1]
            patch = features[:, top : top + 4, left : left + 5].flatten(1)
            expected = patch @ weight.T + bias
            torch.testing.assert_close(tokens[:, row * columns + column], expected)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_cut_and_put_together_again(rows, columns, bins, frames):
    features = torch.randn(2, rows * bins, columns * frames)
    cut = patchify(features, (bins, frames))
    assert torch.equal(unpatchify(cut, (bins, frames), (rows, columns)), features)


@pytest.mark.parametrize(
    ("size", "patch", "stride", "grid"),
    [
        ((128, 1024), (16, 16), (16, 16), (8, 64)),
        ((128, 1024), (16, 16), (10, 10), (12, 101)),
        ((128, 1024), (128, 2), (128, 2), (1, 512)),
        ((128, 15), (16, 16), (16, 16), (8, 0)),
    ],
)
def test_grids_of_the_paper(size, patch, stride, grid):
    assert patch_grid(size, patch, stride) == grid
