"""Recordings beside the same made by a machine: what detectors of synthetic sound can learn from.

These are no generated songs. Each excerpt is sent through Griffin-Lim or a codec, so a detector
learns the traces of that machine, and what it says of other machines is not known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from sonograph.audio.griffin_lim import MelResynthesis
from sonograph.audio.io import read, write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError, did_you_mean, missing_extra
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent

TASK, REAL, SYNTHETIC = "origin", "real", "synthetic"
EDGE_S = 0.1  # cut off both ends of both: codecs and Griffin-Lim show where they begin
QUIETEST = 1e-4  # excerpts of a lower RMS are left out: silence has no traces
LOUDEST = 0.99  # highest peak of either file
FORMAT = 1  # of the files; they are made anew when it changes

Maker = Callable[[np.ndarray, int, int], np.ndarray]  # samples, rate_hz, seed -> as many samples


def griffin_lim(samples: np.ndarray, rate_hz: int, seed: int) -> np.ndarray:
    """80 log-mel bands and back, 32 rounds from random phases."""
    generator = torch.Generator().manual_seed(seed)
    waveform = torch.from_numpy(samples)[None]
    with torch.inference_mode():
        return MelResynthesis(rate_hz)(waveform, generator)[0].numpy()


def g722(samples: np.ndarray, rate_hz: int, seed: int) -> np.ndarray:
    """G.722 at 64 kbit/s, which knows 16 kHz alone."""
    try:
        from G722 import G722
    except ImportError:
        raise missing_extra("G722", "g722") from None
    if rate_hz != 16_000:
        raise InputError(f"G.722 is of 16000 Hz, not {rate_hz}: leave it out")
    codec = G722(rate_hz, 64_000)
    whole = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    coded = codec.encode(np.pad(whole, (0, len(whole) % 2)))
    return np.asarray(G722(rate_hz, 64_000).decode(coded), np.float32) / 32767


def _coded(form: str, coding: str, level: float) -> Maker:
    def make(samples: np.ndarray, rate_hz: int, seed: int) -> np.ndarray:
        held = io.BytesIO()
        try:
            soundfile.write(
                held, samples, rate_hz, format=form, subtype=coding, compression_level=level
            )
            held.seek(0)
            return soundfile.read(held, dtype="float32")[0]
        except soundfile.SoundFileError as error:
            raise InputError(f"{coding} at {rate_hz} Hz: {error}: leave it out") from None

    return make


# about 20, 24 and 30 kbit/s at 16 kHz
MAKERS: dict[str, Maker] = {
    "griffin_lim": griffin_lim,
    "opus": _coded("OGG", "OPUS", 0.95),
    "mp3": _coded("MP3", "MPEG_LAYER_III", 0.9),
    "vorbis": _coded("OGG", "VORBIS", 1.0),
    "g722": g722,
}


def resynthesised(
    clips: Clips,
    folder: Path,
    rate_hz: int,
    seconds: float,
    makers: Sequence[str],
    most: int,
    per_clip: int = 8,
    progress: Progress = silent,
) -> Clips:
    """Pairs of excerpts, as recorded and as made again by one of `makers`, as files in `folder`.

    Task `origin`: real or synthetic; the latter are marked synthetic and say their `maker`. Both of
    a pair were read, cut, levelled (the same RMS) and written in the same way, so that nothing but
    the machine tells them apart, and both are in their recording's group. At most `per_clip`
    excerpts of `seconds` of a clip, evenly over its length, and `most` in all, those whose name
    hashes lowest; clips that are marked synthetic already are left out. Ready files are kept.
    Raises InputError for an unknown maker, or where no clip is left.
    """
    for name in makers:
        if name not in MAKERS:
            raise InputError(f"no way {name!r} to make sound again.{did_you_mean(name, MAKERS)}")
    if not makers or most < 1 or per_clip < 1:
        raise InputError(f"{len(makers)} makers, {most} pairs, {per_clip} of a clip: at least 1")
    drawn = [
        (clip, number, start_s, length_s)
        for clip in clips
        if not clip.synthetic
        for number, (start_s, length_s) in enumerate(_excerpts(clip, seconds, per_clip))
    ]
    drawn.sort(key=lambda row: _hash(f"{row[0].id} {row[1]}"))
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Clip] = []
    for number, (clip, place, start_s, length_s) in enumerate(drawn[:most]):
        maker = makers[int(_hash(f"maker {clip.id} {place}"), 16) % len(makers)]
        made += _pair(clip, place, start_s, length_s, maker, folder, rate_hz)
        progress(number + 1, min(most, len(drawn)), "making sound again")
    if not made:
        raise InputError(
            f"none of {len(clips)} clips is a recording that is long and loud enough: give others"
        )
    return Clips(made)


def _excerpts(clip: Clip, seconds: float, per_clip: int) -> list[tuple[float, float]]:
    """(start, length) of each in seconds from the clip's start, edges included."""
    whole = min(clip.duration_s, seconds + 2 * EDGE_S)
    if whole < 4 * EDGE_S:
        return []
    count = min(per_clip, max(1, int(clip.duration_s // seconds)))
    return [(float(start), whole) for start in np.linspace(0, clip.duration_s - whole, count)]


def _pair(
    clip: Clip, place: int, start_s: float, length_s: float, maker: str, folder: Path, rate_hz: int
) -> list[Clip]:
    about = clip.path.stat()
    mark = f"{FORMAT} {clip.path.resolve()} {about.st_size} {about.st_mtime_ns} {rate_hz} "
    mark = _hash(mark + f"{clip.start_s + start_s:.4f} {length_s:.4f} {maker}")
    paths = [folder / f"{mark}-{name}.flac" for name in (REAL, maker)]
    edge = round(EDGE_S * rate_hz)
    if not all(path.is_file() for path in paths):
        begin_s = clip.start_s + start_s
        real = read(clip.path, rate_hz, begin_s, length_s, "mono").samples[0].astype(np.float32)
        if len(real) < 4 * edge or _rms(real) < QUIETEST:
            return []
        real = real / max(1.0, float(np.abs(real).max()))
        again = MAKERS[maker](real, rate_hz, int(mark[:8], 16))[: len(real)]
        again = np.pad(again, (0, len(real) - len(again)))
        real, again = real[edge:-edge], again[edge:-edge]
        if min(_rms(real), _rms(again)) < QUIETEST:
            return []
        again = again * (_rms(real) / _rms(again))
        scale = min(1.0, LOUDEST / max(float(np.abs(x).max()) for x in (real, again)))
        for path, samples in zip(paths, (real, again)):
            write(path, Audio((scale * samples)[None], rate_hz))
    frames = soundfile.info(paths[0]).frames
    told = dataclasses.replace(
        clip,
        start_s=0.0,
        duration_s=frames / rate_hz,
        rate_hz=rate_hz,
        channels=1,
        file_frames=frames,
        # the files are new ones: what tied clips of one file together must be a group now
        group=clip.group or clip.path.name,
    )
    return [
        dataclasses.replace(
            told,
            id=f"{clip.id}@{place}/{name}",
            path=path,
            labels={TASK: REAL if name == REAL else SYNTHETIC, "maker": name},
            synthetic=name != REAL,
        )
        for name, path in zip((REAL, maker), paths)
    ]


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
