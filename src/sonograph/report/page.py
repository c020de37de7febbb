"""The page itself: sections of a report, put into one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonograph.report import picture
from sonograph.report.charts import (
    confusion,
    curve_charts,
    scatter,
    shape_defs,
    time_bar,
    whisker,
    whisker_axis,
)
from sonograph.report.content import (
    Command,
    Costs,
    Curves,
    EmbeddingMap,
    Example,
    Licence,
    Report,
    TaskResult,
)
from sonograph.report.markup import Markup, join, tag
from sonograph.report.numbers import GAP, amount, counted, duration, memory, number, percent
from sonograph.report.sound import wav_uri
from sonograph.report.verdict import difference, headline, pair, sentence
from sonograph.writing import write_whole

LONGEST_S = 3.0  # of an example that is heard and seen
TOP_RATE_HZ = 16_000
MOST_EXAMPLES = 10  # 10 sounds of 3 s are 1.3 MB of page, their 30 pictures about as much
HERE = Path(__file__).parent


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write the page and return its path; the file is either the whole page or not there.

    Raises InputError where the folder cannot be written to, and where Pillow is missing.
    """
    return write_whole(path, page(report).encode("utf-8"))


def page(report: Report) -> Markup:
    """The whole document of a report."""
    sections = [
        ("sounds", "Listen and look", _examples(report.examples)),
        ("results", "How well it learned", _tasks(report.tasks)),
        ("map", "The map of sounds", _map(report.embedding_map)),
        ("training", "How it learned", _training(report.pretraining, report.adaptation)),
        ("cost", "Time and memory", _costs(report.costs)),
        ("next", "Use it", commands_list(report.next_steps)),
        ("data", "The data and its licences", _licences(report.licences)),
    ]
    masthead, limits = _masthead(report), limits_section(report.limits)
    return document(report.title, masthead, sections, limits, report.made)


def document(
    title: str,
    masthead: Markup,
    sections: Sequence[tuple[str, str, Markup]],
    last: Markup,
    made: str,
) -> Markup:
    """A page of sections (anchor, title, body), those without a body left out.

    Its content policy forbids every request and every script but its own.
    """
    style = (HERE / "style.css").read_text(encoding="utf-8")
    script = (HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    kept = [(name, heading, body) for name, heading, body in sections if body]
    links = [tag("a", {"href": f"#{name}"}, heading) for name, heading, _ in kept]
    blocks = [
        tag(
            "section",
            {"id": name, "aria-labelledby": f"{name}-title"},
            tag("h2", {"id": f"{name}-title"}, heading),
            body,
        )
        for name, heading, body in kept
    ]
    head = tag(
        "head",
        None,
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("title", None, title),
        tag("style", None, Markup(style)),
    )
    body = tag(
        "body",
        None,
        tag("a", {"class": "skip", "href": "#main"}, "To the content"),
        shape_defs(),
        masthead,
        tag("nav", {"aria-label": "Contents"}, *links) if len(links) > 1 else "",
        tag("main", {"id": "main"}, *blocks, last),
        tag("footer", None, tag("p", None, made)),
        tag("script", None, Markup(script)),
    )
    return Markup("<!doctype html>\n" + tag("html", {"lang": "en"}, head, body) + "\n")


def _masthead(report: Report) -> Markup:
    verdicts = []
    for task in report.tasks:
        found = difference(task)
        if found is not None:
            kind = found.outcome.replace(" ", "-")
            verdicts.append(
                tag("li", {"class": kind}, tag("b", None, task.name), " ", sentence(found))
            )
    facts = [
        tag("div", None, tag("dt", None, words), tag("dd", None, value))
        for value, words in report.facts
    ]
    return tag(
        "header",
        {"class": "masthead"},
        tag("p", {"class": "kicker"}, report.title),
        tag("h1", None, headline(report.tasks)),
        tag("p", {"class": "lede"}, report.about) if report.about else "",
        tag("ul", {"class": "verdicts"}, *verdicts) if verdicts else "",
        tag("dl", {"class": "facts"}, *facts) if facts else "",
    )


def _examples(examples: Sequence[Example]) -> Markup:
    if not examples:
        return Markup()
    intro = tag(
        "p",
        {"class": "intro"},
        "Each picture is a sound: time runs to the right, pitch upwards, and lighter means louder. "
        "Much of it is hidden from the model, which paints what it thinks is missing: an error of "
        "0 would be perfect, 1 is what one flat shade would reach. Play a sound and follow the "
        "line; click a picture to jump.",
    )
    return join(intro, *map(_example, examples[:MOST_EXAMPLES]))


def _example(example: Example) -> Markup:
    frames = min(np.shape(example.features)[1], max(1, int(LONGEST_S * example.frame_rate_hz)))
    seconds = frames / example.frame_rate_hz
    features = np.asarray(example.features, np.float32)
    mask = picture.spread(example.hidden, example.patch, (features.shape[0], features.shape[1]))
    painted = np.where(mask, np.asarray(example.reconstruction, np.float32), features)
    features, mask, painted = features[:, :frames], mask[:, :frames], painted[:, :frames]
    levels = picture.level_range(features)
    covered = np.asarray(example.hidden)
    share = float(covered.mean()) if covered.size else 0.0
    marks = [
        tag("span", {"style": f"bottom:{100 * height:.1f}%"}, text)
        for height, text in picture.frequency_marks(example.bin_hz)
    ]
    panels = [
        _panel("What was played", "", picture.spectrogram(features, levels), marks),
        _panel(
            "What the model saw",
            f"{percent(share)} hidden",
            picture.spectrogram(features, levels, mask),
            [],
        ),
        _panel(
            "What it painted",
            _error(features, painted, mask),
            picture.spectrogram(painted, levels),
            [],
        ),
    ]
    labels = [
        tag("li", None, tag("span", None, task), " ", name) for task, name in example.labels.items()
    ]
    sound = wav_uri(example.samples, example.rate_hz, seconds, TOP_RATE_HZ)
    player = tag(
        "div",
        {"class": "player"},
        tag("audio", {"src": sound, "preload": "metadata", "controls": True}),
        tag(
            "button",
            {
                "type": "button",
                "class": "play",
                "aria-label": f"Play {example.title}",
                "hidden": True,
            },
            tag("span", {"aria-hidden": "true"}),
        ),
        tag(
            "input",
            {
                "type": "range",
                "min": "0",
                "max": "1000",
                "value": "0",
                "aria-label": f"Position in {example.title}",
                "hidden": True,
            },
        ),
        tag("span", {"class": "time"}, f"{seconds:.2f}{GAP}s"),
    )
    return tag(
        "article",
        {"class": "example", "data-seconds": f"{seconds:.4f}"},
        tag(
            "div",
            {"class": "heading"},
            tag("h3", None, example.title),
            tag("ul", {"class": "labels"}, *labels) if labels else "",
            player,
        ),
        tag("div", {"class": "panels"}, *panels),
    )


def _panel(title: str, note: str, source: str, marks: list[Markup]) -> Markup:
    return tag(
        "figure",
        {"class": "panel"},
        tag("figcaption", None, tag("b", None, title), " ", tag("span", None, note)),
        tag(
            "div",
            {"class": "screen"},
            tag("img", {"src": source, "alt": f"Spectrogram: {title.lower()}"}),
            tag("div", {"class": "pitch", "aria-hidden": "true"}, *marks) if marks else "",
            tag("div", {"class": "playhead", "aria-hidden": "true"}),
        ),
    )


def _error(features: np.ndarray, painted: np.ndarray, mask: np.ndarray) -> str:
    """How far the painted values are off, in units of what one flat shade would be off."""
    true = features[mask]
    spread = float(true.std()) if true.size else 0.0
    if spread < 1e-6:
        return ""
    off = float(np.sqrt(np.mean((painted[mask] - true) ** 2)))
    return f"error {number(off / spread, 2)}"


def _tasks(tasks: Sequence[TaskResult]) -> Markup:
    if not tasks:
        return Markup()
    intro = tag(
        "p",
        {"class": "intro"},
        "The same tasks, learned in several ways and tested on clips that were never heard in "
        "training. A dot is the mean over the runs, its line the interval given beside it, and the "
        "faint dots are single runs. Lines that overlap widely mean that the order could be luck.",
    )
    return join(intro, *map(_task, tasks))


def _task(task: TaskResult) -> Markup:
    seeds = max((len(arm.accuracies) for arm in task.arms), default=0)
    facts = (
        f"{counted(len(task.classes), 'class', 'classes')}, {counted(task.train_clips, 'clip')} to "
        f"learn from, {counted(task.test_clips, 'clip')} to test on, {counted(seeds, 'run')} each."
    )
    heads = [
        tag("th", {"scope": "col"}, "way of learning"),
        tag("th", {"scope": "col", "class": "n"}, "mean"),
        tag("th", {"scope": "col", "class": "axis"}, whisker_axis(task.chance)),
        tag("th", {"scope": "col", "class": "n"}, "interval"),
        tag("th", {"scope": "col", "class": "n"}, "trained numbers"),
        tag("th", {"scope": "col", "class": "n"}, "time a run"),
    ]
    best = max((arm.mean for arm in task.arms), default=0.0)
    rows = []
    for arm in task.arms:
        kind = "scratch" if task.compare and arm.name == task.compare[1] else "learned"
        trained = arm.trained_parameters / arm.total_parameters if arm.total_parameters else 0.0
        share = percent(trained, 1 if trained < 0.095 else 0)
        mean = percent(arm.mean, 1)
        rows.append(
            tag(
                "tr",
                None,
                tag("th", {"scope": "row"}, arm.name, tag("small", None, arm.what)),
                tag("td", {"class": "n"}, tag("b", None, mean) if arm.mean == best else mean),
                tag("td", {"class": "axis"}, whisker(arm, task.chance, kind)),
                tag("td", {"class": "n"}, f"{100 * arm.low:.1f} – {percent(arm.high, 1)}"),
                tag(
                    "td",
                    {"class": "n"},
                    amount(arm.trained_parameters),
                    tag("small", None, f"{share} of {amount(arm.total_parameters)}"),
                ),
                tag("td", {"class": "n"}, duration(arm.seconds)),
            )
        )
    scroll = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": task.name}
    table = tag(
        "table",
        {"class": "arms"},
        tag("thead", None, tag("tr", None, *heads)),
        tag("tbody", None, *rows),
    )
    mixups = Markup()
    if task.confusion is not None and len(task.classes):
        of = f" of “{task.confusion_of}”" if task.confusion_of else ""
        mixups = tag(
            "details",
            {"open": True},
            tag("summary", None, f"Which sounds are mixed up: the answers{of}"),
            confusion(task),
        )
    found = difference(task)
    verdict = tag("p", {"class": "verdict"}, pair(found)) if found else ""
    return tag(
        "article",
        {"class": "task"},
        tag("h3", None, task.name),
        tag("p", {"class": "question"}, task.question, " ", tag("span", None, facts)),
        tag("div", scroll, table) if task.arms else "",
        verdict,
        mixups,
    )


def _map(map_: EmbeddingMap | None) -> Markup:
    if map_ is None or len(map_.points) == 0:
        return Markup()
    words = (
        "Every mark is a clip. Clips that the model hears as alike lie near each other; the axes "
        f"have no meaning of their own. {map_.what} Drawn by {map_.method}. Point at a mark for "
        "its name, switch classes off and on below"
    )
    end = ", and click a ringed mark to hear it." if map_.clips else "."
    return join(tag("p", {"class": "intro"}, words + end), scatter(map_))


def _training(pretraining: Curves | None, adaptation: Sequence[Curves]) -> Markup:
    first = curves_block(pretraining) if pretraining else Markup()
    rest = [block for curves in adaptation if (block := curves_block(curves))]
    blocks = [first, tag("div", {"class": "abreast"}, *rest) if rest else ""]
    if not any(blocks):
        return Markup()
    intro = (
        "Training runs from left to right. A strong line is the running mean of the faint one "
        "behind it, where there are many measurements; a dashed line is what guessing would reach. "
        "Point at a chart to read its values."
    )
    return join(tag("p", {"class": "intro"}, intro), *blocks)


def curves_block(curves: Curves) -> Markup:
    if not curves.series or not len(curves.steps):
        return Markup()
    words = join(
        tag("h3", None, curves.name),
        tag("p", {"class": "question"}, curves.what) if curves.what else "",
    )
    return tag("article", {"class": "curves"}, tag("div", None, words), curve_charts(curves))


def _costs(costs: Costs | None) -> Markup:
    if costs is None:
        return Markup()
    total = sum(seconds for _, seconds in costs.stages)
    facts = [
        ("all in all", duration(total)),
        ("most memory held", memory(costs.peak_memory_bytes)),
        ("machine", costs.machine),
        ("threads", number(costs.threads, 15)),
    ]
    parts = [tag("div", None, tag("dt", None, k), tag("dd", None, v)) for k, v in facts if v]
    bar = time_bar(costs) if costs.stages else Markup()
    return join(tag("dl", {"class": "facts"}, *parts), bar)


def commands_list(commands: Sequence[Command]) -> Markup:
    if not commands:
        return Markup()
    items = [
        tag(
            "li",
            None,
            tag("span", None, command.what),
            tag(
                "div",
                {"class": "line"},
                tag("code", {"tabindex": "0"}, command.line),
                tag("button", {"type": "button", "class": "copy", "hidden": True}, "Copy"),
            ),
        )
        for command in commands
    ]
    intro = "The run folders load like any published model. Type these where the run was made."
    return join(tag("p", {"class": "intro"}, intro), tag("ul", {"class": "commands"}, *items))


def _licences(licences: Sequence[Licence]) -> Markup:
    if not licences:
        return Markup()
    names = ("set", "what it is", "licence", "where it comes from")
    head = tag("tr", None, *[tag("th", {"scope": "col"}, name) for name in names])
    rows = [
        tag(
            "tr",
            None,
            tag("th", {"scope": "row"}, row.name),
            *[tag("td", None, text) for text in (row.what, row.licence, row.source)],
        )
        for row in licences
    ]
    scroll = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Licences"}
    return tag("div", scroll, tag("table", {"class": "plain"}, head, *rows))


def limits_section(limits: Sequence[str]) -> Markup:
    if not limits:
        return Markup()
    return tag(
        "section",
        {"id": "limits", "aria-labelledby": "limits-title"},
        tag("h2", {"id": "limits-title"}, "What these numbers cannot tell"),
        tag("ul", {"class": "limits"}, *[tag("li", None, words) for words in limits]),
    )
