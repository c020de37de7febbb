"""Read, write and stream sound files: WAV FLAC OGG MP3 Opus and more by libsndfile, and bare G.722.

Reading never trusts a header: samples are taken in blocks, so a file that claims a day and holds a
second costs a second. Writing goes to a temporary name in the same folder and is moved into place
when complete.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from jaxtyping import Float32

from sonograph.audio.resample import resample, resample_stream
from sonograph.errors import InputError, missing_extra
from sonograph.outputs import Audio

Channels = Literal["keep", "mono"]
Block = Float32[np.ndarray, "channels n"]

G722_RATE_HZ = 16000
G722_BITS_PER_S = 64000  # two samples a byte
BLOCK_VALUES = 1 << 18  # samples x channels decoded at a time: 1 MB

# suffix -> format and default coding of a written file
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
    ".aif": ("AIFF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
}
UNLIMITED = ("FLOAT", "DOUBLE")  # codings that hold values beyond full scale
MP3_REACH = 32 * 1152
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
AUDIO_SUFFIXES = (*FORMATS, ".g722")


@dataclass(frozen=True)
class Info:
    """What a file says about itself; of MP3 and Ogg, `frames` is what the decoder makes of it."""

    path: str
    rate_hz: int
    channels: int
    frames: int
    duration_s: float
    format: str
    subtype: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def info(path: str | Path) -> Info:
    """Rate, channels, length and format of a sound file, from its header. Raises InputError."""
    with _open(path) as source:
        return Info(
            path=str(path),
            rate_hz=source.rate_hz,
            channels=source.channels,
            frames=source.frames,
            duration_s=source.frames / source.rate_hz,
            format=source.format,
            subtype=source.subtype,
        )


def read(
    path: str | Path,
    rate_hz: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channels: Channels = "keep",
) -> Audio:
    """Read a file, or a part of it, without decoding the rest where the format allows.

    A part that reaches beyond the end gives what is there. G.722 has no entry points: the sound
    before the part is decoded and dropped.

    Raises:
        InputError: the file is missing, empty, truncated, not sound, holds no or not-finite
        samples, or the part
            begins after its end.
    """
    with _open(path) as source:
        start, count = _span(path, source, start_s, duration_s)
        # channels are mixed block by block, so mono of a wide file never holds all channels
        blocks = [_mix(block, channels) for block in _blocks(path, source, start, count)]
        rate = source.rate_hz
    if not blocks:
        where = f" from {start_s} s on" if start_s else ""
        raise InputError(f"{path} holds no sound{where}")
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    if rate_hz is not None:
        samples = resample(samples, rate, rate_hz)
    return Audio(samples, rate if rate_hz is None else rate_hz)


def stream(
    path: str | Path,
    block_s: float,
    rate_hz: int | None = None,
    channels: Channels = "mono",
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[Block]:
    """The sound of a file, or of a part of it, in blocks of `block_s` seconds (the last may be
    shorter), in bounded memory.

    Joined, the blocks equal what `read` gives with the same rate, channels and part. Raises
    InputError as `read` does.
    """
    if not block_s > 0:
        raise InputError(f"a block of {block_s} s is not possible")
    with _open(path) as source:
        rate = source.rate_hz
        target = rate if rate_hz is None else rate_hz
        start, count = _span(path, source, start_s, duration_s)
        blocks = (_mix(block, channels) for block in _blocks(path, source, start, count))
        given = 0
        for block in reblock(
            resample_stream(blocks, rate, target), max(1, round(block_s * target))
        ):
            given += block.shape[1]
            yield block
    if not given:
        raise InputError(f"{path} holds no sound")


def reblock(blocks: Iterable[Block], length: int) -> Iterator[Block]:
    """The same samples in blocks of exactly `length`; the last holds the rest, if any."""
    waiting: list[np.ndarray] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += block.shape[1]
        if held < length:
            continue
        joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
        whole = held - held % length
        for begin in range(0, whole, length):
            yield joined[:, begin : begin + length]
        waiting, held = [joined[:, whole:]], held - whole
    if held:
        yield np.concatenate(waiting, axis=1)


def write(path: str | Path, audio: Audio, subtype: str | None = None) -> None:
    """Write a sound file, all or nothing; the format follows the suffix (`FORMATS`, and `.g722`).

    subtype: a libsndfile coding such as PCM_24 or FLOAT; by default 16-bit for WAV and FLAC.
    Values beyond full scale are cut with a warning that counts them, unless the coding holds them
    (FLOAT).

    Raises:
        InputError: unknown suffix or coding, not-finite or no samples, a folder that is missing or
        not writable.
    """
    samples = audio.samples
    if samples.shape[1] == 0:
        raise InputError(f"nothing to write to {path}: the audio has no samples")
    with writer(path, audio.rate_hz, audio.channels, subtype) as add:
        for begin in range(0, samples.shape[1], 1 << 16):
            add(samples[:, begin : begin + (1 << 16)])


@contextmanager
def writer(path: str | Path, rate_hz: int, channels: int, subtype: str | None = None):
    """Write a file block by block: yields a function that takes (channels, n) blocks.

    The file appears when the `with` block ends well, and not at all otherwise. Raises InputError
    as `write` does.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = _Clipping()
    try:
        try:
            with _sink(path, partial, rate_hz, channels, subtype) as (sink, unlimited):

                def add(block: Block) -> None:
                    block = np.atleast_2d(block)
                    if block.shape[0] != channels:
                        raise InputError(
                            f"cannot write {path}: a block has {block.shape[0]} channels, "
                            f"the file {channels}"
                        )
                    if not np.isfinite(block).all():
                        raise InputError(f"cannot write {path}: samples are NaN or infinite")
                    sink(block if unlimited else count.cut(block))

                yield add
            os.replace(partial, path)
        except (OSError, soundfile.SoundFileError) as error:
            raise InputError(f"cannot write {path}: {_reason(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
    if count.cut_samples:
        warnings.warn(
            f"{path}: {count.cut_samples} of {count.samples} samples were beyond full scale "
            f"(peak {count.peak:.3g}) and were cut; write a lower level or subtype FLOAT",
            stacklevel=3,
        )


class _Clipping:
    """Cuts blocks to full scale and keeps count of what it cut."""

    def __init__(self) -> None:
        self.samples, self.cut_samples, self.peak = 0, 0, 0.0

    def cut(self, block: Block) -> Block:
        size = np.abs(block)
        self.samples += block.size
        self.cut_samples += int((size > 1).sum())
        self.peak = max(self.peak, float(size.max(initial=0.0)))
        return block.clip(-1, 1)


@contextmanager
def _sink(path: Path, partial: Path, rate_hz: int, channels: int, subtype: str | None):
    """A function that appends blocks to `partial`, and whether the coding holds values beyond 1."""
    suffix = path.suffix.lower()
    if suffix == ".g722":
        if (rate_hz, channels) != (G722_RATE_HZ, 1):
            raise InputError(
                f"cannot write {path}: G.722 is mono at 16000 Hz, not {channels} channel(s) at "
                f"{rate_hz} Hz: use .mono().resample(16000)"
            )
        codec = _g722()
        with open(partial, "wb") as file:

            def encode(block: Block) -> None:
                file.write(codec.encode(np.round(block[0] * 32767).astype(np.int16)))

            yield encode, False
        return
    if suffix not in FORMATS:
        known = " ".join(AUDIO_SUFFIXES)
        raise InputError(f"cannot write {path}: the suffix {suffix!r} is none of {known}")
    format, default = FORMATS[suffix]
    coding = (subtype or default).upper()
    if not soundfile.check_format(format, coding):
        known = " ".join(soundfile.available_subtypes(format))
        raise InputError(f"cannot write {path}: {format} has no coding {coding!r}, but {known}")
    if coding == "OPUS" and rate_hz not in OPUS_RATES_HZ:
        rates = ", ".join(map(str, OPUS_RATES_HZ))
        raise InputError(
            f"cannot write {path}: Opus takes {rates} Hz, not {rate_hz}: resample first"
        )
    written = 0
    with soundfile.SoundFile(partial, "w", rate_hz, channels, coding, None, format) as file:

        def append(block: Block) -> None:
            nonlocal written
            file.write(np.ascontiguousarray(block.T))
            written += block.shape[1]

        yield append, coding in UNLIMITED
    # a full disk is not always reported by the encoder
    if format != "OGG" and format != "MP3" and soundfile.info(str(partial)).frames != written:
        raise OSError("the file on disk is incomplete (disk full?)")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).replace("\n", " ").rsplit(": ", 1)[-1].rstrip(".") or type(error).__name__


# --- sources: one small interface over libsndfile and G.722 -------------------------------------


class _Sequential(soundfile.SoundFile):
    """A SoundFile that reads on from where it is.

    The library's own seeks to the current place after every read, and in MP3 a seek loses what the
    next frame borrows from the last ones.
    """

    def seekable(self) -> bool:
        return False


class _SoundFile:
    """A file that libsndfile reads."""

    def __init__(self, path: Path):
        self.path = path
        self.file = _Sequential(path)
        self.rate_hz, self.channels = self.file.samplerate, self.file.channels
        self.frames = self.file.frames
        self.format, self.subtype = self.file.format, self.file.subtype

    def blocks(self, start: int, length: int) -> Iterator[np.ndarray]:
        """(n, channels) blocks of at most `length` from `start` on, until the file ends."""
        entry = self._entry(start)
        if entry:
            self.file.seek(entry)
        while entry < start and (skipped := len(self.file.read(min(start - entry, length)))):
            entry += skipped
        while len(block := self.file.read(length, dtype="float32", always_2d=True)):
            yield block

    def _entry(self, start: int) -> int:
        """Where to jump so that decoding on from there gives the right samples at `start`."""
        if self.subtype == "VORBIS":
            return min(start, _last_page_sample(self.path))
        # a frame of MP3 may borrow bits from frames before it
        return max(0, start - MP3_REACH) if self.format == "MP3" else start

    def close(self) -> None:
        self.file.close()


def _last_page_sample(path: Path) -> int:
    """The sample where the last page of an Ogg file begins, less one; 0 where that is unclear.

    A jump into that page lands up to a thousand samples early, because the decoder counts back
    from an end that the encoder has trimmed (libvorbis 1.3.7).
    """
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 17)))  # a page is at most 65307 bytes
        tail = file.read()
    last = tail.rfind(b"OggS")
    before = tail.rfind(b"OggS", 0, last) if last > 0 else -1
    if before < 0:
        return 0
    return max(0, struct.unpack_from("<q", tail, before + 6)[0] - 1)


class _G722File:
    """Bare G.722 at 64 kbit/s: one byte is two samples at 16 kHz; the decoder keeps its state."""

    rate_hz, channels, format, subtype = G722_RATE_HZ, 1, "G722", "G722_64K"

    def __init__(self, path: Path):
        self.codec = _g722()
        self.frames = 2 * path.stat().st_size
        self.file = open(path, "rb")  # noqa: SIM115 - closed by close()

    def blocks(self, start: int, length: int) -> Iterator[np.ndarray]:
        done = 0
        while data := self.file.read(max(1, length // 2)):
            pcm = np.frombuffer(self.codec.decode(data), np.int16)
            skip = min(len(pcm), max(0, start - done))
            done += len(pcm)
            if skip < len(pcm):
                yield (pcm[skip:, None] / np.float32(32768)).astype(np.float32)

    def close(self) -> None:
        self.file.close()


def _g722() -> Any:
    try:
        from G722 import G722
    except ImportError:
        raise missing_extra("G722", "g722") from None
    return G722(G722_RATE_HZ, G722_BITS_PER_S)


@contextmanager
def _open(path: str | Path) -> Iterator[_SoundFile | _G722File]:
    """A checked source. Every failure is one line that says what was found."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a sound file")
        if not path.exists():
            raise InputError(f"{path} does not exist")
        size = path.stat().st_size
        if size == 0:
            raise InputError(f"{path} is empty (0 bytes)")
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    found = _what_is(head)
    # two bytes that look like an MPEG header mean nothing in a file without a header
    if path.suffix.lower() == ".g722" and (found == UNKNOWN or head[0] == 0xFF):
        source: _SoundFile | _G722File = _G722File(path)
    else:
        try:
            _check_riff(path, size)
            source = _SoundFile(path)
        except soundfile.SoundFileError as error:
            if found in SOUND:
                broken = "truncated or damaged" if size < 4096 else "damaged"
                raise InputError(
                    f"{path} begins as {found} but cannot be read, it is {broken}: {_reason(error)}"
                ) from None
            raise InputError(
                f"{path} is not a sound file that can be read: found {found}; "
                f"known are {' '.join(AUDIO_SUFFIXES)}"
            ) from None
    try:
        if source.rate_hz <= 0 or source.channels <= 0:
            raise InputError(
                f"{path} claims {source.channels} channel(s) at {source.rate_hz} Hz: "
                "its header is damaged"
            )
        yield source
    finally:
        source.close()


def _span(path, source, start_s: float, duration_s: float | None) -> tuple[int, int | None]:
    """First sample and number of samples (None: to the end) of a part."""
    if not 0 <= start_s < float("inf"):
        raise InputError(f"{path}: cannot start at {start_s} s")
    if duration_s is not None and not duration_s > 0:
        raise InputError(f"{path}: cannot read {duration_s} s")
    start = round(start_s * source.rate_hz)
    if start and start >= source.frames:
        raise InputError(
            f"{path} is {source.frames / source.rate_hz:.6g} s long: cannot start at {start_s} s"
        )
    if duration_s is None or duration_s == float("inf"):
        return start, None
    return start, max(1, round(duration_s * source.rate_hz))


def _blocks(path, source, start: int, count: int | None) -> Iterator[Block]:
    """Checked (channels, n) blocks of `count` samples from `start` on.

    Raises InputError for not-finite samples, and where the sound ends before the header says so.
    """
    length = max(1, BLOCK_VALUES // source.channels)
    if count is not None:
        length = min(length, count)
    done, rate = 0, source.rate_hz
    try:
        for block in source.blocks(start, length):
            if count is not None:
                block = block[: count - done]
            if not np.isfinite(block).all():
                at = done + start + int(np.argmin(np.isfinite(block).all(axis=1)))
                raise InputError(
                    f"{path} holds NaN or infinite samples, the first at {at / rate:.6g} s"
                )
            done += len(block)
            yield block.T
            if count is not None and done >= count:
                return
    except soundfile.SoundFileError as error:
        raise InputError(
            f"{path} is damaged after {(start + done) / rate:.6g} s: {_reason(error)}"
        ) from None
    # only lossless headers promise an exact length; others are estimates
    if (
        source.format in ("FLAC", "AIFF", "CAF", "W64", "RF64", "AU")
        and start + done < source.frames
    ):
        promised = source.frames / rate
        raise InputError(
            f"{path} is truncated: its header promises {promised:.6g} s, it holds "
            f"{(start + done) / rate:.6g} s"
        )


def _mix(block: Block, channels: Channels) -> Block:
    if channels not in ("keep", "mono"):
        raise InputError(f"channels is 'keep' or 'mono', not {channels!r}")
    return block.mean(axis=0, keepdims=True) if channels == "mono" and len(block) > 1 else block


def _check_riff(path: Path, size: int) -> None:
    """Refuse a WAV file whose data chunk claims more than the file holds, or that has none.

    libsndfile quietly shortens such files. Sizes of 0 and the largest ones stand for "unknown" in
    files that were written to a pipe; those are read to their end.
    """
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return
        long_length = None  # RF64 keeps lengths beyond 4 GB in a chunk of their own
        while len(chunk := file.read(8)) == 8:
            name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            follows = file.tell() + length + length % 2
            if name == b"ds64" and len(sizes := file.read(16)) == 16:
                long_length = struct.unpack("<Q", sizes[8:])[0]
            if name == b"data":
                held = size - file.tell()
                unknown = length >= 0xFFFFF000
                if unknown and long_length is not None:
                    length, unknown = long_length, False
                if held < length and not unknown:
                    raise InputError(
                        f"{path} is truncated: its header promises {length} bytes of sound, "
                        f"it holds {held}"
                    )
                return
            file.seek(follows)
    raise InputError(f"{path} is a WAV file without sound in it: truncated or damaged")


UNKNOWN = "bytes of no known kind"
SOUND = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "W64", "RF64", "CAF", "AU")
MAGIC = (
    (b"fLaC", "FLAC"),
    (b"OggS", "OGG"),
    (b"ID3", "MP3"),
    (b"FORM", "AIFF"),
    (b"RF64", "RF64"),
    (b"riff", "W64"),
    (b"caff", "CAF"),
    (b".snd", "AU"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM (convert it to WAV or FLAC first)"),
    (b"0&\xb2u", "Windows Media (convert it to WAV or FLAC first)"),
    (b"MThd", "MIDI: notes, not sound"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
)


def _what_is(head: bytes) -> str:
    """What the first bytes of a file look like, in words for an error."""
    if head[:4] == b"RIFF":
        kind = head[8:12]
        return "WAV" if kind in b"WAVE" else f"RIFF of type {kind.decode('latin1')!r}"
    if head[4:8] == b"ftyp":
        return "MPEG-4 / M4A (convert it to WAV or FLAC first)"
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "MP3"
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc", b"<?xml"):
        return "an HTML or XML page"
    if head and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "JSON text" if head.lstrip()[:1] in (b"{", b"[") else "text"
    return UNKNOWN
