"""Predictors, length regulator and post-net beside those of Hugging Face's FastSpeech2Conformer."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.length_regulator import lengthen
from sonograph.nn.postnet import Postnet
from sonograph.nn.variance import Predictor

peer = pytest.importorskip(
    "transformers.models.fastspeech2_conformer.modeling_fastspeech2_conformer"
)


def config(**changes):
    from transformers import FastSpeech2ConformerConfig

    return FastSpeech2ConformerConfig(hidden_size=24, num_mel_bins=10, **changes)


def take(ours: Predictor, theirs: torch.nn.Module) -> None:
    """Their weights into ours."""
    for k, layer in enumerate(theirs.conv_layers):
        ours.convolutions[k].load_state_dict(layer.conv.state_dict())
        ours.norms[k].load_state_dict(layer.layer_norm.state_dict())
    ours.project.load_state_dict(theirs.linear.state_dict())


@torch.no_grad()
def test_duration_predictor():
    torch.manual_seed(0)
    theirs = peer.FastSpeech2ConformerDurationPredictor(
        config(duration_predictor_channels=16, duration_predictor_kernel_size=3)
    ).train()
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    ours = Predictor(24, 16, layers=len(theirs.conv_layers)).eval()
    take(ours, theirs)
    x = torch.randn(2, 7, 24)
    torch.testing.assert_close(ours(x)[..., 0], theirs(x))  # in training it answers in logs


@pytest.mark.parametrize(("layers", "kernel"), [(5, 5), (2, 3)])  # its pitch, its energy
@torch.no_grad()
def test_variance_predictor(layers, kernel):
    torch.manual_seed(0)
    theirs = peer.FastSpeech2ConformerVariancePredictor(
        config(), num_layers=layers, num_chans=16, kernel_size=kernel
    ).eval()
    ours = Predictor(24, 16, layers=layers, kernel=kernel).eval()
    take(ours, theirs)
    x = torch.randn(2, 9, 24)
    torch.testing.assert_close(ours(x), theirs(x))


@torch.no_grad()
def test_length_regulator():
    torch.manual_seed(0)
    x, durations = torch.randn(2, 4, 3), torch.tensor([[1, 0, 3, 2], [2, 2, 0, 0]])
    torch.testing.assert_close(lengthen(x, durations), peer.length_regulator(x, durations))


@torch.no_grad()
def test_post_net():
    torch.manual_seed(0)
    settings = config(speech_decoder_postnet_layers=4, speech_decoder_postnet_units=12)
    theirs = peer.FastSpeech2ConformerSpeechDecoderPostnet(settings).eval()
    ours = Postnet(10, width=12, layers=4).eval()
    for k, layer in enumerate(theirs.layers):
        norm = layer.batch_norm
        norm.running_mean.normal_()
        ours.norms[k].load_state_dict(norm.state_dict())
        ours.convolutions[k].weight.copy_(layer.conv.weight)
        ours.convolutions[k].bias.zero_()
    mel = torch.randn(2, 8, 10)
    x = mel.transpose(1, 2)
    for layer in theirs.layers:
        x = layer(x)
    torch.testing.assert_close(ours(mel), x.transpose(1, 2))
