"""The sounds of a service: uploaded ones and those that jobs made, on disk under random ids."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sonograph.serve.answers import Refused
from sonograph.serve.checking import About, check
from sonograph.serve.names import plain, shown
from sonograph.serve.room import Room
from sonograph.serve.settings import MOST_SOUNDS
from sonograph.serve.shapes import SoundInfo

SUFFIXES = {"WAVEX": ".wav", "MPEG": ".mp3", "OGG": ".ogg"}  # others are called as they are


LABEL = 80  # letters of a label


@dataclass(eq=False)
class Sound:
    """A sound on disk. users: jobs and answers that need its file just now."""

    id: str
    name: str
    label: str
    bytes: int
    about: About
    path: Path
    made_by: str | None = None
    part: str = ""
    touched: float = field(default_factory=time.monotonic)
    users: int = 0

    @property
    def outline(self) -> Path:
        return self.path.with_suffix(".outline")

    @property
    def converted(self) -> Path:
        """Where its form for browsers lies, if it had to be made."""
        return self.path.with_suffix(".browser.wav")

    def info(self) -> SoundInfo:
        return SoundInfo(
            id=self.id,
            name=self.name,
            label=self.label,
            bytes=self.bytes,
            rate_hz=self.about.rate_hz,
            channels=self.about.channels,
            duration_s=self.about.duration_s,
            part=self.part,
            **{"from": self.made_by},
        )


class Sounds:
    """Adds, finds, lends and sweeps sounds; safe among threads."""

    def __init__(self, room: Room, longest_s: float, keep_s: float):
        self.room, self.longest_s, self.keep_s = room, longest_s, keep_s
        self._all: dict[str, Sound] = {}
        self._lock = threading.Lock()

    def add(
        self,
        path: Path,
        name: str,
        label: str = "",
        made_by: str | None = None,
        part: str = "",
    ) -> Sound:
        """Check a file by decoding it and move it in; its bytes are counted already.

        Raises Refused; the file is gone then, and its bytes are given back.
        """
        name = shown(name)
        size = path.stat().st_size
        new = secrets.token_urlsafe(16)
        place = self.room.folder / "sounds" / f"{new}.sound"
        outline = place.with_suffix(".outline")
        taken = size
        try:
            about = check(path, name, self.longest_s, outline)
            drawn = outline.stat().st_size
            self.room.take(drawn)
            taken += drawn
            suffix = SUFFIXES.get(about.format, f".{about.format.lower()}")
            place = place.with_suffix(suffix)
            os.replace(path, place)
        except BaseException:
            for one in (path, outline):
                one.unlink(missing_ok=True)
            self.room.give(taken)
            raise
        sound = Sound(new, name, plain(label)[:LABEL], size, about, place, made_by, part)
        with self._lock:
            fits = len(self._all) < MOST_SOUNDS
            if fits:
                self._all[new] = sound
        if not fits:
            self._remove(sound)
            raise Refused(507, f"{MOST_SOUNDS:,} sounds are kept already: delete some first")
        return sound

    def get(self, name: str) -> Sound:
        """The sound of an id. Raises Refused (404)."""
        with self._lock:
            found = self._all.get(name)
            if found is None:
                raise Refused(404, "there is no such sound: it was deleted, or kept long enough")
            found.touched = time.monotonic()
            return found

    def all(self) -> list[Sound]:
        with self._lock:
            return list(self._all.values())

    def convert(self, sound: Sound, made: Path) -> None:
        """Put its form for browsers beside a sound. Raises Refused (404) where it was deleted."""
        with self._lock:
            self._require(sound)
            os.replace(made, sound.converted)

    def require(self, sound: Sound) -> None:
        """Raises Refused (404) for a sound that was deleted since it was found."""
        with self._lock:
            self._require(sound)

    def _require(self, sound: Sound) -> None:
        if self._all.get(sound.id) is not sound:
            raise Refused(404, "there is no such sound: it was just deleted")

    def lend(self, ids: Sequence[str]) -> list[Sound]:
        """Sounds whose files stay until they are given back. Raises Refused (404)."""
        found = [self.get(name) for name in ids]
        with self._lock:
            for sound in found:
                self._require(sound)
            for sound in found:
                sound.users += 1
        return found

    def give_back(self, lent: Sequence[Sound]) -> None:
        with self._lock:
            for sound in lent:
                sound.users -= 1
                sound.touched = time.monotonic()

    def delete(self, name: str) -> None:
        """Raises Refused: 404, or 409 while a job needs it."""
        sound = self.get(name)
        with self._lock:
            if sound.users:
                raise Refused(409, "a job needs this sound: cancel the job first")
            self._all.pop(name, None)
        self._remove(sound)

    def sweep(self) -> int:
        """Remove what nobody has used for `keep_s`; how many went."""
        due = time.monotonic() - self.keep_s
        with self._lock:
            old = [s for s in self._all.values() if not s.users and s.touched < due]
            for sound in old:
                del self._all[sound.id]
        for sound in old:
            self._remove(sound)
        return len(old)

    def _remove(self, sound: Sound) -> None:
        for path in (sound.path, sound.outline, sound.converted):
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                self.room.give(size)
