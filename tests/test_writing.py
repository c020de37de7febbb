from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sonograph import writing
from sonograph.errors import InputError


def test_a_file_and_its_folder_appear(tmp_path: Path) -> None:
    path = writing.write_whole(tmp_path / "new" / "a.txt", b"one")
    assert path.read_bytes() == b"one"
    writing.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = writing.write_whole(tmp_path / "a.txt", b"old")

    def broken_off() -> None:
        with writing.replacing(path) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "quota"), (errno.EACCES, "cannot write to")],
)
def test_a_disk_that_says_no_is_one_line(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught, writing.explained(tmp_path):
        raise OSError(code, "no way")
    assert str(tmp_path) in str(caught.value)


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to"):
        writing.write_whole(tmp_path / "file" / "a.txt", b"")
