"""How SSAMBA is pre-trained, and what its paper claims: time and memory, and accuracy.

The published presets carry the official recipe: SSAST's objective with AdamW. The small ones get
a shorter one of ours, the same as SSAST's, so that both can be compared.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.metrics.intervals import Interval, mean_interval
from sonograph.nn.mamba import UNDECAYED
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import CORE_QUESTIONS, Way, compare, difference, finished, lesson, once
from sonograph.recipes.pretraining import Recipe, data_of
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import build, preset
from sonograph.systems.represent import ssamba
from sonograph.train.trainer import TrainConfig

PUBLISHED = Recipe(
    batch=64,
    draw="clips",
    train=TrainConfig(
        steps=900_000 * 24 // 64,  # ten epochs of AudioSet and LibriSpeech
        optimizer="adamw",
        lr=1e-4,
        betas=(0.95, 0.999),
        weight_decay=5e-8,
        decay_on="all",
        no_decay=UNDECAYED,
        schedule="plateau",
        patience=2,
        lr_decay=0.5,
        warmup_steps=1000,
        eval_every=4000,
        save_every=4000,
    ),
)


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name in ("ssamba-test", "ssamba-mini"):
        return Recipe(batch=32).override({"train.eval_every": 100, "train.no_decay": UNDECAYED})
    return PUBLISHED


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Pre-train a preset on clips, into a run folder; started again it goes on.

    A tenth of the recordings (by group) is held out to measure the loss. Returns the trainer's
    Summary. The folder then loads like any model.
    """
    recipe = recipe or recipe_of(name)
    if not isinstance(preset(name).make(), ssamba.Config):
        raise InputError(f"{name} is no preset of SSAMBA")
    torch.manual_seed(recipe.train.seed)
    model = ssamba.Pretraining(build(name, seed=recipe.train.seed))
    plateau = recipe.train.schedule == "plateau"
    best: tuple[str, Literal["min", "max"]] = ("accuracy", "max") if plateau else ("loss", "min")
    return pretraining.pretrain(name, model, clips, folder, recipe, best=best, progress=progress)


# --- the claim: time and memory ------------------------------------------------------------------

Kernel = Literal["scan", "fused", "materialised"]
KERNELS: tuple[Kernel, ...] = ("scan", "fused", "materialised")
SYSTEMS = {"scan": "ssamba-tiny", "fused": "ssast-tiny", "materialised": "ssast-tiny"}
ROOM_BYTES = 8e9  # materialised attention is measured where two tables of all pairs fit in it


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    tokens: tuple[int, ...]
    batch: int
    small: str = "ssamba-mini"
    pretrain_updates: int = 60
    adapt_updates: int = 60
    pretrain_batch: int = 32
    adapt_batch: int = 16
    lr: float = 1e-3
    seeds: int = 3


SCALES = {
    "cpu": Scale((512, 1024, 2048, 4096, 8192, 22_016), batch=1),
    "gpu": Scale(
        (512, 1024, 2048, 4096, 8192, 16_384, 22_016, 65_536),
        batch=4,
        pretrain_updates=3000,
        adapt_updates=600,
    ),
}
PAPER = (
    Figure("time saved, tiny, about 22,000 tokens", 92.7, unit="%"),
    Figure("memory saved, tiny, about 22,000 tokens", 95.4, unit="%"),
)
SPEED_RULE = (
    "At the largest number of tokens that both take ({tokens:,}), the 95 % Student's t interval of "
    "log({other} / SSAMBA), over {seeds} seeds, lies above 0 for {what}: shown; below 0 for any of "
    "these: not shown; else inconclusive. Inference of the tiny models, batch of {batch}, all "
    "sides in turn within each seed, after a warm-up; memory is the peak beyond what was held "
    "before the pass."
)
ACCURACY_RULE = (
    "The 95 % Student's t interval of the difference in test accuracy (ssamba minus ssast), paired "
    "by task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else "
    "inconclusive. Both have the same objective, data, updates, batches and, within 5 %, as many "
    "parameters; seed s learns on split s, whose recordings are on one side only."
)


@dataclasses.dataclass(frozen=True)
class Pass(Config):
    """One timed forward pass."""

    kernel: Kernel
    tokens: int
    seed: int
    seconds: float
    bytes: float  # peak, beyond what was held before


def fits(kernel: Kernel, tokens: int, batch: int) -> bool:
    """Whether two tables of all pairs of tokens, one a head, fit in the room for them."""
    heads = 3  # of ssast-tiny
    return kernel != "materialised" or 2 * 4 * batch * heads * tokens**2 <= ROOM_BYTES


def timed(plan: Scale, device: str, tell: Progress = silent) -> list[Pass]:
    """Every kernel at every number of tokens and for every seed, in turn."""
    spec = preset("ssamba-tiny").make().features  # type: ignore[attr-defined]
    frames = max(plan.tokens) // 8 * 16
    models = {name: build(name, frames=frames).to(device).eval() for name in set(SYSTEMS.values())}
    found, done = list[Pass](), 0
    todo = [(n, s, k) for n in plan.tokens for s in range(plan.seeds) for k in KERNELS]
    for tokens, seed, kernel in todo:
        tell(done := done + 1, len(todo))
        if not fits(kernel, tokens, plan.batch):
            continue
        shape = (plan.batch, spec.bins, tokens // 8 * 16)
        features = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
        model = models[SYSTEMS[kernel]]
        if tokens == min(plan.tokens) or (device != "cpu" and seed == 0):
            one_pass(model, features, kernel)  # warm-up
        seconds, peak = one_pass(model, features, kernel)
        found.append(Pass(kernel, tokens, seed, seconds, peak))
    return found


@torch.inference_mode()
def one_pass(model: nn.Module, features: torch.Tensor, kernel: Kernel) -> tuple[float, float]:
    """(seconds, peak bytes) of one forward pass."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    memory = Peak(features.device.type)
    with sdpa_kernel(SDPBackend.MATH) if kernel == "materialised" else nullcontext():
        memory.start()
        began = time.perf_counter()
        model(features)
        if features.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began, memory.stop()


class Peak:
    """Most memory held between start and stop: the driver's count on an accelerator, Linux's else.

    Freed memory is given back first, so that it counts again when it is taken again.
    """

    def __init__(self, device: str):
        self.device, self.before = device, 0.0

    def start(self) -> None:
        gc.collect()
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return
        import ctypes

        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        except OSError as error:
            raise InputError(
                f"memory can be measured on Linux only ({error}): run it there"
            ) from None
        self.before = self._status("VmRSS")

    def stop(self) -> float:
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated() - self.before
        return self._status("VmHWM") - self.before

    @staticmethod
    def _status(name: str) -> float:
        line = next(
            line for line in Path("/proc/self/status").read_text().splitlines() if name in line
        )
        return 1024.0 * int(line.split()[1])


def median_of(passes: Sequence[Pass], kernel: Kernel, tokens: int, what: str) -> float:
    values = [getattr(p, what) for p in passes if (p.kernel, p.tokens) == (kernel, tokens)]
    return float(np.median(values))


def exponent(passes: Sequence[Pass], kernel: Kernel, what: str) -> float:
    """Slope of log(what) over log(tokens), on the longer half of the lengths and one more."""
    lengths = sorted({p.tokens for p in passes if p.kernel == kernel})
    lengths = lengths[len(lengths) // 2 - 1 :]
    values = [max(median_of(passes, kernel, n, what), 1e-9) for n in lengths]
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def crossover(passes: Sequence[Pass], other: Kernel) -> float:
    """Tokens from which the scan is faster, interpolated on log scales; NaN where it never is."""
    lengths = sorted({p.tokens for p in passes if p.kernel == other})
    ratio = [
        np.log(median_of(passes, other, n, "seconds") / median_of(passes, "scan", n, "seconds"))
        for n in lengths
    ]
    for (n, r), (m, q) in zip(zip(lengths, ratio), zip(lengths[1:], ratio[1:])):
        if r <= 0 < q:
            return float(np.exp(np.interp(0, [r, q], [np.log(n), np.log(m)])))
    return float(lengths[0]) if ratio[0] > 0 else float("nan")


def gain(passes: Sequence[Pass], other: Kernel, tokens: int, what: str) -> Interval:
    """log(other / scan) over the seeds."""
    by = {(p.kernel, p.seed): getattr(p, what) for p in passes if p.tokens == tokens}
    seeds = sorted(seed for kernel, seed in by if kernel == other)
    return mean_interval([np.log(by[other, s] / by["scan", s]) for s in seeds])


def speed_record(
    passes: Sequence[Pass], other: Kernel, whats: tuple[str, ...], plan: Scale, sentence: str
) -> Record:
    """The scan against one attention, in time, memory, or both."""
    tokens = max(p.tokens for p in passes if p.kernel == other)
    gains = {what: gain(passes, other, tokens, what) for what in whats}
    words = {"seconds": "time", "bytes": "memory"}
    verdict: Verdict = "inconclusive"
    if all(g.low > 0 for g in gains.values()):
        verdict = "shown"
    elif any(g.high < 0 for g in gains.values()):
        verdict = "not shown"
    measured = [_saved(f"{words[what]} saved at {tokens:,} tokens", g) for what, g in gains.items()]
    for kernel in ("scan", other):
        for n in sorted({p.tokens for p in passes if p.kernel == kernel}):
            name = f"{SYSTEMS[kernel]}, {kernel}, {n:,} tokens"
            if "seconds" in whats:
                measured.append(Figure(name, median_of(passes, kernel, n, "seconds"), unit="s"))
            if "bytes" in whats:
                peak = median_of(passes, kernel, n, "bytes") / 1e6
                measured.append(Figure(name, peak, unit="MB"))
        measured += [
            Figure(f"exponent of {words[what]}, {kernel}", exponent(passes, kernel, what))
            for what in whats
        ]
    if "seconds" in whats and np.isfinite(crossing := crossover(passes, other)):
        measured.append(Figure("scan faster from", crossing, unit="tokens"))
    return Record(
        system="ssamba",
        kind="claim",
        sentence=sentence,
        rule=SPEED_RULE.format(
            tokens=tokens,
            other=f"SSAST with {other} attention",
            seeds=plan.seeds,
            what=" and ".join(words[what] for what in whats),
            batch=plan.batch,
        ),
        verdict=verdict,
        measured=tuple(measured),
        paper=PAPER,
        arms=("scan", other),
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "passes": [p.to_dict() for p in passes]},
    )


def _saved(name: str, gain: Interval) -> Figure:
    """What log(other / scan) is in per cent of the other."""
    value, low, high = (100 * (1 - float(np.exp(-x))) for x in (gain.mean, gain.low, gain.high))
    return Figure(name, value, low, high, "%")


# --- the claim: accuracy -------------------------------------------------------------------------

SSAST_ALIKE: dict[str, Any] = {
    "width": 96,
    "depth": 3,
    "num_heads": 3,
}  # of ssast-demo: as many parameters


def rivals(plan: Scale, seed: int) -> dict[str, tuple[str, Any]]:
    """(preset, untrained encoder) of either arm."""
    mine = build(plan.small, seed=seed)
    return {
        "ssamba": (plan.small, mine),
        "ssast": ("ssast-demo", build("ssast-demo", seed=seed, **SSAST_ALIKE)),
    }


def accuracy_record(
    plan: Scale,
    folder: Path,
    data_folder: Path | None,
    progress: Callable[[str], Progress],
) -> Record:
    """Both pre-trained and taught alike."""
    clips = corpora.open_sets(["core"], data_folder)
    config = preset(plan.small).make()
    assert isinstance(config, ssamba.Config)
    encoders: dict[tuple[str, int], nn.Module] = {}
    for seed in range(plan.seeds):
        for arm, (name, encoder) in rivals(plan, seed).items():
            recipe = Recipe(batch=plan.pretrain_batch).override({"train.no_decay": UNDECAYED})
            recipe = once(recipe, plan.pretrain_updates, seed)
            place = folder / f"pretrain-{arm}-{seed}"
            torch.manual_seed(seed)
            model = ssamba.Pretraining(encoder)
            tell = progress(f"{arm}, seed {seed}")
            pretraining.pretrain(name, model, clips, place, recipe, progress=tell)
            encoders[arm, seed] = weights.load_folder(place).encoder  # type: ignore[assignment]

    def started(arm: str) -> Callable[[int], Any]:
        return lambda seed: encoders[arm, seed]

    taught = lesson(plan.adapt_batch, plan.adapt_updates, plan.lr, UNDECAYED)
    ways = [Way(arm, arm, started(arm), taught) for arm in ("ssamba", "ssast")]
    by_task = compare(
        CORE_QUESTIONS,
        clips,
        config.features,
        config.frames,
        ways,
        range(plan.seeds),
        folder,
        progress,
    )
    verdict, count, figures = difference("ssamba", "ssast", by_task)
    sizes = {arm: sum(p.numel() for p in e.parameters()) for (arm, _), e in encoders.items()}
    return Record(
        system="ssamba",
        kind="claim",
        sentence="Pre-trained and taught alike, SSAMBA is more accurate than SSAST of its size.",
        rule=ACCURACY_RULE.format(pairs=count),
        verdict=verdict,
        measured=(
            *figures,
            *(Figure(f"parameters, {arm}", size) for arm, size in sizes.items()),
        ),
        arms=("ssamba", "ssast"),
        data=tuple(row["source"] for row in data_of(clips)),
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "tasks": by_task},
    )


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Time and memory beside SSAST with either attention; accuracy beside SSAST of equal size.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    device = "cuda" if scale == "gpu" else "cpu"
    path = folder / "passes.json"
    if path.is_file():
        passes = [Pass.from_dict(row) for row in weights.read_json(path)["passes"]]
    else:
        passes = timed(plan, device, progress("time and memory"))
        folder.mkdir(parents=True, exist_ok=True)
        weights.write_json(path, {"passes": [p.to_dict() for p in passes]})
    both = ("seconds", "bytes")
    found = [
        ("claim", speed_record(passes, "materialised", both, plan, LESS)),
        ("claim-fused-time", speed_record(passes, "fused", ("seconds",), plan, FASTER)),
        ("claim-fused-memory", speed_record(passes, "fused", ("bytes",), plan, SMALLER)),
        ("claim-accuracy", accuracy_record(plan, folder, data_folder, progress)),
    ]
    return finished(found, scale, folder, began)


LESS = "On long inputs SSAMBA takes less time and less memory than SSAST, attention materialised."
FASTER = "On long inputs SSAMBA takes less time than SSAST with a fused attention."
SMALLER = "On long inputs SSAMBA takes less memory than SSAST with a fused attention."
