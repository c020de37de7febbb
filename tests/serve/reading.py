"""What a page is for whoever cannot see it, or sees little: asked of the page itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

QUESTIONS = (Path(__file__).parent / "reading.js").read_text()


def told(page: Any, question: str) -> Any:
    """The answer to one of the questions of reading.js."""
    return page.evaluate(f"() => ({QUESTIONS.rstrip()})[{question!r}]()")


def faults(page: Any) -> list[str]:
    """All that is wrong for readers; empty where nothing is."""
    found = [f"no name: {one}" for one in told(page, "nameless")]
    found += [f"twice: {one}" for one in told(page, "twice")]
    found += [f"points nowhere: {one}" for one in told(page, "dangling")]
    found += [f"faint, {one}" for one in told(page, "faint")]
    before = 0
    for level, words in told(page, "headings"):
        if level > before + 1 or not words:
            found.append(f"heading {level} after {before}: {words!r}")
        before = level
    return found
