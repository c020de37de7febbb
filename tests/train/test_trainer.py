"""The trainer on a tiny model: it learns, and a resumed run equals an uninterrupted one."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sonograph.errors import InputError
from sonograph.train import checkpoint
from sonograph.train.log import read_log
from sonograph.train.trainer import Stopped, TrainConfig, Trainer
from tests.train import tiny

BASE = TrainConfig(steps=12, lr=1e-2, save_every=5, log_every=5, eval_every=4, device="cpu")
MODEL_FILES = ("model.safetensors", "last.safetensors")
# What a line of the log measures instead of computes.
MEASURED = ("clips_per_s", "waiting")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Curves take half a second a run and are tested with the log."""
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)


def train(folder: Path, config: TrainConfig = BASE, **changes) -> Trainer:
    if "model" not in changes:
        changes["model"] = tiny.Tiny()
    parts = {
        "objective": tiny.noisy,
        "batches": tiny.Numbers(),
        "evaluate": tiny.evaluate,
    } | changes
    trainer = Trainer(folder=folder, config=config, **parts)
    trainer.summary = trainer.run()
    return trainer


def assert_same_files(one: Path, two: Path) -> None:
    for name in MODEL_FILES:
        first, second = load_file(one / name), load_file(two / name)
        assert first.keys() == second.keys()
        for key in first:
            assert torch.equal(first[key], second[key]), (name, key)


def computed(folder: Path) -> list[dict]:
    lines = read_log(folder / "log.jsonl")
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]


def stop_at(step: int):
    """A progress that presses Ctrl-C after `step`."""

    def progress(done, total, note=""):
        if done == step:
            signal.raise_signal(signal.SIGINT)

    return progress


def test_overfits_one_batch(tmp_path):
    trainer = train(
        tmp_path,
        TrainConfig(steps=300, lr=1e-2, weight_decay=0, device="cpu"),
        model=tiny.Tiny(width=32, dropout=0.0),
        objective=tiny.plain,
        batches=tiny.Numbers(only_first=True),
        evaluate=None,
    )
    assert trainer.summary.last["loss"] < 1e-3


@pytest.mark.parametrize(
    "config",
    [
        BASE,
        BASE.override(ema_decay=0.95, accumulate=3, clip_norm=0.5, warmup_steps=4),
        BASE.override(schedule="plateau", patience=0, lr=0.2, eval_every=2, lr_decay=0.5),
        BASE.override(schedule="exponential", epoch_steps=2, optimizer="adam", precision="bf16"),
    ],
    ids=["plain", "ema-accumulate-clip", "plateau", "exponential-bf16"],
)
@pytest.mark.parametrize("step", [3, 7])
def test_resume_equals_uninterrupted(tmp_path, config, step):
    whole = train(tmp_path / "whole", config)
    with pytest.raises(Stopped, match=f"after step {step} of 12.*same command"):
        train(tmp_path / "cut", config, progress=stop_at(step))
    resumed = train(tmp_path / "cut", config)
    assert_same_files(tmp_path / "whole", tmp_path / "cut")
    assert computed(tmp_path / "whole") == computed(tmp_path / "cut")
    assert whole.summary.best == resumed.summary.best
    assert whole.plateau.state() == resumed.plateau.state()
    if config.schedule == "plateau":
        assert whole.plateau.factor < 1  # or the test would show nothing


def test_random_draws_differ_between_steps_and_parts_but_not_between_runs(tmp_path):
    def draws(folder, accumulate):
        seen = []

        def objective(model, batch, generator):
            seen.append((torch.rand(1, generator=generator).item(), torch.rand(1).item()))
            return tiny.plain(model, batch, generator)

        config = BASE.override(steps=4, accumulate=accumulate)
        train(folder, config, objective=objective, evaluate=None)
        return seen

    one, two = draws(tmp_path / "one", 1), draws(tmp_path / "two", 2)
    flat = [value for pair in two for value in pair]
    assert len(set(flat)) == len(flat) == 16
    assert two == draws(tmp_path / "again", 2)
    assert one == two[:4]  # a part has the seed of its batch's number


def test_the_callers_random_state_is_left_alone(tmp_path):
    model = tiny.Tiny()
    torch.manual_seed(123)
    expected = torch.rand(1)
    torch.manual_seed(123)
    train(tmp_path, model=model)
    assert torch.equal(torch.rand(1), expected)


def test_accumulation_is_the_mean_over_all_clips_of_uneven_batches(tmp_path):
    class Pieces:
        """Batches of 8 cut into 5 and 3 rows."""

        def start_at(self, k):
            whole = tiny.Numbers()
            for number in itertools.count(k):
                batch = whole.batch(number // 2)
                rows = slice(0, 5) if number % 2 == 0 else slice(5, 8)
                yield {name: value[rows] for name, value in batch.items()}

    def gradients(folder, batches, accumulate):
        model = tiny.Tiny(dropout=0.0)
        # Adam forgets the gradient's length; one step of it with a large epsilon does not.
        config = BASE.override(
            steps=1, accumulate=accumulate, epsilon=1e3, lr=1e3, weight_decay=0.0
        )
        trainer = train(folder, config, model=model, objective=tiny.plain, batches=batches)
        return dict(model.named_parameters()), trainer.summary.last["loss"]

    whole, whole_loss = gradients(tmp_path / "whole", tiny.Numbers(), 1)
    parts, parts_loss = gradients(tmp_path / "parts", Pieces(), 2)
    start = dict(tiny.Tiny().named_parameters())
    for name, weight in whole.items():
        assert (weight - start[name]).abs().max() > 1e-3  # it moved
        torch.testing.assert_close(weight, parts[name], rtol=1e-5, atol=1e-6)
    assert whole_loss == pytest.approx(parts_loss, rel=1e-6)


def test_clipping_bounds_the_gradient(tmp_path):
    def first_step(clip):
        model = tiny.Tiny(dropout=0.0)
        before = [p.detach().clone() for p in model.parameters()]
        config = BASE.override(steps=1, clip_norm=clip, epsilon=1e6, lr=1e6, weight_decay=0.0)
        train(tmp_path / str(clip), config, model=model, objective=tiny.plain)
        moved = [(p - q).flatten() for p, q in zip(model.parameters(), before)]
        return torch.cat(moved).norm().item()

    # With a huge epsilon Adam's first step is lr / epsilon * gradient.
    assert first_step(0.25) == pytest.approx(0.25, rel=1e-3)
    assert first_step(0.0) > 0.3


def test_lr_factors_and_decay_reach_the_right_weights(tmp_path):
    config = BASE.override(lr_factors=(("leave.*", 10.0),), weight_decay=0.1)
    trainer = train(tmp_path, config)
    of_weight = {id(p): g for g in trainer.optimizers[0].param_groups for p in g["params"]}
    named = dict(trainer.model.named_parameters())
    head, bias = of_weight[id(named["leave.weight"])], of_weight[id(named["enter.bias"])]
    body = of_weight[id(named["enter.weight"])]
    assert head["lr"] == pytest.approx(10 * body["lr"])
    assert (body["weight_decay"], bias["weight_decay"]) == (0.1, 0.0)


def test_average_is_published_and_follows_its_rule(tmp_path):
    config = BASE.override(ema_decay=0.9, steps=3)
    seen = []

    class Watch(tiny.Numbers):
        def start_at(self, k):
            for number in itertools.count(k):
                seen.append({n: v.clone() for n, v in model.state_dict().items()})
                yield self.batch(number)

    model = tiny.Tiny()
    train(tmp_path, config, model=model, batches=Watch(), evaluate=None)
    raw = load_file(next((tmp_path / "state").iterdir()) / "model.safetensors")
    seen.append(raw)
    expected = dict(seen[0])
    for count, weights in enumerate(seen[1:], 1):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = {n: decay * expected[n] + (1 - decay) * weights[n] for n in expected}
    published = load_file(tmp_path / "model.safetensors")
    for name, value in published.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)
        assert torch.equal(model.state_dict()[name], value)
    assert any(not torch.equal(raw[name], published[name]) for name in raw)


def test_best_by_the_evaluation_is_kept_and_left_in_the_model(tmp_path):
    values = iter([0.5, 0.8, 0.7])
    trainer = train(
        tmp_path,
        evaluate=lambda model: {"accuracy": next(values)},
        best=("accuracy", "max"),
    )
    assert trainer.summary.best == {"step": 8, "accuracy": 0.8}
    best, last = (load_file(tmp_path / name) for name in MODEL_FILES)
    assert not torch.equal(best["enter.weight"], last["enter.weight"])
    assert torch.equal(trainer.model.enter.weight, best["enter.weight"])
    with pytest.raises(InputError, match="no 'loss'"):
        train(tmp_path / "other", evaluate=lambda model: {"lost": 1.0})


def test_nan_in_the_evaluation_is_never_the_best(tmp_path):
    values = iter([float("nan"), 0.9, float("nan")])
    trainer = train(tmp_path, evaluate=lambda model: {"loss": next(values)})
    assert trainer.summary.best == {"step": 8, "loss": 0.9}


def test_evaluation_is_in_eval_mode_without_gradients(tmp_path):
    def look(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"loss": 1.0}

    train(tmp_path, evaluate=look)


def test_a_finished_run_is_not_trained_again_but_can_be_made_longer(tmp_path):
    first = train(tmp_path)
    used = []
    again = train(tmp_path, progress=lambda *a: used.append(a))
    assert not used
    assert again.summary.best == first.summary.best
    longer = train(tmp_path, BASE.override(steps=14), progress=lambda *a: used.append(a))
    assert [done for done, *_ in used] == [13, 14]
    assert longer.summary.steps == 14


def test_another_configuration_on_the_same_folder_is_an_error(tmp_path):
    train(tmp_path)
    with pytest.raises(InputError, match=r"was begun with lr=0.01, not 0.5"):
        train(tmp_path, BASE.override(lr=0.5))
    with pytest.raises(InputError, match="shape"):
        train(tmp_path, model=tiny.Tiny(width=9))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nan_stops_with_the_last_good_state(tmp_path, precision):
    def objective(model, batch, generator):
        values = tiny.plain(model, batch, generator)
        bad = trainer_step[0] == 7
        trainer_step[0] += 1
        return {"loss": values["loss"] * (float("nan") if bad else 1.0)}

    trainer_step = [0]
    config = BASE.override(precision=precision)
    with pytest.raises(InputError, match=r"step 8: the loss is nan.*after step 7.*lower lr"):
        train(tmp_path, config, objective=objective)
    assert checkpoint.newest_state(tmp_path / "state").name == "state-000000007"
    resumed = train(tmp_path, config, objective=tiny.plain)
    assert resumed.summary.steps == 12
    clean = train(tmp_path / "clean", config, objective=tiny.plain)
    assert torch.equal(resumed.model.enter.weight, clean.model.enter.weight)


def test_bf16_computes_in_bf16_and_keeps_fp32_weights(tmp_path):
    seen = []

    def objective(model, batch, generator):
        out = model(batch["x"])
        seen.append(model.blocks[0].mix(torch.zeros(1, 8)).dtype)
        return {"loss": (out.float() - batch["y"]).square().mean()}

    trainer = train(tmp_path, BASE.override(precision="bf16"), objective=objective)
    assert set(seen) == {torch.bfloat16}
    assert trainer.model.enter.weight.dtype == torch.float32
    assert load_file(tmp_path / "model.safetensors")["enter.weight"].dtype == torch.float32


def test_frozen_weights_stay_and_need_no_state(tmp_path):
    model = tiny.Tiny()
    for weight in model.enter.parameters():
        weight.requires_grad_(False)
    before = model.enter.weight.clone()
    train(tmp_path, model=model)
    assert torch.equal(model.enter.weight, before)
    state = checkpoint.newest_state(tmp_path / "state")
    assert not [n for n in load_file(state / "optimizer.safetensors") if n.startswith("enter")]
    for weight in model.parameters():
        weight.requires_grad_(False)
    with pytest.raises(InputError, match="no weight to train"):
        train(tmp_path / "none", model=model)


def test_nothing_is_pickled(tmp_path):
    train(tmp_path, BASE.override(ema_decay=0.9))
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl"}


def test_progress_and_log_tell_loss_speed_and_waiting(tmp_path):
    notes = []
    slow = tiny.Numbers(pause=0.01)
    trainer = train(tmp_path, batches=slow, progress=lambda *a: notes.append(a))
    done, total, note = notes[-1]
    assert (done, total) == (12, 12)
    for word in ("loss ", "root ", "clips/s", "waiting "):
        assert word in note
    assert 0.3 < trainer.summary.waiting_share < 1
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines if line["kind"] == "train"] == [5, 10, 12]
    assert [line["step"] for line in lines if line["kind"] == "valid"] == [4, 8, 12]
    assert all(line["waiting"] > 0.3 for line in lines if line["kind"] == "train")
    assert trainer.summary.peak_memory > 1e7


def test_compiled_blocks_keep_their_names(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self)))
    train(tmp_path, BASE.override(compile="blocks"))
    assert compiled == [tiny.Block, tiny.Block]
    assert load_file(tmp_path / "model.safetensors").keys() == tiny.Tiny().state_dict().keys()


@pytest.mark.slow
def test_really_compiled_training_equals_eager(tmp_path):
    eager = train(tmp_path / "eager", model=tiny.Tiny(dropout=0.0))
    fast = train(tmp_path / "fast", BASE.override(compile="blocks"), model=tiny.Tiny(dropout=0.0))
    names = fast.model.state_dict().keys()
    assert names == eager.model.state_dict().keys()
    for name, value in eager.model.state_dict().items():
        torch.testing.assert_close(fast.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # safetensors' own words on a tmpfs that was too small
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
    ids=["system", "safetensors"],
)
def test_a_full_disk_is_one_line_and_leaves_the_older_state(tmp_path, monkeypatch, error):
    def full(tensors, path, metadata=None):
        Path(path).write_bytes(b"half")
        raise error

    with pytest.raises(Stopped):
        train(tmp_path, progress=stop_at(6))
    before = {p.name: p.read_bytes() for p in tmp_path.glob("*.safetensors")}
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", full)
        with pytest.raises(InputError, match="no space left") as caught:
            train(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*partial*"))
    assert before == {p.name: p.read_bytes() for p in tmp_path.glob("*.safetensors")}
    train(tmp_path)
    train(tmp_path / "whole")
    assert_same_files(tmp_path, tmp_path / "whole")


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to") as caught:
        train(tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)


def test_bad_settings_say_what_is_wrong(tmp_path):
    for changes, message in [
        ({"steps": 0}, "steps is 0"),
        ({"lr": -1.0}, "lr is -1"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ]:
        with pytest.raises(InputError, match=message):
            dataclasses.replace(BASE, **changes)
    with pytest.raises(InputError, match="plateau"):
        train(tmp_path, BASE.override(schedule="plateau"), evaluate=None)
    with pytest.raises(InputError, match="needs several processes"):
        train(tmp_path, BASE.override(parallel="shard"))
    with pytest.raises(InputError, match="needs a 'loss'"):
        train(tmp_path, objective=lambda m, b, g: {"lost": m(b["x"]).mean()})

    class Short:
        def start_at(self, k):
            return [tiny.Numbers().batch(0)]

    with pytest.raises(InputError, match="without end"):
        train(tmp_path, batches=Short())


def test_second_interrupt_stops_at_once(tmp_path):
    def twice(done, total, note=""):
        if done == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, progress=twice)
    assert not isinstance(caught.value, Stopped)
    assert checkpoint.newest_state(tmp_path / "state") is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def launch(folder: Path, config: TrainConfig, pause: float) -> subprocess.Popen:
    program = Path(tiny.__file__)
    text = json.dumps(config.to_dict())
    return subprocess.Popen(
        [sys.executable, str(program), str(folder), text, json.dumps({"pause": pause})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_and_resume(folder: Path, kills: int) -> None:
    """kill -9 at random moments, most of them within a save, then compare."""
    steps = 60 + 30 * kills
    config = BASE.override(steps=steps, save_every=1, eval_every=7, ema_decay=0.9, accumulate=2)
    # tiny.py runs with one thread, as this process does.
    train(folder / "whole", config)
    draw = random.Random(0)
    for _ in range(kills):
        process = launch(folder / "cut", config, pause=0.002)
        began = time.monotonic()
        states = folder / "cut" / "state"
        start = checkpoint.newest_state(states)
        while checkpoint.newest_state(states) == start and process.poll() is None:
            assert time.monotonic() - began < 60
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.communicate()
        newest = checkpoint.newest_state(states)
        assert checkpoint.read_values(newest)["step"] < config.steps
        for file in newest.glob("*.safetensors"):
            load_file(file)
    train(folder / "cut", config)
    assert_same_files(folder / "whole", folder / "cut")
    assert computed(folder / "whole") == computed(folder / "cut")


def test_kill_at_any_moment_resumes_to_equal_bits(tmp_path):
    kill_and_resume(tmp_path, kills=3)


@pytest.mark.slow
def test_ten_kills_resume_to_equal_bits(tmp_path):
    kill_and_resume(tmp_path, kills=10)


def test_terminate_finishes_the_step_and_exits_with_130(tmp_path):
    process = launch(tmp_path, BASE.override(steps=100_000), pause=0.01)
    while not (tmp_path / "log.jsonl").exists() or not read_log(tmp_path / "log.jsonl"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    step = checkpoint.read_values(checkpoint.newest_state(tmp_path / "state"))["step"]
    assert f"stopped after step {step} of 100000" in out
    assert len(out.strip().splitlines()) == 1
