"""BEATs' golden cases: fine-tuned and plain models on padded batches, tokenizers' labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.systems.represent import beats
from sonograph.systems.represent.beats.model import time_major
from tests.golden.patches import named_signal


def waveform_of(case: Any, golden: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(samples, how many of each clip are not padding), by the case's rule."""
    rule = case.about["input_rule"]
    if "waveform" in case.inputs:
        waveform = torch.as_tensor(case.inputs["waveform"])
        padding = torch.as_tensor(case.inputs.get("padding_mask", np.zeros(waveform.shape, bool)))
        return waveform, (~padding.bool()).sum(1)
    waveform = named_signal(rule, golden)
    lengths = torch.full((len(waveform),), waveform.shape[1])
    for clip, padded in re.findall(r"(\d+): (\d+)", "".join(re.findall(r"\{[^}]*\}", rule))):
        lengths[int(clip)] -= int(padded)
        waveform[int(clip), lengths[int(clip)] :] = 0
    return waveform, lengths


def strided(values: torch.Tensor, rule: str | None) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, slice(None, None, 10))"."""
    if rule is None:
        return values.numpy()
    steps = [1] + [int(n) for n in re.findall(r"None, None, (\d+)", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about = case.about
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    notes = {"cfg": about["settings"]}
    model: Any = beats.load_published(published, notes).eval()
    extra = sum(
        published[n].numel() for n in published if re.match(r"quantize\.embedding\.(w|c|e)", n)
    )
    assert sum(p.numel() for p in model.parameters()) + extra == about["parameters"]

    waveform, lengths = waveform_of(case, golden)
    features = Frontend(model.config.features)(waveform, None).values
    inner = {beats.Tagger: "encoder", beats.Tokenizer: "backbone"}.get(type(model))
    encoder = getattr(model, inner) if inner else model
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda _, __, output: seen.update({name: output}))

    keep("patch_normed", encoder.patch_norm)
    keep("after_conv_position", encoder.norm)
    for n, block in enumerate(encoder.transformer.blocks):
        keep(f"layer{n}", block)
    answers: dict[str, Any] = {"fbank_normalised": features.transpose(1, 2)}
    padded = bool((lengths < waveform.shape[1]).any())
    values = lambda tokens: time_major(tokens.values, tokens.grid)  # noqa: E731
    if padded:
        for part in (model, encoder):
            part.config = part.config.override({"compat": "published"})
        answers["features_without_mask"] = values(encoder(features))
        samples, frames = waveform.shape[1], features.shape[2]
        lengths = beats.published_mask(lengths, samples, frames).sum(1)
    tokens = encoder(features, lengths if padded else None)
    answers["features"] = values(tokens)
    if tokens.mask is not None:
        answers["token_padding"] = (~time_major(tokens.mask, tokens.grid)).to(torch.uint8)
    if isinstance(model, beats.Tagger):
        answers["probabilities"] = model(features, lengths if padded else None).sigmoid()
    if isinstance(model, beats.Tokenizer):
        keep("quantize_input", model.quantise)
        labels = model.tokenize(features, lengths if padded else None)
        answers["labels"] = time_major(labels, tokens.grid)
        seen["quantize_input"] = time_major(seen["quantize_input"], tokens.grid)
    answers |= seen | {"patch_normed": time_major(seen["patch_normed"], tokens.grid)}
    strides = about["output_stride"]
    return {name: strided(value, strides.get(name)) for name, value in answers.items()}
