"""SVFit: a layer learns its own singular values, and nothing else.

For whoever keeps very many tasks on one backbone: a task is a few thousand numbers.
Sun, Wei, Wu et al., "SVFit: Parameter-Efficient Fine-Tuning of Large Pre-Trained Models Using
Singular Values", arXiv 2409.05926 (2024). A weight is decomposed once, W = U diag(s) V^T; U and V
stay, the r largest singular values learn. At full rank on the queries and values of a base
transformer these are 18,432 numbers, 16 times fewer than LoRA of rank 8 trains there.

    W x + b  ->  W x + b + U diag(s - s0) V^T x        s0: the singular values of W

Written as a change beside W, so that the adapted model begins as the given one to the last bit,
and so that W is not held twice.

Ours, where nothing is published (there is no official code): energy is the sum of squares unless
`energy="values"`; what learns is the change of s, absolute as in the paper, or relative to s0,
which asks for learning rates like those of other methods whatever the size of the weights;
singular values may change their sign; weight decay is kept away from what learns, for it would hold
the singular values where pre-training left them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Adapted, Addition, Method, add, add_product, convolved
from sonograph.nn.svd import rank_for, truncated_svd
from sonograph.nn.targets import matrix_of, ranks_of, select
from sonograph.registry import About, register_method

Scaling = Literal["absolute", "relative"]


class SingularValues(Addition):
    """U diag(s - s0) V^T of a matrix (outputs, inputs), with s learned and U, s0, V fixed."""

    derived: ClassVar[tuple[str, ...]] = ("u", "s0", "vh")
    u: Float[Tensor, "outputs r"]
    s0: Float[Tensor, "r"]
    vh: Float[Tensor, "r inputs"]

    def __init__(self, matrix: Float[Tensor, "outputs inputs"], rank: int, scaling: Scaling):
        super().__init__()
        u, s0, vh = truncated_svd(matrix, rank)
        self.rank, self.scaling = rank, scaling
        self.register_buffer("u", u)
        self.register_buffer("s0", s0)
        self.register_buffer("vh", vh)
        self.change = nn.Parameter(torch.zeros_like(s0))

    @property
    def shift(self) -> Float[Tensor, "r"]:
        """s - s0."""
        return self.change if self.scaling == "absolute" else self.s0 * self.change

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        return convolved(x, base, self.vh, self.u * self.shift)

    def onto(self, y: Float[Tensor, "n outputs"], x: Float[Tensor, "n inputs"]) -> None:
        add_product(y, F.linear(x, self.vh) * self.shift, self.u)  # u needs no gradient like this

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        return (self.u * self.shift) @ self.vh


@dataclasses.dataclass(frozen=True)
class SVFit(Method):
    """The singular values of chosen layers learn.

    Section 3.2 of the paper. where: which layers, see `nn.targets.select`.
    rank: how many, all of a matrix that has fewer; 0 for as many as `share` asks.
    share: the fewest whose energy is this share of the matrix's, over 99 % in the abstract; at 1,
        all of them, which is what the paper's parameter counts come from.
    """

    size: ClassVar[str] = "rank"
    lr: ClassVar[float] = 2e-2
    no_decay: ClassVar[tuple[str, ...]] = ("*.svfit*.change",)

    rank: int = 0
    share: float = 1.0
    energy: Literal["squares", "values"] = "squares"
    scaling: Scaling = "relative"
    where: str = ""

    def __post_init__(self) -> None:
        if self.rank < 0 or not 0 < self.share <= 1:
            raise InputError(
                f"SVFit's rank is {self.rank} and share {self.share}: a rank is at least 1 (0: by "
                "share), a share lies in (0, 1]"
            )

    def insert(self, encoder: nn.Module) -> None:
        chosen = select(encoder, self.where)
        ranks = ranks_of(encoder, chosen, self.rank) if self.rank else [0] * len(chosen)
        for target, rank in zip(chosen, ranks):
            matrix = matrix_of(encoder, target)
            rank = rank or self._rank_of(matrix)
            add(encoder, target, "svfit", SingularValues(matrix, rank, self.scaling))

    def _rank_of(self, matrix: Tensor) -> int:
        if self.share == 1:
            return min(matrix.shape)
        if matrix.is_meta:
            raise InputError("how many singular values a share needs is known from weights only")
        s = torch.linalg.svdvals(matrix.double())
        return rank_for(s, self.share, 2 if self.energy == "squares" else 1)


def ranks(model: nn.Module, where: str = "", share: float = 0.99) -> list[dict[str, Any]]:
    """A row a layer: its full rank, and how many singular values hold `share` of its energy.

    Both readings of the paper's 99 %: of the sum of squares and of the sum.
    """
    rows = []
    for target in select(model, where):
        s = torch.linalg.svdvals(matrix_of(model, target).double())
        rows.append(
            {
                "layer": target.name,
                "full": len(s),
                "squares": rank_for(s, share, 2),
                "values": rank_for(s, share, 1),
                "largest": float(s[0]),
                "smallest": float(s[-1]),
            }
        )
    return rows


def changes(model: nn.Module) -> list[dict[str, Any]]:
    """What an adapted model learned, a row a layer: how far its singular values moved."""
    rows = []
    for name, layer in model.named_modules():
        if not isinstance(layer, Adapted):
            continue
        for part, addition in layer.additions.items():
            if isinstance(addition, SingularValues):
                moved = (addition.shift / addition.s0.clamp(min=1e-12)).detach().abs()
                rows.append(
                    {
                        "layer": name,
                        "part": part.removeprefix("svfit").removeprefix("_"),
                        "rank": len(moved),
                        "mean": float(moved.mean()),
                        "largest": float(moved.max()),
                    }
                )
    return rows


# --- presets -------------------------------------------------------------------------------------


@register_method("svfit", system="svfit", trained=18_432, note="all of queries and values")
def svfit() -> SVFit:
    return SVFit()


@register_method("svfit-absolute", system="svfit", trained=18_432, note="the paper's scaling")
def svfit_absolute() -> SVFit:
    return SVFit(scaling="absolute")


@register_method("svfit-256", system="svfit", trained=6_144, note="256 values a matrix")
def svfit_256() -> SVFit:
    return SVFit(rank=256)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A layer learns its own singular values: a task is a few thousand numbers.",
    use=(
        "Very many tasks, speakers or customers on one backbone: a task is kilobytes.",
        "Few labels: what can change is the strength of directions that the weights already have.",
        "No cost when it runs: the change merges into the plain weights.",
    ),
    avoid=(
        "The task needs directions that the backbone does not have: LoRA or an adapter.",
        "The backbone is not pre-trained: there is nothing in its singular vectors.",
        "Very wide layers on a small machine: each weight is decomposed once at the start.",
    ),
    paper="Chengwei Sun, Jiwei Wei, Yujia Wu, Yiming Shi et al., arXiv 2409.05926, 2024",
    figures=(
        "better than LoRA on language understanding, image classes and text-to-image, with 16 "
        "times fewer trained parameters (abstract)",
    ),
    code_licence="no official code is public",
    weights_licence="no weights are published",
    deviations=(
        "Written as a change beside the weight instead of a sum of a kept and a decomposed part: "
        "the same function, exact at the start.",
        "By default singular values learn relative to their size; `svfit-absolute` is the paper's.",
        "Energy is the sum of squares; the paper's abstract speaks of information and does not "
        'say: `energy="values"` is the other reading.',
        "By default all singular values of queries and values learn: the published factor of 16 "
        "to LoRA follows from that setting, and from no smaller rank.",
    ),
    faults=(),
    verbs=("adapt", "evaluate", "tag"),
    golden=(),
    checks=("tests/parity/test_svfit_peers.py",),
)
