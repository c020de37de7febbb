"""The page is whole, escaped, self-contained, small, and written at once or not at all."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from sonograph.errors import InputError
from sonograph.report import Curves, EmbeddingMap, MapClip, Report, Series, write_report
from sonograph.report.page import page
from tests.report.samples import example, full_report, task

pytest.importorskip("PIL")
HOSTILE = "<script>alert(1)</script>\"'&\x00\udcff"
VOID = {"br", "img", "input", "meta"}


class Reader(HTMLParser):
    """Collects tags, attributes and text; fails where elements are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_part_is_on_the_page():
    read = Reader(page(full_report()))
    words = " ".join(read.text)
    for part in (
        "The demo", "What was done.", "clips heard", "first sound", "weather or animal",
        "Which is it?",
        "principal components", "right patch", "two cores", "912\u00a0MB", "3\u00a0min 6\u00a0s",
        "sonograph tag FILE --model runs/demo/weather", "GPL-2+", "made on a Sunday",
        "Three runs on one split.", "81.0\u00a0%", "61.0\u00a0%",
    ):  # fmt: skip
        assert part in words, part
    assert len(read.all("audio")) == 1
    assert len(read.all("img")) == 3
    assert all(image["alt"] for image in read.all("img"))
    assert len([mark for mark in read.all("use") if "data-title" in mark]) == 9
    targets = {a["href"][1:] for a in read.all("a")}
    assert targets <= {attributes.get("id") for _, attributes in read.tags}


def test_text_from_outside_cannot_become_markup():
    report = full_report()
    hostile_task = task(classes=(HOSTILE, "b", "c"), name=HOSTILE)
    arms = [dataclasses.replace(arm, what=HOSTILE) for arm in hostile_task.arms]
    report = dataclasses.replace(
        report,
        title=HOSTILE,
        about=HOSTILE,
        made=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        examples=[dataclasses.replace(example(title=HOSTILE), labels={HOSTILE: HOSTILE})],
        tasks=[dataclasses.replace(hostile_task, question=HOSTILE, arms=arms)],
        embedding_map=EmbeddingMap(np.eye(2), [HOSTILE, "b"], [HOSTILE, "t"], HOSTILE, HOSTILE),
        pretraining=Curves(HOSTILE, HOSTILE, [0, 1], [Series(HOSTILE, [1, 2], HOSTILE)]),
        limits=[HOSTILE],
    )
    text = page(report)
    plain = Reader(page(full_report()))
    read = Reader(text)
    assert len(read.all("script")) == len(plain.all("script")) == 1
    assert "<script>alert" not in text
    assert "\x00" not in text
    assert "".join(read.text).count("<script>alert(1)</script>\"'&") >= 10  # shown as it is
    text.encode("utf-8")


def test_nothing_is_asked_of_any_other_place():
    text = page(full_report())
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]", re.sub(r"data:[^\"]*", "", text))
    for _, attributes in Reader(text).tags:
        for name in ("src", "href", "data-sound"):
            assert (attributes.get(name) or "#").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\(", text)


def test_the_content_policy_admits_the_pages_own_script_only():
    text = page(full_report())
    policy = next(
        m["content"] for m in Reader(text).all("meta") if "http-equiv" in m and m["content"]
    )
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_a_page_filled_to_the_brim_is_below_six_megabytes(tmp_path):
    draw = np.random.default_rng(0)
    examples = [example(5.0, f"sound {i}", i) for i in range(15)]
    clips = {i: MapClip(draw.uniform(-1, 1, 32000).astype(np.float32), 16000) for i in range(100)}
    count = 5000
    map_ = EmbeddingMap(
        draw.normal(size=(count, 2)), [f"class {i % 30}" for i in range(count)],
        [f"a fairly long file name {i}.wav" for i in range(count)], "chance", clips=clips,
    )  # fmt: skip
    classes = tuple(f"class {i}" for i in range(50))
    report = dataclasses.replace(
        full_report(), examples=examples, embedding_map=map_, tasks=[task(classes=classes)] * 3
    )
    written = write_report(tmp_path / "report.html", report)
    assert written.stat().st_size < 6_000_000
    read = Reader(written.read_text(encoding="utf-8"))
    assert len(read.all("audio")) == 10
    marks = [mark for mark in read.all("use") if "data-title" in mark]
    assert len(marks) <= 2000
    assert sum("data-sound" in mark for mark in marks) == 60


def test_the_player_and_its_pictures_end_together():
    text = page(dataclasses.replace(full_report(), examples=[example(5.0)]))
    sound = base64.b64decode(Reader(text).all("audio")[0]["src"].split(",")[1])
    samples, rate_hz = soundfile.read(io.BytesIO(sound))
    assert (len(samples), rate_hz) == (48000, 16000)
    seconds = next(a["data-seconds"] for _, a in Reader(text).tags if "data-seconds" in a)
    assert float(seconds) == 3.0


def test_empty_parts_leave_no_trace():
    read = Reader(page(Report("empty", "", "now")))
    assert read.all("section") == read.all("nav") == read.all("article") == []
    assert "What the model heard, and what it learned" in read.text


@pytest.mark.parametrize(
    "edge",
    [
        {"tasks": [task((0.5,), (0.4,))]},
        {"tasks": [task(classes=("only",))]},
        {"tasks": [dataclasses.replace(task(), confusion=np.zeros((3, 3), int))]},
        {"tasks": [dataclasses.replace(task(), compare=None, confusion=None, confusion_of="")]},
        {"tasks": [dataclasses.replace(task(), arms=(), compare=None, confusion_of="")]},
        {"embedding_map": EmbeddingMap(np.zeros((1, 2)), ["a"], ["t"], "chance")},
        {"embedding_map": EmbeddingMap(np.full((2, 2), np.nan), ["a", "b"], ["t", "u"], "chance")},
        {"embedding_map": EmbeddingMap(np.zeros((0, 2)), [], [], "chance")},
        {"pretraining": Curves("c", "", [], [Series("s", [], "loss")])},
        {"pretraining": Curves("c", "", [3], [Series("s", [1.0], "loss")])},
        {"pretraining": Curves("c", "", [0, 1], [Series("s", [np.nan, np.inf], "loss")])},
        {"pretraining": Curves("c", "", [0, 1], [Series("s", [-2.0, -2.0], "loss")])},
        {"examples": [dataclasses.replace(example(), samples=np.zeros(0, np.float32))]},
        {"examples": [dataclasses.replace(example(), features=np.full((128, 64), -1.26))]},
        {"examples": [dataclasses.replace(example(), features=np.full((128, 64), np.nan))]},
        {"examples": [dataclasses.replace(example(), hidden=np.zeros((0, 0), bool))]},
    ],
)
def test_edges_still_make_a_whole_page(edge):
    read = Reader(page(dataclasses.replace(full_report(), **edge)))
    numbers = [v for _, a in read.tags for k, v in a.items() if k in ("x", "y", "cx", "style", "d")]
    assert not any("nan" in value or "inf" in value for value in numbers)
    assert "nan" not in " ".join(read.text).split()


def test_writing_replaces_at_once_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "deep" / "report.html"
    assert write_report(target, full_report()) == target
    first = target.read_bytes()
    write_report(target, Report("second", "", "now"))
    assert target.read_bytes() != first
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_page(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="no space left"):
        write_report(target, Report("new", "", "now"))
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_picture_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"sonograph\[plot\]"):
        page(full_report())
