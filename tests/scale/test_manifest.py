"""Manifests: what can be read, what is told of what cannot, and shards that are always the same."""

from __future__ import annotations

import dataclasses
import json

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.scale.manifest import Item, Shard, _named, checksum, cut, read_manifest


def items_of(count: int) -> list[Item]:
    return [Item(k, f"/sounds/{k}.wav", str(k), row={"path": f"{k}.wav"}) for k in range(count)]


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@calm
@given(st.integers(0, 300), st.integers(1, 70))
def test_shards_hold_every_sound_once_in_order(count: int, size: int) -> None:
    items = items_of(count)
    shards = cut(items, size)
    assert [item for shard in shards for item in shard.items] == items
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(len(shard.items) == size for shard in shards[:-1])
    assert all(0 < len(shard.items) <= size for shard in shards)
    assert cut(items, size) == shards
    assert [Shard.from_json(s.number, s.to_json()) for s in shards] == shards


def test_a_shard_needs_a_size() -> None:
    with pytest.raises(InputError, match="--shard-size"):
        cut(items_of(3), 0)


@calm
@given(st.lists(st.text(max_size=12), max_size=30))
def test_names_are_unique_and_stay_below_a_folder(names: list[str]) -> None:
    named = _named([Item(k, "/a.wav", name) for k, name in enumerate(names)])
    found = [item.name for item in named]
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert name
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert "\0" not in name


def test_a_checksum_tells_another_order_name_or_part() -> None:
    items = items_of(3)
    changed = [
        items[::-1],
        items[:2],
        [*items[:2], dataclasses.replace(items[2], name="x")],
        [*items[:2], dataclasses.replace(items[2], duration_s=1.0)],
    ]
    assert len({checksum(one) for one in [items, *changed]}) == 5
    assert checksum(items) == checksum(items_of(3))


def test_every_form_of_a_row(tmp_path) -> None:
    rows = [
        '{"path": "a.wav", "label": "dog"}',
        "",
        '"sub/b.flac"',
        '{"audio_filepath": "/far/c.wav", "id": 7}',
        '{"url": "memory://bucket/d.ogg"}',
        '{"file": "a.wav", "start_s": 0, "duration_s": 1.5}',
        '{"path": "e.wav", "duration": 3}',
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(rows), encoding="utf-8")
    found = read_manifest(str(tmp_path / "m.jsonl"))
    assert [item.sound for item in found] == [
        f"{tmp_path}/a.wav", f"{tmp_path}/sub/b.flac", "/far/c.wav", "memory://bucket/d.ogg",
        f"{tmp_path}/a.wav", f"{tmp_path}/e.wav",
    ]  # fmt: skip
    assert [item.name for item in found] == ["a-0", "b", "7", "d", "a-4", "e"]
    assert found[0].row == {"path": "a.wav", "label": "dog"}
    assert found[4].part == f"{tmp_path}/a.wav#t=0,1.5"
    assert found[5].part == f"{tmp_path}/e.wav"  # a duration alone only describes the file


def test_csv_folder_and_memory(tmp_path) -> None:
    (tmp_path / "m.csv").write_bytes("\ufefffilename,label\nx.wav,dog\ny é.wav,cat\n".encode())
    found = read_manifest(str(tmp_path / "m.csv"))
    assert [item.sound for item in found] == [f"{tmp_path}/x.wav", f"{tmp_path}/y é.wav"]
    assert found[1].row == {"filename": "y é.wav", "label": "cat"}
    system = fsspec.filesystem("memory")
    for name in ("sub/b.wav", "a.flac", "a.wav", "notes.txt", ".hidden/c.wav"):
        system.pipe_file(f"/shelf/{name}", b"x")
    found = read_manifest("memory://shelf")
    assert [item.sound for item in found] == [
        "memory:///shelf/a.flac", "memory:///shelf/a.wav", "memory:///shelf/sub/b.wav",
    ]  # fmt: skip
    assert [item.name for item in found] == ["a-0", "a-1", "sub/b"]
    system.pipe_file("/shelf/m.jsonl", b'"sub/b.wav"\n"../up.wav"\n')
    found = read_manifest("memory://shelf/m.jsonl")
    assert [item.sound for item in found] == [
        "memory://shelf/sub/b.wav",
        "memory://shelf/../up.wav",
    ]
    assert [item.name for item in found] == ["b", "up"]


def test_what_clips_save_is_a_manifest(tmp_path) -> None:
    whole = Clip(
        id="one", path=tmp_path / "s/one.wav", duration_s=0.5, rate_hz=8000, file_frames=4000
    )
    part = dataclasses.replace(whole, id="two", start_s=0.25, duration_s=0.125)
    Clips([whole, part]).save(tmp_path / "clips.jsonl")
    found = read_manifest(str(tmp_path / "clips.jsonl"))
    assert [item.name for item in found] == ["one", "two"]
    assert [item.sound for item in found] == [f"{tmp_path}/s/one.wav"] * 2
    assert [(item.start_s, item.duration_s) for item in found] == [(0.0, None), (0.25, 0.125)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.jsonl", b"", "names no sounds"),
        ("m.jsonl", b'{"path": "a.wav"}\n{"path": ', "line 2 is no JSON"),
        ("m.jsonl", b'{"path": "a.wav"}\n\n[1]', "line 3 is no object"),
        ("m.jsonl", b"[" * 100_000, "line 1 is no JSON"),
        ("m.jsonl", b'{"paht": "a.wav"}', "Did you mean 'path'"),
        ("m.jsonl", b'{"path": ""}', "names no sound by 'path'"),
        ("m.jsonl", b'{"path": 3}', "names no sound by 'path'"),
        ("m.jsonl", b'{"path": "a\\u0000.wav"}', "is no path"),
        ("m.jsonl", b'{"path": "a.wav", "start_s": -1}', "give seconds"),
        ("m.jsonl", b'{"path": "a.wav", "start_s": 0, "duration_s": "NaN"}', "give seconds"),
        ("m.jsonl", b'{"recording": {"sources": []}, "id": "x"}', "without a single sound file"),
        ("m.jsonl", b"\xff\xfe\x00a", "no UTF-8"),
        ("m.csv", b"paths,label\na.wav,x\n", "has no column 'path'"),
        ("m.csv", b"path,label\na.wav,x,y\n", "line 2 has not as many values"),
        ("m.csv", b"path,label\na.wav\n", "line 2 has not as many values"),
        ("m.csv", b'path\n"a.wav\n', "is no CSV"),
        ("m.csv", b"path,label\n", "names no sounds"),
        ("m.txt", b"a.wav", "is no manifest"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_one_line(tmp_path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_manifest(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [("gone.jsonl", "does not exist"), ("empty", "holds no sound files"), ("x9://a", "x9")],
)
def test_a_place_without_a_manifest(tmp_path, monkeypatch, where: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        read_manifest(where)


def test_rows_that_name_the_same_sound_are_two(tmp_path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps("a.wav") + "\n" + json.dumps("a.wav"))
    assert [item.name for item in read_manifest(str(tmp_path / "m.jsonl"))] == ["a-0", "a-1"]
