"""The mask network that the separator and the enhancer share. b clips, t frames, d width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.nn.fsmn import GatedFsmn
from sonograph.nn.gated_attention import GatedAttention
from sonograph.nn.rotary import rotary_rates
from sonograph.nn.scale_norm import GlobalNorm


@dataclass(frozen=True)
class Net(Config):
    """Sizes of the mask network; the defaults are the large model's."""

    width: int = 512
    depth: int = 24  # pairs of an attention and a recurrent block
    recurrence: Literal["dilated", "plain", "none"] = "dilated"  # none: MossFormer, the first
    recurrent_width: int = 256
    memory_frames: int = 20  # of the FSMN, to one side, the present frame counted
    group_frames: int = 256  # within which attention is exact
    query_width: int = 128
    turned: int = 32  # numbers of a query that rotary positions turn
    expansion: int = 4
    conv_frames: int = 17
    dropout: float = 0.1

    def __post_init__(self) -> None:
        def need(fine: bool, message: str) -> None:
            if not fine:
                raise InputError(f"MossFormer2: {message}")

        need(self.width >= 2 and self.width % 2 == 0, f"a width of {self.width} is not even")
        need(self.depth >= 1, f"a depth of {self.depth}: give 1 or more")
        need(self.conv_frames % 2 == 1, f"conv_frames is {self.conv_frames}: give an odd number")
        need(
            self.turned % 2 == 0 and 0 < self.turned <= self.query_width,
            f"{self.turned} numbers of queries {self.query_width} wide cannot be turned in pairs",
        )
        need(0 <= self.dropout < 1, f"dropout is {self.dropout}: give 0 up to 1")


class Frequencies(nn.Module):
    """The rotary angles' rates: stored and counted as in published files, never trained.

    They are facts, so neither a cast nor a file in half precision changes them.
    """

    def __init__(self, turned: int):
        super().__init__()
        self.turned = turned
        self.rates = nn.Parameter(rotary_rates(turned), requires_grad=False)
        self.register_load_state_dict_post_hook(Frequencies._restore)

    def _restore(self, _: Any = None) -> None:
        self.rates.data = rotary_rates(self.turned).to(self.rates.device)

    def _apply(self, fn: Any, recurse: bool = True) -> Frequencies:
        super()._apply(fn, recurse)
        self._restore()
        return self

    def forward(self, frames: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every place, each (frames, turned / 2)."""
        angles = torch.arange(frames, device=self.rates.device)[:, None] * self.rates
        return angles.cos(), angles.sin()


class MaskNet(nn.Module):
    """Features (b, t, inputs) -> (b, answers, t, outputs), before any rectifier.

    `spare`: answers that the weights hold but nobody asks for; they cost nothing.
    """

    def __init__(self, inputs: int, outputs: int, answers: int, net: Net, spare: int = 0):
        super().__init__()
        width = net.width
        self.width, self.answers = width, answers
        self.norm = GlobalNorm(inputs)
        self.enter = nn.Linear(inputs, width, bias=False)
        self.position_scale = nn.Parameter(torch.ones(1))
        self.frequencies = Frequencies(net.turned)
        self.attention = nn.ModuleList(
            GatedAttention(
                width,
                net.query_width,
                net.expansion,
                net.group_frames,
                net.conv_frames,
                net.dropout,
            )
            for _ in range(net.depth)
        )
        self.recurrent = nn.ModuleList(
            nn.Identity()
            if net.recurrence == "none"
            else GatedFsmn(
                width,
                net.recurrent_width,
                net.memory_frames,
                net.recurrence,
                net.conv_frames,
                net.dropout,
            )
            for _ in range(net.depth)
        )
        self.norm_frames = nn.LayerNorm(width, eps=1e-6)
        self.norm_clip = GlobalNorm(width)
        self.prelu = nn.PReLU()
        self.split = nn.Linear(width, width * (answers + spare))
        self.value = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.leave = nn.Linear(width, outputs, bias=False)

    def forward(
        self, features: Float[Tensor, "b t inputs"]
    ) -> Float[Tensor, "b answers t outputs"]:
        x = self.enter(self.norm(features))
        x = x + self.position_scale * self.positions(x)
        y, turns = x, self.frequencies(x.shape[1])
        for attention, recurrent in zip(self.attention, self.recurrent):
            y = recurrent(attention(y, *turns))
        y = self.prelu(x + self.norm_clip(self.norm_frames(y)))
        asked = self.answers * self.width
        y = F.linear(y, self.split.weight[:asked], self.split.bias[:asked])
        y = y.unflatten(-1, (self.answers, self.width)).transpose(1, 2)
        return self.leave(torch.tanh(self.value(y)) * torch.sigmoid(self.gate(y)))

    def positions(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "t d"]:
        """Sines of every place, then cosines."""
        places = torch.arange(x.shape[1], device=x.device)
        angles = places[:, None] * rotary_rates(self.width).to(x.device)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).to(x.dtype)
