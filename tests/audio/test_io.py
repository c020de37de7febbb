from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile

from sonograph.audio import io
from sonograph.audio.io import AUDIO_SUFFIXES, info, read, stream, write, writer
from sonograph.errors import InputError
from sonograph.outputs import Audio

RATE = 16000
LOSSLESS = (".wav", ".flac", ".aiff", ".aif", ".w64", ".rf64", ".caf", ".au")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Two channels of 3.1 s: tones under a slow swell and a little noise."""
    t = np.arange(49600) / RATE
    left = 0.4 * np.sin(2 * np.pi * 220 * t) * np.sin(2 * np.pi * 0.7 * t)
    right = 0.3 * np.sin(2 * np.pi * 333 * t)
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, len(t)))
    return (np.stack((left, right)) + noise).astype(np.float32)


def channels_of(suffix: str) -> int:
    return 1 if suffix == ".g722" else 2


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.fixture(scope="module", params=AUDIO_SUFFIXES)
def file(request, tmp_path_factory, sound):
    path = tmp_path_factory.mktemp("sound") / f"a{request.param}"
    if request.param == ".g722":
        pytest.importorskip("G722")
    write(path, Audio(sound[: channels_of(request.param)], RATE))
    return path


class TestEveryFormat:
    def test_round_trip(self, file, sound):
        want = sound[: channels_of(file.suffix)]
        got = read(file)
        assert got.rate_hz == RATE
        assert got.samples.dtype == np.float32
        assert got.samples.shape == want.shape
        if file.suffix in LOSSLESS:
            np.testing.assert_allclose(got.samples, want, atol=1 / 32768)
        else:
            shifted = 22 if file.suffix == ".g722" else 0  # the codec's filter bank delays
            later = got.samples[:, shifted:]
            assert similarity(later, want[:, : later.shape[1]]) > 0.98
        assert os.listdir(file.parent) == [file.name]

    def test_info(self, file, sound):
        about = info(file)
        assert (about.rate_hz, about.channels) == (RATE, channels_of(file.suffix))
        assert about.frames == sound.shape[1]
        assert about.duration_s == pytest.approx(3.1)

    def test_stream_equals_read(self, file, monkeypatch):
        """Also where the decoder is asked for many small pieces."""
        want = read(file, channels="mono").samples
        monkeypatch.setattr(io, "BLOCK_VALUES", 3000)
        blocks = list(stream(file, 0.25))
        assert {block.shape for block in blocks[:-1]} == {(1, 4000)}
        np.testing.assert_allclose(np.concatenate(blocks, axis=1), want, atol=1e-6)

    def test_stream_resamples_as_read_does(self, file):
        want = read(file, rate_hz=11025, channels="mono").samples
        got = np.concatenate(list(stream(file, 0.5, rate_hz=11025)), axis=1)
        np.testing.assert_allclose(got, want, atol=1e-6)

    @pytest.mark.parametrize(
        ("start_s", "duration_s"), [(0, 0.5), (1.3, 0.7), (2.9, 9), (3.0, None)]
    )
    def test_part(self, file, start_s, duration_s):
        whole = read(file).samples
        begin = round(start_s * RATE)
        end = None if duration_s is None else begin + round(duration_s * RATE)
        part = read(file, start_s=start_s, duration_s=duration_s).samples
        # Vorbis and Opus decoders need a moment after a jump
        atol = 2e-3 if file.suffix == ".opus" else 1e-5
        np.testing.assert_allclose(part, whole[:, begin:end], atol=atol)

    def test_truncated_never_crashes(self, file, tmp_path):
        """Half a file is refused where its header promises more, and else read as what it is."""
        half = tmp_path / file.name
        half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        if file.suffix in (".wav", ".flac", ".rf64"):
            with pytest.raises(InputError, match=r"truncated|damaged"):
                read(half)
        else:
            with contextlib.suppress(InputError):
                assert read(half).samples.shape[1] <= 49600

    def test_only_the_first_bytes(self, file, tmp_path):
        short = tmp_path / file.name
        short.write_bytes(file.read_bytes()[:20])
        if file.suffix == ".g722":
            assert read(short).samples.shape == (1, 40)
            return
        with pytest.raises(InputError):
            read(short)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_rates_and_channels(tmp_path, rate, channels):
    samples = (0.1 * np.random.default_rng(0).standard_normal((channels, 777))).astype(np.float32)
    write(tmp_path / "a.wav", Audio(samples, rate), subtype="FLOAT")
    got = read(tmp_path / "a.wav")
    assert got.rate_hz == rate
    assert np.array_equal(got.samples, samples)
    mono = read(tmp_path / "a.wav", channels="mono").samples
    np.testing.assert_allclose(mono, samples.mean(0, keepdims=True), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_16", 2.0**-15),
        ("a.wav", "PCM_24", 2.0**-23),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.wav", "PCM_U8", 2.0**-7),
        ("a.flac", "PCM_24", 2.0**-23),
    ],
)
def test_codings(tmp_path, sound, name, subtype, step):
    path = tmp_path / name
    write(path, Audio(sound, RATE), subtype)
    assert info(path).subtype == subtype
    np.testing.assert_allclose(read(path).samples, sound, atol=step)
    once = read(path)
    write(tmp_path / f"again{path.suffix}", once, subtype)
    assert np.array_equal(read(tmp_path / f"again{path.suffix}").samples, once.samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_one_sample(tmp_path, suffix):
    path = tmp_path / f"one{suffix}"
    write(path, Audio(np.full((1, 1), 0.5, np.float32), RATE))
    got = read(path)
    assert got.samples.shape == (1, 1)
    assert got.resample(8000).samples.shape == (1, 1)


def test_clipping_is_said(tmp_path):
    loud = Audio(np.array([[0.5, 1.5, -2.0, 1.0]], np.float32), RATE)
    with pytest.warns(UserWarning, match=r"2 of 4 samples .* \(peak 2\)"):
        write(tmp_path / "a.wav", loud)
    np.testing.assert_allclose(read(tmp_path / "a.wav").samples, [[0.5, 1, -1, 1]], atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "b.wav", loud, "FLOAT")
    assert np.array_equal(read(tmp_path / "b.wav").samples, loud.samples)


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.wav", b"", "is empty"),
            ("a.wav", b"RIFF", "damaged"),
            ("a.wav", b"RIFF\x24\0\0\0WAVEfmt ", "without sound|damaged"),
            ("a.wav", b"hello, this is a letter\n" * 9, "found text"),
            ("a.flac", b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture"),
            ("a.ogg", b"OggS" + bytes(99), "damaged"),
            ("a.mp3", b"PK\x03\x04" + bytes(99), "a ZIP archive"),
            ("a.m4a", bytes(4) + b"ftypM4A " + bytes(99), "convert it"),
            ("a.g722", b"RIFF\x24\0\0\0WAVEfmt ", "without sound|damaged"),
            (
                "a.g722",
                b'{"json": "is not sound, and long enough to be told apart ........"}',
                "JSON",
            ),
            ("a.wav", bytes(range(256)) * 9, "no known kind"),
        ],
    )
    def test_broken_files(self, tmp_path, name, content, said):
        path = tmp_path / name
        path.write_bytes(content)
        for call in (read, info, lambda p: list(stream(p, 1.0))):
            with pytest.raises(InputError, match=said) as caught:
                call(path)
            assert "\n" not in str(caught.value)
            assert name in str(caught.value)

    def test_missing_and_folder(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            read(tmp_path / "none.wav")
        with pytest.raises(InputError, match="is a folder"):
            info(tmp_path)

    def test_no_samples(self, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
        assert info(tmp_path / "a.wav").frames == 0
        for call in (read, lambda path: list(stream(path, 1.0))):
            with pytest.raises(InputError, match="holds no sound"):
                call(tmp_path / "a.wav")

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, tmp_path, bad):
        samples = np.zeros(RATE, np.float32)
        samples[4000] = bad
        soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
        for call in (read, lambda path: list(stream(path, 0.1))):
            with pytest.raises(InputError, match=r"NaN or infinite samples, the first at 0\.25 s"):
                call(tmp_path / "a.wav")

    def test_zero_hertz(self, tmp_path):
        path = tmp_path / "a.wav"
        soundfile.write(path, np.zeros(99), RATE)
        data = bytearray(path.read_bytes())
        data[24:28] = struct.pack("<I", 0)
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            read(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("claimed", [24 * 3600 * RATE * 2, 0xFFFFEFFF, 0xFFFFFFFF])
    def test_wav_header_that_lies(self, tmp_path, sound, claimed):
        """A day or four gigabytes claimed, one second there: refused, or read to its end where
        the size stands for "unknown", and never allocated."""
        path = tmp_path / "a.wav"
        soundfile.write(path, sound[0, :RATE], RATE)
        data = bytearray(path.read_bytes())
        place = data.index(b"data") + 4
        data[place : place + 4] = struct.pack("<I", claimed)
        path.write_bytes(data)
        tracemalloc.start()
        if claimed == 0xFFFFFFFF:
            assert read(path).samples.shape == (1, RATE)
        else:
            with pytest.raises(InputError, match="truncated: its header promises"):
                read(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()

    def test_flac_header_that_lies(self, tmp_path, sound):
        path = tmp_path / "a.flac"
        soundfile.write(path, sound[0, :RATE], RATE)
        data = bytearray(path.read_bytes())
        total = 24 * 3600 * RATE  # 36 bits, the last of them in bytes 22 to 25
        data[22:26] = struct.pack(">I", total)
        path.write_bytes(data)
        assert info(path).duration_s == 24 * 3600
        tracemalloc.start()
        with pytest.raises(InputError, match=r"truncated|damaged"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()

    @pytest.mark.parametrize(
        ("start_s", "duration_s"), [(-1, None), (5, None), (0, 0), (0, -1), (float("nan"), None)]
    )
    def test_parts_that_are_not_there(self, tmp_path, sound, start_s, duration_s):
        write(tmp_path / "a.wav", Audio(sound, RATE))
        with pytest.raises(InputError):
            read(tmp_path / "a.wav", start_s=start_s, duration_s=duration_s)


class TestBadOutput:
    @pytest.mark.parametrize(
        ("name", "audio", "subtype", "said"),
        [
            ("a.xyz", Audio(np.zeros((1, 9)), RATE), None, "suffix '.xyz'"),
            ("a.wav", Audio(np.zeros((1, 9)), RATE), "VORBIS", "no coding 'VORBIS'"),
            ("a.wav", Audio(np.zeros((1, 0)), RATE), None, "no samples"),
            ("a.wav", Audio(np.full((1, 9), np.nan), RATE), None, "NaN"),
            ("a.opus", Audio(np.zeros((1, 9)), 44100), None, "resample"),
            ("a.g722", Audio(np.zeros((2, 9)), RATE), None, "mono"),
            ("none/a.wav", Audio(np.zeros((1, 9)), RATE), None, "does not exist"),
            (".", Audio(np.zeros((1, 9)), RATE), None, "folder"),
        ],
    )
    def test_refused_and_nothing_written(self, tmp_path, name, audio, subtype, said):
        with pytest.raises(InputError, match=said):
            write(tmp_path / name, audio, subtype)
        assert list(tmp_path.iterdir()) == []

    def test_failure_midway_keeps_the_old_file(self, tmp_path, sound):
        path = tmp_path / "a.wav"
        write(path, Audio(sound, RATE))
        before = path.read_bytes()

        def interrupted():
            with writer(path, RATE, 1) as add:
                add(sound[:1])
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["a.wav"]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
    def test_full_disk(self, tmp_path, sound, monkeypatch):
        partial = tmp_path / f".a.wav.{os.getpid()}.partial"
        partial.symlink_to("/dev/full")
        with pytest.raises(InputError, match="cannot write"):
            write(tmp_path / "a.wav", Audio(sound, RATE))
        assert list(tmp_path.iterdir()) == []

    def test_audio_of_integers_is_refused(self):
        with pytest.raises(InputError, match="int16"):
            Audio(np.zeros((1, 9), np.int16), RATE)


def test_parts_of_real_vorbis_files(shared):
    """Files whose last page a plain seek misses by 256 and 960 samples."""
    for name in ("004_baby_cry/1-187207-A.ogg", "005_clock_tick/3-170377-A.ogg"):
        whole = read(shared / "data/esc10" / name).samples
        for start in range(0, whole.shape[1], 17777):
            part = read(shared / "data/esc10" / name, start_s=start / 44100, duration_s=0.01)
            np.testing.assert_allclose(part.samples, whole[:, start : start + 441], atol=1e-5)


def test_long_stream_in_little_memory(tmp_path):
    """Ten minutes pass through in a few blocks' worth of memory."""
    path = tmp_path / "long.flac"
    block = (0.1 * np.random.default_rng(0).standard_normal((1, RATE * 10))).astype(np.float32)
    with writer(path, RATE, 1) as add:
        for _ in range(60):
            add(block)
    tracemalloc.start()
    total = sum(part.shape[1] for part in stream(path, 5.0, rate_hz=8000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 600 * 8000
    assert peak < 8e6
