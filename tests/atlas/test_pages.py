"""What is generated and committed is what the generator makes now."""

from __future__ import annotations

import pytest

from sonograph import records, registry
from sonograph.atlas import counts, pages
from sonograph.errors import InputError
from tests.conftest import ROOT

MADE = pages.everything(ROOT)


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_page_is_current(path) -> None:
    assert path.is_file(), "run `make docs`"
    assert path.read_text(encoding="utf-8") == MADE[path], "run `make docs`"


def test_readme_table_is_current() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.with_table(text, pages.readme_table(records.read_all())) == text, "run `make docs`"


def test_counts_are_current() -> None:
    assert counts.COUNTS.read_text(encoding="utf-8") == counts.content(), "run `make docs`"


def test_no_page_without_its_system() -> None:
    assert set((ROOT / "docs" / "systems").glob("*.md")) <= set(MADE)


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(InputError, match="lacks the marks"):
        pages.with_table("# Sonograph\n", "table")


def test_pictures_that_pages_show_are_there():
    for system in registry.systems():
        if system.built and registry.module(system.name).ABOUT.picture:
            assert (ROOT / "docs" / "systems" / f"{system.name}.png").is_file(), system.name
