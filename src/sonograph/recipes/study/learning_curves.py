"""Real learning curves, and what their first part says about the rest.

`fit` measures one curve: nearest neighbours on vectors of the bundled encoder, over more and more
clips. The claim measures those of six learners on four tasks. Numbers are ours: the paper's are
not in our sources.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError, missing_extra
from sonograph.metrics.intervals import Interval, mean_interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import CORE_QUESTIONS, Question, open_task, spent, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.records import Figure, Record, Verdict, stamped
from sonograph.systems.study import learning_curves as system
from sonograph.train.log import Log
from sonograph.train.probe import knn

ENCODER = "ssast-mini"


@dataclasses.dataclass(frozen=True)
class Plan(Config):
    """Over which sizes a curve is measured; a constant step in each of two parts."""

    dense: int = 20  # sizes up to a quarter of the clips
    wide: int = 20  # sizes from there to all of them
    folds: int = 10

    def sizes(self, clips: int, classes: int) -> Int[np.ndarray, " n"]:
        """Sizes up to all the training clips of a fold; the first has two clips a class."""
        kernel = max(2 * classes, clips // (4 * self.dense))
        quarter = max(clips // 4, kernel + self.dense)
        if quarter + self.wide > clips:
            raise InputError(
                f"{clips} clips of {classes} classes are too few for {self.dense + self.wide} sizes"
            )
        first = np.linspace(kernel, quarter, self.dense)
        rest = np.linspace(quarter, clips, self.wide + 1)[1:]
        return np.concatenate([first, rest]).round().astype(int)


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A task as vectors: (clips, width) and the class of each."""

    name: str
    vectors: Float[np.ndarray, "n d"]
    targets: Int[np.ndarray, " n"]

    @property
    def classes(self) -> int:
        return len(set(self.targets.tolist()))


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One learner's accuracy on the clips left out, at each size and fold."""

    sizes: Int[np.ndarray, " n"]
    accuracies: Float[np.ndarray, "n folds"]


# (train vectors, their classes, test vectors, their classes) -> accuracy
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]


def divided(
    targets: Int[np.ndarray, " n"], folds: int, seed: int
) -> list[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
    """(train rows, test rows) of each fold, as many in each; classes are spread over the folds.

    Training rows are in the order in which they are learned from: two of each class, then any.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(targets))
    by_class = shuffled[np.argsort(targets[shuffled], kind="stable")]
    part = np.empty(len(targets), dtype=int)
    part[by_class] = np.arange(len(targets)) % folds
    least = min(int((part != k).sum()) for k in range(folds))
    found = []
    for k in range(folds):
        rows = random.permutation(np.flatnonzero(part != k))
        seen: dict[int, int] = {}
        early = np.zeros(len(rows), dtype=bool)
        for place, row in enumerate(rows):
            label = int(targets[row])
            seen[label] = seen.get(label, 0) + 1
            early[place] = seen[label] <= 2
        rows = np.concatenate([rows[early], rows[~early]])[:least]
        found.append((rows, np.flatnonzero(part == k)))
    return found


def measured(
    known: Known,
    learner: Learner,
    plan: Plan,
    seed: int,
    path: Path,
    observed: Callable[[int, float], None] = lambda size, accuracy: None,
) -> Curve:
    """A learning curve, kept in a safetensors file after every size; again it goes on there."""
    folds = divided(known.targets, plan.folds, seed)
    sizes = plan.sizes(len(folds[0][0]), known.classes)
    rows: list[np.ndarray] = []
    if path.is_file():
        kept = weights.read_tensors(path)
        rows = list(kept["accuracies"].numpy())
        if kept["accuracies"].shape[1] != plan.folds or kept["sizes"].tolist() != list(
            sizes[: len(rows)]
        ):
            raise InputError(f"{path} is another curve's: choose another folder")
    for size in sizes[len(rows) :]:
        right = []
        for train, test in folds:
            x, y = known.vectors[train[:size]], known.targets[train[:size]]
            right.append(learner(x, y, known.vectors[test], known.targets[test]))
        rows.append(np.array(right))
        weights.write_tensors(
            path,
            {
                "sizes": torch.from_numpy(sizes[: len(rows)].copy()),
                "accuracies": torch.from_numpy(np.stack(rows)),
            },
        )
        observed(int(size), float(rows[-1].mean()))
    return Curve(sizes, np.stack(rows))


@torch.inference_mode()
def vectors_of(question: Question, clips: Clips, folder: Path) -> Known:
    """The clips of a task as mean tokens of the bundled encoder, made once."""
    path = folder / f"vectors-{question.name}.safetensors"
    if not path.is_file():
        encoder: Any = weights.load(ENCODER)
        encoder = getattr(encoder, "encoder", encoder)
        heard = open_task(question, clips, encoder.spec, encoder.config.frames).examples
        parts = [
            encoder(heard.features[i : i + 32], heard.lengths[i : i + 32]).pool()
            for i in range(0, len(heard), 32)
        ]
        weights.write_tensors(path, {"vectors": torch.cat(parts), "targets": heard.targets})
    kept = weights.read_tensors(path)
    return Known(question.name, kept["vectors"].numpy(), kept["targets"].numpy())


# --- one curve -----------------------------------------------------------------------------------


def neighbours(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray
) -> float:
    """Accuracy of the five nearest neighbours."""
    known = torch.from_numpy(train_x), torch.from_numpy(train_y)
    return knn(*known, torch.from_numpy(test_x), torch.from_numpy(test_y))


def fit(
    folder: Path, clips: Clips, steps: int | None = None, progress: Progress = silent
) -> dict[str, float]:
    """Measure a learning curve of `steps` sizes (40) and forecast its end.

    The task is the one of ours that has the most labelled clips here. `loss_before` is the error,
    in accuracy, of what the first three observations say of the last; `loss_after` that of the
    first forecast that may be made. The folder holds the curve, and a log that `sonograph forecast`
    reads, with the number of clips as its step.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = steps or 40
    plan = Plan(dense=count // 2, wide=count - count // 2)
    question = max(CORE_QUESTIONS, key=lambda q: sum(q.task in c.labels for c in clips))
    known = vectors_of(question, clips, folder)
    began, done = time.perf_counter(), 0
    log, path = Log(folder / "log.jsonl"), folder / "curve.safetensors"

    def tell(size: int, accuracy: float) -> None:
        log.write({"step": size, "kind": "valid", "accuracy": accuracy})

    def observed(size: int, accuracy: float) -> None:
        nonlocal done
        done += 1
        tell(size, accuracy)
        progress(done, count, f"{size} clips: {accuracy:.3f}")

    log.cut(-1)
    if path.is_file():  # what was measured before the run went on
        kept = weights.read_tensors(path)
        for before, row in zip(kept["sizes"], kept["accuracies"]):
            tell(int(before), float(row.numpy().mean()))
    curve = measured(known, neighbours, plan, 0, path, observed)
    seconds = time.perf_counter() - began
    truth = float(curve.accuracies[-1].mean())
    percent = 100 * curve.accuracies.mean(1)
    first = system.fit(curve.sizes[:3], percent[None, :3])(curve.sizes[-1:])[0, 0] / 100
    after = np.nan
    for seen in range(system.FIRST_LEVEL, count):
        told = _forecast(curve, seen, draws=0)
        if told.reached:
            after = abs(told.mean[-1] - truth)
            break
    return {
        "loss_before": abs(float(first) - truth),
        "loss_after": float(after),
        "steps": count,
        "clips_per_s": done * len(known.targets) / max(seconds, 1e-9),
    }


def _forecast(curve: Curve, seen: int, draws: int) -> system.Forecast:
    """The rest of a curve from its first observations."""
    config = system.Config(draws=draws)
    return system.forecast(
        curve.sizes[:seen], curve.accuracies[:seen], list(curve.sizes[seen:]), config
    )


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    plan: Plan = Plan()
    digits: int = 1000  # of scikit-learn's 1,797
    seeds: int = 3


SCALES = {"cpu": Scale(), "gpu": Scale(Plan(40, 40), digits=1797, seeds=5)}
PEERS = ("last value", "three-point power", "exponential", "logarithm")
ARMS = ("settled power", *PEERS, "free power")
LEARNERS = ("neighbours", "logistic", "svm", "bayes", "tree", "mlp")
SEEN = (
    "Curves are accuracies over 10 folds at 40 sizes, 20 of them up to a quarter of the clips. "
    "Only curves whose prediction level is reached by then count, in every arm; each is one pair "
    "of task and learner, averaged over its seeds. "
)
RULES = {
    "half": SEEN
    + "From the observations up to half of the clips, the mean absolute percentage error at all "
    "larger sizes: the 95 % Student's t interval of its difference (peer minus settled power) lies "
    f"above 0 for each of {', '.join(PEERS)}: shown; below 0 for one of them: not shown; else "
    "inconclusive.",
    "quarter": SEEN
    + "From the observations up to a quarter of the clips, the absolute percentage error at all of "
    "them: the 95 % Student's t interval of its difference (last value minus settled power) lies "
    "above 0: shown; below 0: not shown; else, or with fewer than 20 curves, inconclusive.",
    "constant": "Asked after the first record was seen, of the same curves: whether the schedule "
    "made the difference, since the paper's steps are constant. Of the denser sizes every third is "
    "kept, so that all steps are alike; the rule is the one of the first record.",
    "order": "The share of pairs of learners, among those whose prediction level is reached by "
    "half of the clips, that are ordered right at the last size: the 95 % Student's t interval of "
    "its difference (settled power minus last value), paired by task and seed, lies above 0: "
    "shown; below 0: not shown; else inconclusive.",
}
SENTENCES = {
    "half": "From the first half of a learning curve, once its fits have settled, the rest is "
    "predicted better than by its last value or by a plain fit.",
    "quarter": "From the first quarter of a learning curve, once its fits have settled, its end is "
    "predicted better than by its last value.",
    "constant": "With constant steps, the rest of a learning curve is predicted better from its "
    "first half than by its last value or by a plain fit.",
    "order": "Settled fits order learners by their final accuracy better than their last values.",
}


def learners() -> dict[str, Learner]:
    """Six learners of scikit-learn, on vectors standardised by the training clips."""
    if importlib.util.find_spec("sklearn") is None:
        raise missing_extra("scikit-learn", "probe")
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    made = (
        lambda: KNeighborsClassifier(5),
        lambda: LogisticRegression(C=0.1, max_iter=50),
        SVC,
        lambda: GaussianNB(var_smoothing=1e-2),
        lambda: DecisionTreeClassifier(min_samples_leaf=3, max_features="sqrt", random_state=0),
        lambda: MLPClassifier((32,), max_iter=40, random_state=0),
    )

    def learner(make: Callable[[], Any]) -> Learner:
        def ask(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
            with warnings.catch_warnings():  # that forty epochs are few is known
                warnings.simplefilter("ignore")
                return float(
                    make_pipeline(StandardScaler(), make()).fit(x, y).score(test_x, test_y)
                )

        return ask

    return {name: learner(make) for name, make in zip(LEARNERS, made)}


def extrapolated(curve: Curve, seen: int) -> dict[str, np.ndarray]:
    """What the simple ways say of the rest of a curve, as shares; none goes beyond 1."""
    sizes, later = curve.sizes[:seen].astype(float), curve.sizes[seen:].astype(float)
    percent = 100 * curve.accuracies[:seen].mean(1)
    three = np.array([0, seen // 2, seen - 1])
    found = {
        "last value": np.full(len(later), percent[-1]),
        "three-point power": system.fit(sizes[three], percent[None, three])(later)[0],
        "free power": system.fit(sizes, percent[None])(later)[0],
    }
    for pattern in ("exponential", "logarithm"):
        found[pattern] = system.fit(sizes, percent[None], pattern)(later)[0]
    return {name: np.clip(values, 0, 100) / 100 for name, values in found.items()}


def judged(curve: Curve, seen: int) -> dict[str, Any] | None:
    """Every arm's predictions of the rest of a curve and their errors; None before its level."""
    told = _forecast(curve, seen, draws=100)
    if not told.reached:
        return None
    truth = curve.accuracies[seen:].mean(1)
    arms = {"settled power": np.array(told.mean), **extrapolated(curve, seen)}
    errors = {name: system.percentage_errors(values, truth) for name, values in arms.items()}
    assert told.layer is not None
    return {
        "level": told.level,
        "mape": {name: float(values.mean()) for name, values in errors.items()},
        "end": {name: float(values[-1]) for name, values in errors.items()},
        "said": {name: float(values[-1]) for name, values in arms.items()},
        "truth": float(truth[-1]),
        "robust": system.robustness(arms["settled power"], truth, tolerance=2.0),
        "in_interval": bool(told.low[-1] <= truth[-1] <= told.high[-1]),
        "in_layer": bool(abs(told.mean[-1] - truth[-1]) <= told.layer),
    }


def thinned(curve: Curve, dense: int) -> Curve:
    """The curve with constant steps: every third of the denser sizes, up to the last of them."""
    kept = np.r_[np.arange(dense - 1, -1, -3)[::-1], np.arange(dense, len(curve.sizes))]
    return Curve(curve.sizes[kept], curve.accuracies[kept])


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Predict the rest of real learning curves from their first part, beside simpler ways.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    ways, size = learners(), SCALES[scale]
    from sklearn.datasets import load_digits

    clips = corpora.open_sets(["core"], data_folder)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [vectors_of(question, clips, folder) for question in CORE_QUESTIONS]
    digits = load_digits()
    tasks.append(Known("digits", digits.data[: size.digits], digits.target[: size.digits]))
    rows: list[dict[str, Any]] = []
    for known in tasks:
        tell, done = progress(known.name), 0
        for seed in range(size.seeds):
            for name, learner in ways.items():
                path = folder / f"{known.name}-{name}-{seed}.safetensors"
                curve = measured(known, learner, size.plan, seed, path)
                even = thinned(curve, size.plan.dense)
                half, middle = (int((c.sizes <= c.sizes[-1] / 2).sum()) for c in (curve, even))
                rows.append(
                    {
                        "task": known.name,
                        "learner": name,
                        "seed": seed,
                        "sizes": curve.sizes.tolist(),
                        "accuracies": curve.accuracies.mean(1).round(5).tolist(),
                        "half": judged(curve, half),
                        "quarter": judged(curve, size.plan.dense),
                        "constant": judged(even, middle),
                    }
                )
                done += 1
                tell(done, size.seeds * len(ways), f"{name}, seed {seed}")
    seconds = spent(folder, time.perf_counter() - began)
    records = []
    for which, verdict_for in VERDICTS.items():
        file = "claim" if which == "half" else f"claim-{which}"
        figures, verdict = verdict_for(rows)
        record = Record(
            system="learning_curves",
            kind="claim",
            sentence=SENTENCES[which],
            rule=RULES[which],
            verdict=verdict,
            measured=figures,
            arms=ARMS,
            data=(*(row["source"] for row in data_of(clips)), "scikit-learn digits"),
            seeds=tuple(range(size.seeds)),
            details={"scale": size.to_dict(), "config": system.Config().to_dict()}
            | ({"curves": rows} if which == "half" else {}),
        )
        records.append((f"{file}-gpu" if scale == "gpu" else file, stamped(record, seconds)))
    return records


def by_learner(rows: Sequence[dict[str, Any]], which: str, measure: str) -> dict[str, list[float]]:
    """Each arm's errors, one a pair of task and learner: the mean over its predicted seeds."""
    groups: dict[tuple[str, str], list[dict[str, float]]] = {}
    for row in rows:
        if row[which] is not None:
            groups.setdefault((row["task"], row["learner"]), []).append(row[which][measure])
    return {arm: [float(np.mean([e[arm] for e in g])) for g in groups.values()] for arm in ARMS}


def _gains(errors: dict[str, list[float]], peers: Sequence[str]) -> dict[str, Interval]:
    return {peer: paired_interval(errors[peer], errors[ARMS[0]]) for peer in peers}


def _shown(which: str, rows: Sequence[dict[str, Any]]) -> tuple[Figure, ...]:
    """What else is told of the curves that were predicted."""
    told = [row[which] for row in rows if row[which] is not None]
    share = {name: float(np.mean([t[name] for t in told])) for name in ("in_interval", "in_layer")}
    return (
        Figure("curves", len(rows)),
        Figure("curves predicted", len(told)),
        Figure("ends inside the 95 % interval", share["in_interval"], unit="share"),
        Figure("ends inside the layer of convergence", share["in_layer"], unit="share"),
        Figure("sizes within 2 %", float(np.mean([t["robust"] for t in told])), unit="share"),
    )


def _errors(
    which: str, measure: str, peers: Sequence[str], rows: Sequence[dict[str, Any]]
) -> tuple[tuple[Figure, ...], dict[str, Interval]]:
    errors = by_learner(rows, which, measure)
    if len(errors[ARMS[0]]) < 2:
        return (Figure("curves", len(rows)), Figure("curves predicted", 0)), {}
    gains = _gains(errors, peers)
    means = {arm: mean_interval(errors[arm]) for arm in ARMS}
    figures = [
        Figure(f"{peer} minus {ARMS[0]}", gain.mean, gain.low, gain.high, "% error")
        for peer, gain in gains.items()
    ]
    figures += [Figure(arm, mean.mean, mean.low, mean.high, "%") for arm, mean in means.items()]
    return (*figures, *_shown(which, rows)), gains


def verdict_half(
    rows: Sequence[dict[str, Any]], which: str = "half"
) -> tuple[tuple[Figure, ...], Verdict]:
    """`RULES["half"]`."""
    figures, gains = _errors(which, "mape", PEERS, rows)
    verdicts = {verdict_of(gain) for gain in gains.values()}
    if not gains or ("inconclusive" in verdicts and "not shown" not in verdicts):
        return figures, "inconclusive"
    return figures, "not shown" if "not shown" in verdicts else "shown"


def verdict_quarter(rows: Sequence[dict[str, Any]]) -> tuple[tuple[Figure, ...], Verdict]:
    """`RULES["quarter"]`."""
    figures, gains = _errors("quarter", "end", PEERS[:1], rows)
    if not gains or sum(row["quarter"] is not None for row in rows) < 20:
        return figures, "inconclusive"
    return figures, verdict_of(gains[PEERS[0]])


def verdict_constant(rows: Sequence[dict[str, Any]]) -> tuple[tuple[Figure, ...], Verdict]:
    """`RULES["constant"]`."""
    return verdict_half(rows, "constant")


def verdict_order(rows: Sequence[dict[str, Any]]) -> tuple[tuple[Figure, ...], Verdict]:
    """`RULES["order"]`."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        if row["half"] is not None:
            groups.setdefault((row["task"], row["seed"]), []).append(row["half"])
    shares: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for told in groups.values():
        truth = [one["truth"] for one in told]
        if len(set(truth)) > 1:
            for arm in ARMS:
                said = [one["said"][arm] for one in told]
                shares[arm].append(system.decision_reliability(said, truth))
    if len(shares[ARMS[0]]) < 2:
        return (Figure("groups of learners", len(shares[ARMS[0]])),), "inconclusive"
    gain = paired_interval(shares[ARMS[0]], shares[PEERS[0]])
    figures = [Figure(f"{ARMS[0]} minus {PEERS[0]}", gain.mean, gain.low, gain.high, "share")]
    figures += [Figure(arm, float(np.mean(values)), unit="share") for arm, values in shares.items()]
    figures.append(Figure("groups of learners", len(shares[ARMS[0]])))
    return tuple(figures), verdict_of(gain)


VERDICTS: dict[str, Callable[[Sequence[dict[str, Any]]], tuple[tuple[Figure, ...], Verdict]]] = {
    "half": verdict_half,
    "quarter": verdict_quarter,
    "order": verdict_order,
    "constant": verdict_constant,
}
