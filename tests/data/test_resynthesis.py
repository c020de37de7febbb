from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sonograph.data.clips import Clip, Clips
from sonograph.data.resynthesis import MAKERS, resynthesised
from sonograph.errors import InputError
from sonograph.outputs import Audio

RATE_HZ = 16_000


def clip(folder: Path, n: int, seconds: float = 1.5, **facts) -> Clip:
    random = np.random.default_rng(n)
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = 0.2 * np.sin(2 * np.pi * (300 + 70 * n) * at) + 0.02 * random.standard_normal(len(at))
    path = folder / f"c{n}.wav"
    Audio(wave[None].astype(np.float32), RATE_HZ).write(path)
    return Clip(f"c{n}", path, seconds, RATE_HZ, **{"group": f"g{n}", **facts})


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@pytest.mark.parametrize("maker", list(MAKERS))
def test_every_maker_leaves_a_pair_of_one_length_and_level(tmp_path, maker):
    if maker == "g722":
        pytest.importorskip("G722")
    clips = Clips([clip(tmp_path, 1)])
    made = resynthesised(clips, tmp_path / "made", RATE_HZ, 1.0, [maker], most=4)
    assert [(one.labels["origin"], one.synthetic) for one in made] == [
        ("real", False),
        ("synthetic", True),
    ]
    assert [one.labels["maker"] for one in made] == ["real", maker]
    real, again = (one.read() for one in made)
    assert len(real) == len(again) == RATE_HZ
    assert rms(again) == pytest.approx(rms(real), rel=0.01)
    whole = clips[0].read()[1600:17600]
    assert np.abs(real - whole).max() < 2e-3
    assert np.abs(real - again).max() > 1e-3
    # the tone is still the loudest
    assert abs(int(np.abs(np.fft.rfft(again)).argmax()) - 370) < 30


def test_pairs_stay_with_their_recording(tmp_path):
    clips = Clips([clip(tmp_path, n, group="") for n in range(12)])
    made = resynthesised(clips, tmp_path / "made", RATE_HZ, 0.5, ["opus"], most=100, per_clip=2)
    assert len(made) == 12 * 2 * 2
    parts = [made.split(name, fractions=(0.5, 0.25, 0.25)) for name in ("train", "valid", "test")]
    names = [{one.id.partition("@")[0] for one in part} for part in parts]
    assert sum(map(len, names)) == len(names[0] | names[1] | names[2]) == 12
    for part in parts:
        assert sum(one.synthetic for one in part) * 2 == len(part)


def test_ready_files_are_kept_and_the_choice_is_the_same(tmp_path):
    clips = Clips([clip(tmp_path, n) for n in range(4)])
    first = resynthesised(clips, tmp_path / "made", RATE_HZ, 0.5, ["opus", "vorbis"], most=3)
    times = {one.path: one.path.stat().st_mtime_ns for one in first}
    again = resynthesised(clips, tmp_path / "made", RATE_HZ, 0.5, ["opus", "vorbis"], most=3)
    assert list(first) == list(again)
    assert len(first) == 6
    assert times == {one.path: one.path.stat().st_mtime_ns for one in again}


def test_silence_and_what_is_synthetic_already_are_left_out(tmp_path):
    made = clip(tmp_path, 0, synthetic=True)
    still = clip(tmp_path, 1)
    Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ).write(still.path)
    with pytest.raises(InputError, match="none of 2 clips is a recording that is long and loud"):
        resynthesised(Clips([made, still]), tmp_path / "made", RATE_HZ, 0.5, ["opus"], most=4)


def test_bad_input(tmp_path):
    clips = Clips([clip(tmp_path, 0)])
    with pytest.raises(InputError, match=r"no way 'opsu' to make sound again.*opus"):
        resynthesised(clips, tmp_path, RATE_HZ, 0.5, ["opsu"], most=4)
    with pytest.raises(InputError, match="0 makers, 4 pairs, 8 of a clip: at least 1"):
        resynthesised(clips, tmp_path, RATE_HZ, 0.5, [], most=4)


def test_g722_is_of_one_rate():
    pytest.importorskip("G722")
    with pytest.raises(InputError, match="is of 16000 Hz, not 8000: leave it out"):
        MAKERS["g722"](np.zeros(8000, np.float32), 8000, 0)
