from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError


def test_a_typo_suggests():
    with pytest.raises(InputError, match=r"no model 'ssast-tst'\. Did you mean 'ssast-test'"):
        registry.preset("ssast-tst")
    with pytest.raises(InputError, match=r"no system 'ssats'\. Did you mean 'ssast'"):
        registry.system("ssats")
    with pytest.raises(InputError, match="`sonograph models` lists them"):
        registry.preset("qqqqqq")


def test_a_system_that_is_not_built_yet_says_so():
    waiting = next((entry for entry in registry.systems() if not entry.built), None)
    if waiting is None:
        pytest.skip("every system is built")
    with pytest.raises(InputError, match="in the atlas but not built yet"):
        registry.module(waiting.name)


def test_every_system_of_the_atlas_is_listed_once():
    names = [entry.name for entry in registry.systems()]
    assert len(names) == len(set(names)) >= 55


@pytest.mark.parametrize("first", ["", "sonograph.systems.represent.ssast", "sonograph.registry"])
def test_the_package_of_systems_is_a_function_whatever_was_imported_first(first):
    code = (
        "import importlib, sys, sonograph as sound\n"
        f"importlib.import_module({first!r} or 'sonograph')\n"
        "assert sound.systems is sys.modules['sonograph.systems']\n"
        "names = [one.name for one in sound.systems()]\n"
        "import sonograph.systems.represent\n"
        "assert names == [one.name for one in sound.systems()] and len(names) >= 55\n"
        "from sonograph import *\n"
        "assert systems is sound.systems and 'systems' in dir(sound)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_patterns():
    names = [preset.name for preset in registry.presets("ssast-tiny*")]
    assert names == ["ssast-tiny", "ssast-tiny-frame"]
    assert list(registry.presets("nothing-*")) == []


def test_overrides_are_fields_of_the_configuration():
    assert len(registry.build("ssast-test", depth=1).blocks) == 1
    with pytest.raises(InputError, match=r"has no field 'dept'\. Did you mean 'depth'"):
        registry.build("ssast-test", dept=1)


def test_two_presets_of_one_name_are_a_mistake():
    def elsewhere():
        raise AssertionError("never made")

    elsewhere.__module__ = "somewhere.else"
    with pytest.raises(ValueError, match="two presets are called 'ssast-test'"):
        registry.register("ssast-test", system="ssast")(elsewhere)


def test_the_meta_device_holds_nothing():
    model = registry.build("ssast-base", device="meta")
    assert {p.device for p in model.parameters()} == {torch.device("meta")}
