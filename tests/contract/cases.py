"""What the contract is checked on: presets ending in `-test`, and what their systems offer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sonograph import registry
from sonograph.nn.heads import Classifier, Tagging

RECORDED = Path(__file__).parent / "recorded"
PRESETS = tuple(registry.presets())
SMALL = tuple(preset for preset in PRESETS if preset.name.endswith("-test"))
HEARS = ("represent", "tag")  # tasks whose systems are encoders: features to tokens
TESTED = tuple(preset for preset in SMALL if registry.system(preset.system).task in HEARS)


# and presets of another kind than their system's small one, of which as much is asked
CROSSED = (*TESTED, registry.preset("self-pretraining-digits"))


@dataclass(frozen=True)
class Case:
    """One system's small preset, with inputs that fit it."""

    preset: registry.Preset

    @property
    def module(self) -> Any:
        return registry.module(self.preset.system)

    def model(self, seed: int = 0) -> Any:
        """What the preset builds: an encoder, or a tagger around one."""
        return registry.build(self.preset.name, seed=seed).eval()

    def build(self, seed: int = 0) -> Any:
        """The encoder."""
        model = self.model(seed)
        return getattr(model, "encoder", model)

    def tagger(self, seed: int = 0) -> Any:
        """The model with its own labels, or None where the system has none."""
        model = self.model(seed)
        return model if isinstance(model, Tagging) else None

    def classifier(self, classes: int = 3) -> Classifier:
        torch.manual_seed(0)
        return Classifier(self.build(), [f"c{n}" for n in range(classes)]).eval()

    def pretraining(self) -> Any:
        """The encoder within its objective, or None where the system has none."""
        if not hasattr(self.module, "Pretraining"):
            return None
        torch.manual_seed(0)
        return self.module.Pretraining(self.build())

    def features(self, batch: int = 2, frames: int | None = None, seed: int = 1) -> torch.Tensor:
        """Noise; in a waveform each clip has a tone too, or their spectra were all alike."""
        config = self.preset.make()
        shape = (batch, config.features.rows, frames or config.frames)
        draw = torch.Generator().manual_seed(seed)
        noise = torch.randn(shape, generator=draw)
        if config.features.kind != "waveform":
            return noise
        pitch = torch.rand((batch, 1, 1), generator=draw) * math.pi
        return 0.1 * noise + torch.sin(pitch * torch.arange(shape[2]))

    @property
    def recorded(self) -> dict[str, Any]:
        """Names and shapes of weights as they were recorded, see `record.py`."""
        path = RECORDED / f"{self.preset.system}.json"
        assert path.is_file(), f"record it: python -m tests.contract.record {self.preset.system}"
        recorded = json.loads(path.read_text())
        more = recorded.get("more", {})  # of a system with several such presets
        return recorded | {"state": more.get(self.preset.name, recorded["state"])}


def shapes(state: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in state.items()}
