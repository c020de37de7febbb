"""SV2TTS: how its parts are trained, and whether an encoder of more voices knows new ones better.

What a speaker encoder learns from stands here; synthesizers and vocoders are in `speakers.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import registry, weights
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.config import Config
from sonograph.data.clips import Clip, Clips
from sonograph.data.corpora import open_sets
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.metrics.verification import equal_error_rate
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.speak.acoustic import run
from sonograph.recipes.speak.left import before_and_after
from sonograph.recipes.speak.speakers import Recipe, card_of, train_sampler, train_voice
from sonograph.records import Figure, Record
from sonograph.systems.speak import sv2tts
from sonograph.systems.speak.sv2tts.speaker import prepared
from sonograph.train.trainer import Summary, TrainConfig
from sonograph.writing import write_whole

# Recordings of known speakers; the English and the Spanish prompts are one woman's.
CORPORA = ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru", "gcin")
NEXT = '`sonograph speak "Hello." -o OUT.wav --model {0}/voice` if it is a synthesizer'
HELD_OUT = 0.2  # share of every voice, its end, that is not learned from
EDITION = 1  # of what a kept file holds


@dataclasses.dataclass(frozen=True)
class Plan(Config):
    """How an encoder learns. The windows of a batch are shared out among its speakers."""

    preset: str = "sv2tts-encoder-mini"
    seconds: float = 90.0  # of each voice, silence left out
    windows: int = 24  # of a batch
    frames: int = 100  # of a window, 10 ms each
    held_out_batches: int = 4
    train: TrainConfig = TrainConfig(
        steps=150, lr=1e-3, clip_norm=3.0, weight_decay=0.0, schedule="cosine", warmup_steps=10,
        eval_every=50, save_every=5, log_every=1,
    )  # fmt: skip


class Voices:
    """Features of each speaker, clips joined: name -> (rows, t)."""

    def __init__(self, features: Mapping[str, Float[Tensor, "rows t"]]):
        self.features = dict(features)

    @classmethod
    def prepare(
        cls,
        clips: Clips,
        spec: FeatureSpec,
        seconds: float,
        folder: Path,
        progress: Progress = silent,
    ) -> Voices:
        """So many seconds of every speaker, of clips in the order of their hashes, each levelled
        and without silence. What is measured is kept in `folder`.

        Raises InputError where no clip tells its speaker.
        """
        by: dict[str, list[Clip]] = {}
        for clip in sorted(clips, key=lambda one: hashlib.sha256(one.id.encode()).digest()):
            if clip.speaker:
                by.setdefault(clip.speaker, []).append(clip)
        if not by:
            raise InputError("none of the clips tells who speaks: give clips with speakers")
        frontend, found = Frontend(spec), {}
        for number, (name, own) in enumerate(sorted(by.items())):
            mark = "\n".join([spec.to_json(), str(seconds), str(EDITION), *(c.id for c in own)])
            kept = folder / f"{name}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}.npy"
            if not kept.is_file():
                sound = _joined(own, spec.rate_hz, seconds)
                out = io.BytesIO()
                np.save(out, frontend(torch.from_numpy(sound)[None]).values[0].numpy())
                write_whole(kept, out.getvalue())
            found[name] = torch.from_numpy(np.load(kept, allow_pickle=False))
            progress(number + 1, len(by), "measuring voices")
        return cls(found)

    @property
    def names(self) -> list[str]:
        return sorted(self.features)

    def only(self, names: Sequence[str]) -> Voices:
        return Voices({name: self.features[name] for name in names})

    def divided(self) -> tuple[Voices, Voices]:
        """Of each voice what is learned from, and its end, which is not."""
        ends = {n: round(x.shape[1] * (1 - HELD_OUT)) for n, x in self.features.items()}
        first = {n: x[:, : ends[n]] for n, x in self.features.items()}
        return Voices(first), Voices({n: x[:, ends[n] :] for n, x in self.features.items()})

    def even(self, name: str, count: int, frames: int) -> Float[Tensor, "count rows frames"]:
        """Windows of one voice, evenly spread."""
        x = self.features[name]
        places = np.linspace(0, x.shape[1] - frames, count).round().astype(int)
        return torch.stack([x[:, place : place + frames] for place in places])


class Windows:
    """Batches (speakers, windows each, rows, frames); batch k depends on voices, seed and k."""

    def __init__(self, voices: Voices, windows: int, frames: int, seed: int):
        if len(voices.names) < 2 or windows < 2 * len(voices.names):
            raise InputError(
                f"{windows} windows of {len(voices.names)} voices: at least two of two are compared"
            )
        for name, x in voices.features.items():
            if x.shape[1] < 2 * frames:
                raise InputError(f"{name} has {x.shape[1]} frames of voice: too few to compare")
        self.voices, self.each = voices, windows // len(voices.names)
        self.frames, self.seed, self.first = frames, seed, 0

    def start_at(self, k: int) -> Windows:
        self.first = k
        return self

    def batch(self, k: int) -> Float[Tensor, "s u rows t"]:
        draw = np.random.default_rng([self.seed, k])
        found = []
        for name in self.voices.names:
            x = self.voices.features[name]
            places = draw.integers(0, x.shape[1] - self.frames + 1, self.each)
            found.append(torch.stack([x[:, place : place + self.frames] for place in places]))
        return torch.stack(found)

    def __iter__(self) -> Iterator[Tensor]:
        k = self.first
        while True:
            yield self.batch(k)
            k += 1


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: the published ones, shorter for the small.

    GE2E (RTVC): 64 speakers of 10 windows, Adam 1e-4, clip 3. NVIDIA: Adam 1e-3, decay 1e-6, clip
    1, batch 64. RTVC: batch 12. WaveRNN: 100 crops of five hops, 1e-4; rates that fall in steps
    are a cosine here.
    """
    config = registry.preset(name).make()
    assert isinstance(config, sv2tts.Config)
    small: dict[str, float] = {"train.steps": 200, "train.warmup_steps": 10, "train.eval_every": 50}
    if config.part == "encoder":
        own = Recipe(batch=640, frames=160).override(
            {"train.lr": 1e-4, "train.clip_norm": 3.0, "train.weight_decay": 0.0}
        )
        own = own.override({"train.steps": 1_500_000})
        small = small | {"batch": 24, "frames": 100, "seconds": 240.0, "train.lr": 1e-3}
    elif config.part in ("wavernn", "wavenet"):
        own = Recipe(batch=100, frames=5).override({"train.lr": 1e-4, "train.steps": 1_000_000})
        small = small | {"batch": 4, "frames": 20, "train.lr": 1e-3}
    else:
        batch = 12 if config.part == "hybrid" else 64
        own = Recipe(batch, 900 * batch).override({"train.steps": 300_000})
        small = small | {"batch": 8, "frames": 3000}
    if name.endswith("-test") or name == "sv2tts-encoder-mini":
        return own.override(small)
    return Recipe() if name.endswith("-mini") else own


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train a preset, whichever part it is, into a folder; started again it goes on."""
    recipe, place = recipe or recipe_of(name), Path(folder)
    config = registry.preset(name).make()
    assert isinstance(config, sv2tts.Config)
    if config.part in ("wavernn", "wavenet"):
        return train_sampler(name, clips, place, recipe, progress)
    if config.part != "encoder":
        return train_voice(name, clips, place, recipe, None, progress)
    encoder = registry.build(name, seed=recipe.train.seed)
    voices = Voices.prepare(clips, encoder.spec, recipe.seconds, place / "measured", progress)
    plan = Plan(name, recipe.seconds, recipe.batch, recipe.frames, train=recipe.train)
    found = teach(encoder, voices, place, plan, progress)
    weights.save_folder(place / "voice", encoder, card_of(name, clips, recipe, found["after"]))
    return found["summary"]


def teach(
    encoder: sv2tts.SpeakerEncoder,
    voices: Voices,
    folder: Path,
    plan: Plan,
    progress: Progress = silent,
) -> dict[str, Any]:
    """GE2E in place, into a folder; started again it goes on. Held-out losses before and after."""
    seed = plan.train.seed
    learned, held_out = voices.divided()
    model = sv2tts.Telling(encoder)
    windows = Windows(held_out, plan.windows, plan.frames, 1_000_003)
    kept = [windows.batch(k) for k in range(plan.held_out_batches)]

    def measure(learner: nn.Module) -> dict[str, float]:
        found = [learner(batch) for batch in kept]
        return {name: sum(float(f[name]) for f in found) / len(found) for name in found[0]}

    with torch.no_grad():
        before = measure(model.eval())
    stream = Windows(learned, plan.windows, plan.frames, seed)
    summary = run(model, stream, folder / "run", plan.train, progress, measure)
    with torch.no_grad():
        after = measure(model.eval())
    return before_and_after(before, after, summary) | {"summary": summary}


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short GE2E training on the speakers of the clips; started again it goes on.

    Where they are of one speaker alone, the other corpora of known speakers that were fetched are
    taken along.
    """
    plan = Plan() if steps is None else Plan().override({"train.steps": steps})
    if len({clip.speaker for clip in clips} - {None}) < 2:
        clips = _with_others(clips)
    encoder = registry.build(plan.preset)
    voices = Voices.prepare(clips, encoder.spec, plan.seconds, folder / "measured", progress)
    found = teach(encoder, voices, folder, plan, progress)
    recipe = Recipe(plan.windows, plan.frames, plan.seconds, train=plan.train)
    weights.save_folder(folder, encoder, card_of(plan.preset, clips, recipe, found["after"]))
    del found["summary"]
    return found | {"voices": voices.names}


def _with_others(clips: Clips) -> Clips:
    known = {clip.source for clip in clips}
    for name in CORPORA:
        if name not in known:
            try:
                clips = clips + open_sets([name])
            except InputError:  # it was not fetched
                continue
    return clips


def _joined(clips: Sequence[Clip], rate_hz: int, seconds: float) -> Float[np.ndarray, " n"]:
    parts, total = [], 0
    for clip in clips:
        try:
            parts.append(prepared(clip.read(rate_hz), rate_hz))
        except InputError:  # silence: some prompts are
            continue
        total += len(parts[-1])
        if total >= seconds * rate_hz:
            break
    if not parts:
        raise InputError(f"nothing is heard of {clips[0].speaker}")
    return np.concatenate(parts)[: round(seconds * rate_hz)].astype(np.float32)


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 5
    counts: tuple[int, ...] = (2, 3, 4)  # of voices that are learned from
    unseen: tuple[str, ...] = ("gcin-3", "gcin-5")  # the same words by both: nothing else tells
    windows: int = 60  # of each unseen voice
    window_frames: int = 160
    plan: Plan = Plan(seconds=240.0).override(
        {"train.steps": 200, "train.eval_every": 0, "train.save_every": 100, "train.log_every": 20}
    )


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        seeds=10, plan=Scale().plan.override({"preset": "sv2tts-encoder", "train.steps": 2000})
    ),
}
RULE = (
    "Encoders of one size learn by GE2E from {few} or {many} voices, with equally many windows a "
    "batch, for {steps} updates; which voices, and their order, follow from the seed. Of two "
    "voices that none of them learned from, {windows} windows each, all pairs are compared by "
    "cosine. The 95 % Student's t interval of the equal error rate with {few} minus that with "
    "{many}, paired over {seeds} seeds, lies above 0: shown; below: not shown; else inconclusive."
)
PAPER = (
    Figure("EER of synthetic speech, 1.2k speakers", 16.6, unit="%"),
    Figure("EER of synthetic speech, 8.4k speakers", 10.1, unit="%"),
    Figure("EER of synthetic speech, 18k speakers", 5.1, unit="%"),
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Errors on unseen voices as the number of learned ones grows. Started again it goes on."""
    began, plan = time.perf_counter(), SCALES[scale]
    clips = open_sets(CORPORA, data_folder)
    spec = registry.build(plan.plan.preset, device="meta").spec
    voices = Voices.prepare(clips, spec, plan.plan.seconds, folder / "measured", progress("voices"))
    found = compared(voices, plan, folder, progress)
    told = tuple(row["source"] for row in data_of(clips))
    return finished([("claim", record_of(found, plan, told))], scale, folder, began)


def compared(
    voices: Voices, scale: Scale, folder: Path, progress: Callable[[str], Progress]
) -> dict[str, list[dict[str, Any]]]:
    """What each number of voices came to, for each seed; "none" is an encoder as it begins."""
    seen = [name for name in voices.names if name not in scale.unseen]
    if len(seen) < max(scale.counts) or not set(scale.unseen) <= set(voices.names):
        raise InputError(
            f"{max(scale.counts)} voices and {', '.join(scale.unseen)} are needed, at hand are "
            f"{', '.join(voices.names)}: run `sonograph data get {' '.join(CORPORA)}`"
        )
    found: dict[str, list[dict[str, Any]]] = {str(n): [] for n in ("none", *scale.counts)}
    for seed in range(scale.seeds):
        order = np.random.default_rng(seed).permutation(len(seen))
        found["none"].append(errors(registry.build(scale.plan.preset, seed=seed), voices, scale))
        for count in scale.counts:
            names = sorted(seen[place] for place in order[:count])
            encoder = registry.build(scale.plan.preset, seed=seed)
            plan = scale.plan.override({"train.seed": seed})
            place = folder / f"{count}-voices-{seed}"
            title = f"{count} voices, seed {seed}"
            told = teach(encoder, voices.only(names), place, plan, progress(title))
            after = errors(encoder, voices, scale)
            found[str(count)].append({"voices": names, "held_out": told["after"]} | after)
    return found


@torch.no_grad()
def errors(encoder: sv2tts.SpeakerEncoder, voices: Voices, scale: Scale) -> dict[str, float]:
    """Equal error rate (share) over all pairs of windows of unseen voices, and cosines."""
    encoder.eval()
    vectors = torch.cat(
        [encoder(voices.even(name, scale.windows, scale.window_frames)) for name in scale.unseen]
    ).numpy()
    who = np.repeat(np.arange(len(scale.unseen)), scale.windows)
    a, b = np.triu_indices(len(who), 1)
    cosine, same = (vectors @ vectors.T)[a, b], who[a] == who[b]
    return {
        "eer": equal_error_rate(cosine, same)[0],
        "same": float(cosine[same].mean()),
        "other": float(cosine[~same].mean()),
    }


def record_of(
    found: Mapping[str, list[dict[str, Any]]], scale: Scale, data: tuple[str, ...]
) -> Record:
    few, many = (str(n) for n in (min(scale.counts), max(scale.counts)))
    rates = {name: [100 * one["eer"] for one in rows] for name, rows in found.items()}
    gain = paired_interval(rates[few], rates[many])
    rows = [
        Figure(f"EER of unseen voices, {name} learned", statistics.mean(values), unit="%")
        for name, values in rates.items()
    ]
    apart = [
        Figure(
            f"cosine, same minus other, {name} learned",
            statistics.mean(one["same"] - one["other"] for one in values),
        )
        for name, values in found.items()
    ]
    return Record(
        system="sv2tts",
        kind="claim",
        sentence=f"Trained on {many} voices, the speaker encoder tells unseen voices apart with "
        f"fewer errors than trained on {few}.",
        rule=RULE.format(
            few=few,
            many=many,
            steps=scale.plan.train.steps,
            windows=scale.windows,
            seeds=scale.seeds,
        ),
        verdict=verdict_of(gain),
        measured=(
            Figure(f"EER with {few} minus with {many}", gain.mean, gain.low, gain.high, "points"),
            *rows,
            *apart,
        ),
        paper=PAPER,
        arms=tuple(found),
        data=data,
        seeds=tuple(range(scale.seeds)),
        details={
            "scale": scale.to_dict(),
            "found": dict(found),
            "limits": "six voices are at hand, two of them held out; each was recorded by others, "
            "so that an encoder may tell recordings apart instead of people. The synthesizer, of "
            "which the paper's rates are, is not trained here: minutes of speech do not teach it.",
        },
    )
