"""Anchors: where they are found, and how they are mixed."""

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import waveform_spec
from sonograph.data.anchors import (
    Anchor,
    AnchorMixtures,
    anchors,
    energy_matched,
    framewise,
    mined,
    surest,
)
from sonograph.data.mix import power
from sonograph.data.mixtures import Pool
from sonograph.errors import InputError
from sonograph.outputs import Audio

RATE = 1000


class Loud:
    """A tagger whose first label is loudness in frames of ten samples, and the second is not."""

    labels = ("loud", "soft")
    spec = waveform_spec(RATE)
    event_step = 10

    def events(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        size = features.shape[2] // 10 * 10
        level = features[:, 0, :size].abs().unflatten(1, (-1, 10)).mean(2)
        return torch.stack([level, 1 - level], dim=1)


def pulse(at: int, samples: int = 5000, length: int = 1000) -> np.ndarray:
    sound = np.full((1, samples), 0.01, np.float32)
    sound[:, at : at + length] = 0.5
    return sound


def test_the_surest_segment_is_that_of_a_slow_box_filter():
    probabilities = torch.rand(700, generator=torch.Generator().manual_seed(0))
    padded = np.pad(probabilities.numpy().astype(np.float64), 100, mode="edge")
    means = [padded[k : k + 201].mean() for k in range(700)]
    centre = min(max(int(np.argmax(means)), 100), 600)
    assert surest(probabilities, 200) == centre - 100


@pytest.mark.parametrize(("peak", "first"), [(0, 0), (699, 500), (350, 250)])
def test_segments_stay_inside(peak, first):
    probabilities = torch.zeros(700)
    probabilities[peak] = 1
    found = surest(probabilities, 200)
    assert 0 <= found <= 500
    assert found <= peak <= found + 200
    assert abs(found - first) <= 100


def test_a_clip_shorter_than_a_segment_starts_at_once():
    assert surest(torch.rand(50), 200) == 0


def test_a_pulse_is_found_and_its_absence_too():
    sound = torch.from_numpy(pulse(2700)[0])
    assert abs(mined(Loud(), sound, 0, 1000) - 2700) <= 20
    start = mined(Loud(), sound, 1, 1000)
    assert start + 1000 <= 2720 or start >= 3680


def test_long_clips_are_heard_in_pieces():
    sound = torch.from_numpy(pulse(2700)[0])
    whole = framewise(Loud(), sound, 0)
    torch.testing.assert_close(framewise(Loud(), sound, 0, piece_s=1.0), whole)


def pool() -> Pool:
    return Pool.of([Audio(one, RATE) for one in (pulse(1000), pulse(3000), -pulse(500))], RATE)


def test_anchors_of_every_label():
    rows = [["loud"], ["loud", "other"], ["soft"]]
    found = anchors(pool(), rows, 1000, Loud())
    assert [(a.sound, a.label) for a in found] == [
        (0, "loud"), (1, "loud"), (1, "other"), (2, "soft")
    ]  # fmt: skip
    assert found[2].start is None  # the tagger does not know this label
    assert abs((found[1].start or 0) - 3000) <= 20
    assert all(a.start is None for a in anchors(pool(), rows, 1000, Loud(), how="random"))


def test_another_rate_is_refused():
    with pytest.raises(InputError, match="hears 1000 Hz"):
        anchors(Pool.of([Audio(pulse(0), 500)], 500), [["loud"]], 1000, Loud())
    with pytest.raises(InputError, match="rows of labels"):
        anchors(pool(), [["loud"]], 1000, Loud())


def test_energies_match_within_limits():
    first, second = np.full((1, 100), 0.5, np.float32), np.full((1, 100), 0.1, np.float32)
    assert power(energy_matched(first, second)) == pytest.approx(power(first))
    assert np.abs(energy_matched(first, 1e-4 * second)).max() == pytest.approx(50 * 1e-5, rel=1e-4)
    assert np.abs(energy_matched(1e-4 * second, first)).max() == pytest.approx(0.02 * 0.5)
    assert not energy_matched(first, 0 * second).any()


def mixtures(**more) -> AnchorMixtures:
    found = [Anchor(0, "a", 1000), Anchor(1, "b", 3000), Anchor(2, "c", None)]
    return AnchorMixtures(pool(), found, 4, 800, **more)


def test_batches_add_up_and_depend_on_their_number_alone():
    made = mixtures().batch(3)
    assert made["mixture"].shape == (4, 1, 800)
    assert made["sources"].shape == (4, 2, 1, 800)
    torch.testing.assert_close(made["mixture"], made["sources"].sum(1))
    again = next(iter(mixtures().start_at(3)))
    assert all(torch.equal(made[name], again[name]) for name in made)
    assert not torch.equal(made["mixture"], mixtures(seed=1).batch(3)["mixture"])


def test_what_one_is_hidden_in_is_the_next_one_wanted():
    made = mixtures().batch(0)["sources"]
    for row in range(4):
        second, following = made[row, 1], made[(row + 1) % 4, 0]
        turned = (second * following).sum() / (second.norm() * following.norm())
        assert turned == pytest.approx(1.0, abs=1e-3)
        assert power(made[row, 0]) == pytest.approx(power(second), rel=1e-3)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_neighbours_are_of_different_classes(size):
    found = [Anchor(n, name) for n, name in enumerate("abc")]
    some = AnchorMixtures(pool(), found, size, 800)
    counts = dict.fromkeys("abc", 0)
    for k in range(60):
        names = some.classes_of(np.random.default_rng(k))
        assert all(one != other for one, other in zip(names, [*names[1:], names[0]]))
        for name in names:
            counts[name] += 1
    assert max(counts.values()) < 1.35 * min(counts.values())


def test_levels_are_drawn():
    made = mixtures(level_db=(-40.0, -30.0)).batch(0)["sources"][:, 0]
    levels = [10 * np.log10(power(row)) for row in made]
    assert all(-40.5 < level < -29.5 for level in levels)


def test_one_class_is_too_few():
    with pytest.raises(InputError, match="two classes"):
        AnchorMixtures(pool(), [Anchor(0, "a")], 2, 800)
