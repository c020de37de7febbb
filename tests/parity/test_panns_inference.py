"""PANNs against the authors' own package, panns-inference: waveform in, tags and events out."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.systems.tag import panns

PACKAGE = "panns_inference"
RATE_HZ, WINDOW, HOP, BINS, LOW_HZ, HIGH_HZ = 32000, 1024, 320, 64, 50, 14000
LABELS = 527

# Not by importing it, which fetches a list of labels into the home folder.
INSTALLED = all(importlib.util.find_spec(name) for name in (PACKAGE, "torchlibrosa"))
pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="panns-inference and torchlibrosa are missing: the `parity` extra"
)


def networks() -> ModuleType:
    """`panns_inference.models`, without the `__init__` of the package."""
    if PACKAGE not in sys.modules:
        found = importlib.util.find_spec(PACKAGE)
        assert found is not None
        bare = ModuleType(PACKAGE)
        bare.__path__ = list(found.submodule_search_locations or ())
        sys.modules[PACKAGE] = bare
    return importlib.import_module(f"{PACKAGE}.models")


def both(name: str, preset: str) -> tuple[panns.PANNs, Any]:
    """Our tagger and their network of this class, on the same random weights."""
    torch.manual_seed(0)
    theirs = getattr(networks(), name)(RATE_HZ, WINDOW, HOP, BINS, LOW_HZ, HIGH_HZ, LABELS)
    for module in theirs.modules():  # batch norms must have work to do
        if isinstance(module, torch.nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_(0, 0.1)
            module.get_buffer("running_var").uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
    theirs.bn0.get_buffer("running_mean").normal_(-20, 5)  # decibels of the sound below
    theirs.bn0.get_buffer("running_var").uniform_(100, 300)
    theirs.fc1.bias.data.normal_(0, 0.1)
    theirs.fc_audioset.bias.data.normal_(0, 0.1)
    return panns.load_published(theirs.state_dict(), preset).eval(), theirs.eval()


def sound(seconds: float) -> torch.Tensor:
    """Two clips: a chirp in noise, and a noise that fades."""
    count = round(seconds * RATE_HZ)
    time = torch.arange(count) / RATE_HZ
    noise = torch.randn(2, count, generator=torch.Generator().manual_seed(1))
    chirp = torch.sin(2 * torch.pi * (200 + 900 * time) * time)
    return torch.stack([0.3 * chirp + 0.02 * noise[0], 0.2 * (-3 * time).exp() * noise[1]])


def apart(got: torch.Tensor, want: torch.Tensor) -> None:
    """Equal, and worth comparing: the scores are no constant."""
    assert float(want.std()) > 0.01
    torch.testing.assert_close(got, want, rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_tags_and_embedding_of_cnn14() -> None:
    ours, theirs = both("Cnn14", "panns-cnn14")
    waveform = sound(1.5)
    want = theirs(waveform)
    features = Frontend(ours.spec)(waveform).values
    apart(ours.scores(ours(features)), want["clipwise_output"])
    apart(ours.encoder(features).special[:, 0], want["embedding"])


@torch.inference_mode()
def test_tags_and_events_of_the_decision_level_network() -> None:
    ours, theirs = both("Cnn14_DecisionLevelMax", "panns-cnn14-decision-max")
    waveform = sound(1.5)
    want = theirs(waveform)
    features = Frontend(ours.spec)(waveform).values
    apart(ours.scores(ours(features)), want["clipwise_output"])
    apart(ours.events(features).transpose(1, 2), want["framewise_output"])
