"""Sound fonts: the recorded notes of an SF2 bank, who plays them, and each as a sound file.

Source: SoundFont Technical Specification 2.04 (Creative, 2006), by its sections. Read are the
samples (sdta) and the path preset -> instrument -> sample (pdta); modulators are not. Every offset
and index is checked before it is followed, so that a crafted file ends in one clear line.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Int16

from sonograph.errors import InputError

# section 7: name of a sub-chunk -> how one record of it is packed; the last record is a terminator
RECORDS = {
    "phdr": struct.Struct("<20sHHHIII"),
    "pbag": struct.Struct("<HH"),
    "pgen": struct.Struct("<HH"),
    "inst": struct.Struct("<20sH"),
    "ibag": struct.Struct("<HH"),
    "igen": struct.Struct("<HH"),
    "shdr": struct.Struct("<20sIIIIIBbHH"),
}
INSTRUMENT, SAMPLE_MODES, SAMPLE = 41, 54, 53  # generators, section 8.1.2
HOLD, DECAY, SUSTAIN = 35, 36, 37  # of the volume envelope
LEFT_OF_PAIR, RIGHT_OF_PAIR, IN_ROM = 4, 2, 0x8000  # sample types, section 7.10
RATES_HZ = (400, 192_000)
MOST_USES = 100_000  # of samples by presets: a file of a few kB could claim billions

LENGTH_S = 1.3  # of a written note, at most
SHORTEST_S = 0.1  # of a written note
LEAST_RECORDED_S = 0.05  # of the recording: below, a note is little more than one wave repeated
FADE_S = 0.03
FADED_BY_DB = 100.0  # what the decay time of the envelope is the time to (section 8.1.2, 36)

# General MIDI level 1, programs in eights
FAMILIES = (
    *("piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass"),
    *("reed", "pipe", "synth lead", "synth pad", "synth effects", "ethnic", "percussion"),
    "sound effects",
)
SYNTHETIC = ("synth lead", "synth pad", "synth effects")
DRUMS_BANK = 128


@dataclasses.dataclass(frozen=True)
class Use:
    """A preset that plays a sample through an instrument; what the instrument's zone says of it.

    hold_s, decay_s and sustain_db (below full) are its volume envelope after the attack.
    """

    bank: int
    program: int
    preset: str
    instrument: str
    looped: bool = False
    hold_s: float = 0.0
    decay_s: float = 0.0
    sustain_db: float = 0.0

    @property
    def family(self) -> str:
        """The General MIDI family of the program; the drum bank counts as percussion."""
        return "percussion" if self.bank == DRUMS_BANK else FAMILIES[self.program // 8]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One recording in a bank; positions count samples from the start of the bank's data.

    `pair` is the index of the other side of a stereo recording; `uses` are in the order of presets.
    """

    name: str
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate_hz: int
    root_key: int  # MIDI; 255 where it has no pitch
    correction_cents: int
    pair: int | None
    uses: tuple[Use, ...] = ()

    @property
    def recorded_s(self) -> float:
        return (self.end - self.start) / self.rate_hz

    @property
    def looped(self) -> bool:
        """Whether a player would repeat its loop."""
        whole = self.start <= self.loop_start < self.loop_end <= self.end
        return whole and any(use.looped for use in self.uses)

    @property
    def sustained(self) -> bool:
        """Whether its written note is longer than the recording."""
        return self.looped and self.recorded_s < LENGTH_S

    @property
    def family(self) -> str | None:
        """The family that most presets play it in; None without a preset or with a tie.

        Synthesiser programs are stacked from other instruments' samples: they count only where
        nothing else plays the sample.
        """
        programs = {(use.bank, use.program): use.family for use in self.uses}
        own = [name for name in programs.values() if name not in SYNTHETIC]
        votes = own or list(programs.values())
        counts = sorted(((votes.count(name), name) for name in set(votes)), reverse=True)
        if not counts or (len(counts) > 1 and counts[0][0] == counts[1][0]):
            return None
        return counts[0][1]


@dataclasses.dataclass(frozen=True)
class SoundFont:
    """The samples of a bank in the order of the file, and their data: 16 bit, mono."""

    name: str
    samples: tuple[Sample, ...]
    presets: int
    data: Int16[np.ndarray, " n"]

    def note(self, sample: Sample) -> Int16[np.ndarray, " n"]:
        """A sample as a note of at most LENGTH_S at its own rate, with a short fade if cut.

        A shorter one with a loop is sustained as a player would: the loop repeats under the decay
        of the volume envelope. Other generators (filter, pitch, attack) are left out, so that what
        was recorded stays what it is up to the end of the loop.
        """
        count = round(LENGTH_S * sample.rate_hz)
        whole = self.data[sample.start : sample.end]
        if not sample.sustained:
            return _faded(whole[:count], sample.rate_hz) if len(whole) > count else whole
        begin, end = sample.loop_start - sample.start, sample.loop_end - sample.start
        repeats = np.resize(whole[begin:end], max(0, count - end))
        use = next(use for use in sample.uses if use.looped)
        heard = np.concatenate([whole[:end], repeats])[:count] * _envelope(
            use, np.arange(count) / sample.rate_hz
        )
        return _faded(np.round(heard).astype(np.int16), sample.rate_hz)


def read_soundfont(path: Path) -> SoundFont:
    """Read a bank. Raises InputError for what is no SF2, is cut off or points outside itself."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise InputError(f"{path} is no SF2 sound font: it does not begin with RIFF and sfbk")
    chunks = dict(_chunks(path, memoryview(content), 12))
    for name in ("smpl", *RECORDS):
        if name not in chunks:
            raise _bad(path, f"has no {name} chunk")
    data = np.frombuffer(chunks["smpl"][: len(chunks["smpl"]) // 2 * 2], dtype="<i2")
    tables = {name: _records(path, name, chunks[name]) for name in RECORDS}
    uses = _uses(path, tables)
    headers = tables["shdr"][:-1]
    return SoundFont(
        name=path.stem,
        samples=tuple(
            _sample(path, header, len(data), len(headers), tuple(uses.get(index, ())))
            for index, header in enumerate(headers)
        ),
        presets=len(tables["phdr"]) - 1,
        data=data,
    )


def note_path(bank: Path, index: int, sample: Sample) -> Path:
    """Where the note of a sample lies: in a folder beside its bank, under a plain name.

    >>> note_path(Path("a/Gm.sf2"), 7, Sample("Oboe C#", 0, 9, 0, 0, 8000, 61, 0, None)).as_posix()
    'a/Gm/007_Oboe_Cs.flac'
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", sample.name.replace("#", "s")).strip("_")
    return bank.with_suffix("") / f"{index:03d}_{plain}.flac"


def instruments(samples: Sequence[Sample]) -> list[str]:
    """For each sample the name of its instrument: of the cluster of samples that presets tie.

    Samples of one preset are notes, sides or layers of one instrument; drums are each their own, as
    a kit plays them all. Synthesiser programs, stacked from other instruments' samples, tie only
    what nothing else plays.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    keys = []
    for sample in samples:
        melodic = [use for use in sample.uses if use.bank != DRUMS_BANK]
        own = [use for use in melodic if use.family not in SYNTHETIC] or melodic
        names = [f"{use.bank}-{use.program:03d}" for use in own] or [f"drum {sample.name}"]
        for name in names:
            first, second = sorted((root(name), root(names[0])))
            parent[second] = first
        keys.append(names[0])
    return [root(name) for name in keys]


def write_notes(folder: Path) -> int:
    """Write the notes of every bank below a folder as FLAC; returns how many there are.

    Samples without a preset, those with less than LEAST_RECORDED_S of recording and notes below
    SHORTEST_S are passed over, and files that are there already are kept.
    """
    count = 0
    for path in sorted(folder.rglob("*.sf2")):
        bank = read_soundfont(path)
        for index, sample in enumerate(bank.samples):
            length_s = LENGTH_S if sample.sustained else sample.recorded_s
            if not sample.uses or sample.recorded_s < LEAST_RECORDED_S or length_s < SHORTEST_S:
                continue
            target = note_path(path, index, sample)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                soundfile.write(target, bank.note(sample), sample.rate_hz, subtype="PCM_16")
            count += 1
    return count


# --- the file


def _chunks(path: Path, content: memoryview, offset: int) -> Iterator[tuple[str, memoryview]]:
    """Names and contents of all chunks from an offset on, those inside a LIST in its place."""
    while offset + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, offset)
        body = content[offset + 8 : offset + 8 + size]
        if len(body) < size:
            raise _bad(path, f"is cut off: a chunk should have {size} bytes and has {len(body)}")
        if name == b"LIST" and bytes(body[:4]) in (b"sdta", b"pdta"):
            yield from _chunks(path, body, 4)
        else:
            yield name.decode("latin-1"), body
        offset += 8 + size + size % 2


def _records(path: Path, name: str, body: memoryview) -> list[tuple]:
    packed = RECORDS[name]
    if not body or len(body) % packed.size:
        raise _bad(path, f"has a {name} chunk of {len(body)} bytes: not whole records")
    return list(packed.iter_unpack(body))


def _zones(
    path: Path, tables: dict[str, list[tuple]], bags: str, gens: str, first: int, last: int
) -> Iterator[dict[int, int]]:
    """The generators of the zones first to last, each with those of the global zone below it.

    A first zone that leads nowhere (no instrument, no sample) is global (sections 7.3 and 7.7).
    """
    end = INSTRUMENT if bags == "pbag" else SAMPLE
    if not 0 <= first <= last < len(tables[bags]):
        raise _bad(path, f"asks for the zones {first} to {last} of {len(tables[bags])} in {bags}")
    common: dict[int, int] = {}
    for zone in range(first, last):
        begin, stop = tables[bags][zone][0], tables[bags][zone + 1][0]
        if not begin <= stop <= len(tables[gens]):
            raise _bad(path, f"asks for {gens} {begin} to {stop} of {len(tables[gens])}")
        own = dict(tables[gens][begin:stop])
        if end in own:
            yield common | own
        elif zone == first:
            common = own


def _uses(path: Path, tables: dict[str, list[tuple]]) -> dict[int, list[Use]]:
    """For each sample the uses of it, one for a preset and instrument."""
    instruments: list[tuple[str, dict[int, dict[int, int]]]] = []
    for one, following in zip(tables["inst"], tables["inst"][1:]):
        played: dict[int, dict[int, int]] = {}
        for zone in _zones(path, tables, "ibag", "igen", one[1], following[1]):
            if zone[SAMPLE] >= len(tables["shdr"]) - 1:
                raise _bad(path, f"plays sample {zone[SAMPLE]} of {len(tables['shdr']) - 1}")
            played.setdefault(zone[SAMPLE], zone)
        instruments.append((_text(one[0]), played))
    uses: dict[int, list[Use]] = {}
    total = 0
    for one, following in zip(tables["phdr"], tables["phdr"][1:]):
        name, program, bank = one[:3]
        if program > 127:
            raise _bad(path, f"has a preset with program {program}")
        zones = _zones(path, tables, "pbag", "pgen", one[3], following[3])
        for index in dict.fromkeys(zone[INSTRUMENT] for zone in zones):
            if index >= len(instruments):
                raise _bad(path, f"plays instrument {index} of {len(instruments)}")
            instrument, played = instruments[index]
            total += len(played)
            if total > MOST_USES:
                raise _bad(path, f"plays its samples in more than {MOST_USES} ways")
            for sample, zone in played.items():
                use = Use(
                    bank=bank,
                    program=program,
                    preset=_text(name),
                    instrument=instrument,
                    looped=zone.get(SAMPLE_MODES, 0) & 3 in (1, 3),
                    hold_s=_seconds(zone.get(HOLD)),
                    decay_s=_seconds(zone.get(DECAY)),
                    sustain_db=_signed(zone.get(SUSTAIN, 0)) / 10,
                )
                uses.setdefault(sample, []).append(use)
    return uses


def _sample(path: Path, header: tuple, room: int, samples: int, uses: tuple[Use, ...]) -> Sample:
    packed, start, end, loop_start, loop_end, rate, key, cents, pair, kind = header
    name = _text(packed)
    if kind & IN_ROM:
        raise _bad(path, f"keeps {name!r} in the memory of a sound card")
    if not start <= end <= room:
        raise _bad(path, f"has {name!r} from {start} to {end} of {room} samples")
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise _bad(path, f"has {name!r} at {rate} Hz")
    stereo = bool(kind & (LEFT_OF_PAIR | RIGHT_OF_PAIR)) and pair < samples
    return Sample(
        name, start, end, loop_start, loop_end, rate, key, cents, pair if stereo else None, uses
    )


def _text(packed: bytes) -> str:
    plain = packed.split(b"\0")[0].decode("latin-1").strip()
    return "".join(letter for letter in plain if letter.isprintable())


def _signed(amount: int) -> int:
    return amount - 0x10000 if amount & 0x8000 else amount


def _seconds(amount: int | None) -> float:
    """Timecents to seconds; the default and the least are about 1 ms, the most 101 s."""
    cents = -12_000 if amount is None else _signed(amount)
    return 2 ** (min(max(cents, -12_000), 8_000) / 1200)


def _bad(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}: it is broken; fetch it again")


# --- the sound


def _envelope(use: Use, time_s: np.ndarray) -> np.ndarray:
    """Hold, then down to the sustain level in a straight line of decibels (section 8.1.2)."""
    down = FADED_BY_DB * np.maximum(time_s - use.hold_s, 0) / use.decay_s
    return 10 ** (-np.minimum(down, np.clip(use.sustain_db, 0, FADED_BY_DB)) / 20)


def _faded(samples: Int16[np.ndarray, " n"], rate_hz: int) -> Int16[np.ndarray, " n"]:
    count = min(len(samples), round(FADE_S * rate_hz))
    gain = np.ones(len(samples))
    gain[len(samples) - count :] = np.linspace(1, 0, count)
    return np.round(samples * gain).astype(np.int16)
