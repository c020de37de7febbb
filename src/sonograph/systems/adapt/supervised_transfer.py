"""LOOK: pre-training with labels that leaves a class its inner structure.

For whoever has labels that are coarser than what is wanted later (the language, but not what is
said; the kind of effect, but not which): a softmax head or a supervised contrastive loss pulls all
clips of a label into one place and forgets what told them apart. LOOK ("Rethinking supervised
pre-training for better downstream transferring", ICLR 2022, arXiv 2110.06014) only asks that the
nearest neighbours of a clip have its label, itself left out: a class may keep several modes.

The loss stands in `losses/neighbours.py`, the memory, its slow encoder and the projector in `nn/`.
Supervised contrastive learning (Khosla et al. 2020) is the same module with another loss: it and
cross-entropy are what LOOK is compared with. All three take any encoder of the house.

Shapes: features (b, rows, frames) -> query (b, dim) of unit length; cosines with the memory (b, q).

Ours, since no code is public and we know no constants of the paper: k, temperature, memory,
momentum and the projector (MoCo v2's shape) as in `Config`; a query none of whose k neighbours has
its label also sees the nearest key that has; k begins at the size of the memory and falls to its
value; keys of the same clip are left out by its number, so that a clip drawn again does not find
itself; a batch's own keys are in the memory when its loss is taken.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.losses.neighbours import (
    Absent,
    neighbour_loss,
    neighbour_votes,
    neighbours_wanted,
)
from sonograph.losses.supervised_contrastive import supervised_contrastive
from sonograph.nn.encoder import Embeds, Encoder
from sonograph.nn.heads import Tagging
from sonograph.nn.memory import Memory
from sonograph.nn.momentum import MomentumCopy
from sonograph.nn.projector import Projector
from sonograph.registry import About


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes fit a few thousand clips; for a million, a memory of 16k to 65k and k of 50 to 400."""

    labels: tuple[str, ...] = ()  # of the data; a recipe fills them in
    objective: Literal["look", "supcon"] = "look"
    k: int = 20  # neighbours that vote, in LOOK and in what the model answers
    k_warmup: int = 50  # updates until k has come down from the size of the memory
    temperature: float = 0.1
    memory: int = 1024  # keys
    momentum: float = 0.999  # of the slow encoder; less in the first updates
    dim: int = 128  # of query and key
    absent: Absent = "nearest"  # no neighbour has the label: see `neighbour_loss`
    eps: float = 1e-6  # of absent="eps"


# --- model ---------------------------------------------------------------------------------------


class LabelledMemory(nn.Module, Embeds, Tagging):
    """An encoder that learns from labels by comparing clips with a memory of other clips.

    `loss` teaches it; `forward` answers with its labels by the votes of the k nearest keys, so that
    it tags like a classifier; `encoder` is what transfers. Everything that changes (memory, slow
    encoder, count of updates) is in the state: a run that goes on goes on exactly.

    >>> from sonograph import registry
    >>> model = LabelledMemory(registry.build("ssast-test"), Config(labels=("low", "high")))
    >>> features, labels, ids = torch.randn(4, 128, 64), torch.tensor([0, 1, 0, 1]), torch.arange(4)
    >>> model.loss(features, None, labels, ids)["loss"].item() > 0
    True
    >>> model.eval()(features).shape
    torch.Size([4, 2])
    """

    def __init__(self, encoder: Encoder, config: Config):
        super().__init__()
        _check(config)
        self.config, self.labels = config, config.labels
        self.encoder = encoder
        self.projector = Projector(encoder.width, config.dim)
        self.key_encoder = MomentumCopy(encoder, config.momentum)  # type: ignore[arg-type]
        self.key_projector = MomentumCopy(self.projector, config.momentum)
        self.memory = Memory(config.memory, config.dim)
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def spec(self) -> FeatureSpec:
        """The front-end that the encoder was made for."""
        return self.encoder.spec

    def query(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b p"]:
        """Directions of clips."""
        return self.projector(self.encoder(features, lengths).pool())

    @torch.no_grad()
    def remember(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        targets: Int[Tensor, "b"],
        ids: Int[Tensor, "b"],
    ) -> None:
        """Put the keys of labelled clips into the memory, in place of the oldest."""
        pooled = self.key_encoder(features, lengths).pool()
        self.memory.add(self.key_projector(pooled), targets, ids)

    def loss(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        targets: Int[Tensor, "b"],
        ids: Int[Tensor, "b"],
        key_features: Float[Tensor, "b rows frames"] | None = None,
    ) -> dict[str, Tensor]:
        """The loss of a batch against the memory, and how often the votes are right.

        targets: places in `labels`; ids: numbers of clips, see `numbers_of`; key_features: another
        view of the same clips, else the same. In training the slow encoder moves and the batch's
        keys enter the memory first; in evaluation nothing changes.
        """
        config, step = self.config, int(self.updates)
        if self.training:
            self.updates += 1
            self.key_encoder.follow(self.encoder, step + 1)  # type: ignore[arg-type]
            self.key_projector.follow(self.projector, step + 1)
            keys = features if key_features is None else key_features
            self.remember(keys, lengths, targets, ids)
        scores = self.compare(self.query(features, lengths))
        allowed = self.others(ids)
        same = targets[:, None] == self.memory.labels[None]
        if config.objective == "supcon":
            loss = supervised_contrastive(scores, same, allowed, config.temperature)
        else:
            most = int(self.memory.filled.sum())
            wanted = neighbours_wanted(step, config.k, most, config.k_warmup)
            k = wanted if self.training else config.k
            loss = neighbour_loss(
                scores, same, allowed, k, config.temperature, config.absent, config.eps
            )
        with torch.no_grad():
            answer = self.votes(scores, allowed).argmax(1)
        return {"loss": loss, "accuracy": (answer == targets).float().mean()}

    def compare(self, queries: Float[Tensor, "b p"]) -> Float[Tensor, "b q"]:
        """Cosines with all places of the memory."""
        with torch.autocast(queries.device.type, enabled=False):
            # a copy: what comes into the memory later must not reach the gradients of this batch
            return queries.float() @ self.memory.keys.clone().T

    def others(self, ids: Int[Tensor, "b"]) -> Bool[Tensor, "b q"]:
        """Which keys each clip may be compared with: all but its own older ones."""
        return self.memory.filled[None] & (ids[:, None] != self.memory.ids[None])

    def votes(
        self, scores: Float[Tensor, "b q"], allowed: Bool[Tensor, "b q"]
    ) -> Float[Tensor, "b labels"]:
        """(b, labels): the share of each label in the votes of the k nearest keys."""
        k, temperature = self.config.k, self.config.temperature
        return neighbour_votes(
            scores, self.memory.labels, allowed, k, temperature, len(self.labels)
        )

    def forward(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b labels"]:
        """log p(label) by the k nearest keys: -inf for labels that none of them has.

        Raises InputError while the memory is empty.
        """
        filled = self.memory.filled
        if not bool(filled.any()):
            raise InputError("this model remembers no clip yet: train it, or give it `remember`")
        scores = self.compare(self.query(features, lengths))
        return self.votes(scores, filled[None].expand_as(scores)).log()

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "pretraining",
            "system": "supervised_transfer",
            "encoder": self.encoder.describe(),
            "config": self.config.to_dict(),
        }


Pretraining = LabelledMemory


def numbers_of(ids: Sequence[str]) -> Int[Tensor, "b"]:
    """A number for each clip's id, the same on every machine and in every run."""
    digests = (hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return torch.tensor([int.from_bytes(one, "big") >> 1 for one in digests], dtype=torch.int64)


def _check(config: Config) -> None:
    if len(config.labels) < 2 or len(set(config.labels)) < len(config.labels):
        raise InputError(
            f"{len(config.labels)} labels: give two at least, each once; one alone teaches nothing"
        )
    if config.k < 1 or config.memory < 2 or config.dim < 1:
        raise InputError(
            f"k {config.k}, memory {config.memory} and dim {config.dim} of LOOK have to be positive"
        )
    if config.k >= config.memory:
        raise InputError(
            f"k {config.k} neighbours need a memory of more keys, not {config.memory}: lower "
            "model.k or raise model.memory"
        )
    if config.temperature <= 0 or not 0 <= config.momentum <= 1:
        raise InputError(
            f"temperature {config.temperature} has to be positive, momentum {config.momentum} "
            "between 0 and 1"
        )


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Pre-training with labels by nearest neighbours, so that a class keeps its inner "
    "structure; supervised contrastive and cross-entropy beside it.",
    use=(
        "Labels of one kind, and a later task of another, finer one on the same kind of sound: "
        "`sonograph train PRESET --objective look --task LABEL`, then probe or `adapt` the run.",
        "Answers that can be traced to examples: the run tags by the votes of remembered clips, "
        "and more clips can be remembered without training (`model.remember`).",
        "A fair comparison of objectives that learn from labels, on any encoder.",
    ),
    avoid=(
        "The labels at hand are the ones that are wanted: cross-entropy is simpler and costs a "
        "quarter less an update.",
        "No labels, or few: a self-supervised objective and `adapt`.",
        "Minutes of training on hundreds of clips: measured here, an encoder taught coarse labels "
        "by cross-entropy kept more of the fine ones, and knew the coarse ones better too "
        "(docs/claims.md). What LOOK is to prevent, classes that shrink to one place, takes a "
        "longer training than that.",
    ),
    paper="Yutong Feng, Jianwen Jiang, Mingqian Tang, Rong Jin, Yue Gao, ICLR 2022",
    figures=(
        "better transfer than cross-entropy, supervised contrastive and self-supervised "
        "pre-training (ImageNet-1K, ResNet-50) on several downstream sets; its numbers were not "
        "at hand here",
    ),
    code_licence="none found: no official code is public",
    weights_licence="none: no weights are public",
    deviations=(
        "k, temperature, length of the memory, momentum, projector and schedule of the paper are "
        "not known to us: those of `Config` and the recipe are ours.",
        "A query none of whose neighbours has its label also sees the nearest key that has "
        '(`absent="nearest"`); `absent="eps"` is the plain loss with a floor.',
        "k falls from the size of the memory to its value over `k_warmup` updates, and the "
        "momentum rises to its value over the first ones, so that short runs learn.",
        "The batch's own keys enter the memory before its loss is taken; a clip's own keys are "
        "left out by its number, in supervised contrastive learning too.",
        "Supervised contrastive learning compares with the same memory instead of a large batch, "
        "so that the arms differ in the loss alone.",
        "The slow encoder is always in evaluation mode: no shuffling of batch statistics.",
        "AdamW with a cosine, where such methods usually take SGD with momentum.",
    ),
    faults=("There is no official code whose faults could be repeated.",),
    verbs=("train", "embed", "tag", "adapt", "evaluate", "search"),
    golden=(),
    checks=("tests/parity/test_neighbours_sklearn.py",),
)
