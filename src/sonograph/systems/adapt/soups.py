"""Model soups: the weights of many fine-tuned copies of one model, averaged into one model.

For whoever has tried several learning rates and seeds and would throw all but one away. Wortsman
et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", ICML 2022; interpolation with the weights before fine-tuning is WiSE-FT
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). It works while all members
lie in one basin of the loss: the same start, the same first head, moderate learning rates.

Published (72 CLIP ViT-B/32, ImageNet / mean of five shifted sets): best single model 80.39 / 47.97,
uniform soup 79.97 / 51.58, greedy soup 81.03 / 50.86, all at the cost of one model.

A state is a mapping from names to tensors. `StoredState` reads one from a file tensor by tensor, so
that uniform and greedy soups never hold more than two models. Shapes: logits (n, classes), targets
(n,), mixing weights (tensors, models).

Ours, where the paper is silent: whole-number buffers are those of the first member (an average of
counts means nothing); statistics of batch normalisation are averaged, and `reestimate_norms` then
measures them anew on sound; the output scale of a learned soup is folded into the head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import config as configuration
from sonograph.errors import InputError
from sonograph.progress import Progress, silent
from sonograph.registry import About

State = Mapping[str, Tensor]
Score = Callable[[dict[str, Tensor]], float]  # of a state: higher is better
HEAD = ("head.project.weight", "head.project.bias")  # the last layer of `nn.heads.Classifier`


@dataclasses.dataclass(frozen=True)
class Learning(configuration.Config):
    """How the mixing weights of a learned soup are found: AdamW without weight decay."""

    epochs: int = 5
    lr: float = 0.05
    batch: int = 32  # [ours] the official batches are of 26,000 images, not of a hundred clips
    by: Literal["tensor", "model"] = "tensor"  # "model": all tensors share one weight a model
    seed: int = 0


# --- states --------------------------------------------------------------------------------------


class StoredState(Mapping[str, Tensor]):
    """The tensors of a .safetensors file, each read at the moment it is asked for.

    Half precision comes as float32, as `weights.load` gives it. Raises InputError for a file that
    is not whole and for values that are not finite.
    """

    def __init__(self, path: str | Path):
        from safetensors import SafetensorError, safe_open

        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path} does not exist")
        try:
            self.file = safe_open(self.path, framework="pt")
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"{self.path} is not a whole safetensors file: {error}") from None
        self.names = dict.fromkeys(self.file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(name)
        value = self.file.get_tensor(name)
        if not value.is_floating_point():
            return value
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{self.path}: {name} holds values that are not finite")
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def require_alike(first: State, other: State, name: str) -> None:
    """Raise InputError where a state has other names than the first one."""
    if strange := sorted(first.keys() ^ other.keys()):
        side = "lacks" if strange[0] in first else "alone has"
        raise InputError(f"{name} {side} {strange[0]}: a soup is made of models of one shape")


def weighted(parts: Sequence[tuple[float, State]]) -> dict[str, Tensor]:
    """The weighted sum of states, tensor by tensor; whole numbers are those of the first one.

    Raises InputError for states of different names or shapes.

    >>> weighted([(0.25, {"w": torch.tensor([4.0])}), (0.75, {"w": torch.tensor([0.0])})])
    {'w': tensor([1.])}
    """
    first = parts[0][1]
    for number, (_, state) in enumerate(parts):
        require_alike(first, state, f"member {number + 1}")
    made = {}
    for name in first:
        share, value = parts[0][0], first[name]
        total = value * share if value.is_floating_point() else value.clone()
        for number, (share, state) in enumerate(parts[1:]):
            if not total.is_floating_point():
                break
            value = state[name]
            if value.shape != total.shape:
                raise InputError(
                    f"{name} of member {number + 2} is {_shape(value)}, not {_shape(total)}: a "
                    "soup is made of models of one shape"
                )
            total += value * share
        made[name] = total
    return made


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a number"


# --- recipes -------------------------------------------------------------------------------------


def uniform(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of all members, section 2: theta = 1/k sum_i theta_i.

    >>> uniform([{"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}])
    {'w': tensor([2.])}
    """
    if not states:
        raise InputError("a soup needs members: none is given")
    return weighted([(1 / len(states), state) for state in states])


def interpolate(start: State, tuned: State, share: float) -> dict[str, Tensor]:
    """(1 - share) of the model before tuning, `share` of the one after: WiSE-FT, equation 1."""
    if not 0 <= share <= 1:
        raise InputError(f"the share of the tuned model is {share}: it lies in 0 to 1")
    return weighted([(1 - share, start), (share, tuned)])


def ranked(scores: Sequence[float]) -> list[int]:
    """Members from the best to the worst; of equal ones the later first, as the official code.

    >>> ranked([0.5, 0.7, 0.5])
    [1, 2, 0]
    """
    return sorted(range(len(scores)), key=lambda index: scores[index])[::-1]


@dataclasses.dataclass(frozen=True, eq=False)
class Greedy:
    """A greedy soup and how it came about; indices count the members as they were given."""

    state: dict[str, Tensor]
    order: tuple[int, ...]  # the best first
    kept: tuple[int, ...]  # those that are in it
    trials: tuple[float, ...]  # score of the soup with order[1], order[2], ... put in
    brought: tuple[float, ...]  # by how much each trial moved the score of the soup there was
    score: float


def greedy(
    states: Sequence[State], scores: Sequence[float], score: Score, progress: Progress = silent
) -> Greedy:
    """Recipe 1: from the best member on, keep each next one that makes the mean strictly better.

    scores: of each member alone, on the held-out clips that `score` asks too. Two models are in
    memory: the soup, and the trial that `score` is given. What `score` changes in a state (its
    batch statistics) stays changed.
    """
    if not states or len(states) != len(scores):
        raise InputError(f"{len(scores)} scores of {len(states)} members: one each, at least one")
    order = ranked(scores)
    best = scores[order[0]]
    soup = {name: value.clone() for name, value in states[order[0]].items()}
    kept, trials, brought = [order[0]], list[float](), list[float]()
    for number, member in enumerate(order[1:]):
        count = len(kept)
        trial = weighted([(count / (count + 1), soup), (1 / (count + 1), states[member])])
        trials.append(score(trial))
        brought.append(trials[-1] - best)
        if trials[-1] > best:
            soup, best = trial, trials[-1]
            kept.append(member)
        progress(number + 1, len(order) - 1)
    return Greedy(soup, tuple(order), tuple(kept), tuple(trials), tuple(brought), best)


class LearnedSoup(nn.Module):
    """Mixing weights for every tensor, a softmax over the members, and one output scale.

    inputs -> scaled logits (n, classes). Appendix I: theta_j = sum_i softmax(alpha_j)_i theta_ij,
    logits times beta; alpha starts uniform, beta at 1. All members are in memory. Buffers are those
    that `model` holds: fill it with the uniform soup first.
    """

    def __init__(
        self, model: nn.Module, states: Sequence[State], by: Literal["tensor", "model"] = "tensor"
    ):
        super().__init__()
        if not states:
            raise InputError("a soup needs members: none is given")
        for number, state in enumerate(states):
            require_alike(states[0], state, f"member {number + 1}")
        self.names = [name for name, _ in model.named_parameters()]
        self.members = {name: torch.stack([s[name] for s in states]) for name in self.names}
        rows = len(self.names) if by == "tensor" else 1
        self.alpha = nn.Parameter(torch.zeros(rows, len(states)))
        self.beta = nn.Parameter(torch.ones(()))
        self.mould = [model]  # in a list: its own weights are no part of this module

    def shares(self) -> Float[Tensor, "tensors models"]:
        """How much of each member goes into each tensor; rows sum to 1."""
        return self.alpha.softmax(1).expand(len(self.names), -1)

    def mixed(self) -> dict[str, Tensor]:
        """The weights as they are mixed now, with gradients."""
        pairs = zip(self.names, self.shares())
        return {name: torch.tensordot(row, self.members[name], 1) for name, row in pairs}

    def forward(self, *inputs: Any) -> Float[Tensor, "n classes"]:
        return self.beta * torch.func.functional_call(self.mould[0], self.mixed(), inputs)

    @torch.no_grad()
    def state(self, head: Sequence[str] = HEAD) -> dict[str, Tensor]:
        """The soup as one plain state, the scale folded into the tensors of the last layer."""
        if missing := [name for name in head if name not in self.members]:
            raise InputError(f"the model has no {missing[0]!r} to fold the output scale into")
        held = {name: value.clone() for name, value in self.mould[0].state_dict().items()}
        made = held | self.mixed()
        return {name: value * self.beta if name in head else value for name, value in made.items()}


def learn(
    soup: LearnedSoup,
    inputs: Sequence[Tensor],
    targets: Int[Tensor, "n"],
    config: Learning,
    progress: Progress = silent,
) -> list[float]:
    """Find the mixing weights on held-out clips; the loss of every update.

    inputs: what the model takes, first axis the clip. Cross-entropy of the scaled logits.
    """
    if not len(targets):
        raise InputError("no held-out clip to learn the mixing weights from")
    soup.mould[0].eval()
    optimizer = torch.optim.AdamW(soup.parameters(), lr=config.lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(config.seed)
    losses = []
    for epoch in range(config.epochs):
        for rows in torch.randperm(len(targets), generator=generator).split(config.batch):
            loss = cross_entropy(soup(*(part[rows] for part in inputs)), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        progress(epoch + 1, config.epochs)
    return losses


# --- beside a soup -------------------------------------------------------------------------------


def ensemble(
    answers: Iterable[Float[Tensor, "n classes"]],
    of: Literal["logits", "probabilities"] = "logits",
) -> Float[Tensor, "n classes"]:
    """The mean answer of all members, which costs as many forward passes as there are members.

    answers: logits, one model at a time. Gives logits, or log-probabilities.
    """
    total, count = None, 0
    for logits in answers:
        value = logits if of == "logits" else logits.softmax(1)
        total, count = value if total is None else total + value, count + 1
    if total is None:
        raise InputError("an ensemble needs members: none is given")
    return total / count if of == "logits" else (total / count).log()


@dataclasses.dataclass(frozen=True)
class Barrier:
    """The error on the straight line between two models."""

    shares: tuple[float, ...]  # of the second
    errors: tuple[float, ...]
    height: float  # the most by which it lies above the line between both ends; at least 0


def barrier(
    first: State,
    second: State,
    error: Callable[[dict[str, Tensor]], float],
    points: int = 11,
) -> Barrier:
    """How high the error rises between two models: 0 where they share a basin.

    Height as Entezari et al. 2022, equation 1. points: with both ends, at least 3.
    """
    if points < 3:
        raise InputError(f"a line of {points} points shows no barrier: give at least 3")
    shares = [number / (points - 1) for number in range(points)]
    errors = [error(interpolate(first, second, share)) for share in shares]
    above = [
        found - ((1 - share) * errors[0] + share * errors[-1])
        for share, found in zip(shares, errors)
    ]
    return Barrier(tuple(shares), tuple(errors), max(0.0, *above))


NORMS = nn.modules.batchnorm._BatchNorm


def has_batch_norms(model: nn.Module) -> bool:
    """Whether the model keeps statistics that an average of weights makes wrong."""
    return any(isinstance(part, NORMS) and part.track_running_stats for part in model.modules())


@torch.no_grad()
def reestimate_norms(model: nn.Module, batches: Iterable[tuple[Any, ...]]) -> None:
    """Measure the batch statistics of a model anew, in place: the mean over all batches.

    batches: what the model takes. All other parts stay in evaluation mode. Izmailov et al. 2018,
    section 3.2.
    """
    norms = [part for part in model.modules() if isinstance(part, NORMS)]
    norms = [part for part in norms if part.track_running_stats]
    if not norms:
        return
    momenta = [part.momentum for part in norms]
    model.eval()
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # a plain mean over batches
        part.train()
    count = 0
    for inputs in batches:
        model(*inputs)
        count += 1
    for part, momentum in zip(norms, momenta):
        part.momentum = momentum
    model.eval()
    if count == 0:
        raise InputError("no clip to measure the statistics of batch normalisation on")


@torch.no_grad()
def spread(states: Sequence[State]) -> float:
    """Mean squared distance of the members from their mean, all tensors as one vector.

    Section 4: the gap between soup and ensemble grows with it, times the curvature of the loss.
    """
    total = 0.0
    for name in states[0]:
        if not states[0][name].is_floating_point():
            continue
        values = torch.stack([state[name].double() for state in states])
        total += float((values - values.mean(0)).square().sum()) / len(states)
    return total


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Averages the weights of several fine-tuned runs into one model that is better.",
    use=(
        "Several runs of one model on one task lie about, of other learning rates, seeds or "
        "augmentation: `sonograph soup runs/* ...` makes one model of them, no dearer to run. Runs "
        "of LoRA and of other methods that merge are merged first.",
        "The sound will differ from what was learned from: interpolation with the start "
        "(`--recipe interpolate`) gives some of its breadth back.",
        "An ensemble is too slow: its table shows how near one averaged model comes.",
    ),
    avoid=(
        "Runs from different starts, or with learning rates that leave the basin: the mean of two "
        "good models is then no model. The table shows the barrier and warns.",
        "There are no held-out clips to decide on: of a few dozen, the choice is partly luck.",
        "Learning rates lie far apart and runs are short: measured here, with a span of twenty, "
        "the greedy recipe mostly kept the best run alone (docs/claims.md).",
    ),
    paper="Mitchell Wortsman, Gabriel Ilharco, Samir Yitzhak Gadre and others, ICML 2022",
    figures=(
        "CLIP ViT-B/32, 72 runs, ImageNet: best run 80.39 %, uniform 79.97 %, greedy 81.03 %",
        "mean of five shifted sets: best run 47.97 %, uniform 51.58 %, greedy 50.86 %",
        "learned soup 81.38 % (a comment in the official code)",
        "WiSE-FT, ViT-L: zero-shot 75.5 %, tuned 85.5 %, a mixture of 75 % tuned 86.0 %",
    ),
    code_licence="MIT",
    weights_licence="none are shipped",
    deviations=(
        "The sound tasks have no zero-shot head: a linear probe of the frozen encoder stands in "
        "for it (the paper's LP initialisation).",
        "Batch statistics are measured anew on sound after each mixing, whole-number buffers are "
        "the first member's; the paper's models have neither.",
        "The scale that a learned soup finds for its logits is folded into the head, so that the "
        "soup is a plain model.",
        "Batches of 32 clips for the learned soup, and 10 epochs in `sonograph soup`: the held-out "
        "sets here have tens to hundreds of clips, not 26,000.",
        "`sonograph soup` decides on one half of the held-out clips and measures on the other.",
    ),
    faults=(
        "Moving to the GPU is written in everywhere.",
        "The learned soup multiplies all models on the CPU in every step and is not written out.",
        "That members must share start and first head is not checked: others are averaged "
        "silently.",
    ),
    verbs=("soup", "adapt", "evaluate", "tag"),
    golden=("model-soups",),
    checks=("tests/parity/test_soups_torch.py",),
)
