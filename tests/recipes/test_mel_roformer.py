from __future__ import annotations

import pytest

from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.recipes.separate import mel_roformer as recipe
from sonograph.recipes.separate.mel_roformer import HAND, MEL, Scale
from sonograph.systems.separate import mel_roformer


@pytest.mark.parametrize("scale", sorted(recipe.SCALES))
def test_arms_differ_in_their_bands_alone(scale):
    mel, hand = recipe.arms(recipe.SCALES[scale]).values()
    assert mel.override(bands="hand") == hand
    assert len(mel.layout) == len(hand.layout)
    updates = recipe.updates_of(recipe.SCALES[scale])
    cost = [n * recipe.multiplications(c) for n, c in zip(updates.values(), (mel, hand))]
    assert updates[HAND] > updates[MEL]
    assert abs(cost[0] / cost[1] - 1) < 0.01


def test_multiplications_are_those_of_the_linear_maps():
    config = recipe.arms(Scale(width=8, head_width=2, num_bands=4, fft_samples=64, hop_samples=32))[
        MEL
    ]
    model = mel_roformer.build(config)
    shared = sum(p.numel() for layer in model.layers for p in layer.parameters())
    rest = sum(p.numel() for p in model.parameters()) - shared
    assert recipe.multiplications(config) == rest + 4 * shared


def measured(improvement: float) -> dict:
    return {
        "si_sdr_improvement": {"mean": improvement},
        "mixture": {"si_sdr": -1.0},
        "oracle mask": {"si_sdr": 9.0},
    }


@pytest.mark.parametrize(
    ("mel", "verdict"),
    [((5.0, 5.1, 5.2), "shown"), ((3.0, 3.1, 3.2), "not shown"), ((4.0, 4.4, 4.1), "inconclusive")],
)
def test_the_rule_decides(mel, verdict):
    found = {MEL: [measured(v) for v in mel], HAND: [measured(v) for v in (4.0, 4.1, 4.3)]}
    record = recipe.record_of(found, {MEL: 10, HAND: 11}, Scale(), [{"source": "x"}], (0, 1, 2))
    assert record.verdict == verdict
    figures = {figure.name: figure.value for figure in record.measured}
    assert figures["ideal ratio mask, SI-SDR improvement"] == 10.0
    assert figures["unprocessed mixture, SI-SDR"] == -1.0


def test_needs_voices_and_other_sounds():
    with pytest.raises(InputError, match="0 clips of voices and 0 of other sounds"):
        recipe.voices_in_music(Clips([]), Clips([]), 16_000, 1, 1.0, 0)


def test_plans_can_be_written_down():
    for plan in (*recipe.SCALES.values(), recipe.SHORT):
        assert type(plan).from_json(plan.to_json()) == plan
