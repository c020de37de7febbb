from __future__ import annotations

import dataclasses

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn.patch_encoder import PatchConfig, refitted, with_published_input
from sonograph.systems.represent import ssamba, ssast


def tuned(places: int, special: int) -> dict[str, torch.Tensor]:
    """What a fine-tuned file tells of its input."""
    head = torch.zeros(3, 4, device="meta")
    table = torch.zeros(1, special + places, 4, device="meta")
    return {"v.pos_embed": table, "mlp_head.1.weight": head}


@pytest.mark.parametrize("frames", [128, 512, 1024])
@pytest.mark.parametrize("stride", [(16, 16), (10, 10)])
@pytest.mark.parametrize("special", [1, 2])
def test_the_input_of_a_fine_tuned_file(frames, stride, special):
    want = PatchConfig(frames=frames, stride=stride)
    rows, columns = want.grid
    found = with_published_input(PatchConfig(), tuned(rows * columns, special), special)
    assert found == want


def test_any_length_is_possible_only_with_the_last_stride():
    config = PatchConfig(patch=(128, 2), stride=(128, 2))
    state = tuned(299, 2)  # 300 frames one by one
    found = with_published_input(config, state, 2, strides=((128, 1),))
    assert (found.frames, found.stride) == (300, (128, 1))
    with pytest.raises(InputError, match="299 positions"):
        with_published_input(config, state, 2)


def test_a_pre_training_file_says_its_length():
    state = tuned(9, 2) | {"p_input_tdim": torch.tensor(777)}
    assert with_published_input(PatchConfig(), state, 2).frames == 777


@pytest.mark.parametrize("module", [ssast, ssamba])
def test_refitted_keeps_all_but_the_positions(module):
    torch.manual_seed(0)
    encoder = module.build(dataclasses.replace(module.test(), frames=160))
    shorter = refitted(encoder, frames=96)
    assert type(shorter) is type(encoder)
    assert shorter.grid == (8, 6)
    for name, value in shorter.state_dict().items():
        if name != "positions":
            assert torch.equal(value, encoder.state_dict()[name])
    special = encoder.positions.shape[1] - 8 * 10
    torch.testing.assert_close(shorter.positions[:, :special], encoder.positions[:, :special])
    middle = encoder.positions[:, special:].unflatten(1, (8, 10))[:, :, 2:8]
    torch.testing.assert_close(shorter.positions[:, special:], middle.flatten(1, 2))
