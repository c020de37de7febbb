"""Unpacking: honest archives come out whole, hostile and broken ones end in one line."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonograph.data.archives import Limits, safe_path, staged, unpack
from sonograph.errors import InputError


def make_tar(entries) -> bytes:
    """Entries are (name, bytes) or ready TarInfo objects."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def make_deb(data: bytes, name: str = "data.tar.xz", claim: int | None = None) -> bytes:
    def member(title: str, content: bytes, size: int | None = None) -> bytes:
        size = len(content) if size is None else size
        head = f"{title:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
        return head + content + b"\n" * (len(content) % 2)

    return (
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", b"odd")
        + member(name, data, claim)
    )


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def packed(kind: str, entries) -> bytes:
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as whole:
            for name, content in entries:
                whole.writestr(name, content)
        return out.getvalue()
    tar = make_tar(entries)
    if kind == "tgz":
        return gzip.compress(tar)
    if kind == "deb-xz":
        return make_deb(lzma.compress(tar))
    if kind == "deb-gz":
        return make_deb(gzip.compress(tar), "data.tar.gz")
    return make_deb(tar, "data.tar")


KINDS = ["zip", "tgz", "deb-xz", "deb-gz", "deb-plain"]


@pytest.fixture
def put(tmp_path):
    (tmp_path / "out").mkdir()

    def unpacked(content: bytes, wanted=("*",), limits=None) -> list[str]:
        (tmp_path / "package").write_bytes(content)
        return unpack(tmp_path / "package", tmp_path / "out", wanted, limits or Limits())

    unpacked.out = tmp_path / "out"
    return unpacked


def outside(out: Path) -> set[str]:
    return {path.name for path in out.parent.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_wanted_files_come_out_byte_for_byte(put, kind):
    big = os.urandom(3_000_000)
    names = put(
        packed(kind, [("./a/x.ogg", big), ("a/b/y.ogg", b"y"), ("a/z.txt", b"no")]), ("a/*.ogg",)
    )
    assert names == ["a/x.ogg", "a/b/y.ogg"]
    assert (put.out / "a/x.ogg").read_bytes() == big
    assert (put.out / "a/b/y.ogg").read_bytes() == b"y"
    assert not (put.out / "a/z.txt").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "a\\..\\evil", "C:/evil"])
def test_a_path_that_could_leave_the_folder_refuses_the_archive(put, kind, name):
    with pytest.raises(InputError, match=r"path|\.\."):
        put(packed(kind, [(name, b"x")]), ("nothing",))
    assert outside(put.out) == {"out", "package"}
    assert not list(put.out.rglob("*"))


@pytest.mark.parametrize(
    "entry",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "other"),
        special("link", tarfile.CHRTYPE),
        special("link", tarfile.FIFOTYPE),
    ],
    ids=["symlink", "hardlink", "device", "fifo"],
)
def test_wanted_links_and_devices_are_refused_and_others_passed_over(put, entry):
    content = gzip.compress(make_tar([entry, ("a", b"fine")]))
    with pytest.raises(InputError, match=r"link|device"):
        put(content)
    assert put(content, ("a",)) == ["a"]


def test_writing_through_a_link_is_impossible(put, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    entries = [special("dir", tarfile.SYMTYPE, str(elsewhere)), ("dir/evil", b"x")]
    with pytest.raises(InputError, match="link"):
        put(gzip.compress(make_tar(entries)))
    put(gzip.compress(make_tar(entries)), ("dir/*",))  # the link is not wanted
    assert not list(elsewhere.iterdir())
    assert (put.out / "dir/evil").read_bytes() == b"x"


def test_a_zip_symlink_is_refused(put):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as whole:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        whole.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        put(out.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_stop_at_the_bytes_really_written(put, kind):
    zeros = bytes(20_000_000)
    limits = Limits(total_bytes=5_000_000)
    with pytest.raises(InputError, match=r"more than|too many bytes"):
        put(packed(kind, [("zeros", zeros)]), limits=limits)
    assert sum(path.stat().st_size for path in put.out.rglob("*")) <= 6_000_000


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_too_many_entries_and_too_large_files_are_refused(put, kind):
    many = packed(kind, [(f"{k}", b"") for k in range(50)])
    with pytest.raises(InputError, match="more than 49 entries"):
        put(many, limits=Limits(files=49))
    with pytest.raises(InputError, match="too many bytes"):
        put(packed(kind, [("big", bytes(100))]), limits=Limits(file_bytes=99))


def test_a_zip_that_lies_about_a_size_is_refused(put):
    content = bytearray(packed("zip", [("a", b"0123456789" * 1000)]))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (20).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"broken|lies"):
        put(bytes(content))


def test_a_tar_header_that_claims_a_huge_name_costs_no_memory(put):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    with pytest.raises(InputError, match=r"claims a huge size|broken"):
        put(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))


@pytest.mark.parametrize("name", ["x/y", "x"])
def test_the_same_path_twice_is_refused(put, name):
    with pytest.raises(InputError, match="twice"):
        put(gzip.compress(make_tar([("x", b"1"), (name, b"2")])))


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_any_place_is_told_in_one_line(put, kind):
    whole = packed(kind, [("a", os.urandom(5000)), ("b", os.urandom(5000))])
    for length in (0, 5, 8, 50, 70, 200, len(whole) // 2, len(whole) * 3 // 4):
        with pytest.raises(InputError) as caught:
            put(whole[:length])
        assert "\n" not in str(caught.value)
        for path in put.out.iterdir():
            path.unlink()


def test_a_deb_that_claims_more_than_it_has_is_truncated(put):
    with pytest.raises(InputError, match="truncated"):
        put(make_deb(lzma.compress(make_tar([("a", b"x")])), claim=10_000_000))


@pytest.mark.parametrize("content", [b"", b"hello", b"!<arch>\n", b"PK\x03\x04"])
def test_what_is_no_archive_is_said_so(put, content):
    with pytest.raises(InputError, match=r"no Debian package|no data.tar|broken"):
        put(content)


def test_an_unknown_compression_is_named(put):
    with pytest.raises(InputError, match=r"data\.tar\.br"):
        put(make_deb(b"..", "data.tar.br"))


def test_an_encrypted_zip_is_refused(put):
    content = bytearray(packed("zip", [("a", b"x")]))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    with pytest.raises(InputError, match="cannot be read"):
        put(bytes(content))


@given(st.text(max_size=40))
def test_safe_paths_stay_below_any_folder(name):
    try:
        path = safe_path(name)
    except ValueError:
        return
    assert os.path.normpath(os.path.join("/base/folder", path)).startswith("/base/folder")


def test_staged_gives_all_or_nothing(tmp_path):
    target = tmp_path / "corpus"

    def stopped():
        with staged(target) as place:
            (place / "half").write_bytes(b"x")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert not list(tmp_path.iterdir())
    with staged(target) as place:
        (place / "whole").write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    assert (target / "whole").read_bytes() == b"x"


def test_staged_clears_what_a_killed_process_left(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / f".corpus.partial-{ended.pid}-abc"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    with staged(tmp_path / "corpus"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
