"""One direction of our Mamba layer against Hugging Face's classes on the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sonograph.nn.mamba import Mamba

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")

# of MambaMixer, of ours
NAMES = (
    ("in_proj.weight", "expand.weight"),
    ("conv1d.weight", "directions.0.conv.weight"),
    ("conv1d.bias", "directions.0.conv.bias"),
    ("x_proj.weight", "directions.0.select.weight"),
    ("dt_proj.weight", "directions.0.step.weight"),
    ("dt_proj.bias", "directions.0.step.bias"),
    ("A_log", "directions.0.log_rates"),
    ("D", "directions.0.skip"),
    ("out_proj.weight", "contract.weight"),
)


def both(width: int, states: int = 16, depth: int = 1) -> tuple[nn.ModuleList, nn.Module]:
    """Our layers, and the model that holds theirs, on the same random weights."""
    torch.manual_seed(0)
    ours = nn.ModuleList(Mamba(width, states=states) for _ in range(depth))
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    theirs = transformers.MambaModel(
        transformers.MambaConfig(
            vocab_size=2, hidden_size=width, state_size=states, num_hidden_layers=depth
        )
    ).eval()
    for layer, block in zip(ours, theirs.layers):
        state = layer.state_dict()
        block.mixer.load_state_dict({theirs_: state[mine] for theirs_, mine in NAMES})
    return ours.eval(), theirs


@pytest.mark.parametrize(("width", "states"), [(24, 16), (40, 5)])
def test_a_layer_and_its_gradients_equal_transformers(width, states):
    ours, theirs = both(width, states)
    layer, mixer = ours[0], theirs.layers[0].mixer
    one, other = (torch.randn(2, 33, width).requires_grad_() for _ in range(2))
    other.data.copy_(one.data)
    got, want = layer(one), mixer(other)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    got.square().sum().backward()
    want.square().sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    for name, mine in NAMES:
        a, b = layer.get_parameter(mine).grad, mixer.get_parameter(name).grad
        assert (a - b).norm() <= 1e-4 * b.norm(), name


@torch.no_grad()
def test_a_stack_equals_transformers():
    """Pre-norm residual blocks with RMS norms, as `MambaModel` puts them together."""
    ours, theirs = both(24, depth=3)
    x = torch.randn(2, 21, 24)
    want = theirs(inputs_embeds=x).last_hidden_state
    for layer in ours:
        x = x + layer(nn.functional.rms_norm(x, (24,), eps=1e-5))
    got = nn.functional.rms_norm(x, (24,), eps=1e-5)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
