"""PANNs' golden cases: front-end, hidden maps, logits, scores and embeddings of every variant."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

import numpy as np
import torch
from torch.nn.functional import max_pool1d

from sonograph.audio.feature_spec import Frontend
from sonograph.registry import preset
from sonograph.systems.tag import panns
from sonograph.systems.tag.panns.blocks import DaiBlock
from tests.golden.patches import named_signal

VARIANTS = {  # official class names that differ from ours by more than a prefix
    "Cnn14_DecisionLevelMax": "cnn14-decision-max",
    "Cnn14_DecisionLevelAvg": "cnn14-decision-avg",
    "Cnn14_DecisionLevelAtt": "cnn14-decision-att",
    # these differ from Cnn14 in how they are trained, and in nothing else
    "Cnn14_no_specaug": "cnn14",
    "Cnn14_no_dropout": "cnn14",
    "Cnn14_mixup_time_domain": "cnn14",
}
# name of an official submodule -> where its output is found in ours
PLACES = {
    "resnet": ("stage7", "stage4"),
    "conv_block_after1": ("last",),
    "features": ("layer18", "layer13"),
}


def preset_of(variant: str) -> str:
    named = variant.split(" ")[0].rstrip(",:;")
    return "panns-" + VARIANTS.get(named, named.lower().replace("_", "-"))


def waveform_of(case: Any, golden: Any) -> torch.Tensor:
    """The input that the case's rule names: signal('name', shape, scale)."""
    if "waveform" in case.inputs:
        return torch.as_tensor(case.inputs["waveform"])
    return named_signal(case.about["input_rule"], golden)


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
    if found := re.fullmatch(r"resnet\.layer(\d)|features\.(\d+)", name):
        return encoder.blocks[f"stage{found[1]}" if found[1] else f"layer{found[2]}"]
    keys = [key for key in PLACES.get(name, ()) if key in encoder.blocks]
    return encoder.blocks[keys[0]] if keys else None


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, waveform = case.about, waveform_of(case, golden)
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    name = preset_of(about["variant"])
    model = panns.load_published(published, name).eval()
    assert len(model.labels) == about["settings"]["classes_num"]
    asked: Any = preset(name).make()
    assert model.config == dataclasses.replace(asked, labels=model.labels)
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]

    answers: dict[str, Any] = {}
    pools: dict[str, int] = {}  # of DaiNet's blocks, taken out of them
    encoder = model.encoder
    logmel = encoder.spec if encoder.spectrogram is None else encoder.spectrogram.spec
    if logmel.kind == "log_mel":
        answers["logmel"] = Frontend(logmel)(waveform).values.transpose(1, 2)

    def keep(key: str) -> Any:
        def hook(module: Any, _: Any, output: torch.Tensor) -> Any:
            if not isinstance(module, DaiBlock):
                answers[key] = output
                return None
            answers[key] = output  # there the maximum comes after the block
            return output if pools[key] == 1 else max_pool1d(output, pools[key])

        return hook

    for key in case.outputs:
        if (place := place_of(key, encoder)) is not None:
            place.register_forward_hook(keep(key))
            if isinstance(place, DaiBlock):
                pools[key], place.pool = place.pool, 1
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
