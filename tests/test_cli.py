"""The dispatcher: quick to start, clear about mistakes, quiet when its reader leaves."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

import sonograph
from sonograph import cli


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def best_of(count: int, *arguments: str) -> float:
    """The least seconds of a core in several starts: others on the machine only add."""
    spent = []
    for _ in range(count):
        began = _of_children()
        assert run(*arguments).returncode == 0
        spent.append(_of_children() - began)
    return min(spent)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_import_is_light() -> None:
    code = "import time; t = time.process_time(); import sonograph; print(time.process_time() - t);"
    code += "import sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    spent, loaded = min(run("-c", code).stdout.splitlines() for _ in range(3))
    assert loaded == "False False"
    assert float(spent) < 0.1


def test_help_is_quick() -> None:
    assert best_of(5, "-m", "sonograph.cli", "--help") < 0.3
    code = "import sys; from sonograph.cli import main; main(['--help']); "
    assert run("-c", code + "sys.exit('torch' in sys.modules)").returncode == 0


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_help_of_a_verb_needs_no_torch(verb: str) -> None:
    code = (
        "import sys\nfrom sonograph.cli import main\n"
        f"try: main([{verb!r}, '--help'])\nexcept SystemExit as end: assert not end.code\n"
        "print('torch' in sys.modules)"
    )
    done = run("-c", code)
    if "No module named 'sonograph.verbs." in done.stderr:
        pytest.fail(f"`sonograph {verb}` is in the list of verbs and has no file")
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [verb for verb in cli.VERBS if f"  {verb} " not in text] == []


def test_a_typo_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["embd"]) == 2
    error = capsys.readouterr().err
    assert "'embed'" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["systems"], ["systems", "--json"]])
def test_a_reader_that_leaves_gets_no_traceback(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sonograph.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_systems_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    from sonograph import registry

    assert cli.main(["systems", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == [s.name for s in registry.systems()]
    for entry in entries:
        assert set(entry) == {"name", "title", "task", "rungs", "evidence"}
        assert list(entry["rungs"]) == ["exact", "trains", "claim", "usable", "told"]
        assert set(map(type, entry["rungs"].values())) == {bool}
        if not registry.system(entry["name"]).built:
            assert not any(entry["rungs"].values())


def test_python_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sonograph", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == sonograph.__version__
