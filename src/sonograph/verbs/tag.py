"""`sonograph tag`: sounds to labels."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from sonograph.verbs.many import Many

if TYPE_CHECKING:
    from sonograph.scale.work import Answer, Given


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]] = ()
    """Sound files, or folders of them; - for a stream through a pipe, tagged as it comes."""
    model: str = ""
    """A model with labels: a bundled name, a run folder, a published file, or a hub id."""
    least: float | None = None
    """How sure to be, 0 to 1; else 0.5 where labels may sound together, 0 where they exclude."""
    top: int = 5
    """How many labels of a sound to print."""
    spans: bool = False
    """Print when each label is heard, too."""
    format: Literal["text", "json", "csv", "audacity"] = "text"
    """csv: file, start, end, label, score. audacity: a label track to import, of one sound."""
    output: Annotated[str | None, arg(aliases=["-o"])] = None
    """Where to write csv, audacity or json, instead of the screen; of a manifest, a folder."""
    rate: int | None = None
    """Samples a second of a pipe that carries bare 16-bit samples rather than WAV."""
    batch: int = 8
    """Windows at once."""
    json: bool = False
    """Print JSON, the same as --format json."""
    many: Many = Many()


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.infer.tag import tag
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import many, show

    if args.least is not None and not 0 <= args.least <= 1:
        raise InputError(f"--least is {args.least}: give a probability, 0 to 1")
    if args.many.manifest:
        return many.run("tag", args, idle=("format", "top", "spans", "rate"))
    form = "json" if args.json else args.format
    if form == "text" and args.output:
        raise InputError("-o needs --format csv, audacity or json")
    if args.sounds == (Path("-"),):
        return _live(args, form)
    files = sound_files(many.given(args.sounds))
    if form == "audacity" and len(files) > 1:
        raise InputError(f"a label track is of one sound, not {len(files)}: use --format csv")
    model, results = _model(args.model), []
    for file in files:
        told = Line(f"tagging {file.name}")
        results.append(tag(model, file, args.batch, told, args.least))
    if form == "text":
        for result in results:
            _print(result, args)
        return 0
    if form == "json":
        content = show.json_text([result.to_json() for result in results])
    elif form == "audacity":
        content = results[0].to_audacity()
    else:
        content = _csv(results)
    _give(content, args.output)
    return 0


def _model(name: str) -> Any:
    from sonograph.errors import InputError
    from sonograph.weights import BUNDLED_TAGGER, bundled, load

    if not name and BUNDLED_TAGGER not in bundled():
        raise InputError(
            "which labels? give --model RUN, a folder that `sonograph adapt` or `sonograph demo` "
            "wrote (`runs/demo/effect/full/seed0` after a demo)"
        )
    return load(name or BUNDLED_TAGGER)


def _print(result: Any, args: Args) -> None:
    print(result.name)
    known = result.known(args.top)
    for label, score in known:
        print(f"  {score:6.1%}  {label}")
    if not known:
        label, score = result.top(1)[0]
        nearest = f" (nearest: {label}, {score:.1%})" if score >= 0.01 else ""
        print(f"  nothing it knows for sure{nearest}")
    if args.spans:
        for span in result.spans:
            print(_line(span))


def _line(span: Any) -> str:
    return f"  {span.start_s:8.2f} - {span.end_s:8.2f} s  {span.label} {span.score:.1%}"


def _csv(results: list[Any]) -> str:
    import csv
    import io

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "start_s", "end_s", "label", "score"])
    for result in results:
        for s in result.spans:
            ends = (f"{s.start_s:.3f}", f"{s.end_s:.3f}")
            rows.writerow([result.name, *ends, s.label, f"{s.score:.4f}"])
    return text.getvalue()


def prepare(args: Args) -> Answer:
    """The labels of a sound, as a row of a pool's results."""
    from sonograph.infer.tag import require_labels, tag
    from sonograph.scale.work import Done

    model = _model(args.model)
    require_labels(model)

    def answer(given: Given) -> Done:
        told = tag(model, given.sound, args.batch, least=args.least).to_json()
        return Done({key: value for key, value in told.items() if key != "name"})

    return answer


def _give(content: str, output: str | None) -> None:
    from sonograph.writing import write_whole

    if output is None:
        print(content, end="" if content.endswith("\n") else "\n")
    else:
        write_whole(output, content.encode())


def _live(args: Args, form: str) -> int:
    """Each stretch as soon as it has ended, one line each, until the pipe does."""
    import json

    from sonograph.audio.live import Live
    from sonograph.errors import InputError
    from sonograph.infer.tag import Spans, least_of, listen, require_labels

    if form == "audacity" or args.output:
        raise InputError("of a pipe text, csv or json lines are printed: no -o, no label track")
    model = _model(args.model)
    require_labels(model)
    spans = Spans(model.labels, model.answer == "one", least_of(model, args.least))

    if form == "csv":
        print("start_s,end_s,label,score", flush=True)

    def tell(ended: list[Any]) -> None:
        for span in ended:
            if form == "json":
                print(json.dumps(dataclasses.asdict(span)), flush=True)
            elif form == "csv":
                print(f'{span.start_s:.3f},{span.end_s:.3f},"{span.label}",{span.score:.4f}')
                sys.stdout.flush()
            else:
                print(_line(span), flush=True)

    for heard in listen(model, Live(sys.stdin.buffer, args.rate), batch=1):
        tell(spans.add(heard))
    tell(spans.end())
    return 0
