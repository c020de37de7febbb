"""SSAST's golden cases: pre-training losses; a fine-tuned model of another length and stride."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.losses.contrastive import info_nce_in_clip
from sonograph.losses.masked import masked_reconstruction
from sonograph.nn.heads import Classifier
from sonograph.nn.hiding import Hiding
from sonograph.systems.represent import ssast
from sonograph.weights import part_of


def features_of(case: Any, golden: Any) -> torch.Tensor:
    """The input that the case's rule names: signal('name', shape, scale), (batch, frames, bins)."""
    rule = re.search(r"signal\('([^']+)', \(([^)]+)\), ([\d.]+)\)", case.about["input_rule"])
    assert rule is not None
    shape = tuple(int(n) for n in rule[2].split(","))
    return torch.from_numpy(golden.signal(rule[1], shape, float(rule[3]))).transpose(1, 2)


def strided(values: torch.Tensor, rule: str | None) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, slice(None, None, 10))"."""
    if rule is None:
        return values.numpy()
    steps = [1] + [int(n) for n in re.findall(r"None, None, (\d+)", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, features = case.about, features_of(case, golden)
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    ours = ssast.from_published(published)
    settings, tune = about["settings"], about["settings"]["finetune"]
    config = ssast.config_from_published(
        {n: v for n, v in published.items() if "mlp_head" not in n}
    )
    assert config.frames == settings["input_tdim"]
    assert config.patch == (settings["fshape"], settings["tshape"])
    assert config.masking == ("cluster" if settings["cluster"] else "random")

    model = ssast.Pretraining(ssast.SSAST(config)).eval()
    model.load_state_dict({name: ours[name] for name in model.state_dict()})
    assert count(model) + unused(published) == about["parameters"]["pretraining"]
    clips = Hiding(model.encoder, features, None)
    answers: dict[str, Any] = {}
    for name, head in (("discriminative", model.discriminate), ("generative", model.generate)):
        index = torch.as_tensor(case.inputs[f"mask_index_{name}"])
        hidden = torch.zeros(clips.valid.shape, dtype=torch.bool).scatter_(1, index, True)
        prediction, target, valid = model.predict(clips, hidden, head)
        if name == "discriminative":
            loss, accuracy = info_nce_in_clip(target, prediction, valid)
            answers |= {"discriminative_loss": loss, "discriminative_accuracy": accuracy}
        else:
            answers["generative_loss"] = masked_reconstruction(prediction, target, valid)

    frames = tune["input_tdim"]
    encoder = ssast.refit(model.encoder, frames, (tune["fstride"], tune["tstride"]))
    assert encoder.grid == (tune["f_dim"], tune["t_dim"])
    tuned = Classifier(encoder, [str(n) for n in range(tune["label_dim"])]).eval()
    tuned.head.load_state_dict(part_of(ours, "head."))
    assert count(tuned) + unused(published, pretext=False) == about["parameters"]["finetune"]
    short = features[:, :, :frames]
    hidden_layers: dict[str, torch.Tensor] = {}
    encoder.blocks[5].register_forward_hook(
        lambda _, __, output: hidden_layers.update(block5=output)
    )
    out = encoder(short)
    answers |= {
        "logits_mean_of_tokens": tuned(short),
        "patch_tokens": encoder.patch_tokens(short).values,
        "block5": hidden_layers["block5"],
        "encoder": torch.cat([out.special, out.values], dim=1),
        "adapted_positions": encoder.positions,
    }
    tuned.pool = "special"
    answers["logits_special_tokens"] = tuned(short)
    strides = about["output_stride"]
    return {name: strided(value, strides.get(name)) for name, value in answers.items()}


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def unused(published: dict[str, torch.Tensor], pretext: bool = True) -> int:
    """Weights that official files carry and never use: DeiT's heads, two shape scalars."""
    heads = [v.numel() for n, v in published.items() if re.search(r"v\.head(_dist)?\.", n)]
    return sum(heads) + (2 if pretext else 0)
