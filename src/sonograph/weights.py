"""From a name to a model: bundled, a run folder, a published file, or a hub id.

A model folder holds `model.safetensors`, `config.json` (how to build the model again) and
`card.json` (what it is, from which data, under which licence). Loading reads tensors and JSON
only; no code in a file is ever run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonograph.errors import InputError, did_you_mean, missing_extra
from sonograph.writing import write_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
HUB_ID = r"[\w.-]+/[\w.-]+"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"
DELTA, PEFT = "adapter_model.safetensors", "adapter_config.json"  # as peft calls them
BUNDLED = Path(__file__).parent / "bundled"
BUNDLED_TAGGER = "panns-mini"  # what `sonograph tag` takes unless told


def bundled() -> dict[str, Path]:
    """The models that come with the package, by name."""
    if not BUNDLED.is_dir():
        return {}
    return {p.name: p for p in sorted(BUNDLED.iterdir()) if (p / CONFIG).is_file()}


def load(
    name: str | os.PathLike[str], device: str = "cpu", base: nn.Module | None = None
) -> nn.Module:
    """A trained model, ready to use: a bundled name, a model or run folder, a file, or a hub id.

    base: of an adaptation, see `load_folder`. A file may be a published checkpoint (.pth, .pt,
    .ckpt, .safetensors) of a system that is built. Raises InputError where nothing fits, or where
    the file would run code.
    """
    text, path = os.fspath(name), Path(name)
    if text in bundled():
        return load_folder(bundled()[text], device)
    if path.is_dir() and not _is_published_folder(path):
        return load_folder(path, device, base)
    if path.exists():
        return load_published(path, device)
    if is_hub_id(text):
        return load_folder(from_hub(text), device)
    known = [*bundled()]
    raise InputError(
        f"no model {text!r}: neither bundled ({', '.join(known) or 'none'}) nor a folder, file or "
        f"hub id.{did_you_mean(text, known)}"
    )


def is_hub_id(name: str) -> bool:
    """Whether a name is owner/name of a hub; not where a folder of that name could be."""
    return bool(re.fullmatch(HUB_ID, name)) and not Path(name).parent.is_dir()


def load_folder(
    folder: str | os.PathLike[str], device: str = "cpu", base: nn.Module | None = None
) -> nn.Module:
    """The model of a folder, in evaluation mode; its card is `model.card`.

    base: the encoder that an adaptation belongs to, if it is at hand: its weights are shared, not
    copied, so that many adaptations of one encoder cost little more than it alone. Otherwise the
    one that the folder names is loaded.
    """
    folder = Path(folder)
    described = read_json(folder / CONFIG)
    if described.get("format") != FORMAT:
        raise InputError(
            f"{folder / CONFIG} is of format {described.get('format')!r}, this version reads "
            f"{FORMAT}: update sonograph"
        )
    try:
        adapted = described["model"].get("kind") == "adapted"
        model: Any = (load_adapted if adapted else _plain)(folder, described["model"], base)
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{folder / CONFIG} does not describe a model ({type(error).__name__}: {error})"
        ) from None
    card_file = folder / CARD
    model.card = read_json(card_file) if card_file.is_file() else {}
    model.name = str(model.card.get("name", folder.name))
    return model.to(device).eval()


def _plain(folder: Path, described: Mapping[str, Any], base: nn.Module | None) -> nn.Module:
    model = build(described)
    load_state(model, read_tensors(folder / WEIGHTS), str(folder / WEIGHTS))
    return model


def load_adapted(folder: Path, described: Mapping[str, Any], base: nn.Module | None) -> nn.Module:
    """A classifier as its adaptation left it: on its base, or whole where the folder holds both."""
    import torch

    from sonograph.nn import adaptation
    from sonograph.systems.adapt.ast_adapters.peft_layout import from_peft
    from sonograph.train.adapt import adapt

    whole = described["base"] is None
    methods = [registry_method(one) for one in described["methods"]]
    if whole:
        encoder: Any = build(described["encoder"])
        for part in encoder.modules():  # nothing is decomposed that is about to be filled
            for name, weight in part.named_parameters(recurse=False):
                setattr(part, name, torch.nn.Parameter(weight.to("meta")))
    else:
        source: Any = base or _base_of(folder, described["base"]["name"])
        if (found := adaptation.fingerprint(source)) != described["base"]["sha256"]:
            raise InputError(
                f"{folder} belongs to {described['base']['name']} with sha256 "
                f"{described['base']['sha256'][:12]}, not to one with {found[:12]}"
            )
        encoder = adaptation.shared_copy(source)
    model = _classifier(encoder, described)
    state = read_tensors(folder / (WEIGHTS if whole else DELTA))
    learned = adapt(model, methods, kept=part_of(state, "encoder."))
    if whole:
        if odd := sorted(model.state_dict().keys() ^ state.keys()):
            raise InputError(f"{folder / WEIGHTS} does not fit: {', '.join(odd[:3])}")
        model.load_state_dict(state, assign=True)
        return learned
    if (folder / PEFT).is_file():
        state = from_peft(model, state)
    shared = {f"encoder.{name}" for name in adaptation.base_state(source)}
    adaptation.own(model, sorted(set(state) & shared))
    adaptation.load_delta(model, state, str(folder / DELTA))
    return learned


def registry_method(described: Mapping[str, Any]) -> Any:
    """A way to adapt a model, as `describe_method` wrote it."""
    from sonograph import registry

    known = registry.methods()
    if described["name"] not in known:
        raise InputError(f"a method {described['name']!r} is not known: update sonograph")
    return type(known[described["name"]].make()).from_dict(described["settings"])


def _base_of(folder: Path, name: str) -> Any:
    from sonograph.infer.embed import encoder_of

    for place in (name, str(folder.parent / name)):
        if place in bundled() or Path(place).exists() or is_hub_id(place):
            return encoder_of(load(place))
    raise InputError(
        f"{folder} is an adaptation of {name}, which is neither bundled nor found from here: give "
        "`base=`, or put it where it was"
    )


def _classifier(encoder: Any, described: Mapping[str, Any]) -> Any:
    from sonograph.nn.heads import Classifier

    answer, head = described.get("answer", "one"), described.get("head", "normed")
    return Classifier(encoder, described["labels"], described["pool"], answer=answer, head=head)


@dataclasses.dataclass(frozen=True)
class Base:
    """An encoder that adaptations belong to: how to load it, and the SHA-256 of its weights."""

    name: str
    sha256: str


def base_of(name: str, encoder: nn.Module) -> Base:
    """The base that an encoder is, before it is adapted."""
    from sonograph.nn.adaptation import fingerprint

    return Base(name, fingerprint(encoder))


def save_adapted(
    folder: str | os.PathLike[str], model: Any, card: Mapping[str, Any], base: Base | None = None
) -> Path:
    """Write an adapted classifier.

    base: what it was adapted from: only what was learned is kept, in peft's layout where peft
    has the method. None: everything is, so that the folder stands alone.
    """
    from sonograph import registry
    from sonograph.nn import adaptation
    from sonograph.systems.adapt.ast_adapters.peft_layout import to_peft

    folder = Path(folder)
    described = {
        "kind": "adapted",
        "base": base and dataclasses.asdict(base),
        "encoder": description(model.encoder),
        "labels": list(model.labels),
        "pool": model.pool,
        "answer": model.answer,
        "head": model.head_kind,
        "methods": [
            {"name": registry.method_name(one), "settings": one.to_dict()}
            for one in model.adaptation
        ],
    }
    file = folder / (DELTA if base else WEIGHTS)
    if base is None:
        state = model.state_dict()
    else:
        state = adaptation.delta_state(model)
        if laid_out := to_peft(model, state):
            state, told = laid_out
            write_json(folder / PEFT, {**told, "base_model_name_or_path": base.name})
    write_tensors(file, {name: value.contiguous() for name, value in state.items()})
    write_json(folder / CONFIG, {"format": FORMAT, "model": described})
    write_json(folder / CARD, {**card, "sha256": sha256(file)})
    return folder


def save_folder(
    folder: str | os.PathLike[str],
    model: nn.Module,
    card: Mapping[str, Any],
    dtype: str = "float32",
) -> Path:
    """Write a model folder; every file appears whole or not at all."""
    import torch

    folder = Path(folder)
    state = model.state_dict()
    kind = getattr(torch, dtype)
    tensors = {
        name: value.to(kind).contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in state.items()
    }
    write_tensors(folder / WEIGHTS, tensors)
    describe(folder, description(model), card)
    return folder


def description(model: Any) -> dict[str, Any]:
    """What `build` needs to make a model again: what it was built from, and what it lost since."""
    from sonograph.nn.pruning import heads_left

    told = dict(model.describe())
    return told | ({"heads": heads} if (heads := heads_left(model)) else {})


def outline(folder: Path, described: Mapping[str, Any]) -> None:
    """Let the `model.safetensors` that a run leaves load as a model, should the run not end."""
    write_json(folder / CONFIG, {"format": FORMAT, "model": described})


def describe(folder: Path, described: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Make a folder whose `model.safetensors` the trainer wrote a model folder."""
    outline(folder, described)
    write_json(folder / CARD, {**card, "sha256": sha256(folder / WEIGHTS)})


def system_of(described: Mapping[str, Any]) -> str:
    """The system that a description names, its own or that of what it is made of."""
    for part in (described, described.get("encoder"), described.get("separator")):
        if part and part.get("system"):
            return str(part["system"])
    return ""


def build(described: Mapping[str, Any]) -> nn.Module:
    """A model from what its `description` said; weights are still random."""
    from sonograph.nn.pruning import trim

    model = _built(described)
    trim(model, described.get("heads", {}))
    return model


def _built(described: Mapping[str, Any]) -> nn.Module:
    from sonograph import registry
    from sonograph.nn.layers import WeightedLayers
    from sonograph.nn.thin import Compression, skeleton

    kind = described.get("kind")
    if kind in ("encoder", "tagger", "vocoder", "acoustic", "speaker", "separator"):
        module = registry.module(described["system"])
        model = module.build(module.Config.from_dict(described["config"]))
        return getattr(model, "encoder", model) if kind == "encoder" else model
    if kind == "transcriber":
        from sonograph.nn.notes import NoteConfig, Transcriber

        separator: Any = build(described["separator"])
        return Transcriber(separator, NoteConfig.from_dict(described["notes"]))
    if kind == "compressed":
        encoder = build(described["encoder"])
        skeleton(encoder, Compression(described["ratio"], described["ranks"]))
        return encoder
    if kind == "layers":
        return WeightedLayers(build(described["encoder"]))  # type: ignore[arg-type]
    if kind == "pretraining":
        encoder = build(described["encoder"])
        system = described.get("system", described["encoder"]["system"])
        module = registry.module(system)
        if "config" in described:  # an objective with settings of its own, such as labels
            return module.Pretraining(encoder, module.Config.from_dict(described["config"]))
        return module.Pretraining(encoder)
    if kind == "classifier":
        return _classifier(build(described["encoder"]), described)
    raise InputError(f"a model of kind {kind!r} is not known: update sonograph")


def load_state(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill a model, and say in one line what does not fit."""
    import torch

    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unknown = sorted(state.keys() - own.keys())
    wrong = [n for n in own.keys() & state.keys() if own[n].shape != state[n].shape]
    for words, names in (("lacks", missing), ("has unknown", unknown), ("has misshapen", wrong)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(f"{where} {words} weights: {', '.join(names[:3])}{more}")
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{where}: {name} holds values that are not finite")
    model.load_state_dict({n: v.to(own[n].dtype) for n, v in state.items()})


# --- published checkpoints -----------------------------------------------------------------------


POINTER = "last_best_checkpoint"  # holds the name of the best file beside it


def _is_published_folder(path: Path) -> bool:
    """Whether a folder is as some tool kits leave it: with a pointer, or with a file for each
    part.
    """
    found = (path / POINTER).is_file() or len(list(path.glob("*.ckpt"))) > 1
    return found and not (path / WEIGHTS).is_file()


def read_published(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """`read_checkpoint` of a file, or of a published folder: parts begin with their file's name.

    "checkpoint_name" among the notes is the name of the file or folder: some files say nowhere
    else what they are.
    """
    if not path.is_dir():
        state, notes = read_checkpoint(path)
    elif (pointer := path / POINTER).is_file():
        state, notes = read_checkpoint(path / Path(pointer.read_text().strip()).name)
    else:
        parts = {file.stem: read_tensors(file) for file in sorted(path.glob("*.ckpt"))}
        state = {f"{part}.{n}": v for part, inner in parts.items() for n, v in inner.items()}
        notes = {}
    return state, {**notes, "checkpoint_name": path.name}


def load_published(path: str | os.PathLike[str], device: str = "cpu") -> nn.Module:
    """An official checkpoint as our model: with its head if it has one, else the encoder.

    path: a file, or a folder as in `read_published`. The system is told from the names inside.
    """
    from sonograph import registry

    state, notes = read_published(Path(path))
    for entry in registry.systems():
        if not entry.built:
            continue
        module = registry.module(entry.name)
        if hasattr(module, "is_published") and module.is_published(state):
            try:
                if getattr(module, "READS_FILE", False):  # settings lie beside the file
                    model = module.load_published(state, Path(path))
                elif getattr(module, "READS_NOTES", False):
                    model = module.load_published(state, notes)
                else:
                    model = module.load_published(state)
            except (KeyError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"{path} looks like {entry.name} but does not fit: {error}"
                ) from None
            model.name = Path(path).stem
            model.card = {"name": model.name, "source": str(path)}
            return model.to(device).eval()
    first = ", ".join(list(state)[:3])
    raise InputError(f"{path} is of no system that is built (it has weights like {first})")


def rename(
    state: Mapping[str, Tensor],
    table: Sequence[tuple[str, str]],
    unused: Iterable[str] = (),
) -> dict[str, Tensor]:
    """A state under other names. `{}` in a pattern stands for one part between dots.

    Raises InputError for a name that neither the table nor `unused` knows.

    >>> rename({"v.norm.weight": 1}, [("v.norm.{}", "norm.{}")])
    {'norm.weight': 1}
    """
    rules = [(_pattern(old), new) for old, new in table]
    skipped = [_pattern(old) for old in unused]
    renamed = {}
    for name, value in state.items():
        for pattern, new in rules:
            if found := pattern.fullmatch(name):
                renamed[new.format(*found.groups())] = value
                break
        else:
            if not any(pattern.fullmatch(name) for pattern in skipped):
                raise InputError(f"the checkpoint has a weight {name!r} that no rule knows")
    return renamed


def _plain_arrays() -> list[Any]:
    """What pickles of numpy arrays name, old and new: data that some files hold beside weights."""
    import numpy as np

    parts: list[Any] = [np.ndarray, np.dtype, *(type(np.dtype(code)) for code in "?bhilqBHILQfd")]
    for home in ("numpy.core.multiarray", "numpy._core.multiarray"):
        core = np._core.multiarray  # type: ignore[attr-defined]
        parts += [(core._reconstruct, f"{home}._reconstruct"), (core.scalar, f"{home}.scalar")]
    return parts


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights under a prefix, without it."""
    start = len(prefix)
    return {name[start:]: value for name, value in state.items() if name.startswith(prefix)}


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{\}", r"([^.]+)"))


# --- files ---------------------------------------------------------------------------------------


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .ckpt file; code in one is refused."""
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, what lies beside them in the file: a configuration, names of labels)."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return load_file(path), {}
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"{path} is not a whole safetensors file: {error}") from None
    found = read_plain(path)
    notes: dict[str, Any] = {}
    for key in ("state_dict", "state", "model", "model_state", "model_state_dict"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            notes |= {name: value for name, value in found.items() if name != key}
            found = found[key]
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__}, not named weights")
    tensors = {k: v for k, v in found.items() if isinstance(v, torch.Tensor)}
    if not tensors:  # of several modules, each a dictionary of its own
        parts = {k: v for k, v in found.items() if isinstance(v, dict) and _all_tensors(v)}
        tensors = {f"{part}.{n}": v for part, inner in parts.items() for n, v in inner.items()}
        notes |= {name: value for name, value in found.items() if name not in parts}
    if not tensors:
        raise InputError(f"{path} holds no weights")
    return tensors, notes


def read_plain(path: Path) -> Any:
    """What a pickled file holds, if it is tensors in plain containers; anything else is refused.

    Plain are dictionaries, lists, tuples, numbers, words, numpy arrays of numbers, and the bags of
    named values in which trainers keep their command line (argparse.Namespace). No other class is
    ever looked up.
    """
    import argparse

    import torch

    try:
        with warnings.catch_warnings():  # of pickles that it then refuses
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals([argparse.Namespace, *_plain_arrays()]):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, all of them mean "not tensors only"
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        # which class it asked for stands further down in a long advice to trust the file
        if asked := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
            said = f"it needs {asked[1]}, which may run code"
        raise InputError(
            f"{path} does not load as plain tensors, so it is refused: {said[:120]}"
        ) from None


def _all_tensors(values: Mapping[Any, Any]) -> bool:
    import torch

    return bool(values) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in values.items()
    )


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    write_whole(path, save(dict(tensors)))


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} is no model folder: {path.name} is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__}, not named values")
    return found


def write_json(path: Path, value: Any) -> None:
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def from_hub(name: str, revision: str | None = None) -> Path:
    """The model folder of a hub id, from the local cache or the network."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError
    except ImportError:
        raise missing_extra("huggingface_hub", "hub") from None
    wanted = [WEIGHTS, CONFIG, CARD, DELTA, PEFT, "README.md"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        said = first_line(error)
        raise InputError(f"{name} is no local folder, and the hub gave none: {said}") from None


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
