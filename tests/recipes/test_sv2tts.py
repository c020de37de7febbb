"""Training of the speaker encoder and its claim, in small, on made voices."""

from __future__ import annotations

import pytest
import torch

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.progress import silent
from sonograph.recipes.speak import sv2tts as recipe
from sonograph.records import Record
from sonograph.systems.speak import sv2tts

PLAN = recipe.Plan("sv2tts-encoder-test", windows=12, frames=20, held_out_batches=1).override(
    {"train.steps": 6, "train.eval_every": 0}
)


def voices(names: str = "abcdef", frames: int = 300) -> recipe.Voices:
    """Each with powers in bands of its own."""
    draw = torch.Generator().manual_seed(0)
    made = {}
    for place, name in enumerate(names):
        made[name] = torch.rand((40, frames), generator=draw)
        made[name][5 * place : 5 * place + 5] += 3
    return recipe.Voices(made)


def test_batches_are_a_function_of_their_number():
    stream = recipe.Windows(voices("abc"), 12, 20, seed=3)
    first = [batch for batch, _ in zip(stream.start_at(0), range(4))]
    again = next(iter(stream.start_at(3)))
    assert torch.equal(first[3], again)
    assert not torch.equal(first[2], first[3])
    assert first[0].shape == (3, 4, 40, 20)


def test_too_little_to_compare_is_refused():
    with pytest.raises(InputError, match="at least two of two"):
        recipe.Windows(voices("a"), 12, 20, seed=0)
    with pytest.raises(InputError, match="too few to compare"):
        recipe.Windows(voices("ab", frames=30), 12, 20, seed=0)
    with pytest.raises(InputError, match="who speaks"):
        recipe.Voices.prepare(Clips([]), sv2tts.ge2e_spec(), 1.0, None)


def test_it_learns_and_what_is_held_out_is_not_seen(tmp_path):
    learned, held_out = voices("ab").divided()
    assert learned.features["a"].shape[1] + held_out.features["a"].shape[1] == 300
    encoder = registry.build("sv2tts-encoder-test")
    found = recipe.teach(encoder, voices("ab"), tmp_path, PLAN.override({"train.steps": 40}))
    assert found["loss_after"] < found["loss_before"]


def test_the_claim_in_small(tmp_path):
    scale = recipe.Scale(2, (2, 3), ("e", "f"), windows=6, window_frames=20, plan=PLAN)
    found = recipe.compared(voices(), scale, tmp_path, lambda title: silent)
    assert {name: len(rows) for name, rows in found.items()} == {"none": 2, "2": 2, "3": 2}
    for few, many in zip(found["2"], found["3"]):
        assert set(few["voices"]) < set(many["voices"]) <= set("abcd")
    record = recipe.record_of(found, scale, ("made",))
    assert isinstance(record, Record)
    assert record.verdict in ("shown", "not shown", "inconclusive")
    assert "2 or 3 voices" in record.rule


def test_voices_that_are_missing_are_named(tmp_path):
    scale = recipe.Scale(1, (2, 3), ("x", "y"), plan=PLAN)
    with pytest.raises(InputError, match="x, y are needed"):
        recipe.compared(voices(), scale, tmp_path, lambda title: silent)


def test_the_scale_can_be_written_down():
    for scale in recipe.SCALES.values():
        assert isinstance(scale, Config)
        assert recipe.Scale.from_dict(scale.to_dict()) == scale


def test_an_objective_loads_again(tmp_path):
    model = sv2tts.Pretraining(registry.build("sv2tts-encoder-test"))
    weights.save_folder(tmp_path, model, {"name": "telling"})
    loaded = weights.load(tmp_path)
    assert isinstance(loaded, sv2tts.Telling)
    assert loaded.describe() == model.describe()
