"""The blocks that PortaSpeech shares with VITS, against transformers' VitsModel."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sonograph.nn.couplings import ResidualFlow
from sonograph.nn.relative_encoder import RelativeEncoder
from sonograph.nn.wavenet import WaveNet
from sonograph.weights import rename

vits = pytest.importorskip("transformers.models.vits.modeling_vits")

WAVENET = (
    ("in_layers.{}.parametrizations.weight.original0", "layers.gates.{}.weight_g"),
    ("in_layers.{}.parametrizations.weight.original1", "layers.gates.{}.weight_v"),
    ("in_layers.{}.bias", "layers.gates.{}.bias"),
    ("res_skip_layers.{}.parametrizations.weight.original0", "layers.outputs.{}.weight_g"),
    ("res_skip_layers.{}.parametrizations.weight.original1", "layers.outputs.{}.weight_v"),
    ("res_skip_layers.{}.bias", "layers.outputs.{}.bias"),
    ("cond_layer.parametrizations.weight.original0", "condition.weight_g"),
    ("cond_layer.parametrizations.weight.original1", "condition.weight_v"),
    ("cond_layer.bias", "condition.bias"),
)
ENCODER = (
    ("layers.{}.attention.q_proj.{}", "blocks.{}.attention.query.{}"),
    ("layers.{}.attention.k_proj.{}", "blocks.{}.attention.key.{}"),
    ("layers.{}.attention.v_proj.{}", "blocks.{}.attention.value.{}"),
    ("layers.{}.attention.out_proj.{}", "blocks.{}.attention.project.{}"),
    ("layers.{}.attention.emb_rel_k", "blocks.{}.attention.relative_keys"),
    ("layers.{}.attention.emb_rel_v", "blocks.{}.attention.relative_values"),
    ("layers.{}.layer_norm.{}", "blocks.{}.norm1.{}"),
    ("layers.{}.final_layer_norm.{}", "blocks.{}.norm2.{}"),
    ("layers.{}.feed_forward.conv_1.{}", "blocks.{}.feedforward.expand.{}"),
    ("layers.{}.feed_forward.conv_2.{}", "blocks.{}.feedforward.contract.{}"),
)


def config(**changes: object) -> Any:
    from transformers import VitsConfig

    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 24,
        "flow_size": 8,
        "speaker_embedding_size": 6,
        "num_speakers": 2,
        "prior_encoder_num_wavenet_layers": 3,
        "attn_implementation": "eager",
    }
    return VitsConfig(**(small | changes))


def shaken(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights far from their start, those that begin at 0 or 1 too."""
    torch.manual_seed(0)
    for weight in module.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    module.eval()
    return module.state_dict()


@torch.no_grad()
def test_text_encoder_is_that_of_vits() -> None:
    torch.manual_seed(1)
    theirs = vits.VitsEncoder(config())
    state = rename(shaken(theirs), ENCODER)
    ours = RelativeEncoder(16, 24, 2, 2, kernels=(3, 3), prenet=False, eps=1e-5).eval()
    for name, value in state.items():
        if value.shape != ours.state_dict()[name].shape:  # linear there, of kernel 1 here
            value = value[0] if "relative" in name else value[..., None]
        ours.state_dict()[name].copy_(value)
    x = torch.randn(2, 13, 16)
    mask = torch.arange(13) < torch.tensor([13, 9])[:, None]
    want = theirs(x, mask[..., None].float(), mask.long())[0]
    found = ours(x.transpose(1, 2), mask[:, None].float()).transpose(1, 2)
    torch.testing.assert_close(found, want, atol=2e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("rate", [1, 2])
def test_wavenet_is_that_of_vits(rate: int) -> None:
    torch.manual_seed(1)
    theirs = vits.VitsWaveNet(config(wavenet_dilation_rate=rate), num_layers=3)
    state = rename(shaken(theirs), WAVENET)
    ours = WaveNet(16, 5, 3, channels=6, dilation_rate=rate).eval()
    ours.load_state_dict(state)
    x, told = torch.randn(2, 16, 20), torch.randn(2, 6, 1)
    mask = (torch.arange(20) < torch.tensor([20, 11])[:, None])[:, None].float()
    want = theirs(x * mask, mask, told)
    torch.testing.assert_close(ours(x * mask, mask, told), want, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_residual_flow_is_that_of_vits() -> None:
    torch.manual_seed(1)
    theirs = vits.VitsResidualCouplingBlock(config(prior_encoder_num_flows=4))
    table = [
        ("flows.{}.conv_pre.{}", "couplings.{}.start.{}"),
        ("flows.{}.conv_post.{}", "couplings.{}.end.{}"),
        *((f"flows.{{}}.wavenet.{a}", f"couplings.{{}}.wavenet.{b}") for a, b in WAVENET),
    ]
    ours = ResidualFlow(8, 16, 5, 3, condition=6).eval()
    ours.load_state_dict(rename(shaken(theirs), table))
    x, told = torch.randn(2, 8, 12), torch.randn(2, 6, 1)
    mask = (torch.arange(12) < torch.tensor([12, 7])[:, None])[:, None].float()
    y = ours(x * mask, mask, told).values
    torch.testing.assert_close(y, theirs(x * mask, mask, told), atol=1e-5, rtol=1e-5)
    back = theirs(y, mask, told, reverse=True)
    torch.testing.assert_close(ours.inverse(y, mask, told).values, back, atol=1e-5, rtol=1e-5)
