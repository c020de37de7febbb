"""The page that explains which way of adapting was chosen, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonograph.metrics.intervals import proportion_interval
from sonograph.report.content import Command, Curves, Series
from sonograph.report.markup import Markup, tag
from sonograph.report.numbers import amount, counted, duration, percent
from sonograph.report.page import (
    commands_list,
    curves_block,
    document,
    limits_section,
)
from sonograph.writing import write_whole

if TYPE_CHECKING:
    from sonograph.train.auto import Candidate, Found


def choice_page(found: Found, title: str, path: str | os.PathLike[str]) -> Path:
    """Write the page of a search; it needs nothing but itself."""
    folder = Path(path).parent
    sections = [
        ("why", "Why this one", _reasons(found)),
        ("tried", "What was tried", _candidates(found)),
        ("curves", "How they learned", _curves(found)),
        ("next", "Use it", commands_list(_next(folder))),
    ]
    limits = limits_section(
        (
            "The clips that decided between models make the winner look better on them than it "
            "is. Only the clips that were held out from everything tell its accuracy.",
            "Each method had one seed, and one learning rate or, where it went on, two. Another "
            "seed or rate may order methods that lie close together in another way.",
            "A forecast is made from the first third of one training. Where the curve is too "
            "short or too noisy there is none, and the method is judged by where it stands.",
        )
    )
    made = f"Searched for {duration(found.seconds)}, {counted(found.updates, 'update')} a training."
    text = document(title, _masthead(found, title), sections, limits, made)
    return write_whole(path, text.encode("utf-8"))


def _masthead(found: Found, title: str) -> Markup:
    if len(found.kept) > 1:
        headline = f"The mean of {' and '.join(found.kept)} was kept"
    else:
        headline = f"{found.kept[0]} was kept"
    facts = [(percent(found.chosen, 1), "on the clips that decided")]
    if found.measured is not None:
        right = int(found.measured.confusion.diagonal().sum())
        clips = int(found.measured.confusion.sum())
        ends = proportion_interval(right, clips)
        words = f"on {counted(clips, 'clip')} that had no say, {100 * ends.low:.1f} to "
        facts.insert(0, (percent(found.measured.accuracy, 1), words + percent(ends.high, 1)))
    tried = [one for one in found.candidates if one.first is not None]
    facts.append((str(len(tried)), "methods tried"))
    facts.append((duration(found.seconds), "in all"))
    rows = [
        tag("div", None, tag("dt", None, words), tag("dd", None, value)) for value, words in facts
    ]
    return tag(
        "header",
        {"class": "masthead"},
        tag("p", {"class": "kicker"}, title),
        tag("h1", None, headline),
        tag("dl", {"class": "facts"}, *rows),
    )


def _reasons(found: Found) -> Markup:
    dropped = [one for one in found.candidates if one.dropped]
    items = [tag("li", None, f"{words[0].upper()}{words[1:]}.") for words in found.why]
    items += [tag("li", None, tag("b", None, one.method), f": {one.dropped}.") for one in dropped]
    return tag("ul", {"class": "limits"}, *items)


def _candidates(found: Found) -> Markup:
    names = (
        "method", "trained numbers", "after a third", "rate", "at the other rate",
        "forecast for the end", "cross-validated", "folds", "time an update", "",
    )  # fmt: skip
    head = tag("tr", None, *[tag("th", {"scope": "col"}, name) for name in names])
    order = sorted(found.candidates, key=lambda one: (not one.folds, -one.accuracy))
    rows = [_row(one, found) for one in order]
    scroll = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Methods"}
    return tag("div", scroll, tag("table", {"class": "plain"}, head, *rows))


def _row(one: Candidate, found: Found) -> Markup:
    ahead = "" if one.forecast is None else (
        f"{percent(one.forecast[0], 1)} ({100 * one.forecast[1]:.0f} to "
        f"{percent(one.forecast[2])})"
    )  # fmt: skip
    if one.first is not None and not ahead:
        ahead = "cannot be told yet"
    state = "kept" if one.method in found.kept else "dropped" if one.dropped else "finalist"
    cells = (
        amount(one.trained) if one.trained else "the head alone",
        "" if one.first is None else percent(one.first, 1),
        "" if one.first is None else "its own" if one.rate == 1 else f"{one.rate:g} times its own",
        "" if one.other_rate is None else percent(one.other_rate, 1),
        ahead,
        percent(one.accuracy, 1) if one.folds else "",
        ", ".join(percent(value) for value in one.folds),
        f"{1000 * one.seconds:.0f} ms" if one.seconds else "",
        tag("b", None, state) if state == "kept" else state,
    )
    return tag(
        "tr", None, tag("th", {"scope": "row"}, one.method), *[tag("td", None, c) for c in cells]
    )


def _curves(found: Found) -> Markup:
    drawn = [one for one in found.candidates if len(one.curve) > 1]
    if not drawn:
        return Markup()
    steps = sorted({step for one in drawn for step, _ in one.curve})
    series = []
    for one in drawn:
        at, accuracies = (list(column) for column in zip(*one.curve))
        series.append(Series(one.method, np.interp(steps, at, accuracies).tolist(), "accuracy"))
    words = (
        "Accuracy on the first fold over the first third of each training. Of methods that teach "
        "the head alone one update here stands for five."
    )
    return curves_block(Curves("The first round", words, steps, series))


def _next(folder: Path) -> tuple[Command, ...]:
    return (
        Command("Say what is heard in a sound", f"sonograph tag FILE --model {folder}"),
        Command("Measure it on other clips", f"sonograph evaluate {folder} --data OTHER.csv"),
        Command("See all numbers of the search", f"cat {folder}/report.json"),
    )
