"""`sonograph export`: a model as a file that other programs run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A bundled name, a run folder, a published file, or a hub id."""
    output: Annotated[Path, arg(aliases=["-o"])] = Path("exported")
    """The folder to write into: the file, and a JSON that says what goes in and out."""
    format: str = "onnx"
    """onnx; torch-export (.pt2, for any Python with torch); aot (compiled for this processor, for
    C++ or Python)."""
    int8: bool = False
    """Weights of 8 bits, where the loss on real sounds is small (onnx)."""
    loss: float = 0.05
    """The most that 8 bits may cost: RMS of the difference over RMS of what the model says."""
    data: tuple[str, ...] = ("mini",)
    """Real sounds that int8 is measured on: sets or corpora, folders, .csv or .jsonl files."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.exports.writing import export, writer_of
    from sonograph.progress import Line
    from sonograph.verbs import show

    writer_of(args.format)
    if args.int8 and args.format != "onnx":
        raise InputError(f"int8 is written for onnx, not for {args.format}: leave one of them out")
    if not 0 < args.loss <= 1:
        raise InputError(f"--loss is {args.loss}: give a share, more than 0 and up to 1")
    int8 = _int8(args) if args.int8 else None
    done = export(args.model, args.output, args.format, int8, Line("exporting"))  # type: ignore[arg-type]
    if args.json:
        show.as_json({**done.told, "file": str(done.file), "sheet": str(done.sheet)})
    else:
        _print(done)
    return 0


def _int8(args: Args) -> Any:
    """What 8 bits are measured on: clips spread over the data."""
    from sonograph.data.named import open_data
    from sonograph.exports.int8 import MOST_CLIPS, Int8
    from sonograph.outputs import Audio

    clips = open_data(args.data, args.folder)
    spread = range(0, len(clips), max(1, len(clips) // MOST_CLIPS))
    rate_hz = 44_100  # each model goes on from there
    sounds = [Audio(clips[k].read(rate_hz).reshape(1, -1), rate_hz) for k in spread]
    return Int8(sounds, args.loss)


def _print(done: Any) -> None:
    told = done.told
    print(f"{done.file}: {told['bytes'] / 1e6:.2f} MB")
    for word, ports in (("in", told["inputs"]), ("out", told["outputs"])):
        for port in ports:
            shape = " x ".join(map(str, port["shape"]))
            print(f"  {word:<3} {port['name']} ({shape}), {port['dtype']}: {port['holds']}")
    for axis, size in told["sizes"].items():
        print(f"  {axis}: {_size(size)}")
    calls = len(told["checked"])
    print(f"  opened again, {calls} calls: largest error {told['largest_error']:.1e} of full scale")
    if "int8" in told:
        small = told["int8"]
        print(
            f"  int8 ({small['way']}): {small['bytes_before'] / 1e6:.2f} to "
            f"{told['bytes'] / 1e6:.2f} MB, loss {small['loss']:.2%} on {small['sounds']} sounds"
        )
    print(f"  {done.sheet} says the rest")


def _size(size: dict[str, Any]) -> str:
    if "only" in size:
        return f"{size['only']} only"
    most = f" to {size['most']}" if size["most"] else " or more"
    many = size.get("multiple_of") or 1
    return f"{size['least']}{most}" + (f", a multiple of {many}" if many > 1 else "")
