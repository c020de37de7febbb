"""Gated relative attention and convolutional positions against the Hugging Face WavLM classes."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.conv_positions import ConvPositions
from sonograph.nn.gated_bias import GatedAttention, GatedTransformer, RelativeTable

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")

WIDTH, HEADS, DEPTH, KERNEL, GROUPS = 32, 4, 3, 8, 4
BUCKETS, FARTHEST = 32, 40  # so that 90 tokens reach every kind of bucket


class Ours(torch.nn.Module):
    """WavLM's encoder of our parts."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = ConvPositions(WIDTH, KERNEL, GROUPS)
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.transformer = GatedTransformer(
            WIDTH, DEPTH, HEADS, 64, BUCKETS, FARTHEST, arrangement="post", gate_from="input"
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)
        return self.transformer(self.norm(x + self.positions(x)), mask)


def hugging_face_state(ours: Ours) -> dict[str, torch.Tensor]:
    """Our weights under the names of `WavLMEncoder`."""
    state = ours.state_dict()
    kernel = "pos_conv_embed.conv.parametrizations.weight"
    there = {
        f"{kernel}.original0": state["positions.gain"],
        f"{kernel}.original1": state["positions.direction"],
        "pos_conv_embed.conv.bias": state["positions.bias"],
        "layers.0.attention.rel_attn_embed.weight": state["transformer.relative.weight"],
    }
    for part in ("weight", "bias"):
        there[f"layer_norm.{part}"] = state[f"norm.{part}"]
        for n in range(DEPTH):
            for mine, name in (
                ("attention.query", "attention.q_proj"),
                ("attention.key", "attention.k_proj"),
                ("attention.value", "attention.v_proj"),
                ("attention.project", "attention.out_proj"),
                ("attention.gate", "attention.gru_rel_pos_linear"),
                ("norm1", "layer_norm"),
                ("feedforward.expand", "feed_forward.intermediate_dense"),
                ("feedforward.contract", "feed_forward.output_dense"),
                ("norm2", "final_layer_norm"),
            ):
                there[f"layers.{n}.{name}.{part}"] = state[f"transformer.blocks.{n}.{mine}.{part}"]
    for n in range(DEPTH):
        there[f"layers.{n}.attention.gru_rel_pos_const"] = state[
            f"transformer.blocks.{n}.attention.gate_scale"
        ]
    return there


def both() -> tuple[Ours, torch.nn.Module]:
    """Ours and theirs on the same random weights."""
    from transformers.models.wavlm.modeling_wavlm import WavLMEncoder

    torch.manual_seed(0)
    ours = Ours()
    for parameter in ours.parameters():  # biases and gates away from 0 and 1, so that all count
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    ours.transformer.relative.weight.data.mul_(20)
    theirs = WavLMEncoder(
        transformers.WavLMConfig(
            hidden_size=WIDTH,
            num_hidden_layers=DEPTH,
            num_attention_heads=HEADS,
            intermediate_size=64,
            num_conv_pos_embeddings=KERNEL,
            num_conv_pos_embedding_groups=GROUPS,
            num_buckets=BUCKETS,
            max_bucket_distance=FARTHEST,
        )
    )
    theirs.load_state_dict(hugging_face_state(ours))
    return ours.eval(), theirs.eval()


@torch.no_grad()
def test_encoder_equals_transformers() -> None:
    ours, theirs = both()
    x = torch.randn(2, 90, WIDTH)
    torch.testing.assert_close(ours(x), theirs(x).last_hidden_state, rtol=1e-4, atol=2e-5)


@torch.no_grad()
def test_padded_encoder_equals_transformers() -> None:
    ours, theirs = both()
    x, mask = torch.randn(2, 40, WIDTH), torch.ones(2, 40, dtype=torch.bool)
    mask[1, 25:] = False
    want = theirs(x.clone(), attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours(x, mask), want, rtol=1e-4, atol=2e-5)


def test_gradients_equal_transformers() -> None:
    ours, theirs = both()
    x = torch.randn(2, 30, WIDTH)
    ours(x).square().sum().backward()
    theirs(x).last_hidden_state.square().sum().backward()
    for mine, name in (
        (ours.transformer.relative.weight, "layers.0.attention.rel_attn_embed.weight"),
        (ours.transformer.blocks[1].attention.gate.weight, "layers.1.attention.gru_rel_pos_linear"),
        (ours.positions.gain, "pos_conv_embed.conv.parametrizations.weight.original0"),
    ):
        named = dict(theirs.named_parameters())
        want = named[name if name in named else f"{name}.weight"].grad
        torch.testing.assert_close(mine.grad, want, rtol=1e-3, atol=2e-5)


@torch.no_grad()
def test_gates_of_queries_equal_those_of_an_input_that_is_its_own_query() -> None:
    """BEATs gates by the query, WavLM by the input: with q = x they are one."""
    _, theirs = both()
    attention = theirs.layers[0].attention
    attention.q_proj.weight.copy_(torch.eye(WIDTH))
    attention.q_proj.bias.zero_()
    ours, table = GatedAttention(WIDTH, HEADS, "query"), RelativeTable(HEADS, BUCKETS, FARTHEST)
    table.weight.copy_(attention.rel_attn_embed.weight)
    for mine, name in (
        (ours.query, "q_proj"),
        (ours.key, "k_proj"),
        (ours.value, "v_proj"),
        (ours.project, "out_proj"),
        (ours.gate, "gru_rel_pos_linear"),
    ):
        mine.load_state_dict(getattr(attention, name).state_dict())
    ours.gate_scale.copy_(attention.gru_rel_pos_const)
    x = torch.randn(2, 50, WIDTH)
    torch.testing.assert_close(ours(x, table(50)), attention(x)[0], rtol=1e-4, atol=2e-5)
