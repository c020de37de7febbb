from __future__ import annotations

import pytest
import torch

from sonograph.train import optim
from sonograph.train.config import TrainConfig


@pytest.mark.parametrize(
    ("name", "kind", "largest"),
    [
        ("adam", torch.optim.Adam, False),
        ("amsgrad", torch.optim.Adam, True),
        ("adamw", torch.optim.AdamW, False),
    ],
)
def test_the_optimizer_of_a_name(name, kind, largest):
    made = optim.build(torch.nn.Linear(2, 2), TrainConfig(optimizer=name), fused=False)
    assert type(made) is kind
    assert all(group["amsgrad"] is largest for group in made.param_groups)


def test_what_is_spared_by_name_is_not_decayed():
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    config = TrainConfig(weight_decay=0.1, decay_on="all", no_decay=("b.*",))
    groups = optim.build(model, config, fused=False).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decays[id(model["a"].weight)] == decays[id(model["a"].bias)] == 0.1
    assert decays[id(model["b"].weight)] == decays[id(model["b"].bias)] == 0.0
