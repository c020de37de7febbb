"""The ConvNeXt baseline against the Hugging Face ConvNeXt on the same weights."""

from __future__ import annotations

import pytest
import torch

from sonograph.systems.tag import spectttra

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")

BLOCK = (
    ("depthwise", "dwconv"),
    ("norm", "layernorm"),
    ("expand", "pwconv1"),
    ("contract", "pwconv2"),
)


def hugging_face_state(ours: dict[str, torch.Tensor], stages: tuple[int, ...]) -> dict:
    """Weights of our ConvNeXt under the names of `ConvNextModel`."""
    there, place = {}, 2
    for part in ("weight", "bias"):
        there[f"embeddings.patch_embeddings.{part}"] = ours[f"steps.0.{part}"]
        there[f"embeddings.layernorm.{part}"] = ours[f"steps.1.{part}"]
        there[f"layernorm.{part}"] = ours[f"norm.{part}"]
    for n, depth in enumerate(stages):
        stage = f"encoder.stages.{n}"
        if n:
            for part in ("weight", "bias"):
                for k in (0, 1):
                    there[f"{stage}.downsampling_layer.{k}.{part}"] = ours[
                        f"steps.{place + k}.{part}"
                    ]
            place += 2
        for k in range(depth):
            there[f"{stage}.layers.{k}.layer_scale_parameter"] = ours[f"steps.{place}.scale"]
            for mine, theirs in BLOCK:
                for part in ("weight", "bias"):
                    there[f"{stage}.layers.{k}.{theirs}.{part}"] = ours[
                        f"steps.{place}.{mine}.{part}"
                    ]
            place += 1
    return there


@torch.no_grad()
def test_convnext_equals_transformers() -> None:
    torch.manual_seed(0)
    stages = (1, 2, 1)
    config = spectttra.test().override(
        kind="convnext", width=32, stages=list(stages), frames=64, size=[128, 64]
    )
    ours = spectttra.Detector(config).eval()
    for parameter in ours.encoder.parameters():  # the scale of 1e-6 would hide every block
        parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = transformers.ConvNextModel(
        transformers.ConvNextConfig(
            num_channels=1,
            num_stages=3,
            hidden_sizes=[8, 16, 32],
            depths=list(stages),
            patch_size=4,
            layer_norm_eps=1e-6,
        )
    ).eval()
    for module in theirs.modules():  # its last norm has another eps by default
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    theirs.load_state_dict(hugging_face_state(ours.encoder.state_dict(), stages))
    features = torch.randn(2, 128, 64)
    want = theirs(features[:, None])
    got = ours.encoder(features)
    assert got.grid == (8, 4)
    wanted = want.last_hidden_state.flatten(2).transpose(1, 2)
    torch.testing.assert_close(got.values, wanted, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(ours.vector(features), want.pooler_output, rtol=1e-4, atol=2e-5)
