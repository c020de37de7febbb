"""SSAMBA's golden cases: pre-training losses; a fine-tuned model of another length and stride."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from sonograph.nn.heads import Classifier
from sonograph.systems.represent import ssamba
from sonograph.weights import part_of
from tests.golden.patches import count, features_of, pretraining_losses, strided, unused


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, features = case.about, features_of(case, golden)
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    ours = ssamba.from_published(published)
    settings, tune = about["settings"], about["settings"]["finetune"]
    config = ssamba.config_from_published(
        {n: v for n, v in published.items() if "mlp_head" not in n}
    )
    assert config.frames == settings["input_tdim"]
    assert config.patch == (settings["patch_size"],) * 2
    assert (config.width, config.depth) == (settings["embed_dim"], settings["depth"])
    if not settings["if_bidirectional"]:  # which is in no file
        config = dataclasses.replace(config, pairing="none")

    model = ssamba.Pretraining(ssamba.build(config)).eval()
    model.load_state_dict({name: ours[name] for name in model.state_dict()})
    assert count(model) + unused(published) == about["parameters"]["pretraining"]
    answers: dict[str, Any] = pretraining_losses(case, model, features)

    frames = tune["input_tdim"]
    encoder = ssamba.refit(model.encoder, frames, (tune["fstride"], tune["tstride"]))
    tuned = Classifier(encoder, [str(n) for n in range(tune["label_dim"])]).eval()
    tuned.head.load_state_dict(part_of(ours, "head."))
    assert count(tuned) + unused(published, pretext=False) == about["parameters"]["finetune"]
    short = features[:, :, :frames]
    seen: dict[str, Any] = {}
    first, second = encoder.layers[0], encoder.layers[1]
    hooks = [
        first.register_forward_hook(lambda _, __, output: seen.update(first=output)),
        second.register_forward_hook(lambda _, __, output: seen.update(second=output)),
    ]
    out = encoder(short)
    for hook in hooks:
        hook.remove()
    flipped = () if config.pairing == "none" else (1,)
    answers |= {
        "logits_mean_of_tokens": tuned(short),
        "patch_tokens": encoder.patch_tokens(short).values,
        "mixer0": seen["first"][0],
        # the official second layer of a pair is given the flipped sequence, and answers it flipped
        "layer1_hidden": seen["second"][0].flip(flipped),
        "layer1_residual": seen["second"][1].flip(flipped),
        "encoder": torch.cat([out.special, out.values], dim=1),
        "adapted_positions": encoder.positions,
    }
    tuned.pool = "special"
    answers["logits_cls"] = tuned(short)
    strides = about["output_stride"]
    return {name: strided(value, strides.get(name)) for name, value in answers.items()}
