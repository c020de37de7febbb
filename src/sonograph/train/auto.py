"""Which way of adapting fits these labels: tried, forecast, dropped early, averaged, explained.

    found = search(encoder, examples, folds, test, "runs/mine", Search(minutes=8))

A linear probe chooses how tokens are pooled. Few candidates begin on the first fold; what
their learning curves forecast, or where nothing can be forecast how far they lie behind, decides
who goes on. Those who do are tried at a second learning rate, keep the better of the two, and are
cross-validated over the other folds. The last fold teaches
nothing: it decides what goes into the soup of the finished models. Started again on the same
folder the search goes on with the plan that it began with.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from sonograph import weights
from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.metrics.intervals import Interval, proportion_interval
from sonograph.nn.adaptation import merge
from sonograph.nn.encoder import Pooling
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.systems.study.learning_curves import forecast
from sonograph.train.adapt import cost, methods_of
from sonograph.train.finetune import (
    Examples,
    Finetune,
    Measured,
    finetune,
    measure,
    mergeable,
    pooled,
)
from sonograph.train.log import read_log
from sonograph.train.probe import linear_probe
from sonograph.train.soup import Brewing, brew, read_run

LOOKS = 12  # at the held-out clips, over the first round: enough for a forecast
FEWEST, MOST = 40, 600  # updates of one training
SHARE = 0.85  # of the time that is planned for; the rest is for reading and measuring
LATEST = 0.65  # of the time: after that no further fold is begun, if one is done
SECOND_RATE = 2.0  # times the method's own; of lower ones few updates make little (records/svfit)
HEAD_UPDATES = 5  # times as many, where only the head learns: they cost next to nothing
POOLS: tuple[Pooling, ...] = ("tokens", "statistics")
PENALTY = 0.1  # of the probes that choose among them
PLAN, REPORT = "search.json", "report.json"


@dataclasses.dataclass(frozen=True)
class Search(Config):
    """What is tried, and for how long."""

    minutes: float = 8.0
    methods: tuple[str, ...] = ("linear", "nmtune", "lora", "svfit", "adapter", "full")
    finalists: int = 3
    folds: int = 3  # of the cross-validation; one more decides about the soup
    batch: int = 16
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One method, and what became of it."""

    method: str
    trained: int = 0  # numbers, the head apart
    seconds: float = 0.0  # of one update
    first: float | None = None  # accuracy after the first round, on the first fold
    curve: tuple[tuple[float, float], ...] = ()  # (updates, accuracy) of the first round
    forecast: tuple[float, float, float] | None = None  # mean, low, high at the end of training
    rate: float = 1.0  # times the method's own learning rate
    other_rate: float | None = None  # accuracy of the first round at the rate that was left
    folds: tuple[float, ...] = ()  # accuracy of each fold, of finalists
    dropped: str = ""  # why it went no further

    @property
    def accuracy(self) -> float:
        """Cross-validated; of what was dropped, that of the first round."""
        return float(np.mean(self.folds)) if self.folds else (self.first or 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a search came to. `kept` says what the model is made of, `why` in words."""

    model: Any
    candidates: tuple[Candidate, ...]
    kept: tuple[str, ...]
    why: tuple[str, ...]
    chosen: float  # accuracy on the clips that decided
    measured: Measured | None  # on clips that decided nothing
    pools: dict[str, float]  # cross-validated accuracy of a linear probe, by way of pooling
    updates: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("kept", "why", "chosen", "pools", "updates")}
        return {
            **told,
            "seconds": self.seconds,
            "accuracy": None if self.measured is None else self.measured.accuracy,
            "candidates": [dataclasses.asdict(one) for one in self.candidates],
        }


def search(
    encoder: Any,
    examples: Examples,
    folds: Sequence[tuple[list[int], list[int]]],
    test: Examples | None,
    folder: str | Path,
    config: Search,
    base: str | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> Found:
    """Choose among `config.methods` and leave the best model in `folder`.

    folds: `config.folds` + 1 pairs of (rows to learn, rows to measure); the last one decides about
    the soup. test: takes no part in any choice. base: see `finetune`. Raises InputError where the
    labels are too few for that many folds.
    """
    began, folder = time.perf_counter(), Path(folder)
    require_folds(folds, config, len(examples))
    run = _Runs(encoder, examples, folder, config)
    run.agree()
    pools: dict[str, float] = {pool: run.probed(pool, folds[:-1]) for pool in POOLS}
    run.pool = max(POOLS, key=lambda pool: pools[pool])
    candidates, updates = _planned(run, config, progress)
    whole = list(candidates)
    going = [c for c in candidates if not c.dropped]
    tell = progress("first round")
    for number, one in enumerate(going):
        going[number] = _begun(run, one, folds[0], updates)
        tell(number + 1, len(going), one.method)
    going = drop_hopeless(going, len(folds[0][1]), config.finalists)
    tell, finalists = progress("second rate"), [c for c in going if not c.dropped]
    for number, one in enumerate(finalists):
        other = _begun(run, dataclasses.replace(one, rate=SECOND_RATE), folds[0], updates)
        finalists[number] = better_rate(one, other)
        tell(number + 1, len(finalists), one.method)
    rates = [
        f"{one.method} learns at {one.rate:g} times its own rate: {one.first:.1%} after the first "
        f"round, {one.other_rate:.1%} at its own"
        for one in finalists
        if one.rate != 1
    ]
    tell = progress("cross-validation")
    late = []
    for k, fold in enumerate(folds[: config.folds]):
        if k and time.perf_counter() - began > LATEST * config.minutes * 60:
            late.append(f"time was up after {k} of {config.folds} folds")
            break
        for number, one in enumerate(finalists):
            accuracy = run(one, fold, k, updates, updates)[0].accuracy
            finalists[number] = dataclasses.replace(one, folds=(*one.folds, accuracy))
            tell(k * len(finalists) + number + 1, config.folds * len(finalists), one.method)
    known = {c.method: c for c in (*going, *finalists)}
    whole = [known.get(c.method, c) for c in whole]
    words = ", ".join(f"{pool} {value:.1%}" for pool, value in pools.items())
    finalists.sort(key=lambda one: -one.accuracy)
    kept, why, chosen = _finish(run, finalists, folds[-1], updates, base, progress)
    model = weights.load_folder(folder)
    measured = None if test is None or not len(test) else measure(model, test)
    why = [*rates, *late, *why]
    why.insert(0, f"tokens are pooled as {run.pool}: a linear probe reaches {words}")
    found = Found(
        model,
        tuple(whole),
        kept,
        tuple(why),
        chosen,
        measured,
        pools,
        updates,
        time.perf_counter() - began,
    )
    weights.write_json(folder / REPORT, found.to_json())
    return found


def require_folds(folds: Sequence[tuple[list[int], list[int]]], config: Search, clips: int) -> None:
    """Raise InputError where the labelled clips are too few to choose a method by."""
    if len(folds) != config.folds + 1 or any(not (learn and held) for learn, held in folds):
        raise InputError(
            f"{clips} labelled clips do not make {config.folds + 1} folds of recordings of "
            "their own: give more, or choose a method yourself"
        )


class _Runs:
    """Trainings of candidates in folders of their own, each begun from the same encoder."""

    def __init__(self, encoder: Any, examples: Examples, folder: Path, config: Search):
        self.encoder, self.examples = encoder, examples
        self.folder, self.config = folder / "tried", config
        self.pool: Pooling = "tokens"

    def agree(self) -> None:
        """Raise InputError where the folder was begun with another plan."""
        path = self.folder.parent / PLAN
        if path.is_file() and weights.read_json(path)["config"] != self.config.to_dict():
            raise InputError(f"{path.parent} was begun with another plan: choose another folder")

    def probed(self, pool: Pooling, folds: Sequence[tuple[list[int], list[int]]]) -> float:
        """Cross-validated accuracy of a linear probe on vectors that are pooled like this."""
        model = Classifier(copy.deepcopy(self.encoder), self.examples.classes, pool)
        made, y = pooled(model, self.examples).features, self.examples.targets
        classes = len(model.labels)
        found = [
            linear_probe(
                made[learn], y[learn], made[held], y[held], penalties=(PENALTY,), classes=classes
            )
            for learn, held in folds
        ]
        return float(np.mean([one.accuracy for one in found]))

    def __call__(
        self,
        one: Candidate,
        fold: tuple[list[int], list[int]],
        k: int,
        updates: int,
        all_updates: int,
    ) -> tuple[Measured, list[tuple[float, float]]]:
        """(what it answered for the fold, its curve of (updates, accuracy)); goes on if begun.

        At a constant rate, so that the longer training goes on from the shorter one.
        """
        learn, held = (self.examples.take(rows) for rows in fold)
        times = HEAD_UPDATES if _head_only(one.method) else 1
        plan = self.plan(one, updates * times).override(
            {
                "train.schedule": "constant",
                "train.warmup_steps": all_updates * times // 20,
                "train.eval_every": max(1, all_updates * times // 3 // LOOKS),
            }
        )
        rate = "" if one.rate == 1 else f"-rate{one.rate:g}"
        place = self.folder / f"{one.method}-{self.pool}{rate}-fold{k}"
        done = finetune(copy.deepcopy(self.encoder), learn, held, place, plan)
        lines = read_log(place / "training" / "log.jsonl")
        curve = [
            (line["step"] / times, line["accuracy"]) for line in lines if line["kind"] == "valid"
        ]
        assert done.measured is not None
        return done.measured, curve

    def plan(self, one: Candidate, updates: int) -> Finetune:
        """A method at its learning rate."""
        return Finetune(method=one.method, pool=self.pool, batch=self.config.batch).override(
            {
                "train.steps": updates,
                "train.lr": one.rate * min(method.lr for method in methods_of(one.method)),
                "train.warmup_steps": updates // 10,
                "train.seed": self.config.seed,
                "train.log_every": max(1, updates // 10),
            }
        )


def _head_only(method: str) -> bool:
    return all(one.changes == "head" for one in methods_of(method))


def _planned(
    run: _Runs, config: Search, progress: Callable[[str], Progress]
) -> tuple[list[Candidate], int]:
    """The candidates that fit the encoder, what an update costs, and how many fit the time."""
    path = run.folder.parent / PLAN
    if path.is_file():
        kept = weights.read_json(path)
        return [Candidate(**one) for one in kept["candidates"]], kept["updates"]
    tell, found = progress("timing"), []
    for number, method in enumerate(config.methods):
        one = Candidate(method)
        try:
            one = dataclasses.replace(one, trained=cost(run.encoder, methods_of(method)))
            one = dataclasses.replace(one, seconds=_seconds(run, method))
        except InputError as error:
            one = dataclasses.replace(one, dropped=f"does not fit this model: {error}")
        found.append(one)
        tell(number + 1, len(config.methods), method)
    if all(one.dropped for one in found):
        raise InputError(f"none of {', '.join(config.methods)} fits this model")
    while (updates := _affordable(found, config)) < FEWEST:
        able = [one for one in found if not one.dropped]
        if len(able) == 1:
            raise InputError(
                f"{config.minutes:g} minutes are enough for {updates} updates of {able[0].method} "
                f"here, and {FEWEST} are the fewest that tell: give more --minutes"
            )
        dearest = max(able, key=_cost)
        why = f"no time for it: an update takes {dearest.seconds:.2f} s here"
        found[found.index(dearest)] = dataclasses.replace(dearest, dropped=why)
    updates = min(updates, MOST)
    weights.write_json(
        path,
        {
            "config": config.to_dict(),
            "updates": updates,
            "candidates": [dataclasses.asdict(one) for one in found],
        },
    )
    return found, updates


def _cost(one: Candidate) -> float:
    """Seconds of what counts as one update."""
    return one.seconds * (HEAD_UPDATES if _head_only(one.method) else 1)


def _affordable(found: Sequence[Candidate], config: Search) -> int:
    """Updates of a training: a third of one each, of the dearest at a second rate too, and those
    over every fold and at the end."""
    costs = sorted(_cost(one) for one in found if not one.dropped)
    last = costs[-config.finalists :]  # it may be the dearest that go on
    # the first fold goes on from the first round, but not if that was at the rate that is left
    an_update = sum(costs) / 3 + sum(last) * (1 / 3 + config.folds + 1)
    return int(SHARE * config.minutes * 60 / an_update)


def _seconds(run: _Runs, method: str, updates: int = 6) -> float:
    """Of one update, the median of some without the first; the vectors of a head's training are
    made once and not counted."""
    import statistics
    import tempfile

    rows = list(range(min(len(run.examples), 2 * run.config.batch)))
    few = run.examples.take(rows)
    with tempfile.TemporaryDirectory() as folder:
        done = finetune(
            copy.deepcopy(run.encoder), few, None, folder, run.plan(Candidate(method), updates)
        )
        lines = read_log(Path(folder) / "training" / "log.jsonl")
    speeds = [line["clips_per_s"] for line in lines if line.get("clips_per_s")]
    later = speeds[1:] or speeds
    return run.config.batch / statistics.median(later) if later else done.seconds / updates


def _begun(
    run: _Runs, one: Candidate, fold: tuple[list[int], list[int]], updates: int
) -> Candidate:
    """A candidate after its first round."""
    answered, curve = run(one, fold, 0, updates // 3, updates)
    forecast = _forecast(curve, updates)
    return dataclasses.replace(one, first=answered.accuracy, curve=tuple(curve), forecast=forecast)


def better_rate(own: Candidate, other: Candidate) -> Candidate:
    """The one that is further after the first round; the method's own rate where they are even."""
    kept, left = (other, own) if (other.first or 0.0) > (own.first or 0.0) else (own, other)
    return dataclasses.replace(kept, other_rate=left.first)


def _forecast(curve: list[tuple[float, float]], at: int) -> tuple[float, float, float] | None:
    """What a learning curve says of the end of training; None where it says nothing."""
    steps, accuracies = zip(*curve) if curve else ((), ())
    try:
        told = forecast(steps, accuracies, at=[at])
    except InputError:
        return None
    return (told.mean[0], told.low[0], told.high[0]) if told.reached and told.low else None


def drop_hopeless(going: Sequence[Candidate], clips: int, finalists: int) -> list[Candidate]:
    """Say of each candidate after the first round why it goes no further, or nothing.

    Hopeless is whose forecast for the end lies below what the leader has now, and, where nothing
    can be forecast, who lies behind the leader by more than the chance of `clips` clips (Wilson's
    95 % intervals apart). Of the others at most `finalists` go on.
    """
    leader = max(going, key=lambda one: one.first or 0.0)

    def interval(one: Candidate) -> Interval:
        return proportion_interval(round((one.first or 0.0) * clips), clips)

    found = []
    for one in going:
        why = ""
        if one is not leader and one.forecast and one.forecast[2] < (leader.first or 0.0):
            why = (
                f"forecast to end at {one.forecast[0]:.1%} (at most {one.forecast[2]:.1%}), below "
                f"what {leader.method} has after a third of its training ({leader.first:.1%})"
            )
        elif one is not leader and interval(one).high < interval(leader).low:
            why = (
                f"at {one.first:.1%} after a third of its training, behind {leader.method} "
                f"({leader.first:.1%}) by more than chance"
            )
        found.append(dataclasses.replace(one, dropped=why))
    left = sorted((c for c in found if not c.dropped), key=lambda one: -(one.first or 0.0))
    late = {one.method for one in left[finalists:]}
    return [
        dataclasses.replace(
            one,
            dropped=f"no time for more than {finalists}; {one.first:.1%} after the first round",
        )
        if one.method in late
        else one
        for one in found
    ]


def _finish(
    run: _Runs,
    finalists: Sequence[Candidate],
    fold: tuple[list[int], list[int]],
    updates: int,
    base: str | None,
    progress: Callable[[str], Progress],
) -> tuple[tuple[str, ...], list[str], float]:
    """Train the finalists to the end, soup those that merge, keep the best on the deciding fold."""
    learn, choose = (run.examples.take(rows) for rows in fold)
    tell, singles, pots = progress("finalists"), {}, []
    for number, one in enumerate(finalists):
        times = HEAD_UPDATES if _head_only(one.method) else 1
        place = run.folder / f"{one.method}-final"
        start = copy.deepcopy(run.encoder)
        done = finetune(start, learn, choose, place, run.plan(one, updates * times))
        assert done.measured is not None
        singles[one.method] = done.measured.accuracy
        if _plain(place):
            pots.append(one.method)
        tell(number + 1, len(finalists), one.method)
    # the deciding fold alone is few clips: it counts as one fold more
    overall = {one.method: float(np.mean([*one.folds, singles[one.method]])) for one in finalists}
    best = max(overall, key=lambda name: overall[name])
    others = ", ".join(f"{name} {value:.1%}" for name, value in overall.items() if name != best)
    why = [
        f"{best} is best alone over all folds: {overall[best]:.1%} ({others})"
        if others
        else f"{best} alone was left: {overall[best]:.1%} over all folds"
    ]
    if len(pots) > 1:
        runs = [read_run(run.folder / f"{name}-final") for name in pots]
        soup = brew(runs, Brewing("greedy"), choose, settling=learn)
        inside = [name for name, row in zip(pots, soup.ingredients) if row.share > 0]
        if len(inside) > 1 and soup.chosen["soup"] > singles[best]:
            why.append(
                f"the mean of the weights of {' and '.join(inside)} is better on the "
                f"{len(choose)} clips that decide: {soup.chosen['soup']:.1%} to {singles[best]:.1%}"
            )
            _leave(run, soup.model, inside, soup.chosen["soup"])
            return tuple(inside), why, soup.chosen["soup"]
        why.append(f"no mean of {', '.join(pots)} is better than the best alone")
    elif len(singles) > 1:
        why.append("fewer than two finalists become plain weights, so nothing was averaged")
    winner = next(one for one in finalists if one.method == best)
    kept = run.plan(winner, updates * (HEAD_UPDATES if _head_only(best) else 1))
    methods = methods_of(best)
    if base and all(one.changes != "encoder" for one in methods):
        # once more from its own training, to leave the delta alone
        place, start = run.folder / f"{best}-final", copy.deepcopy(run.encoder)
        finetune(start, learn, None, place, kept, _card(run, [best], singles[best]), base=base)
        _copied(place, run.folder.parent)
        return (best,), why, singles[best]
    model: Any = weights.load_folder(run.folder / f"{best}-final")
    _leave(run, model, [best], singles[best])
    return (best,), why, singles[best]


def _plain(folder: Path) -> bool:
    """Whether a run left plain weights, with the head that all of them begin with."""
    return weights.read_json(folder / weights.CONFIG)["model"]["kind"] == "classifier"


def _leave(run: _Runs, model: Any, kept: Sequence[str], chosen: float) -> None:
    folder, card = run.folder.parent, _card(run, kept, chosen)
    if getattr(model, "adaptation", ()) and not mergeable(model):
        weights.save_adapted(folder, model, card)
    else:
        weights.save_folder(folder, cast(Any, merge(model)), card)


def _card(run: _Runs, kept: Sequence[str], chosen: float) -> dict[str, Any]:
    return {
        "name": run.folder.parent.name,
        "system": run.encoder.describe()["system"],
        "method": "+".join(kept) if len(kept) == 1 else f"mean of {', '.join(kept)}",
        "search": run.config.to_dict(),
        "accuracy_where_chosen": chosen,
    }


def _copied(source: Path, target: Path) -> None:
    from sonograph.writing import write_whole

    for name in (weights.DELTA, weights.PEFT, weights.CONFIG, weights.CARD):
        if (source / name).is_file():
            write_whole(target / name, (source / name).read_bytes())
