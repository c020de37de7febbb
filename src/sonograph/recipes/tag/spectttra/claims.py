"""What SpecTTTra's paper claims, measured: less time and memory on long songs, and a better F1."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.data.resynthesis import TASK, resynthesised
from sonograph.metrics.intervals import Interval, mean_interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.tag.spectttra.training import CLASSES, Held, measured, recipe_of, taught
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import build, preset
from sonograph.train.finetune import Examples, Shuffled, examples_of
from sonograph.train.trainer import Trainer

# --- time and memory -----------------------------------------------------------------------------

VARIANTS = ("spectttra-alpha", "spectttra-beta", "spectttra-gamma")
BASELINES = ("spectttra-vit", "spectttra-convnext")
WORDS = {
    "spectttra-alpha": "alpha",
    "spectttra-beta": "beta",
    "spectttra-gamma": "gamma",
    "spectttra-vit": "ViT-16",
    "spectttra-convnext": "ConvNeXt-T",
}
Attention = Literal["fused", "materialised"]
TIMES_FASTER, TIMES_SMALLER = 3.0, 6.0


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claims are measured; everything is fixed before a run."""

    batch_5s: int
    batch_120s: int
    pairs: int  # excerpts of each task, each as it is and made again
    updates: int
    small: str = "spectttra-mini"
    small_vit: str = "spectttra-vit-mini"
    batch: int = 16
    lr: float = 1e-3
    turns: int = 5  # of the timing; every model once in each
    seeds: int = 3


SCALES = {
    "cpu": Scale(batch_5s=4, batch_120s=1, pairs=500, updates=200),
    "gpu": Scale(
        batch_5s=64, batch_120s=12, pairs=6000, updates=4000, small="spectttra-beta-5s",
        small_vit="spectttra-vit-5s",
    ),
}  # fmt: skip
SETTING = (
    "At 120 s, in batches of {batch}, models of published size with random weights on features, in "
    "float32, one CPU thread, attention as torch chooses it (fused): "
)
SPEED_RULE = (
    SETTING + "over {turns} turns, in each of which every model is timed once, the 95 % Student's "
    "t interval of log(seconds of a baseline / seconds of gamma) in inference lies above log 3 for "
    "ViT-16 or for ConvNeXt-T: shown; below it for both: not shown; else inconclusive."
)
MEMORY_RULE = (
    SETTING + "the bytes that a forward pass keeps for the backward pass, weights left out, are "
    "with every seed for ViT-16 or for ConvNeXt-T at least 6 times those of gamma: shown; else not "
    "shown. Dropout is off; of a transformer two depths are counted, and the rest of the equal "
    "blocks added."
)
ALPHA_RULE = (
    SETTING + "over {turns} turns the 95 % Student's t interval of log(seconds of a baseline / "
    "seconds of alpha) in inference lies above 0 for ViT-16 and for ConvNeXt-T, and alpha keeps "
    "fewer bytes for the backward pass than either: shown; an interval below 0, or more bytes: not "
    "shown; else inconclusive."
)
F1_RULE = (
    "The 95 % Student's t interval of the difference in test F1 of synthetic (SpecTTTra minus "
    "ViT), paired by task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; "
    "else inconclusive. Both have {tokens} tokens of one width and depth, the same batches, "
    "updates and augmentations, and the weights of their best F1 in validation. Seed s learns on "
    "split s, whose recordings are on one side only."
)
PAPER_UP_TO = (
    Figure("time of the baselines, up to", 3.0, unit="times"),
    Figure("memory of the baselines, up to", 6.0, unit="times"),
)
PAPER_ALPHA = (
    Figure("120 s, alpha faster than ViT", 38.0, unit="%"),
    Figure("120 s, alpha faster than ConvNeXt", 20.0, unit="%"),
    Figure("120 s, alpha, memory saved beside ViT", 26.0, unit="%"),
    Figure("120 s, alpha, memory saved beside ConvNeXt", 67.0, unit="%"),
)
PAPER_F1 = (
    Figure("120 s, alpha, F1", 0.97),
    Figure("120 s, alpha, F1 more than ViT", 8.0, unit="%"),
)


@dataclasses.dataclass(frozen=True)
class Pass(Config):
    """One timed forward pass of a batch."""

    model: str
    length: str  # "5s" or "120s"
    attention: Attention
    turn: int
    seconds: float


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attended(attention: Attention) -> Any:
    """Within it scaled dot-product attention is fused, as torch chooses, or a table of pairs."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if attention == "materialised" else nullcontext()


def arms() -> list[tuple[str, Attention]]:
    """What is timed: all models fused, and the longest of either kind of token materialised."""
    fused: list[tuple[str, Attention]] = [(name, "fused") for name in (*VARIANTS, *BASELINES)]
    return [*fused, ("spectttra-alpha", "materialised"), ("spectttra-vit", "materialised")]


def sound_of(name: str, length: str, plan: Scale, turn: int) -> Tensor:
    """Random features of a batch."""
    config: Any = preset(f"{name}-{length}").make()
    batch = plan.batch_5s if length == "5s" else plan.batch_120s
    shape = (batch, config.features.bins, config.frames)
    return torch.randn(shape, generator=torch.Generator().manual_seed(turn))


@torch.inference_mode()
def timed(plan: Scale, device: str, tell: Progress = silent) -> list[Pass]:
    """Every model at both lengths, in turn, after a pass each that is not counted."""
    found, done = list[Pass](), 0
    for length in ("5s", "120s"):
        models = {n: build(f"{n}-{length}").to(device).eval() for n in (*VARIANTS, *BASELINES)}
        for turn in range(-1, plan.turns):
            for name, attention in arms():
                features = sound_of(name, length, plan, turn + 1).to(device)
                with attended(attention):
                    began = _now(device)
                    models[name](features)
                    seconds = _now(device) - began
                if turn >= 0:
                    found.append(Pass(name, length, attention, turn, seconds))
                tell(done := done + 1, 2 * (plan.turns + 1) * len(arms()))
    return found


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def kept_bytes(
    name: str, length: str, attention: Attention, plan: Scale, seed: int, device: str
) -> float:
    """What a model of full depth keeps for the backward pass of one batch."""
    counts = []
    for depth in (1, 2):
        model = build(f"{name}-{length}", seed=seed, depth=depth, dropout=0.0)
        model = model.to(device).train()
        features = sound_of(name, length, plan, seed).to(device)
        with attended(attention):
            counts.append(saved_bytes(model, features))
    config: Any = preset(f"{name}-{length}").make()
    first, second = counts  # equal where there is no depth: the ConvNeXt has stages
    return first + (config.depth - 1) * (second - first)


def all_kept(plan: Scale, device: str) -> dict[str, list[float]]:
    """`kept_bytes` of every arm and seed."""
    return {
        f"{name}-{length}, {attention}": [
            kept_bytes(name, length, attention, plan, seed, device) for seed in range(plan.seeds)
        ]
        for length in ("5s", "120s")
        for name, attention in arms()
    }


def saved_bytes(model: nn.Module, features: Tensor) -> float:
    """Bytes of the tensors that autograd saves in one forward pass, without weights and input."""
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), features]}
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        answer = model(features)  # alive, so that no place in memory is counted for two tensors
    del answer
    return float(sum(kept.values()))


def tokens_of(name: str) -> int:
    """Tokens of a preset, or places of its last map."""
    model = build(name, device="meta", depth=1)
    config = model.config
    made = model.encoder(torch.zeros(1, config.features.bins, config.frames, device="meta"))
    return made.values.shape[1] + (0 if made.special is None else made.special.shape[1])


def ratio(passes: Sequence[Pass], name: str, other: str, length: str = "120s") -> Interval:
    """log(seconds of other / seconds of name), fused, over the turns."""
    by = {
        (p.model, p.turn): p.seconds for p in passes if (p.length, p.attention) == (length, "fused")
    }
    turns = sorted({turn for _, turn in by})
    return mean_interval([np.log(by[other, t] / by[name, t]) for t in turns])


def speed_record(passes: Sequence[Pass], plan: Scale, device: str) -> Record:
    """gamma up to three times as fast."""
    limit = float(np.log(TIMES_FASTER))
    gains = {b: ratio(passes, "spectttra-gamma", b) for b in BASELINES}
    verdict: Verdict = "inconclusive"
    if any(one.low > limit for one in gains.values()):
        verdict = "shown"
    elif all(one.high < limit for one in gains.values()):
        verdict = "not shown"
    counts = [
        Figure(f"{WORDS[n]}, {length}, tokens", tokens_of(f"{n}-{length}"))
        for length in ("5s", "120s")
        for n in (*VARIANTS, *BASELINES)
    ]
    return Record(
        system="spectttra",
        kind="claim",
        sentence="On two minutes SpecTTTra is up to three times as fast as ViT and ConvNeXt.",
        rule=_rule(SPEED_RULE, plan, device),
        verdict=verdict,
        measured=(
            *(_times("gamma", b, one) for b, one in gains.items()),
            *_songs_a_second(passes, plan),
            *counts,
        ),
        paper=PAPER_UP_TO[:1],
        arms=(*VARIANTS, *BASELINES),
        seeds=tuple(range(plan.turns)),
        details={"scale": plan.to_dict(), "passes": [p.to_dict() for p in passes]},
    )


Kept = Mapping[str, Sequence[float]]  # "model-length, attention": bytes for every seed


def smaller(kept: Kept, name: str) -> dict[str, list[float]]:
    """How many times the bytes of a variant each baseline keeps, at 120 s, for every seed."""
    mine = kept[f"{name}-120s, fused"]
    return {b: [x / y for x, y in zip(kept[f"{b}-120s, fused"], mine)] for b in BASELINES}


def memory_record(kept: Kept, plan: Scale, device: str) -> Record:
    """gamma with up to a sixth of the memory."""
    ratios = smaller(kept, "spectttra-gamma")
    return Record(
        system="spectttra",
        kind="claim",
        sentence="On two minutes SpecTTTra needs up to six times less memory for activations than "
        "ViT and ConvNeXt.",
        rule=_rule(MEMORY_RULE, plan, device),
        verdict="shown" if max(min(r) for r in ratios.values()) >= TIMES_SMALLER else "not shown",
        measured=(*_fewer("gamma", ratios), *_room(kept)),
        paper=PAPER_UP_TO[1:],
        arms=(*VARIANTS, *BASELINES),
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "bytes": dict(kept)},
    )


def alpha_record(passes: Sequence[Pass], kept: Kept, plan: Scale, device: str) -> Record:
    """alpha, the variant of most tokens, beside both baselines."""
    gains = {b: ratio(passes, "spectttra-alpha", b) for b in BASELINES}
    ratios = smaller(kept, "spectttra-alpha")
    less = all(min(r) > 1 for r in ratios.values())
    verdict: Verdict = "inconclusive"
    if less and all(one.low > 0 for one in gains.values()):
        verdict = "shown"
    elif not less or any(one.high < 0 for one in gains.values()):
        verdict = "not shown"
    return Record(
        system="spectttra",
        kind="claim",
        sentence="On two minutes even the variant of most tokens is faster than ViT and ConvNeXt "
        "and needs less memory for activations.",
        rule=_rule(ALPHA_RULE, plan, device),
        verdict=verdict,
        measured=(*(_times("alpha", b, one) for b, one in gains.items()), *_fewer("alpha", ratios)),
        paper=PAPER_ALPHA,
        arms=("spectttra-alpha", *BASELINES),
        seeds=tuple(range(plan.turns)),
        details={"scale": plan.to_dict()},
    )


def _rule(rule: str, plan: Scale, device: str) -> str:
    words = rule.format(batch=plan.batch_120s, turns=plan.turns)
    return words if device == "cpu" else words.replace("one CPU thread", "one GPU")


def _times(ours: str, baseline: str, one: Interval) -> Figure:
    mean, low, high = (float(np.exp(x)) for x in (one.mean, one.low, one.high))
    return Figure(f"seconds, {WORDS[baseline]} / {ours}", mean, low, high, "times")


def _fewer(ours: str, ratios: Mapping[str, Sequence[float]]) -> list[Figure]:
    return [
        Figure(f"bytes, {WORDS[b]} / {ours}", float(np.mean(r)), unit="times")
        for b, r in ratios.items()
    ]


def _songs_a_second(passes: Sequence[Pass], plan: Scale) -> list[Figure]:
    """Median songs a second of every arm."""
    found = []
    for length, batch in (("5s", plan.batch_5s), ("120s", plan.batch_120s)):
        for name, attention in arms():
            mine = (name, length, attention)
            median = np.median(
                [p.seconds for p in passes if (p.model, p.length, p.attention) == mine]
            )
            words = f"{WORDS[name]}, {length}, {attention}"
            found.append(Figure(words, batch / float(median), unit="songs/s"))
    return found


def _room(kept: Kept) -> list[Figure]:
    found = []
    for place, counts in kept.items():
        name, length = place.split(",")[0].rsplit("-", 1)
        attention = place.split(", ")[1]
        found.append(
            Figure(f"{WORDS[name]}, {length}, {attention}", float(np.mean(counts)) / 1e6, unit="MB")
        )
    return found


# --- F1 ------------------------------------------------------------------------------------------

MADE = {"griffin_lim": ("griffin_lim",), "codecs": ("opus", "mp3", "vorbis")}  # tasks
PARTS = (0.6, 0.15, 0.25)


def detected(
    task: str, plan: Scale, clips: Clips, folder: Path, progress: Callable[[str], Progress]
) -> dict[str, Any]:
    """Both arms on every split of one task: {"pairs", arm: [test results a seed]}."""
    names = {"spectttra": plan.small, "vit": plan.small_vit}
    config: Any = preset(plan.small).make()
    spec, frames = config.features, config.frames
    made = resynthesised(
        clips, folder / "sounds", spec.rate_hz, spec.samples(frames) / spec.rate_hz, MADE[task],
        plan.pairs, recipe_of(plan.small).per_clip, progress(f"{task}: making"),
    )  # fmt: skip
    made = Clips([dataclasses.replace(clip, split=None) for clip in made])
    examples = examples_of(made, TASK, spec, frames, CLASSES)
    row = {name: number for number, name in enumerate(examples.ids)}
    found: dict[str, Any] = {"pairs": len(made) // 2, **{arm: [] for arm in names}}
    for seed in range(plan.seeds):
        train, valid, test = (
            examples.take([row[clip.id] for clip in made.split(part, fractions=PARTS, seed=seed)])
            for part in ("train", "valid", "test")
        )
        for arm, name in names.items():
            recipe = recipe_of(name).override(
                {"train.steps": plan.updates, "train.lr": plan.lr, "train.seed": seed,
                 "train.warmup_steps": plan.updates // 10, "train.eval_every": plan.updates // 6,
                 "train.save_every": 0}
            )  # fmt: skip
            place = folder / task / arm / f"seed{seed}"
            model = build(name, seed=seed)

            def objective(
                model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
            ) -> dict[str, Tensor]:
                parts = (batch["features"], batch["lengths"], batch["targets"])
                return {"loss": taught(model, *parts, recipe, generator)}  # noqa: B023

            batches = Shuffled(train, plan.batch, seed)
            tell = progress(f"{task}: {arm}, seed {seed}")
            chosen = measured(_rows(valid))
            summary = Trainer(
                model, objective, batches, place, recipe.train, chosen, tell, best=("f1", "max")
            ).run()
            with torch.inference_mode():
                result = measured(_rows(test))(model)
            result |= {"clips": len(test), "seconds": summary.seconds}
            found[arm].append(result)
    return found


def _rows(examples: Examples) -> Held:
    def held() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for begin in range(0, len(examples), 64):
            rows = slice(begin, begin + 64)
            yield examples.features[rows], examples.lengths[rows], examples.targets[rows]

    return held


def f1_record(by_task: Mapping[str, dict[str, Any]], plan: Scale, clips: Clips) -> Record:
    """SpecTTTra against the ViT of its size on what was made again."""
    ours, theirs = (
        [result["f1"] for row in by_task.values() for result in row[arm]]
        for arm in ("spectttra", "vit")
    )
    gain = paired_interval(ours, theirs)
    figures = [Figure("F1, SpecTTTra minus ViT", gain.mean, gain.low, gain.high)]
    for task, row in by_task.items():
        for arm in ("spectttra", "vit"):
            for what in ("f1", "accuracy", "seconds"):
                mean = float(np.mean([result[what] for result in row[arm]]))
                unit = "s of training" if what == "seconds" else ""
                figures.append(Figure(f"{task}, {arm}, {what}", mean, unit=unit))
    for arm, name in (("spectttra", plan.small), ("vit", plan.small_vit)):
        count = sum(p.numel() for p in build(name, device="meta").parameters())
        figures.append(Figure(f"parameters, {arm}", count))
    return Record(
        system="spectttra",
        kind="claim",
        sentence="At equal compute SpecTTTra tells recordings from their re-synthesis (Griffin-Lim "
        "and codecs, not Suno or Udio) better than a ViT.",
        rule=F1_RULE.format(pairs=len(ours), tokens=tokens_of(plan.small)),
        verdict=verdict_of(gain),
        measured=tuple(figures),
        paper=PAPER_F1,
        arms=(plan.small, plan.small_vit),
        data=tuple(row["source"] for row in data_of(clips)),
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "tasks": dict(by_task)},
    )


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Time and activation memory beside ViT and ConvNeXt, and F1 beside the ViT of equal size.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    device = "cuda" if scale == "gpu" else "cpu"
    with one_thread() if device == "cpu" else nullcontext():
        held = _kept(folder / "passes.json", lambda: _passes(plan, device, progress("time")))
        kept = _kept(folder / "bytes.json", lambda: all_kept(plan, device))
        recipe = recipe_of(plan.small)
        clips = corpora.open_sets(["core"], data_folder)
        clips = clips.filter(lambda c: c.duration_s >= recipe.shortest_s and not c.synthetic)
        by_task = {task: detected(task, plan, clips, folder, progress) for task in MADE}
    passes = [Pass.from_dict(row) for row in held]
    found = [
        ("claim", speed_record(passes, plan, device)),
        ("claim-memory", memory_record(kept, plan, device)),
        ("claim-alpha", alpha_record(passes, kept, plan, device)),
        ("claim-f1", f1_record(by_task, plan, clips)),
    ]
    return finished(found, scale, folder, began)


def _passes(plan: Scale, device: str, tell: Progress) -> list[dict[str, Any]]:
    return [one.to_dict() for one in timed(plan, device, tell)]


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a run before this one on the same folder measured already."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        weights.write_json(path, {"found": make()})
    return weights.read_json(path)["found"]
