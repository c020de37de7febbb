"""TERA's blocks against the Hugging Face BERT encoder on the same weights."""

from __future__ import annotations

import pytest
import torch

from sonograph.systems.represent import tera

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")

NAMES = (
    ("attention.query", "attention.self.query"),
    ("attention.key", "attention.self.key"),
    ("attention.value", "attention.self.value"),
    ("attention.project", "attention.output.dense"),
    ("norm1", "attention.output.LayerNorm"),
    ("feedforward.expand", "intermediate.dense"),
    ("feedforward.contract", "output.dense"),
    ("norm2", "output.LayerNorm"),
)


def both() -> tuple[tera.Tera, torch.nn.Module]:
    """Our encoder and a BertModel that takes its input representation."""
    torch.manual_seed(0)
    config = tera.test()
    ours = tera.Tera(config).eval()
    for parameter in ours.parameters():  # biases and norms away from 0 and 1, so that all count
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    theirs = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            intermediate_size=config.hidden,
            max_position_embeddings=config.frames,
            layer_norm_eps=1e-12,
            vocab_size=2,
        ),
        add_pooling_layer=False,
    ).eval()
    state, mine = theirs.state_dict(), ours.state_dict()
    state["embeddings.position_embeddings.weight"] = ours.positions.values
    state["embeddings.token_type_embeddings.weight"].zero_()
    for part in ("weight", "bias"):
        state[f"embeddings.LayerNorm.{part}"] = mine[f"norm.{part}"]
        for n in range(config.depth):
            for here, there in NAMES:
                state[f"encoder.layer.{n}.{there}.{part}"] = mine[f"blocks.{n}.{here}.{part}"]
    theirs.load_state_dict(state)
    return ours, theirs


@torch.no_grad()
def test_every_layer_equals_transformers() -> None:
    ours, theirs = both()
    features = torch.randn(2, 80, 60)
    lengths = torch.tensor([60, 37])
    layers = ours.layers(features, lengths)
    tokens = ours.patch_tokens(features, lengths)
    want = theirs(
        inputs_embeds=tokens.values, attention_mask=tokens.mask.long(), output_hidden_states=True
    ).hidden_states
    assert len(layers) == len(want)
    for got, wanted in zip(layers, want):
        torch.testing.assert_close(got.values[0], wanted[0], rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(got.values[1, :37], wanted[1, :37], rtol=1e-4, atol=2e-5)
