"""Decoding once: the same sound at the new rate, kept, and resumed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sonograph.data.clips import Clips
from sonograph.data.resampled import resampled
from sonograph.errors import InputError


def test_clips_sound_as_before_at_the_new_rate_and_are_kept(noises, tmp_path):
    part = dataclasses.replace(noises[11], id="part", start_s=0.3, duration_s=0.5)
    clips = Clips([*noises, part])
    done = resampled(clips, 16_000, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 12
    for before, after in zip(clips, done):
        assert (after.rate_hz, after.labels, after.group) == (16_000, before.labels, before.group)
        wave = before.read(16_000)
        if before.id != "part":  # a part is cut after resampling here, before it there
            assert np.abs(after.read() - wave).max() < 2 / 32768
        assert len(after.read()) == len(wave)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert list(resampled(clips, 16_000, tmp_path / "cache")) == list(done)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == stamps


def test_what_fits_already_stays_where_it_is(noises, tmp_path):
    assert list(resampled(noises, 8_000, tmp_path / "cache")) == list(noises)


def test_stereo_becomes_mono(write_sound, tmp_path):
    write_sound("s/two.wav", channels=2)
    (clip,) = resampled(Clips.from_folder(tmp_path / "s"), 8_000, tmp_path / "cache")
    assert clip.channels == 1
    before = Clips.from_folder(tmp_path / "s")[0].read()
    assert np.abs(clip.read() - before).max() < 1 / 32768


def test_a_broken_file_is_named(noises, tmp_path):
    noises[2].path.write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"2\.wav"):
        resampled(noises, 16_000, tmp_path / "cache")
