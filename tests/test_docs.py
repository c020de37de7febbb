"""What the pages say can be typed, and where they point to is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from sonograph import cli
from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def commands() -> list[tuple[str, str]]:
    """(page, line) of every line of a code block that calls sonograph, pipes and comments off."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"^```(?:console|sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                for part in line.removeprefix("$ ").split("|"):
                    part = part.strip().removeprefix(".venv/bin/")
                    if re.match(r"sonograph [a-z-]+( |$)", part):
                        found.append((str(page.relative_to(ROOT)), part))
    return sorted(set(found))


COMMANDS = commands()


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line[:60] for _, line in COMMANDS])
def test_what_is_shown_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if "..." in words or words[0] == "VERB":
        pytest.skip("this line shows a form, not a command")
    verb, *rest = words
    assert verb in cli.VERBS, f"{page}: {line}"
    module = import_module(f"sonograph.verbs.{verb.replace('-', '_')}")
    cli._parse(module.Args, verb, rest)  # raises what the command line would say


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"https?:|mailto:", target):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_guide_is_in_the_tree_of_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("guides/*.md"):
        assert f"\nguides/{page.stem}\n" in index


@pytest.mark.slow
def test_the_site(tmp_path: Path) -> None:
    """It builds without a warning, and asks nobody else for anything."""
    pytest.importorskip("sphinx")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html",
         str(ROOT / "docs"), str(site)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r"""<(?:script|img|audio|iframe)[^>]*\ssrc=["']([^"']+)""", text)
        loaded += re.findall(r"""<link[^>]*rel=["']stylesheet["'][^>]*href=["']([^"']+)""", text)
        assert [one for one in loaded if re.match(r"(https?:)?//", one)] == []
    for sound in ("noisy.mp3", "clear.mp3"):
        assert (site / sound).is_file()
