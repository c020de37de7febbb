"""A sound as browsers play it: as it is where they can, else as WAV, made once."""

from __future__ import annotations

import os
import secrets
import threading
import warnings
from pathlib import Path

from sonograph.serve.answers import Refused
from sonograph.serve.room import Room
from sonograph.serve.sounds import Sound

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


def playable(sound: Sound, room: Room) -> tuple[Path, str]:
    """A file and its media type. Raises Refused: 413 for what no WAV can hold, 507 no room."""
    codings, media_type = PLAYED.get(sound.about.format, ((), ""))
    if sound.about.subtype in codings:
        return sound.path, media_type
    with _one:
        if not sound.converted.exists():
            _convert(sound, room)
    return sound.converted, "audio/wav"


def _convert(sound: Sound, room: Room) -> None:
    from sonograph.audio.io import stream, writer

    about = sound.about
    size = 2 * about.frames * about.channels + 4096
    if size > WAV_BYTES:
        raise Refused(413, f"{sound.name} is too long for WAV: download it as it is")
    room.take(size)
    partial = room.folder / "arriving" / f"{secrets.token_urlsafe(16)}.wav"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what lies beyond full scale is cut, as ears expect
            with writer(partial, about.rate_hz, about.channels, "PCM_16") as add:
                for block in stream(sound.path, 10.0, channels="keep"):
                    add(block)
        os.replace(partial, sound.converted)
        size -= sound.converted.stat().st_size
    finally:
        partial.unlink(missing_ok=True)
        room.give(size)
