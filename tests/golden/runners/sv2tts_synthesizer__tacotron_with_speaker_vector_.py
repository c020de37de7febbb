"""RTVC's synthesizer, teacher forced."""

from __future__ import annotations

import re
from typing import Any

import torch

from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.systems.speak import sv2tts
from sonograph.systems.speak.sv2tts.objective import losses


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    settings = case.about["settings"]
    config = sv2tts.config_from_published(published).override(
        {
            "hybrid.compat": "published",
            "hybrid.prenet_dropout": settings["dropout used"],
            "hybrid.at_once": settings["r"],
        }
    )
    model = sv2tts.build(config).eval()
    ours = sv2tts.from_published(published)
    model.load_state_dict(ours | {"voice": model.voice})
    assert sum(p.numel() for p in model.parameters()) == case.about["parameters"]
    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    ids = given["tokens"]
    mel, stop = mel_and_stop(case, golden, given)
    text = Text(ids, (ids > 0).sum(1), torch.zeros_like(ids))
    lengths = torch.full((len(ids),), mel.shape[2])  # a last step may say more
    refined: list[torch.Tensor] = []
    hook = model.postnet.register_forward_hook(lambda _, __, output: refined.append(output))
    said = model(text, mel, lengths, speakers=given["speaker"])
    hook.remove()
    # one loss for all: the case's stop is 1 on the last three frames, ours on the last one
    ends = lengths - (int(stop[0].sum()) - 1)
    parts = losses(model, said, SpeechBatch(text, mel, ends))
    answers = {
        "encoder_with_speaker": said.encoded,
        "postnet_cbhg": refined[0],
        "mel": said.mel.transpose(1, 2),
        "mel_post": said.refined.transpose(1, 2),
        "attention": said.attention,
        "stop": said.stop.sigmoid(),
        "loss": parts["loss"][None],
    }
    steps = {name: rule[0] for name, rule in case.about["strides"].items()}
    return {
        name: (value.reshape(-1)[:: steps[name]] if name in steps else value).numpy()
        for name, value in answers.items()
    }


def mel_and_stop(case: Any, golden: Any, given: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    """Both are stored, or follow the case's rule."""
    mel = given.get("mel")
    if mel is None:
        rule = case.about["input_rule"]["mel"]  # signal('name', (b, rows, frames), scale) * factor
        shape, scale, factor = re.search(r"\(([\d, ]+)\), ([\d.]+)\) \* ([\d.]+)", rule).groups()
        sizes = tuple(int(size) for size in shape.split(","))
        made = golden.signal(rule.split("'")[1], sizes, float(scale))
        mel = torch.as_tensor(made * float(factor))
    stop = given.get("stop")
    if stop is None:
        stop = torch.zeros(len(mel), mel.shape[2])
        stop[:, -3:] = 1
    return mel, stop
