"""Model folders to and from a hub, or any folder: with a card that people and hubs can read.

    sonograph push runs/mine owner/name          # or a folder: push runs/mine /shared/models/mine
    sonograph pull owner/name -o models/name
    sound.load("owner/name")

What travels is what a model is made of, nothing else of the run: weights, `config.json`,
`card.json`, and a `README.md` that is written from the card. The client is huggingface_hub with its
own settings: HF_ENDPOINT for another hub, HF_TOKEN or its login for who you are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonograph import weights
from sonograph.errors import InputError, missing_extra
from sonograph.writing import explained

README = "README.md"
TENSORS = (weights.WEIGHTS, weights.DELTA)
FILES = (*TENSORS, weights.CONFIG, weights.CARD, weights.PEFT)
# what a hub calls the tasks of the house
PIPELINES = {
    "tag": "audio-classification",
    "represent": "feature-extraction",
    "speak": "text-to-speech",
    "vocode": "audio-to-audio",
    "separate": "audio-to-audio",
}


def push(
    folder: str | os.PathLike[str], to: str, private: bool | None = None, message: str = ""
) -> str:
    """Publish a model folder; where it can be loaded from.

    to: a hub id, owner/name, or a folder. private: of a repository that is made anew; None is the
    owner's usual. Raises InputError for a folder that holds no whole model, for an adaptation of a
    model that others do not have, and with what the hub said where it refused.
    """
    folder = Path(folder)
    card = checked(folder)
    with tempfile.TemporaryDirectory(prefix="sonograph-push-") as place:
        staged = Path(place) / "model"
        staged.mkdir()
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, staged / name)
        described = weights.read_json(folder / weights.CONFIG)["model"]
        name = to if weights.is_hub_id(to) else Path(to).name
        (staged / README).write_text(readme(name, described, card), encoding="utf-8")
        if not weights.is_hub_id(to):
            return str(_place(staged, Path(to)))
        return _upload(staged, to, private, message or f"{card.get('name', folder.name)}")


def pull(name: str, folder: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Fetch a model into a folder of its own. Nothing is left of one that is not whole.

    name: a hub id or a folder; revision: a branch, a tag or a commit of the hub.
    """
    source = weights.from_hub(name, revision) if weights.is_hub_id(name) else Path(name)
    with tempfile.TemporaryDirectory(prefix="sonograph-pull-") as place:
        staged = Path(place) / "model"
        staged.mkdir()
        for file in (*FILES, README):
            if (source / file).is_file():
                shutil.copyfile(source / file, staged / file)
        checked(staged, name)
        return _place(staged, Path(folder))


def checked(folder: Path, name: str = "") -> dict[str, Any]:
    """The card of a whole model folder. Raises InputError for what is missing or was changed."""
    where = name or str(folder)
    described = weights.read_json(folder / weights.CONFIG)
    card = weights.read_json(folder / weights.CARD)
    found = [file for file in TENSORS if (folder / file).is_file()]
    if not found:
        raise InputError(f"{where} holds no weights ({' or '.join(TENSORS)})")
    if card.get("sha256") and weights.sha256(folder / found[0]) != card["sha256"]:
        raise InputError(f"{where}: {found[0]} is not the file that its card names: fetch it again")
    base = (described.get("model") or {}).get("base")
    if base and not (base["name"] in weights.bundled() or weights.is_hub_id(base["name"])):
        raise InputError(
            f"{where} is an adaptation of {base['name']}, which others do not have: adapt again "
            "with --merge, which writes a whole model"
        )
    return card


def _place(staged: Path, target: Path) -> Path:
    """The folder in its place, whole or not at all. Raises InputError where something is there."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there already: give a new folder")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            shutil.copytree(staged, beside)
            if target.exists():
                target.rmdir()
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def _upload(staged: Path, name: str, private: bool | None, message: str) -> str:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HTTPError
    except ImportError:
        raise missing_extra("huggingface_hub", "hub") from None
    hub = HfApi(library_name="sonograph")
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=staged, commit_message=message)
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        raise InputError(f"the hub did not take {name}: {weights.first_line(error)}") from None
    return name


def readme(name: str, described: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """The card in words, with the lines that hubs sort by."""
    from sonograph import registry

    system = str(card.get("system") or weights.system_of(described))
    task = registry.system(system).task if system else ""
    licence = str(card.get("licence", "not told"))
    lines = [
        "---",
        "library_name: sonograph",
        f"license: {'apache-2.0' if licence == 'Apache-2.0' else 'other'}",
        *([] if licence == "Apache-2.0" else [f"license_name: {_quoted(licence)}"]),
        *([f"pipeline_tag: {PIPELINES[task]}"] if task in PIPELINES else []),
        "tags:",
        "- audio",
        *([f"- {_quoted(system)}"] if system else []),
        "---",
        "",
        f"# {card.get('name', name)}",
        "",
        str(card.get("summary", "")),
        "",
        "```python",
        "import sonograph as sound",
        "",
        f"model = sound.load({name!r})",
        "```",
    ]
    told = {
        "For": card.get("intended_use"),
        "Limits": card.get("limits"),
        "Licence": licence,
        "Steps": card.get("steps"),
    }
    for title, text in told.items():
        if text:
            lines += ["", f"**{title}.** {_flat(text)}"]
    for title, key in (("Measured", "quality"), ("Held out", "held_out"), ("Data", "data")):
        if card.get(key):
            lines += ["", f"## {title}", "", *_bullets(card[key])]
    lines += ["", "`card.json` holds all of it, recipe included."]
    return "\n".join(lines) + "\n"


def _bullets(value: Any, lead: str = "") -> list[str]:
    """Nested values as one list, a line each."""
    if isinstance(value, Mapping):
        if all(not isinstance(inner, Mapping | list) for inner in value.values()) and lead:
            return [f"- {lead}: {_flat(', '.join(f'{k} {_short(v)}' for k, v in value.items()))}"]
        return [
            line
            for key, inner in value.items()
            for line in _bullets(inner, f"{lead} / {key}" if lead else str(key))
        ]
    if isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        return [
            f"- {_flat(', '.join(f'{k} {_short(v)}' for k, v in one.items()))}" for one in value
        ]
    return [f"- {lead + ': ' if lead else ''}{_flat(_short(value))}"]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(text: Any) -> str:
    return " ".join(str(text).split())


def _quoted(text: str) -> str:
    import json

    return json.dumps(_flat(text), ensure_ascii=False)
