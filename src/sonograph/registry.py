"""What exists: every system of the atlas, every preset of the systems that are built.

The table of systems is data and costs nothing to import; a system's module (and torch) is loaded
when one of its presets is asked for.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sonograph.config import Config
from sonograph.errors import InputError, did_you_mean


@dataclass(frozen=True)
class System:
    """One published idea: its file is `systems/<task>/<name>.py`."""

    name: str
    task: str  # the folder: what a user does with it
    title: str  # the paper's
    prefixes: tuple[str, ...] = ()  # of preset names, where they differ from `name`

    @property
    def module(self) -> str:
        return f"sonograph.systems.{self.task}.{self.name}"

    @property
    def place(self) -> str:
        """Its file in the source tree, or its folder."""
        path = self.module.replace(".", "/")
        found = importlib.util.find_spec(self.module)
        folder = found is not None and found.submodule_search_locations is not None
        return f"{path}/" if folder else f"{path}.py"

    @property
    def built(self) -> bool:
        folder = f"sonograph.systems.{self.task}"
        try:
            if importlib.util.find_spec(folder) is None:
                return False
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False


@dataclass(frozen=True)
class Preset:
    """One named configuration of a system."""

    name: str
    system: str
    make: Callable[[], Config]
    parameters: int | None = None  # the published count, where there is one
    note: str = ""


@dataclass(frozen=True)
class About:
    """What a system's module says of itself as `ABOUT`; its page and its evidence start here."""

    summary: str  # one line: what it does
    use: tuple[str, ...]  # when to take it
    avoid: tuple[str, ...]  # when not, and what instead
    paper: str  # authors, venue, year
    figures: tuple[str, ...]  # published results, a line each
    code_licence: str  # of the official code; ours is Apache-2.0
    weights_licence: str  # of the published weights
    deviations: tuple[str, ...]  # from the paper, ours
    faults: tuple[str, ...]  # of the official code, not repeated here
    verbs: tuple[str, ...]  # that do its job on any file
    golden: tuple[str, ...]  # systems named by the golden cases that belong to it
    checks: tuple[str, ...]  # test files that compare it with independent implementations
    picture: str = ""  # words under docs/systems/NAME.png, where there is one


@dataclass(frozen=True)
class MethodPreset:
    """One named way to adapt a model; `make` gives a `nn.adaptation.Method`."""

    name: str
    system: str
    make: Callable[[], Any]
    trained: int | None = None  # the published count of trained numbers on `on`, without the head
    on: str = "ast-base"
    note: str = ""


_presets: dict[str, Preset] = {}
_methods: dict[str, MethodPreset] = {}


Make = TypeVar("Make", bound=Callable[[], Config])


def register(
    name: str, system: str, parameters: int | None = None, note: str = ""
) -> Callable[[Make], Make]:
    """Decorate a function that returns a configuration; its module must have `build(config)`."""

    def keep(make: Make) -> Make:
        if name in _presets and _presets[name].make.__module__ != make.__module__:
            raise ValueError(f"two presets are called {name!r}")
        _presets[name] = Preset(name, system, make, parameters, note)
        return make

    return keep


def register_method(
    name: str, system: str, trained: int | None = None, on: str = "ast-base", note: str = ""
) -> Callable[[Make], Make]:
    """Decorate a function that returns a way to adapt a model."""

    def keep(make: Make) -> Make:
        if name in _methods and _methods[name].make.__module__ != make.__module__:
            raise ValueError(f"two methods are called {name!r}")
        _methods[name] = MethodPreset(name, system, make, trained, on, note)
        return make

    return keep


def methods() -> dict[str, MethodPreset]:
    """Every way to adapt a model, by name."""
    for entry in systems():
        if entry.task == "adapt" and entry.built:
            importlib.import_module(entry.module)
    return _methods


def method_name(method: Any) -> str:
    """The name under which methods of this class are listed first."""
    return next(name for name, one in methods().items() if type(one.make()) is type(method))


def systems() -> tuple[System, ...]:
    """All systems, those still to come included."""
    from sonograph.atlas.systems import SYSTEMS

    return SYSTEMS


def system(name: str) -> System:
    for entry in systems():
        if entry.name == name:
            return entry
    known = [entry.name for entry in systems()]
    raise InputError(f"there is no system {name!r}.{did_you_mean(name, known)}")


def module(name: str) -> Any:
    """The Python module of a system that is built."""
    entry = system(name)
    if not entry.built:
        raise InputError(f"{name} is in the atlas but not built yet: see `sonograph systems`")
    return importlib.import_module(entry.module)


def presets(pattern: str = "*") -> Iterator[Preset]:
    """Presets whose name fits a wildcard pattern, in the order in which their files list them."""
    for entry in systems():
        if entry.built:
            importlib.import_module(entry.module)
    yield from (p for p in _presets.values() if fnmatch.fnmatchcase(p.name, pattern))


def models(pattern: str = "*", bundled: bool = False) -> list[str]:
    """Names that fit a wildcard pattern: of bundled weights first, then of presets to build.

    >>> models("ssast-tiny*")
    ['ssast-tiny', 'ssast-tiny-frame']
    """
    from sonograph.weights import bundled as folders

    names = [name for name in folders() if fnmatch.fnmatchcase(name, pattern)]
    return names if bundled else list(dict.fromkeys([*names, *(p.name for p in presets(pattern))]))


def preset(name: str) -> Preset:
    """The preset of this name; InputError with the nearest names if there is none."""
    for entry in systems():
        starts = (entry.name, *entry.prefixes)
        if entry.built and any(name.startswith(start) for start in starts):
            importlib.import_module(entry.module)
    if name not in _presets:
        known = [p.name for p in presets()]
        hint = did_you_mean(name, known) or " `sonograph models` lists them."
        raise InputError(f"there is no model {name!r}.{hint}")
    return _presets[name]


def build(name: str, device: str = "cpu", seed: int | None = 0, **overrides: Any) -> Any:
    """An untrained model of a preset; `device="meta"` costs no memory. Overrides are config fields.

    >>> import sonograph
    >>> model = sonograph.build("ssast-tiny", device="meta")
    >>> sum(p.numel() for p in model.parameters())
    5487168
    """
    import torch

    entry = preset(name)
    config = entry.make().override(overrides) if overrides else entry.make()
    with torch.random.fork_rng(devices=[]), torch.device(device):
        if seed is not None:
            torch.manual_seed(seed)
        return module(entry.system).build(config)
