"""SSAST's golden cases: pre-training losses; a fine-tuned model of another length and stride."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.nn.heads import Classifier
from sonograph.systems.represent import ssast
from sonograph.weights import part_of
from tests.golden.patches import count, features_of, pretraining_losses, strided, unused


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
    answers: dict[str, Any] = pretraining_losses(case, model, features)

    frames = tune["input_tdim"]
    encoder = ssast.refit(model.encoder, frames, (tune["fstride"], tune["tstride"]))
    assert encoder.grid == (tune["f_dim"], tune["t_dim"])
    tuned = Classifier(encoder, [str(n) for n in range(tune["label_dim"])]).eval()
    tuned.head.load_state_dict(part_of(ours, "head."))
    assert count(tuned) + unused(published, pretext=False) == about["parameters"]["finetune"]
    short = features[:, :, :frames]
    hidden_layers: dict[str, torch.Tensor] = {}
    for n, block in enumerate(encoder.blocks):
        block.register_forward_hook(
            lambda _, __, output, n=n: hidden_layers.update({f"block{n}": output})
        )
    out = encoder(short)
    answers |= {
        "logits_mean_of_tokens": tuned(short),
        "patch_tokens": encoder.patch_tokens(short).values,
        **hidden_layers,
        "encoder": torch.cat([out.special, out.values], dim=1),
        "adapted_positions": encoder.positions,
    }
    tuned.pool = "special"
    answers["logits_special_tokens"] = tuned(short)
    strides = about["output_stride"]
    return {name: strided(value, strides.get(name)) for name, value in answers.items()}
