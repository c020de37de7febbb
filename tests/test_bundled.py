"""What ships with the package does its job at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sonograph import weights
from sonograph.cli import main
from sonograph.outputs import Audio

MODELS = sorted(weights.bundled())


@pytest.mark.parametrize("name", MODELS)
def test_small_with_a_card_and_licences(name):
    folder = weights.bundled()[name]
    assert (folder / weights.WEIGHTS).stat().st_size < 12e6
    card = weights.read_json(folder / weights.CARD)
    assert card["sha256"] == weights.sha256(folder / weights.WEIGHTS)
    assert card["licence"]
    assert all(row["licence"] for row in card["data"])
    json.dumps(card, allow_nan=False)


def test_the_tagger_says_nothing_of_silence(tmp_path, capsys):
    Audio(np.zeros((1, 32000), np.float32), 16000).write(tmp_path / "silence.wav")
    assert main(["tag", str(tmp_path / "silence.wav"), "--json"]) == 0
    (silence,) = json.loads(capsys.readouterr().out)
    assert silence["known"] == []


def test_the_tagger_knows_sounds_that_it_has_not_heard(shared):
    """The fifth fold of ESC-10 was held out of its training."""
    found = {"rooster": "rooster", "clock_tick": "clock", "baby_cry": "crying baby"}
    tagger = weights.load(weights.BUNDLED_TAGGER)
    right = total = 0
    for kind, label in found.items():
        for file in sorted((shared / "data" / "esc10").glob(f"*_{kind}/5-*.ogg")):
            right += label in [tag.label for tag in tagger.tag(file).known()]  # type: ignore[operator]
            total += 1
    assert total == 24
    assert right >= 16
