"""Rooms of many sizes, and how a sound is heard in them (image source method, pyroomacoustics)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from sonograph.data.sampler import random_of
from sonograph.errors import missing_extra

SMALLEST_M, LARGEST_M = (3.0, 3.0, 2.4), (9.0, 8.0, 3.5)
LONGEST_S = 0.7  # of reverberation
WALL_M = 0.4  # at least, from a wall to who speaks or listens


class Rooms:
    """`count` rooms with a listener in each; impulse responses are made when first asked for.

    Sizes are drawn between those of a small and a large room, times of reverberation between
    0.15 s and 0.7 s. The direct sound arrives without delay and at level 1.
    """

    def __init__(self, rate_hz: int, count: int = 100, places: int = 3, seed: int = 0):
        self.rate_hz, self.count, self.places, self.seed = rate_hz, count, places, seed
        self.known: dict[tuple[int, int], Float32[np.ndarray, "taps"]] = {}

    def draw(self, random: np.random.Generator) -> int:
        """Any room."""
        return int(random.integers(self.count))

    def heard(
        self,
        sound: Float32[np.ndarray, "channels n"],
        random: np.random.Generator,
        room: int | None = None,
    ) -> Float32[np.ndarray, "channels n"]:
        """A sound from some place of a room (any, unless said), as long as it was."""
        from scipy.signal import fftconvolve

        response = self.response(
            self.draw(random) if room is None else room, int(random.integers(self.places))
        )
        made = fftconvolve(sound, response[None], axes=1)[:, : sound.shape[1]]
        return made.astype(np.float32)

    def response(self, room: int, place: int) -> Float32[np.ndarray, "taps"]:
        """The impulse response from a place in a room to its listener."""
        if (room, place) not in self.known:
            for number, made in enumerate(_responses(self.seed, room, self.places, self.rate_hz)):
                self.known[room, number] = made
        return self.known[room, place]


def _responses(
    seed: int, room: int, places: int, rate_hz: int
) -> list[Float32[np.ndarray, "taps"]]:
    try:
        import pyroomacoustics
    except ImportError:
        raise missing_extra("pyroomacoustics", "rooms") from None
    random = random_of(seed, "room", room)
    size = random.uniform(SMALLEST_M, LARGEST_M)
    reverberation = random.uniform(0.15, LONGEST_S)
    # a small room cannot ring for long without walls that reflect more than all
    while True:
        try:
            absorption, order = pyroomacoustics.inverse_sabine(reverberation, size)
            break
        except ValueError:
            reverberation *= 1.2
    space = pyroomacoustics.ShoeBox(
        size, fs=rate_hz, materials=pyroomacoustics.Material(absorption), max_order=min(order, 30)
    )
    space.add_microphone(random.uniform(WALL_M, size - WALL_M))
    for _ in range(places):
        space.add_source(random.uniform(WALL_M, size - WALL_M))
    space.compute_rir()
    found = []
    for response in space.rir[0]:
        first = int(np.abs(response).argmax())
        taps = np.asarray(response[first : first + round(LONGEST_S * rate_hz)], np.float32)
        found.append(taps / np.abs(taps[0]))
    return found
