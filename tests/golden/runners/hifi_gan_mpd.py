"""HiFi-GAN's discriminators: scores, maps and the three losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sonograph.losses.adversarial import discriminator_loss, feature_loss, generator_loss
from sonograph.nn.discriminators import PeriodDiscriminators
from tests.golden.patches import count
from tests.golden.runners.hifi_gan_generator import thinned


def run(case: Any, golden: Any) -> dict[str, Any]:
    return judged(case, golden, PeriodDiscriminators())


@torch.no_grad()
def judged(case: Any, golden: Any, model: nn.Module) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    model.eval().load_state_dict(published)
    assert count(model) == case.about["parameters"]
    real, fake = (model(torch.as_tensor(case.inputs[side])[:, 0]) for side in ("real", "fake"))
    answers: dict[str, torch.Tensor] = {}
    for k, (ours, theirs) in enumerate(zip(real.scores, fake.scores)):
        answers |= {f"score_real_{k}": ours, f"score_fake_{k}": theirs}
    for k, maps in enumerate(real.maps):
        answers |= {f"map_real_{k}_{i}": one for i, one in enumerate(maps)}
    answers |= {
        "loss_discriminator": discriminator_loss(real.scores, fake.scores),
        "loss_generator": generator_loss(fake.scores),
        "loss_feature_x2": 2 * feature_loss(real.maps, fake.maps),
    }
    return {name: thinned(case, value, name) for name, value in answers.items()}
