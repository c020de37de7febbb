"""Run what the table of systems rests on, and write it down under `records/`.

    python -m tests.evidence exact [SYSTEM]           counts, golden cases, independent peers
    python -m tests.evidence trains SYSTEM            a real training, and one that is killed
    python -m tests.evidence usable SYSTEM            its verbs on real files, as a user types them

`make evidence` runs the first for every system that is built. A record of what failed is written
too: the table shows it as it is.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonograph import records, registry, weights
from sonograph.atlas.rungs import sources
from sonograph.errors import InputError
from sonograph.records import Figure, Record
from sonograph.train.adapt import cost
from tests.conftest import ROOT, shared_folder
from tests.golden.test_golden import compared, head_of

RESUME_STEPS = 60  # of the pair of runs of which one is killed
FIT_STEPS = 24  # the same for a system that adapts: each update is of a larger model


# --- exact ---------------------------------------------------------------------------------------


class Outcomes:
    """A pytest plugin that counts."""

    def __init__(self) -> None:
        self.passed, self.others = 0, list[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self.others.append(f"{report.nodeid} {report.outcome}")
        elif report.when == "call":
            self.passed += 1


def exact(system: registry.System) -> Record:
    """Counts of all published presets, all golden cases, the comparisons that ABOUT names."""
    began, failures = time.perf_counter(), list[str]()
    about: registry.About = registry.module(system.name).ABOUT
    counted = [p for p in registry.presets() if p.system == system.name and p.parameters]
    for preset in counted:
        model = registry.build(preset.name, device="meta")
        found = sum(p.numel() for p in model.parameters())
        if found != preset.parameters:
            failures.append(f"{preset.name} has {found:,} parameters, not {preset.parameters:,}")
    listed = [m for m in registry.methods().values() if m.system == system.name and m.trained]
    for method in listed:
        count = cost(registry.build(method.on, device="meta"), (method.make(),))
        if count != method.trained:
            failures.append(f"{method.name} trains {count:,} numbers, not {method.trained:,}")
    folder = shared_folder()
    if folder is None:
        raise InputError("the folder of golden cases is not beside the project")
    paths = sorted((folder / "golden").glob("*.npz"))
    cases = {}
    for path in paths:
        if head_of(path)["system"] in about.golden:
            outputs = compared(path) or []
            cases[path.stem] = {one.output: [one.error, one.allowed] for one in outputs}
            failures += [f"{path.stem}: {one}" for one in outputs if not one.equal]
    outcomes = Outcomes()
    code = 0
    if about.checks:  # without a file pytest would run them all
        code = pytest.main(["-q", "-m", "", *(str(ROOT / f) for f in about.checks)], [outcomes])
    failures += outcomes.others
    unseen = bool(about.golden) and not cases
    if code != 0 or unseen or not all(cases.values()) or not (cases or outcomes.passed):
        failures.append(f"{len(cases)} cases, comparisons ended with {int(code)}")
    figures = (
        Figure("parameter counts", len(counted) + len(listed), goal="all as published"),
        Figure("golden cases", len(cases), goal="all equal"),
        Figure("golden outputs", sum(map(len, cases.values())), goal="all equal"),
        Figure("comparisons with independent implementations", outcomes.passed, goal="all pass"),
    )
    record = Record(
        system=system.name,
        kind="exact",
        sentence="Parameter counts equal the published ones, outputs equal other implementations' "
        "on the same weights.",
        rule="every count equal; every golden output within ten times the reference's own float32 "
        "noise; every comparison passes, none is skipped",
        verdict="not shown" if failures else "shown",
        measured=figures,
        sources=sources(system),
        details={"cases": cases, "failures": failures},
    )
    return records.stamped(record, time.perf_counter() - began)


# --- trains --------------------------------------------------------------------------------------


def trains(system: registry.System, preset: str, data: str, steps: int) -> Record:
    """The preset's recipe on real sound; beside it a short pair, one of which is killed."""
    from sonograph.progress import Line
    from sonograph.train.log import read_log

    began = time.perf_counter()
    recipes = importlib.import_module(f"sonograph.recipes.{system.task}.{system.name}")
    clips = clips_of(data)
    if hasattr(recipes, "fit"):
        return fitted(system, recipes, data, clips, steps, began)
    recipe = recipes.recipe_of(preset)
    if steps:
        recipe = recipe.override({"train.steps": steps, "train.warmup_steps": steps // 10})
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        first = recipe.override({"train.steps": 1, "train.lr": 0.0, "train.warmup_steps": 0})
        before = recipes.pretrain(preset, clips, folder / "untrained", first).best["loss"]
        summary = recipes.pretrain(preset, clips, folder / "whole", recipe, Line("training"))
        after = summary.best["loss"]
        short = recipe.override(
            {"train.steps": RESUME_STEPS, "train.save_every": 5, "train.log_every": 1}
        )
        recipes.pretrain(preset, clips, folder / "straight", short)
        equal, killed_at = _killed(recipes, preset, clips, folder / "killed", short)
        one, other = (
            weights.read_tensors(folder / name / weights.WEIGHTS) for name in ("straight", "killed")
        )
        equal = equal and all(bool((value == other[name]).all()) for name, value in one.items())
        lines = read_log(folder / "whole" / "log.jsonl")
    record = Record(
        system=system.name,
        kind="trains",
        sentence="The paper's objective lowers the held-out loss on real sound, and a run that is "
        "killed ends in equal weights.",
        rule="the held-out loss after is below that before; weights of a run killed (SIGKILL) and "
        "started again equal those of one that ran through, to the bit",
        verdict="shown" if after < before and equal else "not shown",
        measured=(
            Figure("held-out loss before", before),
            Figure("held-out loss after", after),
            Figure("updates", summary.steps),
            Figure("clips a second", summary.clips_per_s),
        ),
        data=(f"{data}: {len(clips)} clips, {clips.seconds / 3600:.2f} h",),
        seeds=(recipe.train.seed,),
        sources=sources(system),
        details={
            "preset": preset,
            "resumed_equal": equal,
            "killed_at_step": killed_at,
            "held_out": [line for line in lines if line["kind"] == "valid"],
            "recipe": recipe.to_dict(),
        },
    )
    return records.stamped(record, time.perf_counter() - began)


def fitted(
    system: registry.System, recipes: Any, data: str, clips: Any, steps: int, began: float
) -> Record:
    """The same for a system that adapts or studies models: its recipe's `fit`."""
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        whole = recipes.fit(folder / "whole", clips, steps or None)
        recipes.fit(folder / "straight", clips, FIT_STEPS)
        process = multiprocessing.get_context("spawn").Process(
            target=recipes.fit, args=(folder / "killed", clips, FIT_STEPS)
        )
        process.start()
        while process.is_alive() and _steps_of(folder / "killed") < FIT_STEPS // 3:
            time.sleep(0.02)
        killed_at = _steps_of(folder / "killed")
        process.kill()
        process.join()
        recipes.fit(folder / "killed", clips, FIT_STEPS)
        names = [p.relative_to(folder / "straight") for p in kept_weights(folder / "straight")]
        equal = bool(names) and process.exitcode != 0
        for name in names:
            one, other = (weights.read_tensors(folder / k / name) for k in ("straight", "killed"))
            equal = equal and one.keys() == other.keys()
            equal = equal and all(bool((value == other[key]).all()) for key, value in one.items())
    after, before = whole["loss_after"], whole["loss_before"]
    record = Record(
        system=system.name,
        kind="trains",
        sentence="It lowers the held-out loss on real sound, and a run that is killed ends in "
        "equal weights.",
        rule="the held-out loss after is below that before; weights of a run killed (SIGKILL) and "
        "started again equal those of one that ran through, to the bit",
        verdict="shown" if after < before and equal else "not shown",
        measured=(
            Figure("held-out loss before", before),
            Figure("held-out loss after", after),
            Figure("updates", whole["steps"]),
            Figure("clips a second", whole["clips_per_s"]),
        ),
        data=(f"{data}: {len(clips)} clips, {clips.seconds / 3600:.2f} h",),
        sources=sources(system),
        details={
            "resumed_equal": equal,
            "killed_at_step": killed_at,
            "compared": [str(name) for name in names],
            "whole": whole,
        },
    )
    return records.stamped(record, time.perf_counter() - began)


def kept_weights(folder: Path) -> list[Path]:
    """The files that a run leaves as its result, not those that it goes on from."""
    files = sorted(folder.rglob("*.safetensors"))
    return [p for p in files if not {"state", "training", "untaught"} & set(p.parts)]


def _steps_of(folder: Path) -> int:
    """How far a run has come, by its logs."""
    from sonograph.train.log import read_log

    logs = [path for path in folder.rglob("log.jsonl") if "untaught" not in path.parts]
    return max((line["step"] for path in logs for line in read_log(path)), default=0)


def _killed(recipes: Any, preset: str, clips: Any, folder: Path, recipe: Any) -> tuple[bool, int]:
    """Start, kill after a third, start again: (was it killed, after which step)."""
    from sonograph.train.log import read_log

    process = multiprocessing.get_context("spawn").Process(
        target=recipes.pretrain, args=(preset, clips, folder, recipe)
    )
    process.start()
    step = 0
    while process.is_alive() and step < RESUME_STEPS // 3:
        time.sleep(0.05)
        step = max((line["step"] for line in read_log(folder / "log.jsonl")), default=0)
    process.kill()
    process.join()
    killed = process.exitcode != 0
    recipes.pretrain(preset, clips, folder, recipe)
    return killed, step


# --- usable --------------------------------------------------------------------------------------


def usable(system: registry.System, preset: str, data: str, task: str) -> Record:
    """Each verb of ABOUT on real files and broken ones; the exit codes are what counts."""
    began, runs = time.perf_counter(), []
    about: registry.About = registry.module(system.name).ABOUT
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        sounds(folder / "sounds", data)
        for command, expected in commands_of(system)(folder, preset, data, task):
            since = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "sonograph.cli", *command],
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # some write samples
            )
            run = {
                "verb": command[0],
                "command": shlex.join(["sonograph", *command]).replace(f"{folder}/", ""),
                "code": done.returncode,
                "expected": expected,
                "seconds": round(time.perf_counter() - since, 1),
            }
            runs.append(run)
            print(json.dumps(run), "" if done.returncode == expected else done.stderr[-500:])
    failed = [run for run in runs if run["code"] != run["expected"]]
    missing = set(about.verbs) - {run["verb"] for run in runs}
    record = Record(
        system=system.name,
        kind="usable",
        sentence="Its verbs do its job on any file, and refuse a broken one with one line.",
        rule="every command ends with the exit code that is expected, every verb was tried",
        verdict="not shown" if failed or missing else "shown",
        measured=(
            Figure("commands", len(runs)),
            Figure("as expected", len(runs) - len(failed), goal="all"),
        ),
        data=(data,),
        sources=sources(system),
        details={"preset": preset, "runs": runs},
    )
    return records.stamped(record, time.perf_counter() - began)


def sounds(folder: Path, data: str) -> None:
    """A real sound in several forms, one sample alone, and two files that are broken."""
    from sonograph.audio.io import write
    from sonograph.outputs import Audio

    folder.mkdir()
    clip = max(clips_of(data), key=lambda clip: clip.duration_s)
    mono = Audio(clip.read(16000)[None, : 60 * 16000], 16000)
    write(folder / "mono.wav", mono)
    write(folder / "low.ogg", mono.resample(8000))
    write(folder / "stereo.flac", Audio(mono.resample(44100).samples.repeat(2, 0), 44100))
    write(folder / "one_sample.wav", Audio(np.zeros((1, 1), np.float32), 16000))
    whole = (folder / "stereo.flac").read_bytes()
    broken = folder.parent / "broken"
    broken.mkdir()
    (broken / "cut.flac").write_bytes(whole[:30])
    (broken / "text.wav").write_text("this is no sound")


def commands_of(system: registry.System) -> Any:
    """What is typed for a system: its own commands, else those of what represents sound."""
    name = f"tests.commands.{system.name}"
    if importlib.util.find_spec("tests.commands") and importlib.util.find_spec(name):
        return importlib.import_module(name).commands
    return commands


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """What a user types, and the exit code to expect, for systems that represent sound."""
    run, tuned, heard = (str(folder / name) for name in ("run", "tuned", "sounds"))
    labelled = ["--data", data, "--task", task]
    return [
        (["train", preset, "--data", data, "--steps", "10", "-o", run], 0),
        (["adapt", run, *labelled, "--steps", "10", "-o", tuned], 0),
        (["evaluate", tuned, *labelled, "--json"], 0),
        (["embed", heard, "--model", run, "-o", str(folder / "vectors.npz")], 0),
        (["embed", heard, "--model", run, "--json"], 0),
        (["tag", heard, "--model", tuned, "--json"], 0),
        (["search", f"{heard}/mono.wav", heard, "--model", run, "--json"], 0),
        (["search", f"{heard}/low.ogg", str(folder / "vectors.npz"), "--model", run], 0),
        (["embed", str(folder / "broken" / "cut.flac"), "--model", run], 2),
        (["tag", str(folder / "broken" / "text.wav"), "--model", tuned], 2),
        (["search", str(folder / "broken" / "text.wav"), heard, "--model", run], 2),
    ]


def clips_of(data: str) -> Any:
    """Clips of a folder or manifest, or of corpora that were fetched."""
    from sonograph.data.clips import Clips
    from sonograph.data.corpora import open_sets

    return Clips.open(Path(data)) if Path(data).exists() else open_sets([data])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["exact", "trains", "usable"])
    parser.add_argument("system", nargs="?", help="all that are built, if not given")
    parser.add_argument("--preset", help="what to train, else SYSTEM-demo or SYSTEM-test")
    parser.add_argument("--data", default="mini", help="a fetched set or corpus, a folder, a file")
    parser.add_argument("--steps", type=int, default=0, help="of `trains`, else the recipe's")
    parser.add_argument("--task", default="instrument", help="which labels, for `usable`")
    given = parser.parse_args(arguments)
    every = [entry for entry in registry.systems() if entry.built]
    chosen = [registry.system(given.system)] if given.system else every
    verdicts = []
    for system in chosen:
        if given.kind == "exact":
            record = exact(system)
        elif given.kind == "trains":
            preset = given.preset or f"{system.name}-demo"
            record = trains(system, preset, given.data, given.steps)
        else:
            record = usable(system, given.preset or f"{system.name}-test", given.data, given.task)
        path = records.write(record)
        verdicts.append(record.verdict)
        print(f"{record.verdict}: {path.relative_to(ROOT)}")
    return 0 if set(verdicts) <= {"shown"} else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"evidence: {error}")
