"""`sonograph forecast`: how much more data or more steps would bring."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    import numpy as np

    from sonograph.systems.study.learning_curves import Config, Forecast


@dataclasses.dataclass(frozen=True)
class Args:
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN...")]]
    """Run folders, finished or still running; or .csv or .json files with sizes and accuracies (or
    losses); several columns, or lines with one size, are folds."""
    at: str = ""
    """Sizes or steps to forecast at, as 2000,5000; twice the last one unless given."""
    of: str = ""
    """Which number: accuracy, loss, ...; held-out accuracy, else held-out loss, unless given."""
    since: float = 0.0
    """Leave out what was observed before this size or step, such as a warm-up."""
    pattern: Literal["power", "exponential", "mmf"] = "power"
    """The family of curves that is fitted."""
    look_ahead: int = 5
    """Observations more for which the fits have to agree before they are believed."""
    verticality: float = 4e-4
    """How much the limit may move until then, per 1/5000 of the first step, in percent."""
    plot: Path | None = None
    """Draw observations and forecasts into this PNG file."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observed:
    """A learning curve as it was found: values (n, folds) of `quantity` at `sizes`."""

    name: str
    quantity: str  # in words
    sizes: np.ndarray
    values: np.ndarray
    falls: bool

    @property
    def ceiling(self) -> float:
        """1, or 100 where accuracies are in percent."""
        return 100.0 if self.values.max() > 1 else 1.0


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.systems.study.learning_curves import Config
    from sonograph.verbs import show

    if not args.runs:
        raise InputError("no run is given: sonograph forecast runs/mine")
    config = Config(args.pattern, args.verticality, look_ahead=args.look_ahead)
    wanted, curves, told = sizes_of(args.at), [], []
    for name in args.runs:
        curve = observed(Path(name), args.of, args.since)
        curves.append(curve)
        told.append(forecast_of(curve, wanted or (2.0 * float(curve.sizes[-1]),), config))
    if args.plot is not None:
        draw(args.plot, curves, told, config)
    if args.json:
        show.as_json([as_dict(curve, one) for curve, one in zip(curves, told)])
    else:
        for curve, one in zip(curves, told):
            say(curve, one)
        if len(told) > 1:
            rank(curves, told)
    return 0 if any(one.reached for one in told) else 1


def sizes_of(text: str) -> tuple[float, ...]:
    """The numbers of "2000,5000"."""
    from sonograph.errors import InputError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"--at {text!r} is no list of sizes, such as 2000,5000") from None


def forecast_of(curve: Observed, at: tuple[float, ...], config: Config) -> Forecast:
    from sonograph.errors import InputError
    from sonograph.systems.study.learning_curves import forecast, forecast_losses

    try:
        if curve.falls:
            return forecast_losses(curve.sizes, curve.values, at, config)
        config = dataclasses.replace(config, ceiling=curve.ceiling)
        return forecast(curve.sizes, curve.values, at, config)
    except InputError as error:
        raise InputError(f"{curve.name}: {error}") from None


# --- reading -------------------------------------------------------------------------------------

MOST = 60  # observations; of a longer log neighbours are averaged
SIZES = ("size", "step", "steps", "clips", "examples", "x")


def observed(path: Path, of: str = "", since: float = 0.0) -> Observed:
    """The learning curve of a run folder, a log, or a table. Raises InputError if there is none."""
    from sonograph.errors import InputError

    if path.is_dir():
        logs = [path / "log.jsonl", path / "training" / "log.jsonl"]
        found = [log for log in logs if log.is_file()]
        if not found:
            raise InputError(f"{path} holds no log.jsonl: is it the folder of a run?")
        curve = from_log(found[0], of, str(path))
    elif not path.is_file():
        raise InputError(f"{path} does not exist: give a run folder, a .csv or a .json file")
    elif path.suffix == ".jsonl":
        curve = from_log(path, of, str(path))
    elif path.suffix in (".csv", ".json"):
        curve = from_table(path, of)
    else:
        raise InputError(f"{path} is no run folder, .jsonl, .csv or .json file")
    kept = (curve.sizes >= since) | (since <= 0)
    if not kept.any():
        raise InputError(f"{path} has no observation since {since:g}")
    return dataclasses.replace(curve, sizes=curve.sizes[kept], values=curve.values[kept])


def from_log(path: Path, of: str, name: str) -> Observed:
    """A quantity of a run's log: held out where it was, else of the training batches."""
    import numpy as np

    from sonograph.errors import InputError, did_you_mean
    from sonograph.train.log import curves, read_log

    found = curves(read_log(path))
    usual = [q for q in ("accuracy", "loss") if "valid" in found.get(q, {})]
    quantity = of or (usual or ["loss"])[0]
    if quantity not in found:
        raise InputError(f"{path} has no {quantity!r}.{did_you_mean(quantity, found)}")
    kinds = found[quantity]
    kind = "valid" if "valid" in kinds else "train"
    pairs = {s: v for s, v in zip(*kinds[kind]) if np.isfinite(v)}
    if not pairs:
        raise InputError(f"{path}: no {quantity} is a finite number")
    sizes, values = np.array(list(pairs), dtype=float), np.array(list(pairs.values()))
    groups = np.array_split(np.arange(len(sizes)), min(MOST, len(sizes)))
    where = "held-out" if kind == "valid" else "training"
    return Observed(
        name,
        f"{where} {quantity}",
        np.array([sizes[g].mean() for g in groups]),
        np.array([[values[g].mean()] for g in groups]),
        falling(quantity),
    )


def from_table(path: Path, of: str) -> Observed:
    """A .csv with a header, or .json: a list of such lines, or a list under each name."""
    import csv

    import numpy as np

    from sonograph.errors import InputError, did_you_mean

    rows: list[dict[str, Any]]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        else:
            given = json.loads(text)
            if isinstance(given, dict):
                names = list(given)
                rows = [dict(zip(names, line)) for line in zip(*given.values(), strict=True)]
            else:
                rows = given
        lines = [{str(k).strip().lower(): v for k, v in row.items()} for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    names = list(lines[0]) if lines else []
    size = next((name for name in SIZES if name in names), None)
    if size is None:
        raise InputError(f"{path} has no column of sizes: call one of them `size`")
    known = [q for q in ("accuracy", "loss") if any(n.startswith(q) for n in names)]
    quantity = of or (known or [""])[0]
    columns = [name for name in names if name != size and quantity and name.startswith(quantity)]
    if not columns:
        hint = did_you_mean(quantity, names) if quantity else " Say which column with --of."
        raise InputError(f"{path} has no column {quantity or 'accuracy or loss'!r}.{hint}")
    by_size: dict[float, list[float]] = {}
    for number, line in enumerate(lines, 2 if path.suffix == ".csv" else 1):
        try:
            values = by_size.setdefault(float(line[size]), [])
            for column in columns:
                if line[column] is None:  # the line is too short, or null
                    raise ValueError
                values += np.atleast_1d(np.asarray(line[column], dtype=float)).tolist()
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}, line {number}: {size} and {quantity} are numbers") from None
    sizes = sorted(by_size)
    if len({len(values) for values in by_size.values()}) > 1:  # no folds to speak of
        by_size = {at: [float(np.mean(values))] for at, values in by_size.items()}
    folds = np.array([by_size[at] for at in sizes])
    return Observed(str(path), quantity, np.array(sizes), folds, falling(quantity))


def falling(quantity: str) -> bool:
    """Whether less of it is better."""
    return any(word in quantity for word in ("loss", "error", "perplexity"))


# --- telling -------------------------------------------------------------------------------------


def as_dict(curve: Observed, told: Forecast) -> dict[str, Any]:
    gained = [value - told.now for value in told.mean]
    head = {"run": curve.name, "of": curve.quantity, "last": float(curve.sizes[-1])}
    return {**head, **told.to_json(), "change": gained}


def say(curve: Observed, told: Forecast) -> None:
    print(
        f"{curve.name}: {curve.quantity} {told.now:.4g} at {curve.sizes[-1]:,.6g}, "
        f"{told.observations} observations"
    )
    print(f"  {told.why}" if told.reached else f"  no forecast: {told.why}")
    for size, mean, low, high in zip(told.at, told.mean, told.low, told.high):
        change = mean - told.now
        print(f"  at {size:,.6g}: {mean:.4g} ({low:.4g} to {high:.4g}), {change:+.3g}")


def rank(curves: list[Observed], told: list[Forecast]) -> None:
    """Which run will be ahead, among those of one quantity that can be forecast at one size."""
    pairs = [(curve, one) for curve, one in zip(curves, told) if one.reached]
    same = {(curve.quantity, one.at) for curve, one in pairs}
    if len(pairs) > 1 and len(same) == 1:
        for k, size in enumerate(pairs[0][1].at):
            order = sorted((one.mean[k], curve.name) for curve, one in pairs)
            if not pairs[0][0].falls:
                order.reverse()
            print(f"ahead at {size:,.6g}: {', '.join(name for _, name in order)}")


def draw(path: Path, curves: list[Observed], told: list[Forecast], config: Config) -> None:
    """Observations as points; the last trend, its interval and limit as lines."""
    import importlib.util
    import io

    import numpy as np

    from sonograph.errors import InputError, missing_extra
    from sonograph.outputs import write_whole

    if importlib.util.find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "plot")
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the picture is a .png file")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for curve, one in zip(curves, told):
        dots = axes.plot(curve.sizes, curve.values.mean(1), "o", markersize=3, label=curve.name)
        if not one.reached:
            continue
        line = np.geomspace(curve.sizes[-1], max(*one.at, curve.sizes[-1] * 1.01), 60)
        later = forecast_of(curve, tuple(line), config)
        colour = dots[0].get_color()
        axes.plot(line, later.mean, color=colour)
        axes.fill_between(line, later.low, later.high, color=colour, alpha=0.2, linewidth=0)
    axes.set_xlabel("steps or size")
    axes.set_ylabel(" / ".join(dict.fromkeys(curve.quantity for curve in curves)))
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, format="png")
    write_whole(path, drawn.getvalue())
