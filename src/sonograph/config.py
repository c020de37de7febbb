"""Configurations: frozen dataclasses of plain values, to JSON and back; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Self

from sonograph.errors import InputError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of every configuration.

    Fields hold numbers, strings, booleans, tuples of them, None, or another `Config`.
    """

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary that `json` can write; nested configurations become dictionaries."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote. Raises InputError for unknown keys and wrong types."""
        hints = typing.get_type_hints(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise InputError(f"{cls.__name__} has no field {key!r}.{did_you_mean(key, known)}")
        name = cls.__name__
        given = {key: _read(hints[key], value, f"{name}.{key}") for key, value in values.items()}
        try:
            return cls(**given)
        except TypeError as error:  # a required field is missing
            raise InputError(f"{cls.__name__}: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.from_dict(json.loads(text))

    def override(self, changes: Mapping[str, Any] | None = None, **more: Any) -> Self:
        """A copy with some values changed; dots reach into nested configurations.

        >>> from sonograph.audio.feature_spec import FeatureSpec
        >>> FeatureSpec().override({"bins": 64}, mean=0.0).bins
        64
        """
        values = self.to_dict()
        for key, value in {**(changes or {}), **more}.items():
            *path, last = key.split(".")
            place: Any = values
            for name in path:
                if not isinstance(place.get(name), dict):
                    raise InputError(
                        f"{type(self).__name__} has no part {name!r}.{did_you_mean(name, place)}"
                    )
                place = place[name]
            if last not in place:
                raise InputError(
                    f"{type(self).__name__} has no field {key!r}.{did_you_mean(last, place)}"
                )
            place[last] = value.to_dict() if isinstance(value, Config) else value
        return self.from_dict(values)


def _read(hint: Any, value: Any, where: str) -> Any:
    """A JSON value as the type that a field asks for."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        failures = []
        for option in inner:
            if option is type(None):
                continue
            try:
                return _read(option, value, where)
            except InputError as error:
                failures.append(str(error))
        raise InputError(failures[-1])
    if origin is typing.Literal:
        if value not in inner:
            raise InputError(f"{where} is one of {', '.join(map(str, inner))}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} is a list, not {value!r}")
        kinds = [inner[0]] * len(value) if inner[-1:] == (Ellipsis,) else list(inner)
        if len(kinds) != len(value):
            raise InputError(f"{where} has {len(kinds)} values, not {len(value)}")
        return tuple(_read(kind, item, where) for kind, item in zip(kinds, value))
    if isinstance(hint, type) and issubclass(hint, Config):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise InputError(f"{where} is a group of fields, not {value!r}")
        return hint.from_dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and (
        not isinstance(value, hint) or (hint is int and isinstance(value, bool))
    ):
        raise InputError(f"{where} is of type {hint.__name__}, not {value!r}")
    return value
