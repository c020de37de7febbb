"""A sound as browsers play it: as it is where they can, else as WAV, made once."""

from __future__ import annotations

import secrets
import threading
import warnings
from pathlib import Path

from sonograph.serve.answers import Refused
from sonograph.serve.pictures import block_s
from sonograph.serve.sounds import Sound, Sounds

# format -> codings that browsers know, and the type they are told
PLAYED = {
    "WAV": (("PCM_U8", "PCM_16", "PCM_24", "FLOAT"), "audio/wav"),
    "WAVEX": (("PCM_U8", "PCM_16", "PCM_24", "FLOAT"), "audio/wav"),
    "FLAC": (("PCM_S8", "PCM_16", "PCM_24"), "audio/flac"),
    "OGG": (("VORBIS", "OPUS"), "audio/ogg"),
    "MP3": (("MPEG_LAYER_III",), "audio/mpeg"),
    "MPEG": (("MPEG_LAYER_III",), "audio/mpeg"),
}
WAV_BYTES = (1 << 32) - 4096
_one = threading.Lock()  # conversion at a time


def as_it_is(sound: Sound) -> tuple[Path, str] | None:
    """A file that browsers play and its media type; None where it has to be made first."""
    codings, media_type = PLAYED.get(sound.about.format, ((), ""))
    if sound.about.subtype in codings:
        return sound.path, media_type
    return (sound.converted, "audio/wav") if sound.converted.exists() else None


def playable(sound: Sound, sounds: Sounds) -> tuple[Path, str]:
    """The same, made where it has to be.

    Raises Refused: 404 for a sound that is deleted meanwhile, 413 for what no WAV can hold, 507
    where there is no room.
    """
    with _one:
        if as_it_is(sound) is None:
            _convert(sound, sounds)
    return as_it_is(sound) or (sound.converted, "audio/wav")


def _convert(sound: Sound, sounds: Sounds) -> None:
    from sonograph.audio.io import stream, writer

    about, room = sound.about, sounds.room
    size = 2 * about.frames * about.channels + 4096
    if size > WAV_BYTES:
        raise Refused(413, f"{sound.name} is too long for WAV: download it as it is")
    room.take(size)
    partial = room.folder / "arriving" / f"{secrets.token_urlsafe(16)}.wav"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what lies beyond full scale is cut, as ears expect
            with writer(partial, about.rate_hz, about.channels, "PCM_16") as add:
                for block in stream(sound.path, block_s(sound), channels="keep"):
                    add(block)
        written = partial.stat().st_size
        sounds.convert(sound, partial)
        size -= written
    finally:
        partial.unlink(missing_ok=True)
        room.give(size)
