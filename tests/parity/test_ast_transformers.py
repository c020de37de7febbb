"""SSAST's encoder against the Hugging Face AST class on the same weights."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.heads import Classifier
from sonograph.systems.represent import ssast

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")


def hugging_face_state(model: Classifier) -> dict[str, torch.Tensor]:
    """Our weights under the names of `ASTForAudioClassification`."""
    ours, there = model.state_dict(), {}
    base = "audio_spectrogram_transformer"
    there[f"{base}.embeddings.cls_token"] = ours["encoder.special"][:, :1]
    there[f"{base}.embeddings.distillation_token"] = ours["encoder.special"][:, 1:]
    there[f"{base}.embeddings.position_embeddings"] = ours["encoder.positions"]
    for part in ("weight", "bias"):
        there[f"{base}.embeddings.patch_embeddings.projection.{part}"] = ours[
            f"encoder.patches.project.{part}"
        ]
        there[f"{base}.layernorm.{part}"] = ours[f"encoder.norm.{part}"]
        there[f"classifier.layernorm.{part}"] = ours[f"head.norm.{part}"]
        there[f"classifier.dense.{part}"] = ours[f"head.project.{part}"]
        for n in range(model.encoder.config.depth):
            mine = f"encoder.blocks.{n}"
            q, k, v = ours[f"{mine}.attention.qkv.{part}"].chunk(3)
            there[f"{base}.layers.{n}.attention.q_proj.{part}"] = q
            there[f"{base}.layers.{n}.attention.k_proj.{part}"] = k
            there[f"{base}.layers.{n}.attention.v_proj.{part}"] = v
            for our_name, their_name in (
                ("attention.project", "attention.o_proj"),
                ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
                ("feedforward.expand", "mlp.fc1"),
                ("feedforward.contract", "mlp.fc2"),
            ):
                there[f"{base}.layers.{n}.{their_name}.{part}"] = ours[f"{mine}.{our_name}.{part}"]
    return there


def both(config: ssast.Config, labels: int = 5) -> tuple[Classifier, torch.nn.Module]:
    """Our classifier and theirs, on the same random weights."""
    torch.manual_seed(0)
    ours = Classifier(ssast.SSAST(config), [str(n) for n in range(labels)], "special", 1e-6)
    for parameter in ours.parameters():  # biases and norms away from 0 and 1, so that all count
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    theirs = transformers.ASTForAudioClassification(
        transformers.ASTConfig(
            num_hidden_layers=config.depth,
            hidden_size=config.width,
            num_attention_heads=config.num_heads,
            intermediate_size=4 * config.width,
            patch_size=config.patch[0],
            frequency_stride=config.stride[0],
            time_stride=config.stride[1],
            max_length=config.frames,
            num_labels=labels,
            layer_norm_eps=1e-6,
        )
    )
    theirs.load_state_dict(hugging_face_state(ours))
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("stride", [(16, 16), (10, 10)])
@torch.no_grad()
def test_forward_equals_transformers(stride: tuple[int, int]) -> None:
    config = ssast.test().override(stride=list(stride))
    ours, theirs = both(config)
    features = torch.randn(2, 128, config.frames)
    want = theirs(features.transpose(1, 2), output_hidden_states=True)
    tokens = ours.encoder(features)
    got = torch.cat([tokens.special, tokens.values], dim=1)
    base = theirs.audio_spectrogram_transformer(features.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(got, base, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(ours(features), want.logits, rtol=1e-4, atol=2e-5)


def test_gradients_equal_transformers() -> None:
    config = ssast.test()
    ours, theirs = both(config)
    features, labels = torch.randn(2, 128, config.frames), torch.tensor([0, 3])
    torch.nn.functional.cross_entropy(ours(features), labels).backward()
    theirs(features.transpose(1, 2), labels=labels).loss.backward()
    ours_grad = ours.encoder.patches.project.weight.grad
    base = theirs.audio_spectrogram_transformer
    want = base.embeddings.patch_embeddings.projection.weight.grad
    torch.testing.assert_close(ours_grad, want, rtol=1e-4, atol=1e-6)
