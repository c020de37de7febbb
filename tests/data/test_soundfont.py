"""The sound font reader: a bank built here, crafted ones, and the real one's counts if there."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonograph.data import corpora, openers, soundfont
from sonograph.data.corpora import files_of, get, is_ready, open_corpus
from sonograph.data.fetch import Download
from sonograph.data.soundfont import LENGTH_S, instruments, read_soundfont, write_notes
from sonograph.errors import InputError

RATE = 16_000
TONE = 1600  # samples of the looped one: 0.1 s


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def tables() -> dict[str, list[tuple]]:
    """Preset 56 and drum kit 128: instrument `brass` loops sample 0, `kit` plays 1, 2 is unused.

    The global zone of `brass` holds the loop and the decay; the kit plays both instruments.
    """
    return {
        "phdr": [
            (b"Trumpet", 56, 0, 0, 0, 0, 0),
            (b"Standard", 0, 128, 1, 0, 0, 0),
            (b"EOP", 0, 0, 3, 0, 0, 0),
        ],
        "pbag": [(0, 0), (1, 0), (2, 0), (3, 0)],
        "pgen": [(41, 0), (41, 1), (41, 0), (0, 0)],
        "inst": [(b"brass", 0), (b"kit", 2), (b"EOI", 3)],
        "ibag": [(0, 0), (3, 0), (4, 0), (5, 0)],
        "igen": [(54, 1), (36, 0), (37, 200), (53, 0), (53, 1), (0, 0)],
        "shdr": [
            (b"Trump C#5", 0, TONE, 400, 480, RATE, 73, -5 & 0xFF, 0, 1),
            (b"Crash", TONE, TONE + 3 * RATE, 0, 0, RATE, 60, 0, 0, 1),
            (b"Unused", 0, TONE, 0, 0, RATE, 60, 0, 0, 1),
            (b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
        ],
    }


def signal() -> np.ndarray:
    tone = 10_000 * np.sin(2 * np.pi * np.arange(TONE) / 80)
    noise = np.random.default_rng(0).integers(-8000, 8000, 3 * RATE)
    return np.concatenate([tone, noise]).astype("<i2")


def bank(folder: Path, changed: dict[str, list[tuple]] | None = None) -> Path:
    packed = {**soundfont.RECORDS, "shdr": struct.Struct("<20sIIIIIBBHH")}
    rows = tables() | (changed or {})
    pdta = b"pdta" + b"".join(
        chunk(name.encode(), b"".join(packed[name].pack(*row) for row in rows[name]))
        for name in soundfont.RECORDS
    )
    sdta = b"sdta" + chunk(b"smpl", signal().tobytes())
    body = b"sfbk" + chunk(b"LIST", sdta) + chunk(b"LIST", pdta)
    path = folder / "Tiny.sf2"
    path.write_bytes(chunk(b"RIFF", body))
    return path


def test_samples_and_who_plays_them(tmp_path):
    font = read_soundfont(bank(tmp_path))
    trumpet, crash, unused = font.samples
    assert (trumpet.name, trumpet.start, trumpet.end) == ("Trump C#5", 0, TONE)
    assert (trumpet.loop_start, trumpet.loop_end) == (400, 480)
    assert (trumpet.root_key, trumpet.correction_cents, trumpet.rate_hz) == (73, -5, RATE)
    assert [(use.bank, use.program, use.instrument) for use in trumpet.uses] == [
        (0, 56, "brass"),
        (128, 0, "brass"),
    ]
    assert [(use.bank, use.preset, use.looped) for use in crash.uses] == [(128, "Standard", False)]
    assert trumpet.uses[0].looped
    assert trumpet.uses[0].sustain_db == 20
    assert trumpet.uses[0].decay_s == 1.0
    assert trumpet.family is None
    assert crash.family == "percussion"
    assert unused.uses == ()
    assert font.presets == 2


def test_a_looped_note_is_sustained_and_a_long_one_cut(tmp_path):
    font = read_soundfont(bank(tmp_path))
    trumpet, crash, _ = font.samples
    note = font.note(trumpet).astype(float)
    assert trumpet.sustained
    assert len(note) == round(LENGTH_S * RATE)
    periodic = 10_000 * np.sin(2 * np.pi * np.arange(len(note)) / 80)  # a seamless loop
    early, late = slice(0, 80), slice(RATE, RATE + 80)  # 100 dB a second, but not below -20 dB
    assert np.corrcoef(note[late], periodic[late])[0, 1] > 0.999
    assert np.abs(note[early]).max() == pytest.approx(10_000, rel=0.06)
    assert np.abs(note[late]).max() == pytest.approx(1_000, rel=0.01)
    assert note[-1] == 0
    cut = font.note(crash)
    assert not crash.sustained
    assert len(cut) == round(LENGTH_S * RATE)
    assert cut[-1] == 0
    assert np.array_equal(cut[:RATE], signal()[TONE : TONE + RATE])


def test_notes_become_clips(tmp_path):
    bank(tmp_path)
    assert write_notes(tmp_path) == 2  # without the unused one
    clips = openers.sound_fonts(tmp_path)
    assert [(clip.id, clip.synthetic, clip.labels) for clip in clips] == [
        ("000_Trump_Cs5", True, {}),  # too few of a family for a class
        ("001_Crash", False, {}),
    ]
    assert [clip.group for clip in clips] == ["Tiny/0-056", "Tiny/drum Crash"]
    assert soundfile.info(clips[0].path).subtype == "PCM_16"
    before = clips[0].path.stat().st_mtime_ns
    assert write_notes(tmp_path) == 2
    assert clips[0].path.stat().st_mtime_ns == before


def test_getting_the_corpus_writes_its_notes(tmp_path, monkeypatch):
    def serve(package, folder):
        folder.mkdir(parents=True)
        path = folder / "package"
        with zipfile.ZipFile(path, "w") as whole:
            whole.write(bank(tmp_path), "usr/share/sounds/sf2/Tiny.sf2")
        return Download(path, package.name, package.kind, "1", "", 0, "a test")

    monkeypatch.setattr(corpora, "download", serve)
    get(["timgm6mb"], tmp_path / "data")
    clips = open_corpus("timgm6mb", tmp_path / "data")
    assert [clip.id for clip in clips] == ["timgm6mb/000_Trump_Cs5", "timgm6mb/001_Crash"]
    assert clips[0].synthetic
    assert clips[0].licence == "GPL-2"
    assert len(clips[0].read()) == clips[0].file_frames == round(LENGTH_S * RATE)
    assert files_of("timgm6mb", "*.sf2", tmp_path / "data")[0].name == "Tiny.sf2"


def test_no_flipped_byte_of_the_tables_gets_past_the_checks(tmp_path):
    path = bank(tmp_path)
    whole = path.read_bytes()
    tables_at = whole.index(b"pdta")
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for place in draw.integers(tables_at, len(whole), 3):
            broken[place] = draw.integers(256)
        path.write_bytes(broken)
        try:
            font = read_soundfont(path)
        except InputError:
            refused += 1
            continue
        for sample in font.samples:
            assert len(font.note(sample)) <= round(LENGTH_S * sample.rate_hz)
    assert 30 < refused < 300


def test_families_and_instruments():
    def sample(name, *programs):
        uses = tuple(soundfont.Use(b, p, "", "") for b, p in programs)
        return soundfont.Sample(name, 0, 9, 0, 0, 8000, 60, 0, None, uses)

    violin = sample("Violin", (0, 40), (0, 41), (0, 110))
    fiddle = sample("Fiddle", (0, 110))
    piano = sample("Piano", (0, 0), (0, 88))
    layer = sample("Layer", (0, 88))
    drums = [sample("Snare", (128, 0), (128, 8)), sample("Rim", (128, 0))]
    every = [violin, fiddle, piano, layer, *drums]
    assert [one.family for one in every] == [
        *("strings", "ethnic", "piano", "synth pad", "percussion", "percussion")
    ]
    names = instruments(every)
    assert names[0] == names[1]
    assert len(set(names)) == 5


HOSTILE = {
    "a sample beyond the data": ("shdr", 0, 2, 10**6),
    "an end before the start": ("shdr", 1, 2, 3),
    "no rate": ("shdr", 0, 5, 0),
    "a sample that is not there": ("igen", 3, 1, 3),
    "an instrument that is not there": ("pgen", 0, 1, 2),
    "a program that is not there": ("phdr", 0, 1, 128),
    "zones that are not there": ("phdr", 2, 3, 999),
    "zones that run backwards": ("inst", 1, 1, 60_000),
    "generators that are not there": ("ibag", 1, 0, 60_000),
    "generators that run backwards": ("ibag", 1, 0, 5),
    "a sample in ROM": ("shdr", 0, 9, 0x8001),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_crafted_bank_is_one_line(tmp_path, what):
    table, row, column, value = HOSTILE[what]
    rows = tables()[table]
    rows[row] = (*rows[row][:column], value, *rows[row][column + 1 :])
    path = bank(tmp_path, {table: rows})
    with pytest.raises(InputError, match=r"Tiny\.sf2") as told:
        read_soundfont(path)
    assert "\n" not in str(told.value)


def test_zones_that_multiply_are_refused(tmp_path):
    count = 400  # presets that each play an instrument of 400 samples, 160,000 ways
    rows = tables()
    rows["shdr"] = [rows["shdr"][0]] * count + rows["shdr"][-1:]
    rows["inst"] = [(b"all", 0), (b"EOI", count)]
    rows["ibag"] = [(k, 0) for k in range(count + 1)]
    rows["igen"] = [(53, k) for k in range(count)] + [(0, 0)]
    rows["phdr"] = [(b"p", 0, 0, k, 0, 0, 0) for k in range(count + 1)]
    rows["pbag"] = [(k, 0) for k in range(count + 1)]
    rows["pgen"] = [(41, 0)] * count + [(0, 0)]
    with pytest.raises(InputError, match="ways"):
        read_soundfont(bank(tmp_path, rows))


def test_a_loop_outside_its_sample_is_not_repeated(tmp_path):
    rows = tables()["shdr"]
    for begin, end in ((480, 400), (400, TONE + 1), (400, 400)):
        rows[0] = (*rows[0][:3], begin, end, *rows[0][5:])
        font = read_soundfont(bank(tmp_path, {"shdr": rows}))
        assert len(font.note(font.samples[0])) == TONE


@pytest.mark.parametrize("size", [0, 3, 11, 12, 30, 500, -1])
def test_a_cut_off_bank_is_one_line(tmp_path, size):
    path = bank(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"Tiny\.sf2"):
        read_soundfont(path)


def test_the_real_bank_has_the_measured_contents():
    if not is_ready("timgm6mb"):
        pytest.skip("timgm6mb is not there: run `sonograph data get timgm6mb`")
    font = read_soundfont(files_of("timgm6mb", "*.sf2")[0])
    assert (len(font.samples), font.presets) == (520, 136)
    assert all(sample.uses for sample in font.samples)
    clips = open_corpus("timgm6mb")
    assert sum(clip.synthetic for clip in clips) == 238
    labelled = clips.labelled("instrument")
    assert {name: len(labelled.filter(lambda c, n=name: c.labels["instrument"] == n))
            for name in labelled.classes("instrument")} == {
        **{"brass": 43, "reed": 42, "ensemble": 39, "percussion": 28, "guitar": 24},
        **{"pipe": 16, "piano": 12},
    }  # fmt: skip
    assert len({clip.group for clip in labelled}) == 64
