"""Charts by hand: SVG whose places are shares of the width, so that text never shrinks with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from sonograph.report.content import Arm, Costs, Curves, EmbeddingMap, TaskResult
from sonograph.report.markup import Markup, join, tag
from sonograph.report.numbers import GAP, MINUS, counted, duration, number, percent
from sonograph.report.sound import wav_uri

COLOURS = 8  # .c0 to .c7 in style.css, told apart by colour-blind readers too
SHAPES = (  # beside the colour, so that a class never rests on colour alone
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
    "M-4.4 -4.4h8.8v8.8h-8.8z",
    "M0 -5.8L5.4 4.2H-5.4z",
    "M0 -6.2L6.2 0L0 6.2L-6.2 0z",
    "M-1.8 -5.4h3.6v3.6h3.6v3.6h-3.6v3.6h-3.6v-3.6h-3.6v-3.6h3.6z",
)
DRAWN_STEPS = 240
SMOOTHED_FROM = 40  # points; shorter lines are drawn as they are
MOST_POINTS = 2000
MAP_ASPECT = 1.6  # width to height of the map, as in style.css
MAP_CLIPS, MAP_CLIP_S, MAP_RATE_HZ = 60, 1.0, 8000  # at most 1.3 MB of page
UNITS = {
    "accuracy": ("Right answers", "higher is better"),
    "loss": ("Loss", "lower is better"),
    "mse": ("Painting error", "lower is better"),
    "clips/s": ("Speed", "clips per second"),
}


def shape_defs() -> Markup:
    """The marks of the maps and legends, defined once a page."""
    symbols = [
        tag("path", {"id": f"mark-{i}", "class": "mark", "d": d}) for i, d in enumerate(SHAPES)
    ]
    hidden = {"class": "defs", "width": "0", "height": "0", "aria-hidden": "true"}
    return tag("svg", hidden, tag("defs", None, *symbols))


def mark(index: int) -> tuple[str, str]:
    """(class of the colour, reference of the shape) of the class with that index."""
    return f"c{index % COLOURS}", f"#mark-{(index + index // COLOURS) % len(SHAPES)}"


def swatch(index: int) -> Markup:
    """The mark of a class as a small picture in a legend."""
    colour, shape = mark(index)
    use = tag("use", {"href": shape, "class": colour})
    return tag("svg", {"class": "swatch", "viewBox": "-8 -8 16 16", "aria-hidden": "true"}, use)


def curve_charts(curves: Curves) -> Markup:
    """One chart for every unit among the series, next to each other."""
    units = list(dict.fromkeys(series.unit for series in curves.series))
    charts = [_line_chart(curves, unit) for unit in units]
    return tag("div", {"class": "charts"}, *charts)


def _line_chart(curves: Curves, unit: str) -> Markup:
    chosen = [series for series in curves.series if series.unit == unit]
    steps = np.asarray(curves.steps, float)
    groups = np.array_split(np.arange(steps.size), min(DRAWN_STEPS, max(steps.size, 1)))
    at = np.array([steps[group].mean() for group in groups if group.size])
    lines = [_averaged(series.values, groups) for series in chosen]
    show: Callable[[float], str] = percent if unit == "accuracy" else number
    if unit == "accuracy" and max((s for s in (_last(line) for line in lines)), default=1) < 0.1:
        show = lambda share: percent(share, 1)  # noqa: E731
    chances = {round(s.chance, 6): s.name for s in chosen if s.chance is not None}
    low, high, ticks = _scale(lines, unit, list(chances))
    first, last = (float(at[0]), float(at[-1])) if at.size else (0.0, 1.0)
    along = (at - first) / (last - first) if last > first else np.full(at.shape, 0.5)
    height = lambda value: 1 - (value - low) / (high - low)  # noqa: E731

    drawn: list[str] = []
    for tick in ticks:
        drawn.append(_stroke("grid", [(0, height(tick)), (1, height(tick))]))
    for chance in chances:
        drawn.append(_stroke("chance", [(0, height(chance)), (1, height(chance))]))
    legend, texts = [], []
    for place, (series, line) in enumerate(zip(chosen, lines)):
        smooth = _smoothed(line)
        if smooth is not line:
            drawn.append(_stroke(f"raw c{place % COLOURS}", list(zip(along, height(line)))))
        drawn.append(_stroke(f"line c{place % COLOURS}", list(zip(along, height(smooth)))))
        ends = f"{show(_first(smooth))} → {show(_last(smooth))}"
        key = tag("i", {"class": f"key c{place % COLOURS}", "aria-hidden": "true"})
        legend.append(tag("li", None, key, series.name, " ", tag("b", None, ends)))
        texts.append([show(float(value)) for value in smooth])
    if chances:
        levels = " / ".join(percent(c, 1 if c < 0.095 else 0) for c in sorted(chances))
        key = tag("i", {"class": "key guess", "aria-hidden": "true"})
        legend.append(tag("li", {"class": "fixed"}, key, "guessing ", tag("b", None, levels)))
    title, direction = UNITS.get(unit, (unit, ""))
    summary = "; ".join(
        f"{s.name} from {show(_first(_smoothed(v)))} to {show(_last(_smoothed(v)))}"
        for s, v in zip(chosen, lines)
    )
    data = json.dumps(
        {"x": [round(float(x), 4) for x in along], "at": [number(s, 6) for s in at], "y": texts}
    )
    write = show if unit == "accuracy" else lambda value: f"{value:.6g}".replace("-", MINUS)
    axis = [tag("span", {"style": f"top:{100 * height(tick):.2f}%"}, write(tick)) for tick in ticks]
    view = {"viewBox": "0 0 1000 1000", "preserveAspectRatio": "none", "aria-hidden": "true"}
    return tag(
        "figure",
        {"class": "chart", "data-chart": data},
        tag("figcaption", None, tag("b", None, title), " ", tag("span", None, direction)),
        tag(
            "div",
            {"class": "plot", "tabindex": "0", "role": "img", "aria-label": f"{title}: {summary}"},
            tag("div", {"class": "y-axis", "aria-hidden": "true"}, *axis),
            tag("div", {"class": "canvas"}, tag("svg", view, *drawn)),
        ),
        tag(
            "div",
            {"class": "x-axis", "aria-hidden": "true"},
            tag("span", None, number(first, 6)),
            tag("span", {"class": "where"}, "step"),
            tag("span", None, number(last, 6)),
        ),
        tag("ul", {"class": "legend"}, *legend),
    )


def _averaged(values: Sequence[float], groups: list[np.ndarray]) -> np.ndarray:
    """The mean of every group of steps, NaN where a group has no finite value."""
    raw = np.asarray(values, float)
    raw = np.where(np.isfinite(raw), raw, np.nan)
    kept = [raw[group][np.isfinite(raw[group])] for group in groups if group.size]
    return np.array([part.mean() if part.size else np.nan for part in kept])


def _smoothed(line: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of a long line; a short one as it is."""
    if line.size < SMOOTHED_FROM:
        return line
    half = line.size // 40
    around = [line[max(0, i - half) : i + half + 1] for i in range(line.size)]
    return np.array([np.nan if np.isnan(v) else np.nanmean(a) for v, a in zip(line, around)])


def _first(line: np.ndarray) -> float:
    finite = line[np.isfinite(line)]
    return float(finite[0]) if finite.size else math.nan


def _last(line: np.ndarray) -> float:
    finite = line[np.isfinite(line)]
    return float(finite[-1]) if finite.size else math.nan


def _scale(
    lines: list[np.ndarray], unit: str, also: Sequence[float]
) -> tuple[float, float, list[float]]:
    """(lowest, highest, ticks) of the axis: round numbers, from 0 where that wastes little."""
    values = np.concatenate([*lines, np.asarray(also, float)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if unit in ("accuracy", "clips/s") or 0 <= low < 0.35 * high:
        low = min(low, 0.0)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * 0.999)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if unit == "accuracy":
        high = min(high, 1.0)
    return low, high, [low + i * step for i in range(round((high - low) / step + 1e-6) + 1)]


def _stroke(kind: str, places: Sequence[tuple[float, float]]) -> Markup:
    """A line through places from 0 to 1; it is lifted where a value is missing."""
    path, pen = "", "M"
    for x, y in places:
        if math.isfinite(x) and math.isfinite(y):
            path += f"{pen}{1000 * x:.0f} {1000 * y:.0f}"
            pen = "L"
        else:
            pen = "M"
    return tag("path", {"class": kind, "d": path or "M0 0"})


def whisker(arm: Arm, chance: float, kind: str) -> Markup:
    """The mean as a dot, its interval as a line, every seed as a faint mark, from 0 to 100 %."""

    def at(share: float) -> str:
        return f"{100 * min(max(share, 0.0), 1.0):.2f}%"

    def upright(share: float, name: str) -> Markup:
        return tag("line", {"class": name, "x1": at(share), "x2": at(share), "y1": "0", "y2": "40"})

    parts = [upright(tick, "grid") for tick in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts.append(upright(chance, "chance"))
    for value in arm.accuracies:
        parts.append(tag("circle", {"class": "seed", "cx": at(value), "cy": "20", "r": "3"}))
    span = {"class": "span", "x1": at(arm.low), "x2": at(arm.high), "y1": "20", "y2": "20"}
    parts.append(tag("line", span))
    parts.append(tag("circle", {"class": "mean", "cx": at(arm.mean), "cy": "20", "r": "5"}))
    words = f"{arm.name}: {percent(arm.mean, 1)}, from {percent(arm.low)} to {percent(arm.high)}"
    attributes = {"class": f"whisker {kind}", "height": "40", "role": "img", "aria-label": words}
    return tag("svg", attributes, *parts)


def confusion(task: TaskResult) -> Markup:
    """A grid of true class by given answer; deeper colour for a larger share of the row."""
    assert task.confusion is not None
    counts = np.asarray(task.confusion)
    names = list(task.classes)
    longest = max(map(len, names), default=0)
    wide = longest > 9 or (len(names) > 5 and longest > 3)
    head = [tag("th", {"class": "corner", "scope": "col"}, "true ↓ · answer →")]
    head += [tag("th", {"scope": "col"}, tag("span", None, name)) for name in names]
    rows = [tag("tr", None, *head)]
    for i, name in enumerate(names):
        total = int(counts[i].sum())
        cells = [tag("th", {"scope": "row"}, name)]
        for j in range(len(names)):
            count = int(counts[i, j])
            share = count / total if total else 0.0
            kind = "right" if i == j else "wrong"
            attributes = {
                "class": f"{kind} deep" if share > 0.62 else kind,
                "style": f"--share:{share:.3f}" if count else None,
                "tabindex": "0" if i == j == 0 else "-1",
            }
            cells.append(tag("td", attributes, number(count, 15) if count else ""))
        rows.append(tag("tr", {"data-total": str(total)}, *cells))
    size = "small" if len(names) > 12 else ""
    kind = f"confusion {'upright' if wide else ''} {size}".strip()
    table = tag("table", {"class": kind, "aria-label": f"Confusions of {task.name}"}, *rows)
    off = counts * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(-off, axis=None, kind="stable")[:3]
    most = [(int(k) // len(names), int(k) % len(names)) for k in order if off.flat[k] > 0]
    mixed = "; ".join(
        f"{names[i]} taken for {names[j]} ({off[i, j]} of {int(counts[i].sum())})" for i, j in most
    )
    right = int(np.trace(counts))
    words = f"{right} of {counted(int(counts.sum()), 'clip')} right."
    words += f" Most frequent mix-ups: {mixed}." if mixed else " No mix-ups."
    scroll = {
        "class": "scroll",
        "tabindex": "0",
        "role": "region",
        "aria-label": f"Confusions, {task.name}",
    }
    return tag(
        "figure",
        {"class": "mixups"},
        tag(
            "figcaption",
            None,
            tag("p", None, words),
            tag("p", {"class": "readout", "aria-live": "polite"}, "Point at a cell to read it."),
        ),
        tag("div", scroll, table),
    )


def scatter(map_: EmbeddingMap) -> Markup:
    """Every clip as a mark, named on hover or with arrow keys; the legend switches classes."""
    places = np.nan_to_num(np.asarray(map_.points, float).reshape(-1, 2))
    names = sorted(set(map_.labels))
    shown = np.arange(len(places))
    if shown.size > MOST_POINTS:
        with_clip = sorted(map_.clips or {})[:MAP_CLIPS]
        rest = np.linspace(0, len(places) - 1, MOST_POINTS - len(with_clip)).astype(int)
        shown = np.unique(np.concatenate([rest, np.array(with_clip, int)]))
    low, high = places.min(0), places.max(0)
    scale = max((high[0] - low[0]) / MAP_ASPECT, high[1] - low[1], 1e-9) / 0.92
    centre = (low + high) / 2
    x = 0.5 + (places[:, 0] - centre[0]) / (scale * MAP_ASPECT)
    y = 0.5 - (places[:, 1] - centre[1]) / scale
    audible = set(sorted(map_.clips or {})[:MAP_CLIPS])
    marks = []
    for i in map(int, shown):
        label = names.index(map_.labels[i])
        colour, shape = mark(label)
        clip = (map_.clips or {})[i] if i in audible else None
        sound = wav_uri(clip.samples, clip.rate_hz, MAP_CLIP_S, MAP_RATE_HZ) if clip else None
        attributes = {
            "href": shape,
            "class": f"{colour} audible" if sound else colour,
            "x": f"{100 * x[i]:.2f}%",
            "y": f"{100 * y[i]:.2f}%",
            "data-label": str(label),
            "data-title": map_.titles[i],
            "data-sound": sound,
        }
        marks.append(tag("use", attributes))
    counts = {name: list(map_.labels).count(name) for name in names}
    buttons = [
        tag(
            "button",
            {"type": "button", "aria-pressed": "true", "data-label": str(i)},
            swatch(i),
            name,
            tag("small", None, number(counts[name], 15)),
        )
        for i, name in enumerate(names)
    ]
    words = f"Map of {counted(len(shown), 'clip')} in {counted(len(names), 'class', 'classes')}"
    play = " Ringed marks play when clicked, or with Enter." if audible else ""
    plane = {
        "class": "plane",
        "tabindex": "0",
        "role": "application",
        "aria-label": f"{words}. Arrow keys move from clip to clip.{play}",
    }
    return tag(
        "div",
        {"class": "map"},
        tag(
            "div",
            plane,
            tag("svg", {"width": "100%", "height": "100%", "aria-hidden": "true"}, *marks),
            tag("div", {"class": "name", "aria-live": "polite", "hidden": True}),
        ),
        tag("div", {"class": "classes", "role": "group", "aria-label": "Classes shown"}, *buttons),
    )


def time_bar(costs: Costs) -> Markup:
    """The whole time as one bar, and its stages as a table."""
    total = sum(seconds for _, seconds in costs.stages)
    bar, rows = [], []
    for i, (name, seconds) in enumerate(costs.stages):
        share = seconds / total if total > 0 else 0.0
        colour = f"c{i % COLOURS}"
        bar.append(tag("span", {"class": colour, "style": f"flex-grow:{max(share, 0.002):.4f}"}))
        key = tag("i", {"class": f"key {colour}", "aria-hidden": "true"})
        rows.append(
            tag(
                "tr",
                None,
                tag("th", {"scope": "row"}, key, name),
                tag("td", None, duration(seconds)),
                tag("td", None, percent(share)),
            )
        )
    words = "Time by stage, the whole being " + duration(total)
    head = [tag("th", {"scope": "col"}, name) for name in ("stage", "time", "share")]
    return join(
        tag("div", {"class": "bar", "role": "img", "aria-label": words}, *bar),
        tag("table", {"class": "plain stages"}, tag("tr", None, *head), *rows),
    )


def whisker_axis(chance: float) -> Markup:
    """The marks over a column of whiskers."""
    ticks = [
        tag("span", {"style": f"left:{share}%"}, f"{share}{GAP}%" if share == 100 else str(share))
        for share in (0, 25, 50, 75, 100)
    ]
    words = percent(chance, 1 if chance < 0.095 else 0)
    return join(
        tag("span", {"class": "said"}, f"right answers; dashed: guessing, {words}"),
        tag("span", {"class": "ticks", "aria-hidden": "true"}, *ticks),
    )
