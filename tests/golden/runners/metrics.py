"""The golden case of separation metrics: no model, estimates are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sonograph.losses.separation import permutation_invariant
from sonograph.metrics.separation import TORCHMETRICS, best_order, bss_eval_v3, si_sdr, snr

MEASURE = "max_abs"  # of decibels


def pass_mark(about: dict, output: str, want: np.ndarray) -> float:
    """The case's tolerance is 0.001 dB of float32 references and 0.01 dB of BSS-eval."""
    return 1e-5 if "bss" not in output else 1e-6


def run(case: Any, golden: Any) -> dict[str, Any]:
    made, wanted = case.inputs["estimates"], case.inputs["sources"]
    losses, _ = permutation_invariant(torch.as_tensor(made), torch.as_tensor(wanted))
    pair = np.broadcast_arrays(made[:, :, None], wanted[:, None])  # (mixture, estimate, source)
    pairs = si_sdr(*pair, epsilon=TORCHMETRICS)
    order = np.stack([best_order(table) for table in pairs])
    taps = case.about["settings"]["filter_length"]
    scores = [bss_eval_v3(ours, true, taps=taps) for ours, true in zip(made, wanted)]
    bss = {name: np.stack([getattr(s, name) for s in scores]) for name in ("sdr", "sir", "sar")}
    bss["perm"] = np.stack([s.order for s in scores])
    return {
        "pit_si_snr": np.take_along_axis(pairs, order[:, None], 1)[:, 0].mean(-1),
        "pit_perm": order,
        "clearervoice_loss": losses,
        "si_sdr": si_sdr(made, wanted, mean="kept", epsilon=TORCHMETRICS),
        "si_sdr_zero_mean": si_sdr(made, wanted, epsilon=TORCHMETRICS),
        "snr": snr(made, wanted, epsilon=TORCHMETRICS),
        **{f"{by}_{name}": value for by in ("bss", "fast_bss") for name, value in bss.items()},
    }
