"""Heads that turn an encoder's tokens into answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from sonograph.nn.adaptation import Inserted, Method
from sonograph.nn.encoder import Embeds, Encoder, Pooling, pooled_width
from sonograph.progress import Progress, silent

if TYPE_CHECKING:
    from sonograph.infer.windows import Sound
    from sonograph.outputs import Tags


Answer = Literal["one", "several"]
HeadKind = Literal["normed", "linear", "network"]


class Tagging:
    """What a model with labels answers: `labels`, and `answer`, one of them or several at once.

    Its `encoder` makes the tokens, its forward the logits (batch, labels).
    """

    labels: tuple[str, ...]
    answer: Answer = "one"

    def scores(self, logits: Float[Tensor, "b labels"]) -> Float[Tensor, "b labels"]:
        """Probabilities: of the labels against each other, or of each one by itself."""
        return logits.softmax(-1) if self.answer == "one" else logits.sigmoid()

    def tag(self, sound: Sound, progress: Progress = silent) -> Tags:
        """Labels of a path or `Audio` of any length: see `sonograph.infer.tag`."""
        from sonograph.infer.tag import tag

        return tag(self, sound, progress=progress)


class NormedLinear(nn.Module):
    """(batch, width) -> logits (batch, outputs): a normalisation and a linear map."""

    def __init__(self, width: int, outputs: int, norm_eps: float = 1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.project = nn.Linear(width, outputs)

    def forward(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b outputs"]:
        return self.project(self.norm(pooled))


class Network(nn.Module):
    """(batch, width) -> logits (batch, outputs): a hidden layer of the same width, and ReLU."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.project = nn.Linear(width, outputs)

    def forward(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b outputs"]:
        return self.project(self.hidden(pooled).relu())


def made_head(kind: HeadKind, width: int, outputs: int, norm_eps: float = 1e-5) -> nn.Module:
    """A head by its kind: a normalised linear map, one without norm, or a small network."""
    if kind == "normed":
        return NormedLinear(width, outputs, norm_eps)
    return nn.Linear(width, outputs) if kind == "linear" else Network(width, outputs)


class Classifier(nn.Module, Embeds, Tagging):
    """Any encoder with a head on its pooled tokens: a normalised linear layer, if nothing is said.

    features (batch, bins, frames) -> logits (batch, labels). The head of AST and SSAST
    (Gong et al. 2022, section 2.4): `pool="tokens"` is 'ft_avgtok', `pool="special"` 'ft_cls'.
    In the Long Range Arena `head="linear"` is that of most tasks, with `pool="largest"` that of
    PathX, and `head="network"` that of Image for Transformers.
    """

    adaptation: tuple[Method, ...] = ()  # how it was adapted; see `train.adapt`

    def __init__(
        self,
        encoder: Encoder,
        labels: Sequence[str],
        pool: Pooling = "tokens",
        norm_eps: float = 1e-5,
        answer: Answer = "one",
        head: HeadKind = "normed",
    ):
        super().__init__()
        self.encoder = encoder
        self.labels = tuple(labels)
        self.answer: Answer = answer
        self.pool: Pooling = pool
        width = pooled_width(encoder, pool)
        self.head_kind: HeadKind = head
        self.head = made_head(head, width, len(self.labels), norm_eps)

    @property
    def spec(self):
        """The front-end that the encoder was made for."""
        return self.encoder.spec

    def forward(
        self,
        features: Float[Tensor, "b bins frames"],
        lengths: Int[Tensor, "b"] | None = None,
    ) -> Float[Tensor, "b labels"]:
        pooled = self.encoder(features, lengths).pool(self.pool)
        return self.head(pooled)

    def train(self, mode: bool = True) -> Classifier:
        """As of any module; an encoder that is frozen stays as in evaluation, without dropout."""
        super().train(mode)
        if any(method.changes != "encoder" for method in self.adaptation):
            for part in self.encoder.modules():  # type: ignore[attr-defined]
                part.training = False
            for part in self.encoder.modules():  # type: ignore[attr-defined]
                if isinstance(part, Inserted) and mode:
                    part.learn()
        return self

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "classifier",
            "encoder": self.encoder.describe(),
            "labels": list(self.labels),
            "pool": self.pool,
            "answer": self.answer,
            "head": self.head_kind,
        }
