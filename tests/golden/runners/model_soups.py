"""Golden cases of model soups: members and a score that stands in for the held-out accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sonograph.systems.adapt import soups


def run(case: Any, golden: Any) -> dict[str, Any]:
    tensors = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    names = [name for name in tensors if name not in ("base", "target")]
    count = case.about["settings"].get("models", len(tensors[names[0]]))
    states = [{name: tensors[name][k] for name in names} for k in range(count)]

    def score(state: dict[str, torch.Tensor]) -> float:
        """As the case's settings say it, in float64."""
        apart = np.abs(state["a"].numpy().astype(np.float64) - case.inputs["target"]).mean()
        return float(-apart - 0.1 * np.abs(state["b"].numpy().astype(np.float64)).mean())

    scores = [score(state) for state in states]
    greedy, mean = soups.greedy(states, scores, score), soups.uniform(states)
    return {
        "score": np.asarray(scores),
        "order": np.asarray(greedy.order),
        "trial_scores": np.asarray(greedy.trials),
        "ingredients": np.asarray(greedy.kept),
        **{f"greedy_{name}": greedy.state[name].numpy() for name in names},
        **{f"uniform_{name}": mean[name].numpy() for name in names},
    }
