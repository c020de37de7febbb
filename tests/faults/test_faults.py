"""Bad input and faults through the command line: one line, exit code 2, nothing half-written.

Faults of archives, shards, downloads and training (kill -9) are tested beside their parts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sonograph import registry, weights
from sonograph.cli import main
from sonograph.nn.heads import Classifier
from tests.e2e.commands import RATE, STOPPED, environment, furnish, noise, start, tone


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """An encoder and a classifier, untrained: what a fault needs of a model is that it is there."""
    place = tmp_path_factory.mktemp("models")
    encoder = registry.build("ssast-test")
    weights.save_folder(place / "encoder", encoder, {"name": "encoder"})
    classifier = Classifier(encoder, ["noise", "tone"])
    weights.save_folder(place / "tagger", classifier, {"name": "tagger", "task": "class"})
    return place


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(furnish(tmp_path))
    monkeypatch.setenv("SONOGRAPH_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def refused(room, capsys):
    """Runs a command that has to fail: exit code 2 and one line, which is returned."""

    def call(*words: object) -> str:
        before = sorted(room.rglob("*"))
        assert main([*map(str, words)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        said = [line for line in told.err.splitlines() if line.startswith("sonograph: ")]
        assert len(said) == 1
        assert told.err.splitlines()[-1] == said[0]
        assert "Traceback" not in told.err
        left = [p for p in sorted(room.rglob("*")) if p not in before]
        assert not [p for p in left if "part" in p.name or p.suffix in (".npz", ".safetensors")]
        return said[0]

    return call


# --- sounds

BAD_SOUNDS = {
    "empty.wav": (b"", "is empty"),
    "text.wav": (b"dear diary, today I heard nothing\n" * 9, "found text"),
    "picture.flac": (b"\x89PNG\r\n\x1a\n" + bytes(400), "a PNG picture"),
    "bytes.ogg": (bytes(range(256)) * 9, "no known kind"),
    "page.mp3": (b"<html><body>404</body></html>" * 9, "HTML"),
}


@pytest.mark.parametrize("name", BAD_SOUNDS)
@pytest.mark.parametrize("verb", ["embed", "tag", "info", "adapt"])
def test_files_that_are_no_sound(room, refused, models, name, verb):
    content, said = BAD_SOUNDS[name]
    (room / name).write_bytes(content)
    line = refused(*_words(room, verb, name, models))
    assert name in line
    assert said in line


def _words(room: Path, verb: str, name: str, models: Path) -> tuple[object, ...]:
    if verb == "adapt":
        table = (room / "labels.csv").read_text()
        (room / "bad.csv").write_text(f"{table}{name},tone,train\n")
        return ("adapt", models / "encoder", "--data", "bad.csv", "--steps", 1, "-o", "run")
    if verb == "info":
        return ("info", name)
    model = models / ("tagger" if verb == "tag" else "encoder")
    return (verb, name, "--model", model, *(("-o", "out.npz") if verb == "embed" else ()))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_truncated_file(room, refused, models, suffix):
    soundfile.write(room / f"a.{suffix}", tone(300, 3.0), RATE)
    whole = (room / f"a.{suffix}").read_bytes()
    (room / f"a.{suffix}").write_bytes(whole[: len(whole) // 2])
    line = refused("embed", f"a.{suffix}", "--model", models / "encoder", "-o", "out.npz")
    assert "truncated" in line or "damaged" in line


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("verb", ["embed", "tag", "adapt"])
def test_samples_that_are_no_numbers(room, refused, models, bad, verb):
    samples = tone(300)
    samples[4000] = bad
    soundfile.write(room / "a.wav", samples, RATE, "FLOAT")
    assert "NaN or infinite samples, the first at 0.25 s" in refused(
        *_words(room, verb, "a.wav", models)
    )


def test_a_header_that_lies_about_its_length(room, refused, models):
    soundfile.write(room / "a.wav", tone(300), RATE)
    data = bytearray((room / "a.wav").read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 24 * 3600 * RATE * 2)
    (room / "a.wav").write_bytes(data)
    assert "truncated: its header promises" in refused(
        "embed", "a.wav", "--model", models / "encoder"
    )


def test_one_bad_file_among_good_ones_is_named(room, refused, models):
    (room / "3.wav").write_bytes(b"")
    assert "3.wav is empty" in refused("embed", ".", "--model", models / "encoder", "-o", "o.npz")


def test_a_folder_without_sounds(room, refused, models):
    (room / "empty").mkdir()
    assert "holds no sound files" in refused("embed", "empty", "--model", models / "encoder")
    assert "holds no sound files" in refused("train", "ssast-test", "--data", "empty")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_one_sample_is_enough(room, models, capsys, suffix):
    soundfile.write(room / f"one.{suffix}", np.full(1, 0.5), RATE)
    assert main(["embed", f"one.{suffix}", "--model", str(models / "encoder"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["vectors"]
    assert np.isfinite(row["values"]).all()
    assert main(["tag", f"one.{suffix}", "--model", str(models / "tagger"), "--json"]) == 0
    (tags,) = json.loads(capsys.readouterr().out)
    assert sum(tags["scores"].values()) == pytest.approx(1)


def test_one_sample_can_be_learned_from(room, capsys):
    soundfile.write(room / "one.wav", np.full(1, 0.5), RATE)
    table = (room / "labels.csv").read_text()
    (room / "more.csv").write_text(f"{table}one.wav,tone,train\n")
    words = "adapt ssast-test --data more.csv --steps 2 -o run --json"
    assert main(words.split()) == 0
    assert json.loads(capsys.readouterr().out)["train_clips"] == 4


# --- very long sounds: a file of silence that takes no room on the disk


def sparse(path: Path, hours: float, rate: int = 8_000) -> Path:
    """A WAV of 16-bit silence, of which only the header is written."""
    size = int(hours * 3600 * rate) * 2
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate,
                       2 * rate, 2, 16, b"data", size)  # fmt: skip
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


# VmHWM is of this program alone; getrusage's maximum begins with that of the process before exec
EMBED = """
import re, sys
from pathlib import Path
from sonograph.cli import main
code = main(["embed", sys.argv[1], "--model", sys.argv[2], "--json"])
print(re.search("VmHWM:\\\\s+(\\\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


def peak_gigabytes(path: Path, model: Path) -> float:
    """Peak memory of `sonograph embed` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", EMBED, str(path), str(model)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["vectors"]
    assert np.isfinite(row["values"]).all()
    return int(done.stderr.splitlines()[-1]) / 1e6


def test_a_day_of_sound_is_read_in_pieces(tmp_path, models):
    """Its length is told at once; its first minutes pass in little memory, none of it ahead."""
    import tracemalloc

    from sonograph.audio.io import info
    from sonograph.infer.windows import window_batches

    path = sparse(tmp_path / "day.wav", 24)
    assert info(path).duration_s == 24 * 3600
    encoder = weights.load(models / "encoder")
    frames = encoder.config.frames
    tracemalloc.start()
    batches = window_batches(path, encoder.spec, frames, frames, 8)
    for _ in range(20):
        assert next(batches).waveform.shape == (8, encoder.spec.samples(frames))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_sound(tmp_path, models):
    """One minute and a quarter of an hour."""
    short = peak_gigabytes(sparse(tmp_path / "minute.wav", 1 / 60), models / "encoder")
    long = peak_gigabytes(sparse(tmp_path / "quarter.wav", 0.25), models / "encoder")
    assert long < 1.5
    assert long < 1.1 * short


@pytest.mark.slow
def test_a_whole_day_of_sound(tmp_path, models):
    assert peak_gigabytes(sparse(tmp_path / "day.wav", 24), models / "encoder") < 1.5


# --- labels


def table(room: Path, *rows: str) -> str:
    (room / "some.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return "some.csv"


def test_no_labels_at_all(room, refused):
    assert "no clip has a label" in refused("adapt", "ssast-test", "--data", ".", "-o", "run")


def test_one_class_only(room, refused):
    some = table(room, "0.wav,noise,train", "2.wav,noise,train", "4.wav,noise,test")
    line = refused("adapt", "ssast-test", "--data", some, "-o", "run")
    assert "'class' has 1 class: two are the least" in line
    assert not (room / "run").exists()


def test_no_more_clips_than_classes(room, refused, capsys):
    """Enough to be taught, too few to choose a method by."""
    some = table(room, "0.wav,noise,train", "1.wav,tone,train")
    words = ["adapt", "ssast-test", "--data", some, "--hold-out", "none", "-o", "run"]
    assert "2 labelled clips do not make 4 folds" in refused(*words, "--method", "auto")
    assert main([*words, "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train_clips"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lora --set rank=99", "rank 99 does not fit a matrix of 48 x 48"),
        ("svfit --set rank=99 where=*", "rank 99 does not fit a matrix of"),
        ("dsee --set rank=99", "rank 99 does not fit a matrix of 48 x 48"),
        ("lora --set rank=0", "LoRA's rank is 0: it is at least 1"),
        ("lora --set where=atention.*", "no layer is called 'atention.*'"),
        ("adapter --set inner=99", "an adapter of width 99 beside one of 48"),
        ("lora --budget 3", "with rank 1 it trains 384 numbers: over 3 trained numbers"),
    ],
)
def test_an_adaptation_that_does_not_fit(room, refused, words, said):
    assert said in refused(
        "adapt", "ssast-test", "--data", "labels.csv", "--method", *words.split()
    )


def test_a_label_seen_only_in_the_test(room, refused):
    some = table(room, "0.wav,noise,train", "1.wav,tone,train", "4.wav,hiss,test")
    line = refused("adapt", "ssast-test", "--data", some, "-o", "run")
    assert "class 'hiss' occurs only in the held-out part 'test'" in line


def test_a_label_the_model_does_not_know(room, refused, models):
    some = table(room, "0.wav,noise,test", "1.wav,tune,test", "4.wav,hiss,test")
    line = refused("evaluate", models / "tagger", "--data", some)
    assert "no label 'hiss' (and 1 more): it knows noise, tone" in line


def test_nothing_in_the_part_to_measure_on(room, refused, models):
    some = table(room, "0.wav,noise,train", "1.wav,tone,train")
    line = refused("evaluate", models / "tagger", "--data", some)
    assert "give --split all" in line


def test_nothing_left_to_learn_from(room, refused):
    some = table(room, "0.wav,noise,test", "1.wav,tone,test")
    assert "none are left to learn" in refused("adapt", "ssast-test", "--data", some, "-o", "r")


def test_a_model_without_labels_has_none_to_measure(room, refused, models):
    for words in (
        ("evaluate", models / "encoder", "--data", "labels.csv"),
        ("tag", "0.wav", "--model", models / "encoder"),
    ):
        assert "adapt it first" in refused(*words)


def test_too_few_clips_to_train_on(room, refused):
    some = table(room, "0.wav,noise,")
    assert "too few to train on" in refused("train", "ssast-test", "--data", some, "-o", "run")


# --- where results go


@pytest.mark.parametrize(
    "words",
    [
        "adapt ssast-test --data labels.csv --steps 1 -o way/run",
        "train ssast-test --data . --steps 1 -o way/run",
        "embed 0.wav --model MODEL -o way/out.npz",
        "data get minetest --json --folder way/data",
    ],
)
def test_a_file_in_the_way_of_the_folder(room, refused, models, words):
    """Root writes everywhere, but not below a file."""
    (room / "way").write_text("in the way")
    line = refused(*words.replace("MODEL", str(models / "encoder")).split())
    assert "way" in line
    assert "cannot" in line
    assert (room / "way").read_text() == "in the way"


def test_an_output_of_another_kind(room, refused, models):
    line = refused("embed", "0.wav", "--model", models / "encoder", "-o", "out.csv")
    assert "must end in .npz" in line


WORK = {
    "embed": "embed 0.wav --model MODEL -o small/out.npz",
    "adapt": "adapt ssast-test --data labels.csv --steps 2 -o small/run",
    "train": "train ssast-test --data . --steps 2 --batch 2 --set held_out_batches=1 workers=0 "
    "-o small/run",
}  # fmt: skip


def command_on_a_small_disk(room: Path, models: Path, verb: str, limit: int | None) -> str:
    """The one line of a command that cannot write what it wants to."""
    words = WORK[verb].replace("MODEL", str(models / "encoder")).split()
    done = subprocess.run(
        [sys.executable, "-m", "sonograph.cli", *words],
        cwd=room,
        env=environment(SONOGRAPH_DATA=str(room / "data")),
        capture_output=True,
        text=True,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("sonograph: ")]
    assert len(said) == 1
    left = [path.name for path in (room / "small").rglob("*") if path.is_file()]
    assert not [n for n in left if "part" in n or n.endswith((".safetensors", ".npz"))], left
    return said[0]


@pytest.mark.parametrize("verb", ["embed", "adapt", "train"])
def test_files_that_may_not_grow(room, models, verb):
    """A limit on the size of files, as a quota sets it: met in the middle of a file."""
    (room / "small").mkdir()
    line = command_on_a_small_disk(room, models, verb, limit=600 if verb == "embed" else 60_000)
    assert "cannot write" in line
    assert "small" in line


@pytest.fixture
def small_disk(room):
    """A disk of 100 kB, where this machine lets us mount one."""
    place = room / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("verb", ["adapt", "train"])
def test_a_full_disk(room, models, small_disk, verb):
    line = command_on_a_small_disk(room, models, verb, limit=None)
    assert "o space left" in line


# --- models


def test_a_pickle_that_would_run_code(room, refused):
    class Harm:
        def __reduce__(self):
            return (open, (str(room / "trap"), "w"))

    torch.save({"v.cls_token": torch.zeros(1), "more": Harm()}, room / "bad.pth")
    line = refused("embed", "0.wav", "--model", "bad.pth")
    assert "does not load as plain tensors, so it is refused" in line
    assert not (room / "trap").exists()


def copy_of(model: Path, room: Path) -> Path:
    import shutil

    return Path(shutil.copytree(model, room / "copy"))


def test_truncated_weights(room, refused, models):
    path = copy_of(models / "encoder", room) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "is not a whole safetensors file" in refused("embed", "0.wav", "--model", "copy")


def test_a_configuration_with_an_unknown_key(room, refused, models):
    path = copy_of(models / "encoder", room) / "config.json"
    path.write_text(path.read_text().replace('"depth"', '"dept"'))
    line = refused("tag", "0.wav", "--model", "copy")
    assert "no field 'dept'. Did you mean 'depth'" in line
    assert "copy/config.json" in line


def test_a_wrong_index(room, refused, models):
    (room / "index.npz").write_bytes(b"PK\x03\x04 not really")
    line = refused("search", "0.wav", "index.npz", "--model", models / "encoder")
    assert "is no file that `sonograph embed -o` wrote" in line


@pytest.mark.parametrize("harm", ["state.json", "optimizer.safetensors", "model.safetensors"])
def test_a_damaged_state_is_told(room, refused, capsys, harm):
    words = "adapt ssast-test --data labels.csv --steps STEPS -o run"
    assert main(words.replace("STEPS", "2").split()) == 0
    (path,) = (room / "run/training/state").rglob(harm)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capsys.readouterr()
    line = refused(*words.replace("STEPS", "3").split())
    assert str(path.parent.name) in line
    assert "cannot be read" in line


def test_a_torn_last_line_of_the_log_costs_nothing_else(room):
    words = "adapt ssast-test --data labels.csv --steps STEPS -o run"
    assert main(words.replace("STEPS", "2").split()) == 0
    with (room / "run/training/log.jsonl").open("a") as log:
        log.write('{"step": 2, "ki')
    assert main(words.replace("STEPS", "3").split()) == 0
    steps = [json.loads(line)["step"] for line in (room / "run/training/log.jsonl").open()]
    assert steps[-1] == 3


# --- Ctrl-C


def wait_for(process: subprocess.Popen, there) -> None:
    began = time.monotonic()
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 120
        time.sleep(0.05)


def test_ctrl_c_in_training_saves_and_says_how_to_go_on(room):
    words = "train ssast-test --data . --batch 2 -o run --set held_out_batches=1 workers=1"
    process = start(*words.split(), "--steps", 100_000, cwd=room)
    log = room / "run/log.jsonl"
    wait_for(process, lambda: log.exists() and log.stat().st_size)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in STOPPED
    assert out == ""
    assert "the same command goes on from there" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not [path for path in room.rglob("*") if "partial" in path.name]
    (state,) = (room / "run/state").iterdir()
    step = json.loads((state / "state.json").read_text())["step"]
    assert main([*words.split(), "--steps", str(step + 1)]) == 0
    assert (room / "run/model.safetensors").exists()


def test_ctrl_c_in_embed_leaves_no_file(room, models):
    sparse(room / "day.wav", 24)
    process = start("embed", "day.wav", "--model", models / "encoder", "-o", "o.npz", cwd=room)
    wait_for(process, lambda: maps_torch(process.pid))
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in STOPPED
    assert "Traceback" not in err
    assert not [path for path in room.iterdir() if "o.npz" in path.name]


def maps_torch(pid: int) -> bool:
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        pytest.skip("no /proc here")


def test_ctrl_c_in_a_download_leaves_nothing(room):
    """A made-up apt that never ends."""
    shelf = room / "bin"
    shelf.mkdir()
    answers = {
        "apt-cache": f"printf 'Version: 1\\nSHA256: {'0' * 64}\\n'",
        "apt-get": f"touch half.deb; touch {room}/began; exec sleep 60",
    }
    for name, text in answers.items():
        (shelf / name).write_text(f"#!/bin/sh\n{text}\n")
        (shelf / name).chmod(0o755 | stat.S_IXUSR)
    path = f"{shelf}:{os.environ['PATH']}"
    process = start("data", "get", "minetest", "--folder", "kept", cwd=room, PATH=path)
    wait_for(process, (room / "began").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in STOPPED
    assert "Traceback" not in err
    assert [path for path in (room / "kept").rglob("*") if path.is_file()] == []


def test_noise_is_no_reason_to_fail(room, models, capsys):
    """Full-scale square waves and silence are sounds."""
    soundfile.write(room / "loud.wav", np.sign(noise(0)), RATE, "FLOAT")
    soundfile.write(room / "still.wav", np.zeros(RATE), RATE)
    words = ["embed", "loud.wav", "still.wav", "--model", str(models / "encoder"), "--json"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)["vectors"]
    assert all(np.isfinite(row["values"]).all() for row in rows)
