"""Claims that have several parts: one of them alone, all of them, and none of that name."""

from __future__ import annotations

import pytest

from sonograph.errors import InputError
from sonograph.recipes import claim
from sonograph.recipes.speak import fastspeech
from sonograph.recipes.speak.fastspeech import claims


@pytest.fixture
def asked(monkeypatch):
    """Which parts were measured, in place of measuring them."""
    found = []

    def part_of(name):
        def measure(scale, folder, data_folder, progress):
            found.append((name, scale, folder.name))
            return [(f"claim-{name}", None)]

        return measure

    for name in fastspeech.CLAIM_PARTS:
        monkeypatch.setitem(fastspeech.CLAIM_PARTS, name, part_of(name))
    return found


def test_one_part_alone(asked, tmp_path):
    found = claim("fastspeech", "gpu", tmp_path / "here", part="boundaries")
    assert asked == [("boundaries", "gpu", "here")]
    assert found == [("claim-boundaries", None)]


def test_all_parts(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "open_sets", lambda names, folder: None)
    found = claim("fastspeech", folder=tmp_path)
    assert [name for name, *_ in asked] == ["speed", "robustness", "boundaries"]
    assert len(found) == 3


def test_missing_corpora_are_told_before_anything_is_measured(asked, tmp_path):
    with pytest.raises(InputError, match="sonograph data get"):
        claim("fastspeech", folder=tmp_path, data_folder=tmp_path / "none")
    assert asked == []


def test_a_part_that_is_not_there():
    with pytest.raises(InputError, match="no part 'sped': it has speed, robustness, boundaries"):
        claim("fastspeech", part="sped")
    with pytest.raises(InputError, match="measured as a whole"):
        claim("tera", part="speed")
