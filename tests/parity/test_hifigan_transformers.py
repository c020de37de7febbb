"""HiFi-GAN and the published layout beside the Hugging Face class, on the same weights."""

from __future__ import annotations

import pytest
import torch

from sonograph.systems.vocode import istftnet

transformers = pytest.importorskip("transformers")


def theirs_of(config: istftnet.Config) -> torch.nn.Module:
    settings = transformers.SpeechT5HifiGanConfig(
        model_in_dim=config.features.rows,
        upsample_initial_channel=config.channels,
        upsample_rates=list(config.rates),
        upsample_kernel_sizes=list(config.kernels),
        resblock_kernel_sizes=list(config.block_kernels),
        resblock_dilation_sizes=[list(d) for d in config.dilations],
        normalize_before=False,
    )
    return transformers.SpeechT5HifiGan(settings)


@pytest.mark.parametrize("channels", [32, 64])
def test_equal_outputs(channels):
    config = istftnet.hifigan_v1().override(channels=channels)
    torch.manual_seed(0)
    theirs = theirs_of(config).eval()
    for value in theirs.state_dict().values():
        torch.nn.init.normal_(value, 0, 0.05)
    theirs.mean.zero_(), theirs.scale.fill_(1.0)
    folded = istftnet.load_published(theirs.state_dict()).eval()
    theirs.apply_weight_norm()
    state = theirs.state_dict()
    assert istftnet.is_published(state)
    assert istftnet.config_from_published(state) == config
    ours = istftnet.load_published(state).eval()
    features = torch.randn(2, 80, 21)
    with torch.no_grad():
        for model in (ours, folded):
            torch.testing.assert_close(model(features), theirs(features.mT), atol=1e-5, rtol=1e-4)
