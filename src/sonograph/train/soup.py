"""One model from several runs: reads the runs, sees that they fit, stirs and measures.

    runs = [read_run(folder) for folder in ("runs/a", "runs/b", "runs/c")]
    soup = brew(runs, Brewing("greedy"), choose, check, learned)
    weights.save_folder("runs/soup", soup.model, {...})

The arithmetic is that of `systems.adapt.soups`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import weights
from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.nn.adaptation import merge
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.systems.adapt import soups
from sonograph.train.finetune import Examples, mergeable

Recipe = Literal["greedy", "uniform", "learned", "interpolate"]
BARRIER = 0.02  # Frankle et al. 2020: a rise of the error below it still counts as one basin
CURVE = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares at which an interpolation is measured
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Brewing(Config):
    """How a soup is made."""

    recipe: Recipe = "greedy"
    share: float = 0.75  # of the tuned model, in "interpolate"
    learning: soups.Learning = soups.Learning(epochs=10)  # held-out sets are small: more rounds


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A taught model in its folder; its weights are read when they are asked for."""

    name: str
    card: Mapping[str, Any]
    described: Mapping[str, Any]  # what `weights.build` takes
    state: soups.State

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.described["labels"])

    @property
    def answer(self) -> str:
        return str(self.described.get("answer", "one"))

    @property
    def base(self) -> str:
        """What it was tuned from, as far as its card says; an untrained start has a seed."""
        start = str(self.card.get("from", ""))
        if not start or start in weights.bundled():
            return start
        if Path(start).exists():
            return os.path.realpath(start)
        seed = self.card.get("finetune", {}).get("train", {}).get("seed")
        return start if "/" in start or seed is None else f"{start} of seed {seed}"


def read_run(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder; of one stored apart from its base, the two together as plain weights.

    Raises InputError for what has no labels, or whose additions cannot become plain weights.
    """
    folder = Path(folder)
    described = weights.read_json(folder / weights.CONFIG).get("model")
    card = weights.read_json(folder / weights.CARD) if (folder / weights.CARD).is_file() else {}
    kind = described.get("kind") if isinstance(described, dict) else None
    state: soups.State
    if kind == "adapted":
        model: Any = weights.load(folder)
        if not mergeable(model):
            raise InputError(
                f"{folder} has layers beside the model's own that cannot be averaged into it: make "
                "soups of runs of --method full, linear, lora and others that merge"
            )
        model = merge(model)
        described, state = model.describe(), model.state_dict()
    elif kind == "classifier":
        assert isinstance(described, dict)
        state = soups.StoredState(folder / weights.WEIGHTS)
    else:
        raise InputError(
            f"{folder} has no labels: make soups of what `sonograph adapt` leaves in a run folder"
        )
    return Run(os.path.normpath(folder), card, described, state)


def require_one_start(runs: Sequence[Run], recipe: Recipe) -> None:
    """Raise InputError for runs that cannot be averaged: too few, other shapes, labels or bases."""
    if len(runs) < 2:
        raise InputError(f"a soup is made of at least two runs, not {len(runs)}: give more folders")
    if recipe == "interpolate" and len(runs) > 2:
        raise InputError(
            f"interpolate takes two runs, the start and the tuned one, not {len(runs)}: give two, "
            "or --recipe greedy"
        )
    first, folders = runs[0], [os.path.realpath(run.name) for run in runs]
    if first.answer != "one":
        raise InputError(
            f"{first.name} answers with several labels at once: soups are judged by accuracy, so "
            "give runs that answer with one"
        )
    for number, run in enumerate(runs[1:], start=1):
        if folders[number] in folders[:number]:
            raise InputError(f"{run.name} is given twice: name each run once")
        if run.labels != first.labels or run.answer != first.answer:
            strange = sorted(set(run.labels) ^ set(first.labels)) or ["another order"]
            raise InputError(
                f"{run.name} has other labels than {first.name} ({strange[0]}): a soup is made of "
                "runs of one task"
            )
        if any(run.described[name] != first.described[name] for name in ("encoder", "pool")):
            raise InputError(
                f"{run.name} is a model of another shape than {first.name}: a soup is made of "
                "models of one shape"
            )
        bases = {first.base, run.base}
        tuned_from_first = recipe == "interpolate" and run.base == folders[0]
        if "" not in bases and len(bases) > 1 and not tuned_from_first:
            raise InputError(
                f"{run.name} was tuned from {run.base}, {first.name} from {first.base}: a soup is "
                "made of runs of one start"
            )


class Taster:
    """Fills one model with state after state and measures each; the model shares their memory."""

    def __init__(
        self, described: Mapping[str, Any], parts: Sequence[Examples], settling: Examples | None
    ):
        self.model: Any = weights.build(described).eval()
        self.parts, self.settling = parts, settling

    def fill(self, state: soups.State, name: str = "the soup") -> None:
        """Put a state in, without a copy."""
        try:
            self.model.load_state_dict(dict(state), assign=True)
        except RuntimeError as error:
            fault = " ".join(str(error).split("\n")[1:2]).strip()
            raise InputError(f"{name} does not fit its own {weights.CONFIG}: {fault}") from None

    def settle(self, state: soups.State) -> None:
        """Put a mixture in, and measure its batch statistics anew where it has any."""
        self.fill(state)
        if self.settling is not None and soups.has_batch_norms(self.model):
            soups.reestimate_norms(self.model, inputs_of(self.settling))

    def answers(self) -> list[Float[Tensor, "n classes"]]:
        """Logits for each part."""
        return [logits_of(self.model, part) for part in self.parts]

    def score(self, state: dict[str, Tensor]) -> float:
        """Accuracy of a mixture on the clips that decide."""
        self.settle(state)
        return accuracy(logits_of(self.model, self.parts[0]), self.parts[0])


def inputs_of(examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """What a classifier takes, in batches; one clip alone joins no batch of its own."""
    starts = list(range(0, len(examples), BATCH))
    if len(starts) > 1 and len(examples) - starts[-1] == 1:
        starts.pop()
    ends = [*starts[1:], len(examples)]
    for start, end in zip(starts, ends):
        yield examples.features[start:end], examples.lengths[start:end]


@torch.inference_mode()
def logits_of(model: nn.Module, examples: Examples) -> Float[Tensor, "n classes"]:
    """Logits of all examples, in evaluation mode."""
    model.eval()
    return torch.cat([model(*inputs).float() for inputs in inputs_of(examples)])


def accuracy(logits: Float[Tensor, "n classes"], examples: Examples) -> float:
    """The share of examples whose highest logit is the right one."""
    return float((logits.argmax(1) == examples.targets).double().mean())


def loss(logits: Float[Tensor, "n classes"], examples: Examples) -> float:
    """Mean cross-entropy."""
    return float(cross_entropy(logits, examples.targets))


@dataclasses.dataclass(frozen=True)
class Ingredient:
    """One run and what it brought. Accuracies are on the clips that decide, but for `measured`."""

    run: str
    alone: float
    measured: float | None  # alone, on clips that decided nothing
    barrier: float | None  # rise of the error half-way to the best run; None for that itself
    tried: float | None  # of the soup with it put in; of the soup without it, in "uniform"
    brought: float | None  # by how much the soup is better with it than without
    share: float  # of it in the soup, mean over tensors


@dataclasses.dataclass(frozen=True, eq=False)
class Brewed:
    """A soup, ready to use, and how it came about."""

    model: Classifier
    config: Brewing
    ingredients: tuple[Ingredient, ...]
    best: str  # the run that did best alone on the clips that decide
    chosen: dict[str, float]  # accuracy of "best", "soup", "ensemble" on the clips that decide
    measured: dict[str, float]  # the same on clips that decided nothing; empty without any
    curve: tuple[tuple[float, float], ...]  # "interpolate": (share, accuracy on those that decide)
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.config.to_dict(),
            "ingredients": [dataclasses.asdict(one) for one in self.ingredients],
            "best": self.best,
            "accuracy_where_chosen": self.chosen,
            "accuracy": self.measured,
            "curve": [{"share": share, "accuracy": found} for share, found in self.curve],
            "warnings": list(self.warnings),
        }


def brew(
    runs: Sequence[Run],
    config: Brewing,
    choose: Examples,
    check: Examples | None = None,
    settling: Examples | None = None,
    progress: Progress = silent,
) -> Brewed:
    """Make a soup of runs.

    choose: held-out clips that decide what goes in. check: others, only measured on. settling:
    clips to measure batch statistics on, else `choose`. Of "interpolate" the first run is the
    start. Raises InputError for runs that do not fit together, or no clip to decide on.
    """
    require_one_start(runs, config.recipe)
    if not len(choose):
        raise InputError("no held-out clip to decide on: give clips that the runs did not learn")
    parts = [choose] if check is None or not len(check) else [choose, check]
    taster = Taster(runs[0].described, parts, settling or choose)
    total = 3 * len(runs)

    alone, together = [], list[Any]()
    for number, run in enumerate(runs):
        taster.fill(run.state, run.name)
        answers = taster.answers()
        alone.append([accuracy(logits, part) for logits, part in zip(answers, parts)])
        together = [a + b for a, b in zip(together, answers)] if together else answers
        progress(number + 1, total, "each run alone")
    scores = [found[0] for found in alone]
    states, best = [run.state for run in runs], soups.ranked(scores)[0]

    barriers: list[float | None] = []
    for number, state in enumerate(states):
        if number == best:
            barriers.append(None)
            continue
        half = taster.score(soups.interpolate(states[best], state, 0.5))
        barriers.append(max(0.0, (scores[best] + scores[number]) / 2 - half))
        progress(len(runs) + number + 1, total, "half-way to the best")

    stirred = _stir(states, scores, config, taster, choose)
    taster.fill(stirred.state)
    answers = taster.answers()
    rows = []
    for number, run in enumerate(runs):
        tried, brought = stirred.tried[number]
        other = alone[number][1] if len(parts) > 1 else None
        rows.append(
            Ingredient(
                run.name,
                scores[number],
                other,
                barriers[number],
                tried,
                brought,
                stirred.shares[number],
            )
        )
    progress(total, total)
    found = [
        {
            "best": alone[best][k],
            "soup": accuracy(answers[k], part),
            "ensemble": accuracy(together[k], part),
        }
        for k, part in enumerate(parts)
    ]
    # one clip more or less is no hill
    apart = [row.run for row in rows if row.barrier and row.barrier > BARRIER + 1 / len(choose)]
    warnings = (
        (
            f"between {runs[best].name} and {', '.join(apart)} the error rises: they are not of "
            "one basin, and their mean is worse than either",
        )
        if apart
        else ()
    )
    return Brewed(
        taster.model,
        config,
        tuple(rows),
        runs[best].name,
        found[0],
        found[1] if len(parts) > 1 else {},
        stirred.curve,
        warnings,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Stirred:
    """A state, and for each run (score with or without it, what it brought) and its share."""

    state: dict[str, Tensor]
    tried: list[tuple[float | None, float | None]]
    shares: list[float]
    curve: tuple[tuple[float, float], ...] = ()


def _stir(
    states: Sequence[soups.State],
    scores: Sequence[float],
    config: Brewing,
    taster: Taster,
    choose: Examples,
) -> Stirred:
    count = len(states)
    nothing: list[tuple[float | None, float | None]] = [(None, None)] * count
    if config.recipe == "greedy":
        made = soups.greedy(states, scores, taster.score)
        tried = list(nothing)
        for member, trial, gain in zip(made.order[1:], made.trials, made.brought):
            tried[member] = (trial, gain)
        shares = [1 / len(made.kept) if member in made.kept else 0.0 for member in range(count)]
        return Stirred(made.state, tried, shares)
    if config.recipe == "uniform":
        tried = []
        for member in range(count):
            others = [state for number, state in enumerate(states) if number != member]
            tried.append((taster.score(soups.uniform(others)), None))
        state = soups.uniform(states)
        score = taster.score(state)
        left_out = [(found, score - found) for found, _ in tried if found is not None]
        return Stirred(state, [*left_out], [1 / count] * count)
    if config.recipe == "learned":
        mean = soups.uniform(states)
        taster.settle(mean)
        soup = soups.LearnedSoup(taster.model, states, config.learning.by)
        soups.learn(soup, (choose.features, choose.lengths), choose.targets, config.learning)
        state = soup.state()
        taster.settle(state)
        return Stirred(state, nothing, soup.shares().mean(0).tolist())
    curve = []
    for share in CURVE:
        curve.append((share, taster.score(soups.interpolate(states[0], states[1], share))))
    state = soups.interpolate(states[0], states[1], config.share)
    if 0 < config.share < 1:
        taster.settle(state)
    return Stirred(state, nothing, [1 - config.share, config.share], tuple(curve))
