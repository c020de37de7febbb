"""Mixtures made from written sounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sonograph.audio.io import write
from sonograph.data import mix
from sonograph.data.clips import Clip
from sonograph.data.mixtures import (
    Mixtures,
    Pool,
    SpeechInNoise,
    Stems,
    Talkers,
    pools_of,
    songs,
)
from sonograph.data.rooms import Rooms
from sonograph.errors import InputError
from sonograph.outputs import Audio

RATE = 8000


def noise(seconds: float, seed: int, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 0.1 * random.standard_normal((channels, round(seconds * RATE))).astype(np.float32)


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    """Two clips of each of three speakers."""
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        write(path, Audio(noise(0.5 + 0.2 * number, number), RATE))
        speaker = "abc"[number // 2]
        made.append(
            Clip(str(number), path, 0.5 + 0.2 * number, RATE, speaker=speaker, group=speaker)
        )
    return made


@pytest.fixture
def pool(clips) -> Pool:
    return Pool(clips, RATE)


def kinds(pool: Pool) -> list[Mixtures]:
    return [
        SpeechInNoise(pool, [(pool, 1.0)], 3, 4000),
        Talkers(pool, 2, 3, 4000),
        Talkers(pool, 2, 3, 4000, noise=(pool, (0.0, 10.0))),
        Stems({"a": pool, "b": pool}, 3, 4000),
    ]


def test_a_mixture_is_the_sum_of_its_parts(pool):
    for kind in kinds(pool):
        batch = kind.batch(3)
        assert batch["mixture"].shape == (3, 1, 4000)
        assert batch["mixture"].dtype == torch.float32
        torch.testing.assert_close(batch["sources"].sum(1), batch["mixture"])
        assert batch["mixture"].abs().max() <= 0.951
        assert (batch["sources"].square().mean(-1) > 0).all()


def test_batches_depend_on_their_number_alone(pool):
    for kind in kinds(pool):
        stream = iter(kind.start_at(5))
        first, second = next(stream), next(stream)
        assert torch.equal(second["mixture"], kind.batch(6)["mixture"])
        assert not torch.equal(first["mixture"], second["mixture"])


def test_levels_are_as_asked(pool):
    made = SpeechInNoise(pool, [(pool, 1.0)], 4, 4000, snr_db=(7.0, 7.0)).batch(0)["sources"]
    for speech, other in made:
        assert mix.snr_db(speech, other) == pytest.approx(7, abs=1e-3)
    pairs = Talkers(pool, 2, 8, 4000, level_db=0.0, speed=0.0).batch(0)["sources"]
    for one, other in pairs:
        assert mix.snr_db(one, other) == pytest.approx(0, abs=1e-3)


def test_too_few_voices(pool):
    with pytest.raises(InputError, match="3 voices are too few for 4"):
        Talkers(pool, 4, 1, 100)
    with pytest.raises(InputError, match="no sounds"):
        Pool([], RATE)


def test_songs_stay_together(tmp_path):
    """Stems of one song are cut at one place: here one is the other, three times as loud."""
    clips = []
    for song in range(2):
        sound = noise(1.0 + song, song, channels=2)
        for stem, gain in (("guitar", 1.0), ("rest", 3.0)):
            path = tmp_path / f"{song}{stem}.wav"
            write(path, Audio(gain * sound / 2, RATE), "FLOAT")
            clips.append(
                Clip(
                    f"{song}{stem}", path, 1.0 + song, RATE, channels=2,
                    labels={"stem": stem}, group=str(song),
                )
            )  # fmt: skip
    alone = dataclasses.replace(clips[0], id="alone", group="alone")
    found = songs([*clips, alone])
    assert [song.name for song in found] == ["0", "1"]
    pools = pools_of(found, RATE, 2)
    made = Stems(pools, 4, 2000, together=1.0, gains=(1.0, 1.0), augment="none").batch(0)
    for guitar, rest in made["sources"]:
        torch.testing.assert_close(3 * guitar, rest, atol=1e-3, rtol=0)
    mixed = Stems(pools, 4, 2000, together=0.0).batch(0)["sources"]
    assert mixed.shape == (4, 2, 2, 2000)
    with pytest.raises(InputError, match="differ in length"):
        Stems({"guitar": pools["guitar"], "rest": Pool(clips[:1], RATE, 2)}, 1, 10)


def test_a_room_keeps_length_and_direct_sound():
    pytest.importorskip("pyroomacoustics")
    rooms, random = Rooms(RATE, count=4, places=2), np.random.default_rng(0)
    click = np.zeros((1, 4000), np.float32)
    click[0, 100] = 1
    heard = rooms.heard(click, random, 1)
    assert heard.shape == click.shape
    assert np.abs(heard[0, :100]).max() < 1e-6
    assert abs(heard[0, 100]) == pytest.approx(1, abs=1e-4)
    assert mix.power(heard) > 1.2 * mix.power(click)  # it comes back from the walls
    assert np.array_equal(rooms.response(2, 0), Rooms(RATE, count=4, places=2).response(2, 0))
    assert not np.array_equal(rooms.response(2, 0)[:50], rooms.response(2, 1)[:50])
