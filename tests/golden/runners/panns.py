"""PANNs' golden cases: front-end, hidden maps, logits, scores and embeddings of every variant."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.registry import preset
from sonograph.systems.tag import panns

VARIANTS = {  # official class names that differ from ours by more than a prefix
    "Cnn14_DecisionLevelMax": "cnn14-decision-max",
    "Cnn14_DecisionLevelAvg": "cnn14-decision-avg",
    "Cnn14_DecisionLevelAtt": "cnn14-decision-att",
}
# name of an official submodule -> where its output is found in ours
PLACES = {
    "resnet": ("stage7", "stage4"),
    "conv_block_after1": ("last",),
    "features": ("layer18", "layer13"),
}


def preset_of(variant: str) -> str:
    return "panns-" + VARIANTS.get(variant, variant.lower().replace("_", "-"))


def waveform_of(case: Any, golden: Any) -> torch.Tensor:
    """The input that the case's rule names: signal('name', shape, scale)."""
    rule = re.search(r"signal\('([^']+)', \(([^)]+)\), ([\d.]+)\)", case.about["input_rule"])
    assert rule is not None
    shape = tuple(int(n) for n in rule[2].split(",") if n.strip())
    return torch.from_numpy(golden.signal(rule[1], shape, float(rule[3])))


def strided(values: torch.Tensor, rule: str | None) -> np.ndarray:
    """Some entries of each axis, by a rule like "(:, slice(5, None, 32), :)"."""
    if rule is None:
        return values.numpy()
    parts = re.findall(r":|slice\(([^)]*)\)", rule)
    index = tuple(slice(*ast.literal_eval(f"({part},)")) if part else slice(None) for part in parts)
    return values[index].numpy()


def place_of(name: str, encoder: panns.PANN) -> torch.nn.Module | None:
    """Our module whose output is called `name` in a case."""
    if name == "pre_block4":
        return encoder.wavegram.last if encoder.wavegram is not None else None
    if found := re.fullmatch(r"pre_block(\d)", name):
        assert encoder.wavegram is not None
        return encoder.wavegram.blocks[int(found[1]) - 1]
    if found := re.fullmatch(r"conv_block(\d+)", name):
        return encoder.blocks[found[1]]
    keys = [key for key in PLACES.get(name, ()) if key in encoder.blocks]
    return encoder.blocks[keys[0]] if keys else None


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, waveform = case.about, waveform_of(case, golden)
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    name = preset_of(about["variant"])
    model = panns.load_published(published, name).eval()
    assert len(model.labels) == about["settings"]["classes_num"]
    assert model.config == preset(name).make()
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]

    answers: dict[str, Any] = {}
    encoder = model.encoder
    logmel = encoder.spec if encoder.spectrogram is None else encoder.spectrogram.spec
    if logmel.kind == "log_mel":
        answers["logmel"] = Frontend(logmel)(waveform).values.transpose(1, 2)

    def keep(key: str) -> Any:
        def hook(_: Any, __: Any, output: torch.Tensor) -> None:
            answers[key] = output

        return hook

    for key in case.outputs:
        if (place := place_of(key, encoder)) is not None:
            place.register_forward_hook(keep(key))
    features = Frontend(encoder.spec)(waveform).values
    logits = model(features)
    last = encoder.trunk(encoder.front(features, None))
    answers["clipwise_output"] = model.scores(logits)
    answers["embedding"] = encoder.embed_clip(last)
    answers["logits"] = logits if model.config.decision == "clip" else model.steps(last)
    answers["segmentwise_output"] = model.steps(last).sigmoid()
    answers["framewise_output"] = model.events(features).transpose(1, 2)
    strides = about["output_stride"]
    return {key: strided(value, strides.get(key)) for key, value in answers.items()}
