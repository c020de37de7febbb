from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.metrics.clusters import modes, silhouette


def clouds(count: int, spread: float = 0.3, each: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    centres = 6 * torch.eye(8)[:count]
    points = centres.repeat_interleave(each, 0) + spread * torch.randn(
        count * each, 8, generator=draw
    )
    return points, torch.arange(count).repeat_interleave(each)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_number_of_clouds_is_found(count):
    found, value = modes(clouds(count)[0], tries=8)
    assert found == count
    assert value > 0.8


def test_one_cloud_is_one_mode():
    points = torch.randn(60, 8, generator=torch.Generator().manual_seed(2))
    count, value = modes(points)
    assert count == 1
    assert value < 0.25


def test_one_cluster_has_no_silhouette():
    with pytest.raises(InputError, match="two clusters"):
        silhouette(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64))


def test_too_few_points_are_one_mode():
    assert modes(torch.randn(2, 3)) == (1, -1.0)
