"""Weight norm: equal to torch's, begins as the layer, folds without a change of sound."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm as torchs

from sonograph.nn.weight_norm import fold, normed, old_names, weight_norm

LAYERS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 5, 2, 4, 2, groups=2), (2, 4, 20)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 8, 4, 2), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 4, (5, 1), (3, 1), (2, 0), bias=False), (2, 3, 12, 2)),
    "transposed2d": (lambda: nn.ConvTranspose2d(3, 4, (8, 1), (4, 1), (2, 0)), (2, 3, 5, 2)),
    "linear": (lambda: nn.Linear(5, 3), (2, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_equal_to_torch_and_to_the_layer(name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(shape)
    theirs, plain = torchs(copy.deepcopy(layer)), layer(x)
    ours = weight_norm(layer)
    torch.testing.assert_close(ours(x), plain)
    ours.weight_g.data.mul_(1.7)
    theirs.parametrizations.weight.original0.data.mul_(1.7)
    torch.testing.assert_close(ours(x), theirs(x))
    assert old_names(theirs.state_dict()).keys() == ours.state_dict().keys()
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    torch.testing.assert_close(ours.weight_v.grad, theirs.parametrizations.weight.original1.grad)


def test_folded_is_the_same_and_smaller():
    model = nn.Sequential(
        weight_norm(nn.Conv1d(2, 3, 3)), nn.ReLU(), weight_norm(nn.Conv1d(3, 2, 1))
    )
    x = torch.randn(1, 2, 7)
    before, copied = model(x), fold(copy.deepcopy(model))
    torch.testing.assert_close(copied(x), before)
    assert list(copied.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert "0.weight_g" in model.state_dict()


def test_plain_weights_get_their_norm_back_where_asked():
    layer = nn.Conv1d(2, 3, 5)
    state = {"a.weight": layer.weight.detach(), "b.weight": torch.ones(4, 2), "a.bias": layer.bias}
    found = normed(state, r"^a$")
    assert list(found) == ["a.weight_g", "a.weight_v", "b.weight", "a.bias"]
    made = weight_norm(nn.Conv1d(2, 3, 5))
    made.load_state_dict({n[2:]: v for n, v in found.items() if n.startswith("a.")})
    x = torch.randn(1, 2, 9)
    torch.testing.assert_close(made(x), layer(x))
