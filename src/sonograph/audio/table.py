"""Constants that go where a module goes: windows, filter banks, cosines."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Table(nn.Module):
    """A constant array, in no state dict, on the module's device, in float32 (float64 after
    double()).

    A cast to half precision would spoil a constant, and a move from the meta device would leave it
    empty; so it is made anew from its exact values wherever it arrives.
    """

    values: Tensor

    def __init__(self, exact: np.ndarray):
        super().__init__()
        self.exact = exact
        self.register_buffer(
            "values", torch.as_tensor(exact, dtype=torch.float32), persistent=False
        )

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        kind = torch.float64 if self.values.dtype == torch.float64 else torch.float32
        self.values = torch.as_tensor(self.exact, dtype=kind, device=self.values.device)
        return self
