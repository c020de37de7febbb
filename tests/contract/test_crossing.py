"""Every encoder carries every objective: gradients reach its weights, and nothing is NaN."""

from __future__ import annotations

import pytest
import torch

from tests.contract.cases import CROSSED, Case

OBJECTIVES = {
    preset.system: Case(preset).module
    for preset in CROSSED
    if hasattr(Case(preset).module, "Pretraining")
}


@pytest.mark.parametrize("preset", CROSSED, ids=lambda preset: preset.name)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_on_any_encoder(preset, objective):
    case = Case(preset)
    torch.manual_seed(0)
    model = OBJECTIVES[objective].Pretraining(case.build()).train()
    frames = preset.make().frames
    lengths = torch.tensor([frames, frames // 2, 1])
    parts = model(case.features(3), lengths, torch.Generator().manual_seed(0))
    parts["loss"].backward()
    assert torch.isfinite(parts["loss"])
    reached = [p.grad.abs().max() for p in model.encoder.parameters() if p.grad is not None]
    assert reached
    assert torch.stack(reached).isfinite().all()
    assert max(reached) > 0
