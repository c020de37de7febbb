"""Every example in a docstring runs and answers what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import sonograph

SOURCE = Path(sonograph.__file__).parent


def modules() -> list[str]:
    """Modules with an example in them."""
    return [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(SOURCE.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
