from __future__ import annotations

import dataclasses
import json
from typing import Literal

import pytest

from sonograph.config import Config
from sonograph.errors import InputError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Optim(Config):
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)


@dataclasses.dataclass(frozen=True)
class Train(Config):
    steps: int = 10
    name: str = "a"
    kind: Literal["x", "y"] = "x"
    limit: float | None = None
    sizes: tuple[int, ...] = (1, 2)
    quick: bool = False
    optim: Optim = Optim()


def test_to_json_and_back():
    config = Train(steps=3, limit=0.5, sizes=(7,), optim=Optim(rate=0.1, betas=(0.5, 0.6)))
    assert Train.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["optim"]["betas"] == [0.5, 0.6]


def test_overrides_reach_into_parts_and_leave_the_original():
    config = Train()
    changed = config.override({"optim.rate": 0.5}, steps=3)
    assert (changed.optim.rate, changed.steps, changed.optim.betas) == (0.5, 3, (0.9, 0.99))
    assert config == Train()
    assert config.override(optim=Optim(rate=2.0)).optim.rate == 2.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 3}, "has no field 'step'. Did you mean 'steps'"),
        ({"optim.rat": 3}, "has no field 'optim.rat'. Did you mean 'rate'"),
        ({"optm.rate": 3}, "has no part 'optm'. Did you mean 'optim'"),
        ({"steps.rate": 3}, "has no part 'steps'"),
        ({"steps": 0.5}, "Train.steps is of type int, not 0.5"),
        ({"steps": True}, "Train.steps is of type int, not True"),
        ({"quick": 1}, "Train.quick is of type bool"),
        ({"name": 3}, "Train.name is of type str"),
        ({"kind": "z"}, "Train.kind is one of x, y, not 'z'"),
        ({"limit": "much"}, "Train.limit is of type float"),
        ({"sizes": 3}, "Train.sizes is a list"),
        ({"sizes": [1, "b"]}, "Train.sizes is of type int"),
        ({"optim.betas": [0.1]}, "Optim.betas has 2 values, not 1"),
        ({"optim": 3}, "Train.optim is a group of fields"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(InputError) as caught:
        Train().override(change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_become_floats_and_none_stays():
    config = Train.from_dict({"limit": 2, "optim": {"rate": 1}})
    assert isinstance(config.limit, float)
    assert isinstance(config.optim.rate, float)
    assert Train.from_dict({"limit": None}).limit is None


def test_unknown_keys_of_a_file_are_errors():
    with pytest.raises(InputError, match=r"no field 'stepz'\. Did you mean 'steps'"):
        Train.from_dict({"stepz": 3})


def test_a_missing_field_is_named():
    @dataclasses.dataclass(frozen=True)
    class Needs(Config):
        steps: int

    with pytest.raises(InputError, match="steps"):
        Needs.from_dict({})


def test_suggestions():
    assert did_you_mean("embd", ["embed", "train"]) == " Did you mean 'embed'?"
    assert did_you_mean("zzz", ["embed", "train"]) == ""
