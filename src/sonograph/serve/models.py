"""The models of the service: which there are, what each can do, and those that are in memory."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonograph.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from sonograph.serve.action import Action

KEPT = 6  # models in memory


@dataclasses.dataclass(frozen=True)
class ModelAbout:
    """A model as people choose by: what it is, what it can do, what it is worth, on what terms."""

    name: str
    folder: Path
    actions: tuple[str, ...]
    system: str
    summary: str
    licence: str
    parameters: int
    bytes: int
    quality: Mapping[str, Any]
    limits: str
    paper: str

    def to_json(self) -> dict[str, Any]:
        """All but the place on disk, which is nobody's business."""
        told = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del told["folder"]
        return told | {"actions": list(self.actions), "quality": dict(self.quality)}


def about(folder: Path, name: str, actions: Iterable[Action]) -> ModelAbout:
    """A model folder, told from its configuration and its card; no weights are read."""
    from sonograph import registry, weights

    described = weights.read_json(folder / weights.CONFIG)["model"]
    card_file = folder / weights.CARD
    card = weights.read_json(card_file) if card_file.is_file() else {}
    model = without_weights(described)
    system = str(card.get("system") or weights.system_of(described))
    paper = registry.module(system).ABOUT.paper if system else ""
    worth: Any = next(
        (card[key] for key in ("quality", "measured", "held_out") if card.get(key)), {}
    )
    return ModelAbout(
        name=name,
        folder=folder,
        actions=tuple(one.name for one in actions if one.model(model)),
        system=system,
        summary=str(card.get("summary", "")),
        licence=str(card.get("licence", "not told on its card")),
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        quality=worth if isinstance(worth, Mapping) else {},
        limits=str(card.get("limits", "")),
        paper=paper,
    )


def without_weights(described: Mapping[str, Any]) -> nn.Module:
    """A model without its weights, to see what it is."""
    import torch

    from sonograph import weights
    from sonograph.nn.heads import Classifier

    with torch.device("meta"):
        if described.get("kind") != "adapted":
            return weights.build(described)
        encoder: Any = weights.build(described["encoder"])
        head = described.get("head", "normed")
        return Classifier(encoder, described["labels"], described["pool"], head=head)


class Models:
    """Models by name. The few that were used last stay in memory; safe to use from many threads."""

    def __init__(self, actions: Mapping[str, Action], kept: int = KEPT):
        self.actions, self.kept = actions, kept
        self.known: dict[str, ModelAbout] = {}
        self.memory: OrderedDict[str, nn.Module] = OrderedDict()
        self.guard = threading.Lock()
        self.loading: dict[str, threading.Lock] = {}
        self.loads = 0

    @classmethod
    def of(cls, actions: Mapping[str, Action], given: Iterable[str] = ()) -> Models:
        """Those that come along, and the folders that are given."""
        from sonograph import weights

        models = cls(actions)
        for name, folder in weights.bundled().items():
            models.add(folder, name)
        for text in given:
            if text not in weights.bundled():
                path = Path(text)
                if not (path / weights.CONFIG).is_file():
                    raise InputError(f"{text} is no model folder (it has no {weights.CONFIG})")
                models.add(path, path.resolve().name)
        return models

    def add(self, folder: Path, name: str) -> ModelAbout:
        """Make a model folder known. Raises InputError for a name that is taken."""
        found = about(folder, name, self.actions.values())
        with self.guard:
            if name in self.known:
                raise InputError(f"there is a model {name} already: rename the folder")
            self.known[name] = found
        return found

    def remove(self, name: str) -> None:
        """Forget a model; whoever is using it goes on."""
        with self.guard:
            self.known.pop(name, None)
            self.memory.pop(name, None)
            self.loading.pop(name, None)

    def names(self) -> list[ModelAbout]:
        """All of them, in the order in which they came."""
        with self.guard:
            return list(self.known.values())

    def fit(self, action: str) -> list[str]:
        """Names of those that can do an action, the usual one first."""
        usual = self.actions[action].usual
        found = [one.name for one in self.names() if action in one.actions]
        return sorted(found, key=lambda name: name != usual)

    def folder(self, name: str) -> Path:
        """Where a model lies. Raises InputError for a name that is not known."""
        with self.guard:
            if name not in self.known:
                hint = did_you_mean(name, self.known)
                raise InputError(f"there is no model {name!r} here.{hint}")
            return self.known[name].folder

    def get(self, name: str) -> nn.Module:
        """A model, loaded once. Raises InputError for a name that is not known."""
        from sonograph import weights

        folder = self.folder(name)
        with self.guard:
            about = self.known.get(name)
            lock = self.loading.setdefault(name, threading.Lock())
        with lock:
            with self.guard:
                if name in self.memory:
                    self.memory.move_to_end(name)
                    return self.memory[name]
            model = weights.load(folder)
            with self.guard:
                self.loads += 1
                if self.known.get(name) is not about:
                    return model  # it was removed meanwhile, and the name may be another's
                self.memory[name] = model
                while len(self.memory) > self.kept:
                    self.memory.popitem(last=False)
            return model
