"""Fetching, with stand-ins for the registries' clients on PATH: no test goes to the network."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest

from sonograph.data import fetch
from sonograph.data.fetch import Package, download
from sonograph.errors import InputError

CONTENT = b"the package"
SHA = hashlib.sha256(CONTENT).hexdigest()
DEBIAN = Package("debian", "sounds", ("*",))
WHEEL = Package("pypi", "some-data", ("*",), "1.2", SHA)
NPM = Package("npm", "@audio/piano", ("*",), "1.0.5")


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """A folder that is the whole PATH; `write` puts a shell script into it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)

    return write


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_debian_version_and_hash_come_from_the_lists(clients, tmp_path):
    clients("apt-cache", f"echo 'Version: 1.0-1'; echo 'SHA256: {SHA}'")
    clients("apt-get", 'printf "the package" > sounds_1.0-1_all.deb; test "$3" = sounds=1.0-1')
    got = download(DEBIAN, tmp_path / "d")
    assert (got.version, got.sha256, got.bytes) == ("1.0-1", SHA, len(CONTENT))
    assert "apt" in got.checked_against
    assert files(tmp_path / "d") == ["sounds_1.0-1_all.deb"]


def test_a_finished_download_is_not_fetched_again_and_a_damaged_one_is(clients, tmp_path):
    clients("apt-cache", f"echo 'Version: 1.0-1'; echo 'SHA256: {SHA}'")
    clients("apt-get", 'printf "the package" > sounds_1.0-1_all.deb')
    path = download(DEBIAN, tmp_path).path
    clients("apt-get", "echo 'E: no network' >&2; exit 100")
    assert download(DEBIAN, tmp_path).path == path
    path.write_bytes(CONTENT[:4])
    with pytest.raises(InputError, match="no network"):
        download(DEBIAN, tmp_path)
    assert not path.exists()


def test_an_interrupted_download_leaves_nothing_that_looks_finished(clients, tmp_path):
    clients("apt-cache", f"echo 'Version: 1.0-1'; echo 'SHA256: {SHA}'")
    clients("apt-get", 'printf "the pa" > sounds_1.0-1_all.deb; kill -9 $$')
    with pytest.raises(InputError, match="could not download sounds"):
        download(DEBIAN, tmp_path / "d")
    assert files(tmp_path / "d") == []
    clients("apt-get", 'printf "the package" > sounds_1.0-1_all.deb')
    assert download(DEBIAN, tmp_path / "d").path.read_bytes() == CONTENT


@pytest.mark.parametrize("package", [DEBIAN, WHEEL])
def test_another_hash_than_expected_is_refused(clients, tmp_path, package):
    clients("apt-cache", f"echo 'Version: 1.0-1'; echo 'SHA256: {SHA}'")
    clients("apt-get", 'printf "something else" > sounds_1.0-1_all.deb')
    clients("python", 'shift 7; printf "else" > "$2/some_data-1.2-py3-none-any.whl"')
    with pytest.raises(InputError, match="SHA-256"):
        download(package, tmp_path / "d")
    assert files(tmp_path / "d") == []


def test_no_apt_and_no_lists_are_told_with_what_to_do(clients, tmp_path):
    with pytest.raises(InputError, match="apt is not on this machine"):
        download(DEBIAN, tmp_path)
    clients("apt-cache", "echo 'E: No packages found' >&2; exit 100")
    with pytest.raises(InputError, match="apt-get update") as caught:
        download(DEBIAN, tmp_path)
    assert "\n" not in str(caught.value)
    clients("apt-cache", "echo 'Package: sounds'")
    with pytest.raises(InputError, match="apt-get update"):
        download(DEBIAN, tmp_path)


def test_wheels_come_by_pip_of_this_python_without_dependencies(clients, tmp_path):
    clients(
        "python",
        f'echo "$@" > {tmp_path}/said; shift 7; printf "the package" > '
        '"$2/some_data-1.2-py3-none-any.whl"',
    )
    got = download(WHEEL, tmp_path / "d")
    assert (got.kind, got.version, got.sha256) == ("pypi", "1.2", SHA)
    said = (tmp_path / "said").read_text()
    assert "-m pip download --no-deps --only-binary :all:" in said
    assert "some-data==1.2" in said


def test_a_folder_may_be_named_from_here(clients, tmp_path, monkeypatch):
    """As ./sonograph-data is: clients run elsewhere, and are told where it is from there."""
    clients("python", 'shift 7; printf "the package" > "$2/some_data-1.2-py3-none-any.whl"')
    monkeypatch.chdir(tmp_path)
    got = download(WHEEL, Path("d"))
    assert files(Path("d")) == ["some_data-1.2-py3-none-any.whl"]
    assert got.path.read_bytes() == CONTENT


def test_a_python_without_pip_is_told(clients, tmp_path):
    clients("python", "echo 'python: No module named pip' >&2; exit 1")
    with pytest.raises(InputError, match="ensurepip"):
        download(WHEEL, tmp_path)


def test_npm_packages_come_by_npm_pack(clients, tmp_path):
    clients("npm", 'test "$3" = "@audio/piano@1.0.5" && printf x > audio-piano-1.0.5.tgz')
    got = download(NPM, tmp_path / "d")
    assert got.path.name == "audio-piano-1.0.5.tgz"
    os.unlink(Path(os.environ["PATH"]) / "npm")
    assert download(NPM, tmp_path / "d").path == got.path
    got.path.unlink()
    with pytest.raises(InputError, match="npm is not on this machine"):
        download(NPM, tmp_path / "d")


def test_no_host_or_address_stands_in_the_code():
    source = Path(fetch.__file__).parent
    text = "".join(path.read_text() for path in source.glob("*.py"))
    assert "://" not in text
    assert ".org" not in text
