"""The trainer: one loop for every system, on one core or on many machines.

    Trainer(model, objective, batches, "runs/mine", TrainConfig(steps=1000), evaluate).run()

Started again on the same folder it goes on where it was, to the same bits as if it had never
stopped: a step is a pure function of the weights, the optimizer state and the step's number.
Random draws are seeded from (seed, step, part, process), batches are asked for by number, rates
are computed from the step. Under `torchrun --nproc-per-node N` every process takes its slice.

What learns against itself takes turns: with `turns=("discriminators.", "vocoder.")` the objective
is a generator function that yields one loss a turn; after each the weights whose names begin so
make a step of their own optimizer, and want no gradients until the next update.

    def objective(model, batch, generator):
        made = model.vocoder(batch["features"])
        yield {"loss": model.judge(batch["waveform"], made.detach())}
        yield {"loss": model.deceive(batch["waveform"], made)}

The run folder: `model.safetensors` (the best by `evaluate`, else the last), `last.safetensors`,
`log.jsonl`, `curves.png`, `state/` (what is needed to go on; both weight files hold the moving
average where there is one, the state holds the raw weights too).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from sonograph.errors import InputError, did_you_mean
from sonograph.progress import Progress, silent
from sonograph.train import checkpoint, optim, schedule
from sonograph.train.config import FREE_TO_CHANGE, TrainConfig
from sonograph.train.distributed import (
    Runtime,
    Step,
    batch_length,
    blocks,
    slice_batch,
    to_device,
    whole,
)
from sonograph.train.ema import Ema
from sonograph.train.interrupt import Interrupts, Stopped
from sonograph.train.log import Log, draw, read_log
from sonograph.train.stopping import Stopping, WhenFlat

Losses = Mapping[str, Any]
Objective = Callable[[nn.Module, Any, torch.Generator], Losses]
InTurns = Callable[[nn.Module, Any, torch.Generator], Iterator[Losses]]


class Numbered(Protocol):
    """Batches that are a pure function of their number.

    With a method `part(number, count)`, which gives such batches of a part of each batch's clips, a
    process among several asks for its own part alone; otherwise it cuts it out of the whole.
    """

    def start_at(self, k: int) -> Iterable[Any]: ...


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run came to. Times add up over resumes, but for steps that a kill threw away."""

    folder: Path
    steps: int
    seconds: float  # in training steps, without evaluation and saving
    waiting_share: float  # of these seconds, spent waiting for data
    clips_per_s: float
    best: dict[str, float] | None  # the best evaluation and its "step"
    last: dict[str, float]  # the last logged values
    peak_memory: int  # bytes: of the GPU where one is used, else of the process
    ended: str = ""  # why training stopped before its last step, if a rule said so


class Trainer:
    """Trains `model` on `objective(model, batch, generator) -> {"loss": ..., more scalars}`.

    batches: anything with `start_at(k)`, an iterable of batches from number k on, without end.
        A batch is a dict (or tuple) of tensors and lists whose first axis is the clip.
    objective: draws only from `generator` (on the CPU) or torch's global one; both are seeded anew
        for every batch. The loss is a mean over the clips of its batch.
    evaluate: `evaluate(model) -> {name: number}`, in eval mode and without gradients; `best` says
        which of these numbers chooses `model.safetensors`, and its direction.

    After `run` the model holds what `model.safetensors` holds.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective | InTurns,
        batches: Numbered,
        folder: str | Path,
        config: TrainConfig,
        evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        progress: Progress = silent,
        best: tuple[str, Literal["min", "max"]] | None = ("loss", "min"),
        stopping: Stopping | None = None,
        turns: Sequence[str] = (),
    ):
        if turns and (config.accumulate > 1 or config.parallel == "shard"):
            raise InputError("turns take whole batches and whole weights: accumulate=1, replicate")
        if best is None and (config.schedule == "plateau" or config.stop_when_flat):
            raise InputError("a plateau and an early stop follow a number: say which in `best`")
        if config.stop_when_flat and stopping is None and best is not None:
            stopping = WhenFlat(config.stop_when_flat, *best, until=config.steps)
        if stopping is not None and evaluate is None:
            raise InputError("a stopping rule follows evaluations: give `evaluate`")
        if config.schedule == "plateau" and evaluate is None:
            raise InputError('schedule "plateau" follows an evaluation: give `evaluate`')
        self.model, self.objective, self.batches = model, objective, batches
        self.config, self.evaluate, self.progress = config, evaluate, progress
        self.chooses = evaluate is not None and best is not None
        self.best_name, self.best_direction = best or ("loss", "min")
        self.stopping, self.ended, self.turns = stopping, "", tuple(turns)
        self.folder = Path(folder)
        self.step = 0  # updates made
        self.saved = -1  # step of the newest state
        self.clock = {"seconds": 0.0, "waiting": 0.0, "clips": 0.0}
        self.pending: dict[str, float] = {}  # sums since the last line of the log
        self.last: dict[str, float] = {}
        self.best: dict[str, float] | None = None
        self.plateau = schedule.Plateau(config.lr_decay, config.patience, self.best_direction)
        self.interrupts = Interrupts()
        self.agreed_to_stop = False

    def run(self) -> Summary:
        self._begin()
        with self.interrupts, torch.random.fork_rng(self._devices(), device_type=self._fork_type()):
            stream = iter(self.batches.start_at(self.step * self.config.accumulate))
            while self.step < self.config.steps and not self.ended:
                self._update(stream)
                finished = self.step == self.config.steps
                if self.step % self.config.log_every == 0 or finished:
                    self._log_training()
                if finished or _due(self.step, self.config.eval_every):
                    self._evaluate()
                    self._ask_to_end()
                    finished = finished or bool(self.ended)
                if finished or self._stopping() or _due(self.step, self.config.save_every):
                    self._save()
                if self._stopping() and not finished:
                    self._stop()
            if close := getattr(stream, "close", None):
                close()  # ends the workers that read ahead
        return self._finish()

    # -- set-up ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        config = self.config
        self.runtime = Runtime(config.device, config.parallel)
        if self.runtime.main:
            checkpoint.prepare_folder(self.folder)
        self.runtime.wait()
        self.parted = self.runtime.world > 1 and hasattr(self.batches, "part")
        if self.parted:
            self.batches = self.batches.part(self.runtime.rank, self.runtime.world)  # type: ignore[attr-defined]
        self.model.to(self.runtime.device)
        if config.compile == "blocks":
            for block in blocks(self.model):
                block.compile()  # in place: the names of the weights stay
        self.runtime.shard(self.model)
        step = Step(self.model, config.precision, self.runtime.device.type)
        if self.turns:  # gradients are averaged a turn
            self.runtime.agree(self.model)
        self.wrapped = step if self.turns else self.runtime.wrap(step)
        self.ema = Ema(self.model, config.ema_decay) if config.ema_decay else None
        self.optimizers = [
            optim.build(self.model, config, not self.runtime.sharded, prefix)
            for prefix in self.turns or ("",)
        ]
        self.log = Log(self.folder / "log.jsonl")
        if state := checkpoint.newest_state(self.folder / "state"):
            self._resume(state)
        elif self.runtime.main:
            self.log.cut(-1)

    # -- one update -----------------------------------------------------------------------------

    def _update(self, stream: Iterator[Any]) -> None:
        """One update of all weights: gradients, clipped, and a step of each optimizer."""
        began = time.perf_counter()
        parts = self._fetch(stream)
        waited = time.perf_counter() - began
        self.model.train()
        rate = optim.rate(self.config, self.step, self.plateau.factor)
        if not self.parted:
            parts = [slice_batch(batch, self.runtime.rank, self.runtime.world) for batch in parts]
        clips = self.runtime.total(sum(batch_length(batch) for batch in parts))
        values = (self._in_turns if self.turns else self._at_once)(parts, clips, rate)
        self.step += 1
        if self.ema:
            self.ema.update(self.model, self.step)
        self._count(values, clips, time.perf_counter() - began, waited)
        self.last_rate = rate

    def _at_once(self, parts: list[Any], clips: int, rate: float) -> dict[str, float]:
        """Gradients of `accumulate` batches, clipped, and one step of the optimizer.

        parts: what this process has of them; clips: how many there are on all processes.
        """
        values: dict[str, Tensor] = {}
        for k, mine in enumerate(parts):
            # The mean over all clips of the update, whatever the sizes of batches and slices.
            weight = batch_length(mine) * self.runtime.world / clips
            action = self._action(to_device(mine, self.runtime.device), self._seed(k))
            with self.runtime.accumulating(self.wrapped, last=k == len(parts) - 1):
                found = self.wrapped(action)
                self.runtime.accelerator.backward(_loss(found) * weight)
            self._add(values, found, weight)
        scalars = self._agree(values)
        norm = self._step(self.optimizers[0], rate, scalars["loss"])
        return scalars | {"gradient_norm": norm}

    def _in_turns(self, parts: list[Any], clips: int, rate: float) -> dict[str, float]:
        """One loss and one step a turn, of the weights whose turn it is; see `_at_once`."""
        (mine,) = parts
        weight = batch_length(mine) * self.runtime.world / clips
        losses: Any = self.objective(
            self.model, to_device(mine, self.runtime.device), self._seed(0)
        )
        scalars: dict[str, float] = {}
        over: list[nn.Parameter] = []
        try:
            for prefix, optimizer in zip(self.turns, self.optimizers):
                found = self.wrapped(lambda _: next(losses))
                self.runtime.accelerator.backward(_loss(found) * weight)
                own = [one for group in optimizer.param_groups for one in group["params"]]
                self.runtime.average(own)
                values: dict[str, Tensor] = {}
                self._add(values, found, weight)
                told = self._agree(values)
                norm = self._step(optimizer, rate, told["loss"])
                if prefix == self.turns[-1]:
                    return scalars | told | {"gradient_norm": norm}
                scalars |= {f"{prefix}{name}": value for name, value in told.items()}
                over += own
                for one in own:  # what comes after wants no gradients of these
                    one.requires_grad_(False)
        finally:
            losses.close()
            for one in over:
                one.requires_grad_(True)
        raise AssertionError("the last turn returns")

    def _add(self, values: dict[str, Tensor], found: Losses, weight: float) -> None:
        for name, value in found.items():
            value = torch.as_tensor(value, device=self.runtime.device).detach().float()
            values[name] = values.get(name, 0) + value * weight

    def _step(self, optimizer: torch.optim.Optimizer, rate: float, loss: float) -> float:
        """Clip, see that all is finite, and let the optimizer step; returns the gradients' norm."""
        largest = self.config.clip_norm or math.inf
        own = [one for group in optimizer.param_groups for one in group["params"]]
        norm = whole(nn.utils.clip_grad_norm_(own, largest)).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._not_finite(loss, norm, kept=optimizer is self.optimizers[0])
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def _action(self, batch: Any, generator: torch.Generator) -> Callable[[nn.Module], Any]:
        return lambda model: self.objective(model, batch, generator)

    def _fetch(self, stream: Iterator[Any]) -> list[Any]:
        """The batches of one update."""
        number = self.step * self.config.accumulate
        try:
            return [next(stream) for _ in range(self.config.accumulate)]
        except StopIteration:
            raise InputError(f"no batch {number}: `batches` has to go on without end") from None
        except RuntimeError:  # Ctrl-C in a terminal also ends the workers that load data
            if not self.interrupts.asked:
                raise
            if self.runtime.world == 1:
                self._save()
            raise self._stopped() from None

    def _seed(self, part: int) -> torch.Generator:
        """Seed torch's global generator for this part of the step, and return the objective's."""
        number = (
            self.step * self.config.accumulate + part
        ) * self.runtime.world + self.runtime.rank
        # Knuth's multiplicative mix keeps seeds of near numbers far apart.
        seed = (self.config.seed * 1_000_003 + number * 2_654_435_761 + 12_345) % 2**63
        torch.manual_seed(seed)
        return torch.Generator().manual_seed(seed ^ 0x5DEECE66D)

    def _agree(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Means over the processes; one wish to stop stops all of them after the same step."""
        wish = torch.tensor(float(self.interrupts.asked), device=self.runtime.device)
        means = self.runtime.mean(torch.stack([*values.values(), wish])).tolist()
        self.agreed_to_stop = means[-1] > 0
        return dict(zip(values, means))

    def _not_finite(self, loss: float, norm: float, kept: bool) -> None:
        """Save what is whole (kept: no turn of this update has made its step yet) and say so."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        if kept:
            self._save()
        state = f"after step {self.saved}" if self.saved >= 0 else "before the first step"
        raise InputError(
            f"step {self.step + 1}: the loss is {loss:g} and the gradient norm {norm:g}; the state "
            f"{state} is kept in {self.folder}: try a lower lr, warmup_steps, "
            'clip_norm=1, precision="fp32", and look for NaN in the data'
        )

    # -- what is told and kept ------------------------------------------------------------------

    def _count(self, scalars: dict[str, float], clips: int, seconds: float, waited: float) -> None:
        took = {"seconds": seconds, "waiting": waited, "clips": float(clips)}
        for sums, new in ((self.clock, took), (self.pending, scalars | took | {"count": 1.0})):
            for name, value in new.items():
                sums[name] = sums.get(name, 0.0) + value
        shown = [
            f"{name} {value:.4g}" for name, value in scalars.items() if name != "gradient_norm"
        ]
        speed = self.pending["clips"] / max(self.pending["seconds"], 1e-9)
        shown += [
            f"{speed:.3g} clips/s" if speed < 100 else f"{speed:.0f} clips/s",
            f"waiting {100 * self._waiting_share():.0f} %",
        ]
        if self._stopping():
            shown = ["stopping after this step"]
        if self.runtime.main:
            self.progress(self.step, self.config.steps, " · ".join(shown))

    def _waiting_share(self) -> float:
        return self.clock["waiting"] / max(self.clock["seconds"], 1e-9)

    def _log_training(self) -> None:
        sums, self.pending = self.pending, {}
        count, seconds = sums.pop("count"), max(sums.pop("seconds"), 1e-9)
        speed, waiting = sums.pop("clips") / seconds, sums.pop("waiting") / seconds
        self.last = {name: value / count for name, value in sums.items()} | {"lr": self.last_rate}
        timing = {"clips_per_s": round(speed, 2), "waiting": round(waiting, 4)}
        if self.runtime.main:
            self.log.write({"step": self.step, "kind": "train"} | self.last | timing)

    def _evaluate(self) -> None:
        """Ask `evaluate`, remember and keep the best."""
        if self.evaluate is None:
            return
        self.model.eval()
        with self._published(), torch.no_grad():
            found = self.wrapped(self.evaluate) if self.runtime.sharded else self._plain_evaluate()
            found = {name: float(value) for name, value in self.runtime.share(found).items()}
            if self.chooses:
                self._keep_if_best(found)
        if self.runtime.main:
            self.log.write({"step": self.step, "kind": "valid"} | found)

    def _keep_if_best(self, found: dict[str, float]) -> None:
        if self.best_name not in found:
            hint = did_you_mean(self.best_name, found)
            raise InputError(f"`evaluate` returned no {self.best_name!r}.{hint}")
        value = found[self.best_name]
        self.plateau.observe(value)
        if self.best is None or schedule.better(
            value, self.best[self.best_name], self.best_direction
        ):
            self.best = {"step": self.step} | found
            self._write_model("model.safetensors")

    def _ask_to_end(self) -> None:
        """What the stopping rule says of the held-out lines so far."""
        if self.stopping is not None and self.step < self.config.steps:
            lines = read_log(self.log.path) if self.runtime.main else []
            held_out = [line for line in lines if line["kind"] == "valid"]
            self.ended = self.runtime.share(self.stopping(held_out) if held_out else "")

    def _plain_evaluate(self) -> dict[str, Any]:
        step = getattr(
            self.wrapped, "module", self.wrapped
        )  # past DDP, which would count a forward
        assert self.evaluate is not None
        return step(self.evaluate)

    def _published(self) -> Any:
        """The model holds its moving average in this block, where there is one."""
        return self.ema.inside(self.model) if self.ema else nullcontext()

    def _write_model(self, name: str) -> None:
        tensors = checkpoint.model_tensors(self.model)
        if self.runtime.main:
            checkpoint.write_tensors(self.folder / name, tensors)

    def _save(self) -> None:
        if self.saved == self.step:
            return
        with self._published():
            self._write_model("last.safetensors")
            if not self.chooses:
                self._write_model("model.safetensors")
        groups = {
            "model": checkpoint.model_tensors(self.model),
            "optimizer": {
                name: value
                for optimizer in self.optimizers
                for name, value in checkpoint.optimizer_tensors(self.model, optimizer).items()
            },
        }
        if self.ema:
            groups["average"] = {name: whole(v).cpu() for name, v in self.ema.shadow.items()}
        values = {
            "step": self.step,
            "config": self.config.to_dict(),
            "clock": self.clock,
            "pending": self.pending,
            "last": self.last,
            "best": self.best,
            "plateau": self.plateau.state(),
        }
        if self.runtime.main:
            checkpoint.write_state(self.folder / "state", self.step, groups, values)
        self.saved = self.step
        self.runtime.wait()

    def _resume(self, state: Path) -> None:
        values = checkpoint.read_values(state)
        now = self.config.to_dict()
        for name, then in values["config"].items():
            if name not in FREE_TO_CHANGE and now.get(name) != then:
                raise InputError(
                    f"{self.folder} was begun with {name}={then!r}, not {now.get(name)!r}: "
                    "go on with the same, or choose another folder"
                )
        self.step = self.saved = values["step"]
        self.clock, self.pending, self.last = values["clock"], values["pending"], values["last"]
        self.best = values["best"]
        self.plateau.restore(values["plateau"])
        path = state / "model.safetensors"
        checkpoint.fill_model(self.model, checkpoint.read_tensors(path), path)
        tensors = checkpoint.read_tensors(state / "optimizer.safetensors")
        for optimizer in self.optimizers:
            checkpoint.fill_optimizer(self.model, optimizer, tensors)
        if self.ema:
            for name, value in checkpoint.read_tensors(state / "average.safetensors").items():
                checkpoint.fill(self.ema.shadow[name], value)
        if self.runtime.main:
            self.log.cut(self.step)
        self.runtime.wait()
        self._ask_to_end()  # it may be its rule that ended it

    # -- the end --------------------------------------------------------------------------------

    def _finish(self) -> Summary:
        path = self.folder / "model.safetensors"
        checkpoint.fill_model(self.model, checkpoint.read_tensors(path), path)
        self.model.eval()
        if self.runtime.main:
            draw(self.folder)
        return Summary(
            folder=self.folder,
            steps=self.step,
            seconds=self.clock["seconds"],
            waiting_share=self._waiting_share(),
            clips_per_s=self.clock["clips"] / max(self.clock["seconds"], 1e-9),
            best=self.best,
            last=self.last,
            peak_memory=_peak_memory(self.runtime.device),
            ended=self.ended,
        )

    def _stopping(self) -> bool:
        # One process may look at any time; several have to look at the same time.
        return self.interrupts.asked if self.runtime.world == 1 else self.agreed_to_stop

    def _stopped(self) -> Stopped:
        return Stopped(
            f"stopped after step {self.step} of {self.config.steps}, saved in {self.folder}: "
            "the same command goes on from there"
        )

    def _stop(self) -> None:
        if self.runtime.main:
            draw(self.folder)
        raise self._stopped()

    def _devices(self) -> list[int]:
        return [] if self.runtime.device.type == "cpu" else [self.runtime.device.index or 0]

    def _fork_type(self) -> str:
        return "cuda" if self.runtime.device.type == "cpu" else self.runtime.device.type


def _loss(found: Losses) -> Tensor:
    if "loss" not in found:
        raise InputError(f"the objective returned {sorted(found)}: it needs a 'loss'")
    return found["loss"].float()


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
