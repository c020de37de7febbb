"""NMTune: what label noise in pre-training does to features, and a light head that repairs it.

For whoever has only the vectors of a model, and doubts about the labels it was trained on.
Chen, Wang, Wang et al., "Understanding and Mitigating the Label Noise in Pre-training on Downstream
Tasks", ICLR 2024. Two measures of the singular values of a feature matrix tell of the noise: the
entropy of their distribution, and how small the largest one's share is. A residual MLP on frozen
features is then taught with three terms beside the cross-entropy, all on vectors alone, so that
the encoder may be a black box.

    z' = scale * MLP(z) + z,  logits = W z' + b
    loss = CE + mse |norm(z') - norm(z)|^2 + cov (off-diagonal covariances)^2 / D - svd share

Shapes: vectors (n, d) or two views of each (n, 2, d).

The code's weights are the defaults (1.0, 0.04, 0.001, the five largest singular values); the paper
writes one outer weight and the largest alone. Ours: the second view is a disturbed copy of each
clip that is made once, as the encoder is asked once; the official code draws anew every epoch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, normalize

from sonograph.errors import InputError
from sonograph.nn.adaptation import Inserted, Method, Objective
from sonograph.registry import About, register_method

# --- what noise does to features -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular values of a feature matrix, largest first, and two measures of them."""

    singular_values: Float[Tensor, "d"]
    entropy: float  # SVE: -sum p log p; higher: more directions carry something
    largest_log_ratio: float  # LSVR: -log p_1; higher: the main direction carries less


def spectrum(features: Float[Tensor, "n d"]) -> Spectrum:
    """Of features of a downstream set; section 2.3 of the paper.

    Each row is scaled to length one and its own mean over the d values is taken off, as the
    official code does; so one singular value is always about 0 where n >= d, and counts for
    nothing. Raises InputError for fewer than two vectors, NaN, and vectors without any contrast.
    """
    if features.ndim != 2 or len(features) < 2 or not bool(torch.isfinite(features).all()):
        raise InputError(
            f"a spectrum is of two or more finite vectors, not {tuple(features.shape)}"
        )
    rows = normalize(features.double(), dim=1)
    values = torch.linalg.svdvals(rows - rows.mean(1, keepdim=True))
    if float(values[0]) < 1e-9:  # rows are of length one
        raise InputError("these vectors have no spectrum: each is one value again and again")
    share = values / values.sum()
    share = share[share > 1e-12]
    entropy = float((share * (1 / share).log()).sum())
    return Spectrum(values, entropy, float((1 / share[0]).log()))


# --- the head ------------------------------------------------------------------------------------


class RepairedHead(Inserted):
    """(n, d) -> logits (n, classes): a residual MLP, then a linear map. Section 4.1.

    ratio: width of the MLP to d; depth: its hidden layers. way: "around" the MLP or "through" it
    alone, as the official code's `mlp_with_res` off.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        ratio: float = 4,
        depth: int = 1,
        way: Literal["around", "through"] = "around",
    ):
        super().__init__()
        inner = int(ratio * width + 1e-6)  # 0.29 * 100 is a hair less than 29
        self.expand = nn.Linear(width, inner)
        self.norm = nn.BatchNorm1d(inner)
        self.deeper = nn.ModuleList(
            nn.Sequential(nn.Linear(inner, inner), nn.BatchNorm1d(inner), nn.ReLU())
            for _ in range(depth - 1)
        )
        self.contract = nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.ones(1, width)) if way == "around" else None
        self.project = nn.Linear(width, classes)
        nn.init.kaiming_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def repair(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """z'."""
        inner = torch.relu(self.norm(self.expand(vectors)))
        for layer in self.deeper:
            inner = layer(inner)
        inner = self.contract(inner)
        return inner if self.scale is None else self.scale * inner + vectors

    def forward(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        return self.project(self.repair(vectors))


def regularisers(
    repaired: Float[Tensor, "views*n d"], given: Float[Tensor, "n d"], largest: int = 5
) -> dict[str, Tensor]:
    """The three terms of section 4.2, without their weights.

    repaired: z' of all views, one view after the other; given: z of the first. consistency:
    between the directions of the last view's z' and of z; covariance: squared off-diagonal entries
    of z' over d (VICReg's); share: mean share of the `largest` singular values of z', which is to
    grow. In float32 and from singular values alone: gradients through singular vectors are
    unstable where two values are near each other.
    """
    with torch.autocast(repaired.device.type, enabled=False):  # a product would be rounded
        z, first = repaired.float(), given.float()
        centred = z - z.mean(0)
        covariance = centred.T @ centred / (len(z) - 1)
        off = covariance - torch.diag(covariance.diagonal())
        values = torch.linalg.svdvals(z)
        return {
            "consistency": mse_loss(normalize(z[-len(first) :], dim=1), normalize(first, dim=1)),
            "covariance": off.square().sum() / z.shape[1],
            "share": (values[:largest] / values.sum().clamp(min=1e-12)).mean(),
        }


@dataclasses.dataclass(frozen=True)
class NMTune(Method):
    """A residual MLP on frozen vectors, taught to keep their direction and spread their values."""

    changes: ClassVar[Literal["head", "delta", "encoder"]] = "head"
    lr: ClassVar[float] = 1e-3
    views: ClassVar[int] = 2
    keeps_start: ClassVar[bool] = False

    ratio: float = 4.0  # width of the MLP to that of the vectors
    depth: int = 1  # of its hidden layers
    consistency: float = 1.0
    covariance: float = 0.04
    share: float = 0.001
    largest: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.ratio < float("inf") or self.depth < 1 or self.largest < 1:
            raise InputError(
                f"ratio is {self.ratio:g}, depth {self.depth} and largest {self.largest}: the "
                "first is above 0, the others at least 1"
            )
        weights = (self.consistency, self.covariance, self.share)
        if not all(0 <= weight < float("inf") for weight in weights):
            raise InputError(f"the weights of the three terms are {weights}: none is below 0")

    def insert(self, encoder: nn.Module) -> None:
        pass

    def fit_head(self, model: nn.Module) -> None:
        head: Any = model.head
        width = head.project.in_features
        if self.ratio * width < 1:
            raise InputError(f"an MLP of {self.ratio:g} times {width} values is none: raise ratio")
        model.head = RepairedHead(width, head.project.out_features, self.ratio, self.depth)

    def objective(self, teach: Objective) -> Objective:
        return self.loss

    def loss(
        self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Of vectors (n, d), or of two views (n, 2, d): both are classified, and the second one's
        z' is held to the direction of the first's z."""
        views = batch["features"] if batch["features"].ndim == 3 else batch["features"][:, None]
        given, targets = (
            views.transpose(0, 1).flatten(0, 1),
            batch["targets"].repeat(views.shape[1]),
        )
        head = model.head
        repaired = head.repair(given)
        logits = head.project(repaired)
        classes = cross_entropy(logits.float(), targets)
        right = (logits.argmax(1) == targets).float().mean()
        if not (self.consistency or self.covariance or self.share):
            return {"loss": classes, "accuracy": right}
        terms = regularisers(repaired, views[:, 0], self.largest)
        loss = classes + self.consistency * terms["consistency"]
        loss = loss + self.covariance * terms["covariance"] - self.share * terms["share"]
        return {"loss": loss, "accuracy": right, "classes": classes, **terms}


@register_method("nmtune", system="noise_tuning", note="a residual MLP on frozen vectors")
def nmtune() -> NMTune:
    return NMTune()


@register_method("mlp", system="noise_tuning", note="the same MLP without the three terms")
def mlp() -> NMTune:
    return NMTune(consistency=0.0, covariance=0.0, share=0.0)


# --- published weights ---------------------------------------------------------------------------

# published name, our name; deeper layers and the last one are told from their numbers
PUBLISHED_NAMES = (
    ("image_encoder.scale_after", "scale"),
    ("image_encoder.mlp_after.0.{}", "expand.{}"),
    ("image_encoder.mlp_after.1.{}", "norm.{}"),
    ("classification_head.{}", "project.{}"),
)


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours, of the head alone."""
    from sonograph.weights import rename

    places = [int(found[1]) for name in state if (found := re.search(r"mlp_after\.(\d+)\.", name))]
    last = max(places, default=3)
    deeper = [
        (f"image_encoder.mlp_after.{place}.{{}}", f"deeper.{place // 3 - 1}.{place % 3}.{{}}")
        for place in range(3, last)
    ]
    contract = (f"image_encoder.mlp_after.{last}.{{}}", "contract.{}")
    return rename(state, (*PUBLISHED_NAMES, *deeper, contract))


def load_published_head(state: Mapping[str, Tensor]) -> RepairedHead:
    """An official head; its sizes are read from the shapes."""
    ours = from_published(state)
    hidden, width = ours["expand.weight"].shape
    depth = 1 + len({name.split(".")[1] for name in ours if name.startswith("deeper.")})
    way: Any = "around" if "scale" in ours else "through"
    head = RepairedHead(width, len(ours["project.bias"]), hidden / width, depth, way)
    head.load_state_dict(ours)
    return head.eval()


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="What label noise in pre-training does to features, and a light head that repairs it.",
    use=(
        "Only vectors of a model can be had, not its weights: a head is taught on them alone.",
        "The labels of pre-training were scraped or guessed, and the task's sounds differ from "
        "those it was trained on.",
        "Two models to choose between: `sonograph spectrum` says how their vectors spread.",
    ),
    avoid=(
        "The encoder itself may learn: low-rank changes or fine-tuning reach further.",
        "A few dozen labels: the MLP has more numbers than a linear probe, and no fewer than LoRA.",
        "The three terms for their own sake: measured here on a small network, a plain MLP "
        "(`--method mlp`) did as well, and both better than a linear probe (docs/claims.md).",
    ),
    paper="Hao Chen, Jindong Wang, Zihan Wang, Ran Tao, Hongxin Wei et al., ICLR 2024",
    figures=(
        "slight noise (5 to 10 %) in pre-training helps on downstream sets like it, and every "
        "noise hurts on shifted ones (paper; its tables are not at hand)",
        "about one point over a plain MLP on frozen features (reviewers' summary)",
    ),
    code_licence="none is stated",
    weights_licence="noisy checkpoints on request only",
    deviations=(
        "The second view of a clip is a disturbed copy that is made once, not anew every epoch: "
        "the encoder is asked once for each view.",
        "Singular values without vectors (svdvals), in float32, and shares clamped away from 0: "
        "the same loss, with a gradient that holds where values tie.",
        "The head starts on the pooled tokens of any encoder of the house, without the "
        "normalisation that our linear head has, as in the official code.",
    ),
    faults=(
        "Features have each ROW's own mean taken off before the decomposition, not each column's, "
        "so one singular value is always 0; kept, since the published figures rest on it.",
        "Whole modules are pickled; the gradient of the full decomposition is unstable.",
    ),
    verbs=("adapt", "evaluate", "tag", "spectrum"),
    golden=("nmtune",),
    checks=("tests/parity/test_noise_tuning_sklearn.py",),
)
