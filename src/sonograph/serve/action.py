"""What an action of the service is: settings that describe themselves, sounds in, an outcome."""

from __future__ import annotations

import dataclasses
import math
import shlex
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sonograph.config import Config
from sonograph.errors import InputError, did_you_mean
from sonograph.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from sonograph.serve.models import Models

Kind = Literal["sounds", "text", "labelled"]


class Cancelled(Exception):
    """Raised by a progress callback: the action stops there and leaves nothing."""


@dataclasses.dataclass(frozen=True)
class Given:
    """A sound that was given: where it lies, what its owner calls it, and its label if it has one.

    The name is for showing only: it never becomes part of a path.
    """

    path: Path
    name: str
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Made:
    """A file that an action made. part: what it holds, "speech" or "guitar" or "notes"."""

    path: Path
    part: str
    kind: Literal["sound", "file"]
    media_type: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out: the typed result in plain values, files, and how to do it without a page.

    model: the name of the model that did it; of two, the first.
    """

    summary: dict[str, Any]
    model: str
    python: str
    command: str
    made: tuple[Made, ...] = ()


@dataclasses.dataclass(frozen=True)
class Work:
    """All that an action is given."""

    sounds: Sequence[Given]
    text: str
    settings: Any
    folder: Path
    models: Models
    progress: Progress

    def model(self, name: str = "model") -> nn.Module:
        """The model that a setting names, loaded."""
        return self.models.get(getattr(self.settings, name))


def setting(
    default: Any, words: str, least: float | None = None, most: float | None = None, form: str = ""
) -> Any:
    """A field of settings: its default, what it is, and its bounds. form: "model" for a model."""
    about = {"words": words, "least": least, "most": most, "form": form}
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True)
class Settings(Config):
    """What can be chosen about an action; every field is a `setting`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, about = getattr(self, field.name), field.metadata
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{field.name} is {value}: give a number")
            for bound, wrong in (("least", "below"), ("most", "above")):
                if about[bound] is not None and value is not None:
                    limit = about[bound]
                    if value < limit if bound == "least" else value > limit:
                        raise InputError(f"{field.name} is {value}, {wrong} {limit}")
            if isinstance(value, str) and len(value) > 1000:
                raise InputError(f"{field.name} has {len(value)} letters: give at most 1000")


@dataclasses.dataclass(frozen=True)
class Action:
    """Something that can be done.

    kind: what it is done to: sounds, a text, or sounds with labels. least, most: how many sounds
    (most None: any number). model: whether a model, of whatever system, can do it. carry: does it.
    """

    name: str
    title: str
    words: str
    kind: Kind
    least: int
    most: int | None
    settings: type[Settings]
    model: Callable[[nn.Module], bool]
    carry: Callable[[Work], Outcome]
    usual: str = ""  # the model that is taken unless another is named

    def schema(self, models: Sequence[str]) -> dict[str, Any]:
        """JSON schema of the settings; models: the names that fit, the first is the default."""
        hints = typing.get_type_hints(self.settings)
        fields = {}
        for field in dataclasses.fields(self.settings):
            about = field.metadata
            one = {
                "title": field.name.replace("_", " "),
                "description": about["words"],
                **_type(hints[field.name]),
                "default": field.default,
            }
            if about["form"] == "model":
                place = min(len(models) - 1, 1 if field.name == "other" else 0)
                one |= {"format": "model", "enum": list(models)}
                one["default"] = models[place] if models else ""
            for bound, word in (("least", "minimum"), ("most", "maximum")):
                if about[bound] is not None:
                    one[word] = about[bound]
            fields[field.name] = one
        return {"type": "object", "properties": fields, "additionalProperties": False}

    def run(
        self,
        sounds: Sequence[Given],
        text: str,
        settings: Mapping[str, Any],
        folder: Path,
        models: Models,
        progress: Progress,
    ) -> Outcome:
        """Do it. Raises InputError for what cannot be used; writes below `folder` only.

        Whatever `progress` raises ends it at once.
        """
        self.check(sounds, text)
        chosen = self.read(settings, models)
        folder.mkdir(parents=True, exist_ok=True)
        return self.carry(Work(sounds, text, chosen, folder, models, progress))

    def check(self, sounds: Sequence[Given], text: str) -> None:
        """InputError where too few or too many sounds, or no text, are given."""
        if self.kind == "text" and not text.strip():
            raise InputError("there is no text: write what to say")
        if self.kind != "text" and text:
            raise InputError(f"{self.name} takes sounds, no text")
        if len(sounds) < self.least:
            raise InputError(f"{self.name} needs {_count(self.least)}, {len(sounds)} given")
        if self.most is not None and len(sounds) > self.most:
            raise InputError(
                f"{self.name} takes {_count(self.most)} at a time, {len(sounds)} given"
            )

    def read(self, settings: Mapping[str, Any], models: Models) -> Settings:
        """The settings with the models that they name. Raises InputError for what does not fit."""
        given = dict(settings)
        fits = models.fit(self.name)
        schema = self.schema(fits)["properties"]
        for name, about in schema.items():
            if about.get("format") != "model":
                continue
            wanted = given.setdefault(name, about["default"]) or about["default"]
            if not isinstance(wanted, str) or wanted not in fits:
                known = ", ".join(fits) or "none is here"
                hint = did_you_mean(str(wanted), fits)
                raise InputError(f"no model {wanted!r} can {self.name} (can: {known}).{hint}")
            given[name] = wanted
        return self.settings.from_dict(given)


def _type(hint: Any) -> dict[str, Any]:
    """The JSON schema of a field's type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"type": "string", "enum": list(inner)}
    if origin in (typing.Union, types.UnionType):
        kinds = [_type(one)["type"] for one in inner if one is not type(None)]
        return {"type": [*kinds, "null"]}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[hint]}


def _count(number: int) -> str:
    return "one sound" if number == 1 else f"{number} sounds"


def command(verb: str, *words: str, **options: Any) -> str:
    """A line for a shell. Options that are None or empty are left out.

    A file whose name looks like an option is named as one of this folder.

    >>> command("tag", "my dog.wav", model="panns-mini", top=5)
    "sonograph tag 'my dog.wav' --model panns-mini --top 5"
    """
    told = [
        f"{'-' if len(name) == 1 else '--'}{name.replace('_', '-')} {shlex.quote(str(value))}"
        for name, value in options.items()
        if value not in (None, "")
    ]
    files = [f"./{word}" if word.startswith("-") else word for word in words]
    return " ".join(["sonograph", verb, *map(shlex.quote, files), *told])
