"""Places: what is written is there whole, what is fetched is bounded."""

from __future__ import annotations

import os

import fsspec
import pytest

from sonograph.errors import InputError
from sonograph.scale import places
from sonograph.scale.places import Place, fetched


@pytest.fixture(params=["file", "memory"])
def place(request, tmp_path) -> Place:
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return Place("memory://place")
    return Place(str(tmp_path / "place"))


def test_files_come_back(place: Place) -> None:
    assert place.read("a/b.txt") is None
    assert place.sizes("a") == {}
    place.write("a/b.txt", b"one")
    place.write("a/b.txt", b"other")
    with place.room() as room:
        (room / "c").write_bytes(b"moved")
        place.put(room / "c", "a/c.txt")
        assert not (room / "c").exists()
    assert not room.exists()
    assert place.read("a/c.txt") == b"moved"
    assert place.sizes("a") == {"b.txt": 5, "c.txt": 5}


def test_a_room_is_on_the_disk_of_its_place_and_what_is_left_is_tidied(tmp_path) -> None:
    place = Place(str(tmp_path))
    with place.room() as room:
        assert room.parent == tmp_path
        os.rename(room, tmp_path / f"{places.PARTIAL}killed")
        room.mkdir()
    (tmp_path / "kept").mkdir()
    place.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"):
        Place(str(tmp_path / "file")).write("a.txt", b"x")
    with pytest.raises(InputError, match="cannot be opened"):
        Place("x9://bucket").read("a")


def test_a_sound_of_this_disk_is_itself_and_another_is_a_copy(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"abc")
    with fetched(str(tmp_path / "a.wav"), 1) as path:
        assert path == tmp_path / "a.wav"
    with fetched(f"file://{tmp_path}/a.wav", 1) as path:
        assert path == tmp_path / "a.wav"
    fsspec.filesystem("memory").pipe_file("/far/a.wav", b"abc")
    with fetched("memory://far/a.wav", 3) as path:
        assert path.suffix == ".wav"
        assert path.read_bytes() == b"abc"
    assert not path.exists()
    with pytest.raises(InputError, match="--largest-mb"), fetched("memory://far/a.wav", 2):
        pass
    with pytest.raises(InputError, match="does not exist"), fetched("memory://far/b.wav", 2):
        pass


def test_a_network_that_breaks_is_tried_again(monkeypatch) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/far/a.wav", b"abc")
    calls, whole = [], type(system)._open

    def broken(self, path, *args, **kwargs):
        calls.append(path)
        if len(calls) <= failures:
            raise ConnectionError("reset by peer")
        return whole(self, path, *args, **kwargs)

    monkeypatch.setattr(type(system), "_open", broken)
    monkeypatch.setattr(places, "PAUSE_S", 0.0)
    failures = 2
    with fetched("memory://far/a.wav", 3) as path:
        assert path.read_bytes() == b"abc"
    assert len(calls) == 3
    calls.clear()
    failures = 3
    said = "cannot be fetched.*reset by peer"
    with pytest.raises(InputError, match=said), fetched("memory://far/a.wav", 3):
        pass
