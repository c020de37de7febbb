"""NMTune's golden cases: the head with its regularisers on given vectors, and a spectrum."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from sonograph.systems.adapt.noise_tuning import (
    NMTune,
    load_published_head,
    regularisers,
    spectrum,
)


def run(case: Any, golden: Any) -> dict[str, Any]:
    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    if "features" in given:
        found = spectrum(given["features"])
        return {
            "singular_values_reference": found.singular_values.float(),
            "singular_values_exact": found.singular_values,
            "entropy": [found.entropy],
            "largest_log_ratio": [found.largest_log_ratio],
        }
    settings = case.about["settings"]
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    head = load_published_head(state)
    assert sum(p.numel() for p in head.parameters()) == case.about["parameters"]
    weights = settings["weights"]
    method = NMTune(
        consistency=weights["mse"],
        covariance=weights["cov"],
        share=weights["svd"],
    )
    vectors = torch.cat([given["weak"], given["strong"]])
    with torch.no_grad():
        evaluated = head.repair(vectors)
        head.train()
        repaired = head.repair(vectors)
        terms = regularisers(repaired, given["weak"])
        views = torch.stack([given["weak"], given["strong"]], 1)
        batch = {"features": views, "targets": given["labels"]}
        holder = torch.nn.Module()
        holder.head = head
        loss = method.loss(holder, batch, torch.Generator())["loss"]
        classes = cross_entropy(head.project(repaired), given["labels"].repeat(2))
    return {
        "features_train": repaired,
        "features_eval": evaluated,
        "ce": classes[None],
        "mse": terms["consistency"][None],
        "cov": terms["covariance"][None],
        "svd_mean_top5": terms["share"][None],
        "total": loss[None],
    }
