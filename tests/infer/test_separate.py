"""Separation of sounds of any kind, with separators whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sonograph.audio.io import info, read, write
from sonograph.errors import InputError
from sonograph.infer.separate import (
    Manner,
    Source,
    best_order,
    part_names,
    separate,
    separated,
    separator_of,
    useful_parts,
)
from sonograph.infer.stems import stem_files
from sonograph.nn.separator import Separator
from sonograph.outputs import Audio


class Shares(Separator):
    """Gives a third and a half of what it hears; exchangeable stems change places every window."""

    def __init__(self, rate_hz=8000, channels=1, ordered=True, rest=None):
        super().__init__()
        self.rate_hz, self.channels, self.ordered, self.rest = rate_hz, channels, ordered, rest
        self.stems, self.window_samples, self.step_samples = ("third", "half"), 2000, 100
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.windows: list[int] = []

    def forward(self, mixture):
        self.windows.append(mixture.shape[-1])
        parts = torch.stack([mixture / 3, mixture / 2], 1) * self.scale
        return parts if self.ordered or len(self.windows) % 2 else parts.flip(1)


class Talking(Shares):
    """Two exchangeable talkers: the positive and the negative half of what it hears."""

    def forward(self, mixture):
        self.windows.append(mixture.shape[-1])
        parts = torch.stack([mixture.clamp(min=0), mixture.clamp(max=0)], 1)
        return parts if len(self.windows) % 2 else parts.flip(1)


def noise(samples: int, channels: int = 1, rate_hz: int = 8000) -> Audio:
    draw = np.random.default_rng(samples)
    # without the highest frequencies, which a change of rate loses
    values = draw.standard_normal((channels, samples + 20)).astype(np.float32)
    smooth = sum(values[:, k : k + samples] for k in range(20)) / 40
    return Audio(smooth, rate_hz)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("channels", [1, 2])
def test_parts_of_a_long_sound(overlap, channels):
    sound = noise(9001, channels)
    model = Shares(channels=channels)
    made = separate(sound, model, Manner(overlap))
    assert list(made) == ["third", "half"]
    np.testing.assert_allclose(made["third"].samples, sound.samples / 3, atol=1e-6)
    np.testing.assert_allclose(made["half"].samples, sound.samples / 2, atol=1e-6)
    assert max(model.windows) == 2000


@pytest.mark.parametrize("samples", [1, 2, 99, 1999, 2000, 2001, 25001])
def test_any_length(samples):
    made = separate(noise(samples), Shares())
    assert made["half"].samples.shape == (1, samples)


@pytest.mark.parametrize("rate_hz", [6000, 8000, 44100])
@pytest.mark.parametrize("samples", [1, 777, 50_001])
def test_any_rate_keeps_length_and_rate(rate_hz, samples):
    sound = noise(samples, rate_hz=rate_hz)
    made = separate(sound, Shares(rest="rest"))
    assert {part.rate_hz for part in made.values()} == {rate_hz}
    assert {part.samples.shape for part in made.values()} == {(1, samples)}
    total = sum(part.samples for part in made.values())
    np.testing.assert_allclose(total, sound.samples, atol=1e-6)


def test_channels_that_the_model_does_not_hear():
    """A model of one channel hears each alone; one of two hears mono twice."""
    stereo, mono = noise(5000, 2), noise(5000, 1)
    for model, sound in ((Shares(channels=1), stereo), (Shares(channels=2), mono)):
        made = separate(sound, model)
        np.testing.assert_allclose(made["half"].samples, sound.samples / 2, atol=1e-6)
    with pytest.raises(InputError, match="hears 2 channels, the sound has 3"):
        separate(noise(3000, 3), Shares(channels=2))


@pytest.mark.parametrize("channels", [1, 2])
def test_talkers_keep_their_places(channels):
    """Exchanged in every other window, and again straight in what comes out."""
    sound = noise(20_000, channels)
    model = Talking(ordered=False)
    made = separate(sound, model)
    assert len(model.windows) > 10
    np.testing.assert_allclose(made["third"].samples, sound.samples.clip(min=0), atol=1e-6)
    np.testing.assert_allclose(made["half"].samples, sound.samples.clip(max=0), atol=1e-6)


def test_the_best_of_all_orders():
    draw = np.random.default_rng(0)
    known = draw.standard_normal((3, 2, 50)).astype(np.float32)
    for order in itertools.permutations(range(3)):
        new = known[list(order)] + 0.3 * draw.standard_normal((3, 2, 50)).astype(np.float32)
        found = best_order(known, new)
        assert np.allclose(known, known[list(order)][found])


def test_shifts_average_passes():
    sound = noise(9000)
    model = Shares(rest="rest")
    made = separate(sound, model, Manner(shifts=3))
    np.testing.assert_allclose(made["half"].samples, sound.samples / 2, atol=1e-6)
    np.testing.assert_allclose(made["rest"].samples, sound.samples / 6, atol=1e-6)
    once = Shares()
    separate(sound, once)
    assert len(model.windows) > 2 * len(once.windows)
    with pytest.raises(InputError, match="exchangeable"):
        separate(sound, Talking(ordered=False), Manner(shifts=2))


def test_blocks_come_while_the_sound_is_read():
    """What is held is a window and a block, however long the sound."""
    given = []

    def endless():
        for _ in range(100):
            given.append(1)
            yield noise(1000).samples

    source = Source(endless, 8000, 1, None)
    first = next(iter(separated(Shares(), source)))
    assert first.shape[:2] == (3, 1)
    assert len(given) < 8


def test_names_of_parts():
    assert part_names(Shares()) == ("third", "half", "rest")
    assert useful_parts(Shares()) == ("third", "half")
    assert useful_parts(Shares(rest="noise")) == ("third", "half", "noise")


def test_mistakes_are_said():
    with pytest.raises(InputError, match="empty"):
        separate(Audio(np.zeros((1, 0), np.float32), 8000), Shares())
    with pytest.raises(InputError, match="NaN"):
        separate(Audio(np.full((1, 9), np.nan, np.float32), 8000), Shares())
    with pytest.raises(InputError, match="does not separate"):
        separator_of(torch.nn.Linear(1, 1))
    for wrong in ({"overlap": 1.0}, {"window_s": 0.0}, {"shifts": 0}):
        with pytest.raises(InputError):
            Manner(**wrong)


def test_a_window_is_a_multiple_of_the_step():
    model = Shares()
    assert Manner(window_s=0.1234).sizes(model) == (1000, 200)
    assert Manner(window_s=1e-6).sizes(model) == (100, 0)
    assert Manner().latency_s(model) == 0.25


# --- files -----------------------------------------------------------------------------------


def test_files_add_up_when_they_are_made_softer(tmp_path):
    parts = {"a": 1.5 * noise(5000, 2).samples / 0.5, "b": noise(5001, 2).samples[:, :5000]}
    assert np.abs(parts["a"]).max() > 1
    paths = {name: tmp_path / "song" / f"{name}.wav" for name in parts}
    with stem_files(paths, 8000, 2) as add:
        for begin in range(0, 5000, 999):
            add({name: part[:, begin : begin + 999] for name, part in parts.items()})
        assert not any(path.exists() for path in paths.values())
    gain = 1 / np.abs(parts["a"]).max()
    for name, path in paths.items():
        np.testing.assert_allclose(read(path).samples, parts[name] * gain, atol=1e-4)
    assert sorted(p.name for p in (tmp_path / "song").iterdir()) == ["a.wav", "b.wav"]


def test_codings_and_clip_modes(tmp_path):
    loud = {"a": np.full((1, 100), 1.25, np.float32)}
    for coding, subtype in (("int24", "PCM_24"), ("float32", "FLOAT"), (None, "PCM_16")):
        with stem_files({"a": tmp_path / "a.wav"}, 8000, 1, coding) as add:
            add(loud)
        assert info(tmp_path / "a.wav").subtype == subtype
        level = float(read(tmp_path / "a.wav").samples.max())
        assert level == pytest.approx(1.25 if coding == "float32" else 1.0, abs=1e-3)
    cut = stem_files({"a": tmp_path / "b.flac"}, 8000, 1, "int24", "clamp")
    with pytest.warns(UserWarning, match="100 of 100"), cut as add:
        add(loud)
    refused = stem_files({"a": tmp_path / "c.wav"}, 8000, 1, None, "none")
    with pytest.raises(InputError, match=r"would reach 1\.25"), refused as add:
        add(loud)
    assert not (tmp_path / "c.wav").exists()


def test_an_interruption_leaves_nothing_half(tmp_path):
    def stopped():
        with stem_files({"a": tmp_path / "a.wav"}, 8000, 1) as add:
            add({"a": np.zeros((1, 100), np.float32)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list(tmp_path.iterdir())


def test_a_file_is_read_as_it_is(tmp_path):
    write(tmp_path / "a.wav", noise(3000, 2), "FLOAT")
    source = Source.of(tmp_path / "a.wav")
    assert (source.rate_hz, source.channels, source.samples) == (8000, 2, 3000)
    for _ in range(2):  # it can be opened again
        assert sum(block.shape[1] for block in source.open()) == 3000
