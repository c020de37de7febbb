"""The Kaldi front-end's golden cases: SSAST's and BEATs' recipes, 128 and 80 bins."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from tests.golden.patches import named_signal

MEASURE = "max_abs"

RAW = FeatureSpec(mean=0.0, deviation=1.0)
BEATS = RAW.override(window="povey", waveform_scale=32768.0, clip_mean="keep")
RECIPES = {
    "ssast_hanning_128": RAW,
    "beats_povey_128": BEATS,
    "beats_normalised": BEATS.override(mean=15.41663, deviation=2 * 6.55582),
    "native_hanning_80": RAW.override(bins=80),
    "native_povey_80": BEATS.override(bins=80),
    "native_hanning_64": RAW.override(bins=64),
    "native_povey_64": BEATS.override(bins=64),
    "native_hanning_40": RAW.override(bins=40),
    "native_povey_40": BEATS.override(bins=40),
    "ssast_normalised_padded": FeatureSpec(),
}


def pass_mark(about: dict, output: str, want: Any) -> float:
    """5e-4 on log values, as the index of the cases says."""
    return 5e-4


def run(case: Any, golden: Any) -> dict[str, Any]:
    about = case.about
    if "waveform" in case.inputs:
        waveform = torch.as_tensor(case.inputs["waveform"])
        waveform = waveform[None] if waveform.ndim == 1 else waveform
    else:
        waveform = named_signal(about["input_rule"], golden)
    answers = {}
    for name in case.outputs:
        spec = RECIPES[name]
        values = Frontend(spec)(waveform, None).values
        if name == "ssast_normalised_padded":
            wanted = about["settings"]["target_length"]
            padding = -spec.mean / spec.deviation
            values = torch.nn.functional.pad(
                values, (0, max(0, wanted - values.shape[2])), value=padding
            )[:, :, :wanted]
        answers[name] = values[0].T[:: about["stride"]].numpy()
    return answers
