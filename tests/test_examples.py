"""The README's Python and every script of examples/ run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
        promised = re.findall(r"^print\(.*\) +# (.*?)(?::|$)", block, re.MULTILINE)
        assert promised
        assert capsys.readouterr().out.splitlines() == promised


def test_the_readme_names_every_verb() -> None:
    from sonograph.cli import VERBS

    text = (ROOT / "README.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"`{verb}`" not in text] == []


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(script: Path, tmp_path: Path) -> None:
    assert len(script.read_text("utf-8").splitlines()) < 40
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []
