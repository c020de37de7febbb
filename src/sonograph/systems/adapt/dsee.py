"""DSEE: a low-rank and a sparse change beside a layer, and a base that gets sparser or smaller.

For whoever adapts a large model and also has to run it on little. Chen, Chen, Ding, Chen et al.,
"DSEE: Dually Sparsity-Embedded Efficient Tuning of Pre-trained Language Models", ACL 2023.

    W x + b  ->  (W * M) x + b + s (B A + S) x        s = alpha / r

A (r, inputs) starts as N(0, 0.02), B (outputs, r) at 0, S holds N learned entries at fixed places,
0 at the start: the adapted model begins as the given one. The places are those of the largest
entries of the sparse part of W, decomposed into low-rank and sparse parts by greedy bilateral
sketches. After a first training some frozen weights are zeroed for good (M), or whole heads of
attention are removed; then what is learned is trained again. On the queries and values of a base
transformer r = 16 and N = 16 train 590,208 numbers, half a percent.

Ours, where the official code does otherwise or is silent: 10 rounds of decomposition instead of
100, see `greedy_sparse_part`; where its sparse part has too few entries, the largest weights fill
up the places; S is kept and computed as places and values, not as a dense matrix with a mask; heads
go first where weights are pruned as well; heads can also be chosen by weights alone or at random;
there are no gates on feed-forward neurons, which no official script uses.

Zeroed weights save no time on ordinary hardware, removed heads do. What is learned is dense beside
zeros, so a pruned model is not merged; one that only lost heads is.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Adapted, Addition, Method, add
from sonograph.nn.lowrank import LowRank
from sonograph.nn.pruning import attentions, keep_heads, largest, prune, unpacked
from sonograph.nn.targets import (
    ATTENTION,
    Target,
    fits,
    layers,
    matrix_of,
    ranks_of,
    select,
    targets,
)
from sonograph.registry import About, register_method

Places = Literal["greedy", "random", "largest"]
Score = Literal["ABS", "WABS", "AB", "WAB", "W", "NABS", "NAB", "random"]
OF_HEADS = ("ABS", "WABS", "W", "random")
# what is pruned by its own magnitude, unless it carries a change of its own
BY_MAGNITUDE = "attention.key|attention.project|feedforward.expand|feedforward.contract"


# --- where the sparse entries lie ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Decomposed:
    """W = low_rank + sparse + what neither holds."""

    low_rank: Float[Tensor, "outputs inputs"]
    sparse: Float[Tensor, "outputs inputs"]


@torch.no_grad()
def greedy_sparse_part(
    weight: Float[Tensor, "outputs inputs"],
    start: Float[Tensor, "1 inputs"],
    rounds: int,
    inner: int = 2,
    threshold: float = 0.01,
    rows_added: int = 5,
) -> Decomposed:
    """Greedy bilateral decomposition of a weight, as the official script computes it.

    A round makes U from V, V from U and S from what is left, `inner` times, S beginning at 0; then
    V grows by `rows_added` directions of the residual. The rounds are cut so that V stays thinner
    than the matrix: beyond, U V is the matrix, and nothing sparse remains. The published 100 rounds
    are not reproducible: rounding errors grow, and after some ten rounds float32 and float64
    disagree on most entries.
    """
    if rounds < 1:
        raise InputError(f"{rounds} rounds of decomposition: at least 1")
    right = start.to(weight)
    low_rank = sparse = torch.zeros_like(weight)
    most = max(1, (min(weight.shape) - 1) // rows_added)
    for _ in range(min(rounds, most)):
        sparse = torch.zeros_like(weight)
        for _ in range(inner):
            left = torch.linalg.qr((weight - sparse) @ right.T).Q
            right = left.T @ (weight - sparse)
            low_rank = left @ right
            sparse = weight - low_rank
            sparse = torch.where(sparse.abs() < threshold, torch.zeros_like(sparse), sparse)
        residual = torch.linalg.qr(weight - low_rank - sparse).R
        right = torch.cat([right, residual[:rows_added]])
    return Decomposed(low_rank, sparse)


@torch.no_grad()
def places_of(
    matrix: Float[Tensor, "outputs inputs"], count: int, by: Places, rounds: int
) -> Int[Tensor, "2 count"]:
    """Rows and columns of the entries that learn. On the meta device only their number.

    Decomposed in float64 from a fixed start, so that they follow from the weight.
    """
    if not 0 <= count <= matrix.numel():
        raise InputError(
            f"{count} sparse entries do not fit a matrix of {matrix.shape[0]} x {matrix.shape[1]}"
        )
    if matrix.is_meta:
        return torch.empty(2, count, dtype=torch.long, device="meta")
    if by == "random":
        chosen = torch.randperm(matrix.numel())[:count]
    else:
        magnitude = score = matrix.double().abs()
        if by == "greedy":
            generator = torch.Generator().manual_seed(0)
            start = torch.randn(1, matrix.shape[1], generator=generator, dtype=torch.float64)
            found = greedy_sparse_part(matrix.double(), start, rounds).sparse.abs()
            score = torch.where(found > 0, found, magnitude - magnitude.max() - 1)
        chosen = score.flatten().topk(count).indices.sort().values
    return torch.stack([chosen // matrix.shape[1], chosen % matrix.shape[1]]).to(matrix.device)


# --- what is learned -----------------------------------------------------------------------------


class LowRankSparse(Addition):
    """s (B A + S) of a matrix (outputs, inputs).

    places: rows and columns of the entries of S; values: those entries.
    """

    places: Int[Tensor, "2 n"]

    def __init__(self, matrix: Tensor, rank: int, scale: float, places: Int[Tensor, "2 n"]):
        super().__init__()
        self.low = LowRank(matrix, rank, scale)
        nn.init.normal_(self.low.down, std=0.02)
        self.register_buffer("places", places)
        self.values = nn.Parameter(matrix.new_zeros(places.shape[1]))

    @property
    def rank(self) -> int:  # type: ignore[override]
        return self.low.rank

    def thin(self) -> tuple[Float[Tensor, "r inputs"], Float[Tensor, "outputs r"]]:
        return self.low.thin()

    def onto(self, y: Float[Tensor, "n outputs"], x: Float[Tensor, "n inputs"]) -> None:
        """The sparse entries alone."""
        if len(self.values):
            rows, columns = self.places
            picked = x.T[columns] * (self.low.scale * self.values)[:, None]
            y.T.index_add_(0, rows, picked.to(y.dtype))

    @property
    def sparse(self) -> Float[Tensor, "outputs inputs"]:
        """S as a dense matrix, unscaled."""
        whole = self.values.new_zeros(len(self.low.up), self.low.down.shape[1])
        return whole.index_put(tuple(self.places), self.values)

    @property
    def product(self) -> Float[Tensor, "outputs inputs"]:
        """B A, unscaled."""
        return self.low.up @ self.low.down

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        return self.low.scale * (self.product + self.sparse)

    def narrow(self, outputs: Tensor | None, inputs: Tensor | None) -> None:
        """Entries in rows and columns that go are lost with them."""
        self.low.narrow(outputs, inputs)
        if not self.places.numel():
            return
        places, stay = self.places, torch.ones_like(self.places[0], dtype=torch.bool)
        for axis, kept in ((0, outputs), (1, inputs)):
            if kept is not None:
                kept = kept.to(places.device)
                where = places[axis][:, None] == kept
                stay = stay & where.any(1)
                places = torch.stack(
                    [where.int().argmax(1) if a == axis else places[a] for a in (0, 1)]
                )
        self.places = places[:, stay]
        self.values = nn.Parameter(self.values.detach()[stay], self.values.requires_grad)

    def make_room(self, places: Int[Tensor, "2 n"]) -> None:
        """For as many entries as these, which have to lie inside."""
        sizes = torch.tensor([[len(self.low.up)], [self.low.down.shape[1]]], device=places.device)
        if places.ndim != 2 or len(places) != 2 or bool(((places < 0) | (places >= sizes)).any()):
            raise InputError("places of sparse entries lie outside of their matrix")
        self.places = places.to(self.places.device, copy=True)
        self.values = nn.Parameter(self.values.new_zeros(places.shape[1]))


# --- what is taken away --------------------------------------------------------------------------


def scores(
    weight: Float[Tensor, "outputs inputs"],
    product: Float[Tensor, "outputs inputs"],
    sparse: Float[Tensor, "outputs inputs"],
    scale: float,
    by: Score,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "outputs inputs"]:
    """What decides which entries of a W with a change beside it stay: the largest do.

    product: B A; sparse: S, both unscaled. WABS adds them to W as the official code does, where
    the scale reaches S alone; NAB, the inverse of AB, knows no scale there.
    """
    if by == "random":
        return torch.rand(weight.shape, generator=generator).to(weight)
    if by in ("ABS", "NABS"):
        score = (scale * (product + sparse)).abs()
    elif by == "AB":
        score = (scale * product).abs()
    elif by == "NAB":
        score = product.abs()
    elif by == "WABS":
        score = (weight + product + scale * sparse).abs()
    elif by == "WAB":
        score = (weight + scale * product).abs()
    else:
        score = weight.abs()
    return 1 / score if by in ("NABS", "NAB") else score


def head_scores(
    changes: Sequence[Float[Tensor, "outputs inputs"]],
    weights: Sequence[Float[Tensor, "outputs inputs"]],
    heads: int,
    by: Score,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "heads"]:
    """A number a head: the sum of |B A + S| over its rows in queries and values (ABS).

    changes: B A + S, unscaled, of queries and of values; weights: their W. WABS adds the sum of
    |W|, W is that sum alone.
    """
    if by == "random":
        return torch.rand(heads, generator=generator)
    if by not in OF_HEADS:
        raise InputError(f"heads have no score {by!r}: one of {', '.join(OF_HEADS)}")
    summed = {"ABS": (changes,), "WABS": (changes, weights), "W": (weights,)}[by]
    parts = [
        matrix.abs().unflatten(0, (heads, -1)).sum((1, 2)) for set_ in summed for matrix in set_
    ]
    return torch.stack(parts).sum(0)


# --- the method ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class DSEE(Method):
    """A low-rank and a sparse change of queries and values; the base is pruned between trainings.

    rank, entries: of the change of each matrix; mask: where the entries lie.
    prune: the share of frozen weights to zero, within the changed layers by `score`, and within the
        other layers of attention and feed-forward parts by magnitude.
    heads: how many heads to remove from each attention, those of lowest `score`.
    """

    size: ClassVar[str] = "rank"

    rank: int = 16
    entries: int = 16
    alpha: float = 32.0
    mask: Places = "greedy"
    rounds: int = 10
    prune: float = 0.0
    heads: int = 0
    score: Score = "ABS"
    where: str = ""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.entries < 0 or self.rounds < 1:
            raise InputError(
                f"DSEE of rank {self.rank}, {self.entries} entries and {self.rounds} rounds: rank "
                "and rounds are at least 1, entries at least 0"
            )
        if not 0 <= self.prune < 1 or self.heads < 0:
            raise InputError(
                f"DSEE prunes {self.prune} of the weights and {self.heads} heads: a share lies in "
                "[0, 1), heads are at least 0"
            )
        if self.heads and self.score not in OF_HEADS:
            raise InputError(f"heads have no score {self.score!r}: one of {', '.join(OF_HEADS)}")

    def insert(self, encoder: nn.Module) -> None:
        for target, rank in self._targets(encoder):
            matrix = matrix_of(encoder, target)
            places = places_of(matrix, self.entries, self.mask, self.rounds)
            self._add(encoder, target, matrix, rank, places)
        if self.heads:
            found = _attentions_with_changes(encoder)
            if not found:
                raise InputError(
                    "the encoder has no attention whose queries and values change, so no heads to "
                    "remove: use heads=0"
                )
            fewest = min(attention.num_heads for attention, *_ in found)
            if self.heads >= fewest:
                raise InputError(f"{self.heads} heads to remove where an attention has {fewest}")

    def reinsert(self, encoder: nn.Module, kept: Mapping[str, Tensor]) -> None:
        """Nothing is decomposed: places, masks and heads are those that were kept."""
        plain = {key.replace(".base.", "."): value for key, value in kept.items()}
        for target, rank in self._targets(encoder):
            matrix = matrix_of(encoder, target)
            self._add(encoder, target, matrix, rank, torch.empty(2, 0, dtype=torch.long))
        for name, attention in attentions(encoder).items():
            if (heads := plain.get(f"{name}.heads.kept")) is not None:
                keep_heads(attention, heads)
        for name, layer in layers(encoder):
            if (bits := plain.get(f"{name.replace('.base', '')}.mask.bits")) is not None:
                prune(layer, unpacked(bits, _base(layer).weight.shape))
        for name, _, key, addition in _changes(encoder):
            place = f"{name.replace('.base', '')}.additions.{key}.places"
            if place not in plain:
                raise InputError(f"it lacks {place}")
            addition.make_room(plain[place])

    def stages(self) -> int:
        return 2 if self.prune or self.heads else 1

    @torch.no_grad()
    def begin(self, model: nn.Module, stage: int) -> None:
        encoder = getattr(model, "encoder", model)
        if self.heads:
            for attention, changes, bases in _attentions_with_changes(encoder):
                found = head_scores(
                    [change.product + change.sparse for change in changes],
                    bases,
                    attention.num_heads,
                    self.score,
                    _drawn_from(changes[0]),
                )
                order = found.argsort(stable=True)
                keep_heads(attention, order[self.heads :])
        if self.prune:
            self._prune(encoder)

    def _targets(self, encoder: nn.Module) -> list[tuple[Target, int]]:
        """The layers that change, and the rank of each."""
        known = targets(encoder)
        if not self.where and not any(fits(target.name, ATTENTION) for target in known):
            raise InputError(
                "the encoder has no attention, whose queries and values DSEE changes: name other "
                "layers by `where`, or use lora, which fits any encoder"
            )
        chosen = select(encoder, self.where)
        return list(zip(chosen, ranks_of(encoder, chosen, self.rank)))

    def _add(
        self, encoder: nn.Module, target: Target, matrix: Tensor, rank: int, places: Tensor
    ) -> None:
        layer = dict(layers(encoder))[target.place]
        if not isinstance(_base(layer), nn.Linear):
            raise InputError(f"{target.name} is a convolution: DSEE changes linear layers")
        scale = self.alpha / self.rank
        change = LowRankSparse(matrix, rank, scale, places.to(matrix.device))
        add(encoder, target, "dsee", change)

    def _prune(self, encoder: nn.Module) -> None:
        """Two groups, changed layers and others, each to the same share (official script)."""
        by_score: dict[tuple[str, tuple[int, int] | None], Tensor] = {}
        for name, layer, key, change in _changes(encoder):
            rows = layer.rows[key]
            by_score[name, rows] = scores(
                _rows(layer, rows),
                change.product,
                change.sparse,
                change.low.scale,
                self.score,
                _drawn_from(change),
            )
        known = dict(layers(encoder))
        others = {
            (target.place, target.rows): _rows(known[target.place], target.rows).abs()
            for target in targets(encoder)
            if fits(target.name, BY_MAGNITUDE)
            and not by_score.keys() & {(target.place, target.rows), (target.place, None)}
        }
        masks: dict[str, Tensor] = {}
        for group in (by_score, others):
            for (place, rows), mask in largest(group, self.prune).items():
                weight = _base(known[place]).weight
                whole = masks.setdefault(place, torch.ones_like(weight, dtype=torch.bool))
                whole[slice(*rows) if rows else slice(None)] = mask
        for place, mask in masks.items():
            prune(known[place], mask)


def _base(layer: nn.Module) -> Any:
    return layer.base if isinstance(layer, Adapted) else layer


def _rows(layer: nn.Module, rows: tuple[int, int] | None) -> Tensor:
    """The frozen weight of a layer, or the part of it that makes some of its outputs."""
    weight: Tensor = _base(layer).weight.detach()
    return weight[slice(*rows)] if rows else weight


def _changes(encoder: nn.Module) -> Iterator[tuple[str, Adapted, str, LowRankSparse]]:
    """(name of the layer, layer, name of the change, change) of all that was inserted."""
    for name, layer in layers(encoder):
        if isinstance(layer, Adapted):
            for key, addition in layer.additions.items():
                if isinstance(addition, LowRankSparse):
                    yield name, layer, key, addition


def _attentions_with_changes(
    encoder: nn.Module,
) -> list[tuple[Any, list[LowRankSparse], list[Tensor]]]:
    """(attention, changes of queries and values, their frozen weights)."""
    found = []
    for attention in attentions(encoder).values():
        fused = hasattr(attention, "qkv")
        parts = []
        for part in ("query", "value"):
            layer = attention.qkv if fused else getattr(attention, part)
            key = f"dsee_{part}" if fused else "dsee"
            if isinstance(layer, Adapted) and key in layer.additions:
                parts.append((layer.additions[key], _rows(layer, layer.rows[key])))
        if len(parts) == 2:
            changes: list[Any] = [change for change, _ in parts]
            found.append((attention, changes, [weight for _, weight in parts]))
    return found


def _drawn_from(change: LowRankSparse) -> torch.Generator:
    """A generator that follows from what was learned: a resumed run draws the same again."""
    raw = change.low.up.detach().cpu().contiguous().numpy().tobytes()
    return torch.Generator().manual_seed(zlib.crc32(raw))


# --- presets -------------------------------------------------------------------------------------


@register_method("dsee", system="dsee", trained=590_208, note="rank 16 and 16 entries")
def dsee() -> DSEE:
    return DSEE()


@register_method("dsee-100-rounds", system="dsee", trained=590_208, note="published places")
def dsee_100_rounds() -> DSEE:
    return DSEE(rounds=100)


@register_method("dsee-pruned", system="dsee", trained=590_208, note="a fifth of the weights zero")
def dsee_pruned() -> DSEE:
    return DSEE(prune=0.2)


@register_method("dsee-heads", system="dsee", trained=590_208, note="3 heads of 12 removed")
def dsee_heads() -> DSEE:
    return DSEE(heads=3)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A low-rank and a sparse change beside layers, and a base with fewer weights or heads.",
    use=(
        "A model that learns a task and has to run on less: heads are really removed.",
        "A base to be stored sparse, with what a task learned beside it.",
        "As LoRA, where a few single weights should move as well.",
    ),
    avoid=(
        "Speed from zeroed weights: ordinary kernels multiply by zeros as well; remove heads.",
        "Encoders without attention: LoRA or an adapter.",
        "One base in memory for many tasks: pruned layers are each task's own copy.",
        'A start without delay: each weight is decomposed once, `mask="largest"` needs none of it.',
    ),
    paper="Xuxi Chen, Tianlong Chen, Weizhu Chen, Ahmed Hassan Awadallah et al., ACL 2023",
    figures=(
        "about 25 % of BERT's inference FLOPs saved with 0.5 % trained parameters at comparable "
        "accuracy (abstract)",
    ),
    code_licence="MIT (VITA-Group/DSEE)",
    weights_licence="no weights are published",
    deviations=(
        "Places of sparse entries by 10 rounds of decomposition in float64, not 100 in float32, "
        "whose result depends on rounding; `dsee-100-rounds` is the published number.",
        "Where the sparse part has fewer entries than are asked for, the largest weights follow.",
        "Sparse entries are kept and computed as places and values, not as dense matrices.",
        "Heads can also be scored by the weights alone or at random; with pruned weights in the "
        "same run, heads go first.",
        "The pooler of BERT, which the official script prunes as well, has no counterpart here.",
        "A pruned model is not merged, so that its zeros stay.",
    ),
    faults=(
        "The decomposition needs torch.distributed and a GPU, and does not reproduce from one "
        "precision to another.",
        "WABS adds the low-rank part unscaled and the sparse part scaled; kept, so that scores "
        "equal the published ones.",
        "Scores of heads leave out the scale that scores of weights have; kept as well.",
    ),
    verbs=("adapt", "evaluate", "tag"),
    golden=("dsee",),
    checks=("tests/parity/test_dsee_peers.py",),
)
