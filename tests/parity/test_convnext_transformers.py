"""A block over time beside transformers' ConvNeXt-V2 layer over pictures of one row."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.convnext import ConvNeXtBlock

modeling = pytest.importorskip("transformers.models.convnextv2.modeling_convnextv2")


@torch.no_grad()
def test_same_block():
    torch.manual_seed(0)
    theirs = modeling.ConvNextV2Layer(modeling.ConvNextV2Config(), 6, drop_path=0.0).eval()
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    ours = ConvNeXtBlock(6, 24).eval()
    ours.depthwise.weight.copy_(theirs.dwconv.weight[:, :, 3])  # the row that meets the picture
    ours.depthwise.bias.copy_(theirs.dwconv.bias)
    ours.norm.load_state_dict(theirs.layernorm.state_dict())
    ours.expand.load_state_dict(theirs.pwconv1.state_dict())
    ours.response.gamma.copy_(theirs.grn.weight.flatten())
    ours.response.beta.copy_(theirs.grn.bias.flatten())
    ours.contract.load_state_dict(theirs.pwconv2.state_dict())
    x = torch.randn(2, 6, 15)
    want = theirs(x[:, :, None])[:, :, 0]
    torch.testing.assert_close(ours(x), want, rtol=1e-5, atol=1e-5)
