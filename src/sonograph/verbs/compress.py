"""`sonograph compress`: cut a trained encoder to half its weights or fewer, and repair it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A bundled name, a run folder, or a published file: the encoder inside of it is compressed."""
    data: tuple[str, ...] = ("mini",)
    """Sound to repair it on, labels are not needed: sets or corpora, folders, .csv or .jsonl
    files."""
    ratio: float | None = None
    """How many times fewer weights the layers of the blocks have; the method's own, 2 for pela."""
    method: str = "pela"
    """Which losses repair it: pela, pela-deit, pela-swin or pela-albef (`sonograph methods`)."""
    set: tuple[str, ...] = ()
    """Settings of the method, as FIELD=VALUE: --set feature=0.1 where=feedforward.*"""
    objective: Literal["distil", "pretraining"] = "distil"
    """Learn from the dense encoder alone, or beside what its system is pre-trained by as well."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The run folder, else runs/MODEL-compressed. Given one that exists, it goes on."""
    steps: int | None = None
    """Updates, 300 unless given; 0 to cut off without any repair."""
    batch: int | None = None
    """Clips of one update, 16 unless given."""
    lr: float | None = None
    """The highest learning rate."""
    seed: int = 0
    """Of the order and the crops."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph import weights
    from sonograph.errors import InputError
    from sonograph.infer.embed import encoder_of
    from sonograph.metrics.cost import count_weights, macs
    from sonograph.verbs import show

    method = _method(args)
    output = args.output or Path("runs") / f"{Path(args.model).stem}-compressed"
    if Path(args.model).is_dir() and output.resolve() == Path(args.model).resolve():
        raise InputError(f"{output} is the model to compress: choose another folder with -o")
    model: Any = weights.load(args.model)
    encoder = encoder_of(model)
    before = (count_weights(encoder).total, macs(encoder, _input(encoder)))
    card = {
        "name": output.name,
        "system": encoder.describe().get("system", ""),
        "summary": f"{args.model}, compressed at ratio {method.ratio:g}",
        "from": args.model,
    }
    told: dict[str, Any] = {"folder": str(output), "from": args.model, "ratio": method.ratio}
    if args.steps == 0:
        told |= _cut(encoder, method, output, card)
    else:
        told |= _repair(model, method, output, card, args)
    after = (count_weights(encoder).total, macs(encoder, _input(encoder)))
    told |= {"parameters": after[0], "parameters_before": before[0]}
    told |= {"macs": after[1], "macs_before": before[1]}
    if args.json:
        show.as_json(told)
        return 0
    for name, value in told.get("held_out", {}).items():
        print(f"held-out {name}: {value:.4g}")
    print(f"{after[0]:,} of {before[0]:,} weights, {after[1]:,} of {before[1]:,} multiplications")
    print(f"{output}: try `sonograph embed FILE --model {output}` or `sonograph adapt {output}`")
    return 0


def _method(args: Args) -> Any:
    from sonograph.errors import InputError
    from sonograph.systems.adapt.pela import PELA
    from sonograph.train.adapt import methods_of
    from sonograph.verbs.train import assignments

    named = methods_of(args.method)
    if len(named) != 1 or not isinstance(named[0], PELA):
        raise InputError(f"{args.method} does not compress: choose a method of system pela")
    ratio = {} if args.ratio is None else {"ratio": args.ratio}
    method = methods_of(named, {**ratio, **assignments(args.set)})[0]
    assert isinstance(method, PELA)
    if (
        args.objective == "distil"
        and args.steps != 0
        and not (method.feature or method.perturbation)
    ):
        raise InputError("with feature=0 and perturbation=0 there is nothing to repair: --steps 0")
    if method.logits:
        raise InputError("without labels there are no logits to compare: leave logits=0")
    return method


def _input(encoder: Any) -> Any:
    """Silence as long as the encoder looks at once: what multiplications are counted on."""
    import torch

    return torch.zeros(1, encoder.spec.rows, encoder.config.frames)


def _cut(encoder: Any, method: Any, output: Path, card: dict[str, Any]) -> dict[str, Any]:
    """The decomposition alone, which takes no sound."""
    from sonograph import weights
    from sonograph.metrics.cost import count_weights
    from sonograph.recipes.adapt.pela import cut

    dense = count_weights(encoder).total
    method.insert(encoder)
    weights.save_folder(output, encoder, {**card, **cut(encoder, dense, method)})
    return {"steps": 0}


def _repair(
    model: Any, method: Any, output: Path, card: dict[str, Any], args: Args
) -> dict[str, Any]:
    """Training on sound, which goes on where it stopped."""
    from sonograph.data.corpora import data_folder
    from sonograph.data.named import open_data
    from sonograph.data.resampled import resampled
    from sonograph.infer.embed import encoder_of
    from sonograph.progress import Line
    from sonograph.recipes.adapt.pela import RECIPE, repair
    from sonograph.train.plan import agree, fingerprint, warmup

    given = {"train.steps": args.steps, "batch": args.batch, "train.lr": args.lr}
    recipe = RECIPE.override({key: value for key, value in given.items() if value is not None})
    recipe = recipe.override({"train.seed": args.seed})
    recipe = recipe.override({"train.warmup_steps": warmup(output, recipe.train)})
    root = args.folder or data_folder()
    rate_hz = encoder_of(model).spec.rate_hz
    clips = resampled(
        open_data(args.data, args.folder), rate_hz, root / "decoded", Line("decoding")
    )
    print(
        f"{args.model} at ratio {method.ratio:g}, {recipe.train.steps} steps of {recipe.batch} "
        f"clips, on {len(clips):,} clips, {clips.seconds / 60:.0f} min, into {output}",
        file=sys.stderr,
    )
    agree(
        output,
        {
            "compressed": args.model,
            "method": method.to_dict(),
            "objective": args.objective,
            "batch": recipe.batch,
            "warmup_steps": recipe.train.warmup_steps,
            "clips": fingerprint(clips),
        },
    )
    summary = repair(model, clips, output, method, recipe, args.objective, card, Line("repairing"))
    return {
        "steps": summary.steps,
        "seconds": round(summary.seconds, 2),
        "clips_per_s": round(summary.clips_per_s, 2),
        "held_out": summary.best or {},
    }
