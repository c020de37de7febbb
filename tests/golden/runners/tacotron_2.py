"""NVIDIA's Tacotron 2, teacher forced, with its padding mask and loss."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.systems.speak import sv2tts
from sonograph.systems.speak.sv2tts.objective import losses

BEYOND = 1000.0  # their gate where there is nothing


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    config = sv2tts.config_from_published(published).override(
        {"tacotron2.compat": "published", "tacotron2.prenet_dropout": 0.0}
    )
    model = sv2tts.build(config).eval()
    model.load_state_dict(sv2tts.from_published(published), strict=not config.tacotron2.speaker)
    assert sum(p.numel() for p in model.parameters()) == case.about["parameters"]
    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    ids, mel, frames = given["tokens"], given["mel"], given["frames"]
    text = Text(ids, given["lengths"], torch.zeros_like(ids))
    said = model(text, mel, frames, speakers=given.get("speaker"))
    inside = torch.arange(mel.shape[2]) < frames[:, None]
    parts = losses(model, said, SpeechBatch(text, mel, frames))
    loss = parts["loss"]
    if not case.about["settings"].get("mask_padding", True):  # what is said of padding counts
        whole = torch.full_like(frames, mel.shape[2])
        everywhere = losses(model, said, SpeechBatch(text, mel, whole))
        stop = (torch.arange(mel.shape[2]) >= frames[:, None] - 1).float()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(said.stop, stop)
        loss = everywhere["loss"] - everywhere["stop"] + entropy
        inside = torch.ones_like(inside)
    answers = {
        "encoder": said.encoded,
        "mel_unmasked": said.mel.transpose(1, 2),
        "mel": said.mel.transpose(1, 2) * inside[:, None],
        "mel_postnet": said.refined.transpose(1, 2) * inside[:, None],
        "gate": torch.where(inside, said.stop, BEYOND),
        "alignment": said.attention,
        "loss": loss[None],
    }
    steps = {name: rule[0] for name, rule in case.about["strides"].items()}
    return {
        name: (value.reshape(-1)[:: steps[name]] if name in steps else value).numpy()
        for name, value in answers.items()
    }
