"""DSEE's golden cases: the decomposition that places sparse entries, and scores of what stays."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.nn.pruning import largest
from sonograph.systems.adapt.dsee import greedy_sparse_part, head_scores, places_of, scores


def run(case: Any, golden: Any) -> dict[str, Any]:
    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    settings = case.about["settings"]
    if "start" in given:
        return decomposed(given, settings)
    if "weight" in given:  # places by magnitude, what the reference calls omp
        rows, columns = places_of(given["weight"], settings["nonzeros"], "largest", 1)
        mask = torch.zeros_like(given["weight"], dtype=torch.long)
        return {"mask": mask.index_put((rows, columns), torch.tensor(1))}
    return pruned(given, settings)


def decomposed(given: dict[str, torch.Tensor], settings: dict[str, Any]) -> dict[str, Any]:
    weight, count = given["weight"], settings["nonzeros"]
    found = greedy_sparse_part(
        weight,
        given["start"],
        settings["rounds"],
        settings["inner"],
        settings["threshold"],
        settings["rows_added"],
    )
    ordered = found.sparse.abs().flatten().sort(descending=True).values
    return {
        "sparse": found.sparse,
        "mask": (found.sparse.abs() >= ordered[count - 1]).long(),
        "low_rank_norm": found.low_rank.norm()[None],
        "residual_norm": (weight - found.low_rank).norm()[None],
        "gap": (ordered[count - 1] - ordered[count])[None],
    }


def pruned(given: dict[str, torch.Tensor], settings: dict[str, Any]) -> dict[str, Any]:
    scale, share = settings["alpha"] / settings["r"], settings["amount"]
    products = {part: given[f"b_{part}"] @ given[f"a_{part}"] for part in "qv"}
    sparse = {part: given[f"s_{part}"] * given[f"mask_{part}"] for part in "qv"}
    answers: dict[str, Any] = {}
    for by in ("ABS", "WABS", "AB", "WAB", "W", "NABS", "NAB"):
        found = {
            part: scores(given[f"w_{part}"], products[part], sparse[part], scale, by)
            for part in "qv"
        }
        for part, score in found.items():
            shown = score[::3]
            answers[f"score_{by}_{part}"] = shown.log() if by.startswith("N") else shown
            answers[f"mask_{part}_{by}"] = largest(found, share)[part].long()
    for by in ("ABS", "WABS"):
        head = head_scores(
            [products[part] + sparse[part] for part in "qv"],
            [given[f"w_{part}"] for part in "qv"],
            settings["heads"],
            by,
        )
        answers |= {f"head_{by}": head, f"head_order_{by}": head.argsort(stable=True)}
    rest = [name.removeprefix("w_") for name in given if name.startswith("w_")]
    others = largest({part: given[f"w_{part}"].abs() for part in rest if part not in "qv"}, share)
    return answers | {f"mask_{part}": mask.long() for part, mask in others.items()}


def pass_mark(about: dict[str, Any], output: str, want: Any) -> float:
    """As the case says: 1e-4 of the sparse part and its gap, 1e-6 or so of scores."""
    from tests.golden.test_golden import pass_mark

    float64 = about.get("float64_difference", {}).get(output, {}).get("relative", 0.0)
    return max(pass_mark(about, output, want), 10 * float64)
