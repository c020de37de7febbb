"""A service of its own and a browser in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.commands import environment

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def chromium() -> str:
    """The browser's program; empty where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


@dataclass
class Served:
    """`sonograph serve` as a process: start, stop, and start again at the same address."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0  # any that is free, and the same from then on
    process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Served:
        self.folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "sonograph.cli", "serve", "--json", "--rate", "0"]
        words += ["--port", str(self.port), "--folder", str(self.folder), *self.options]
        self.process = subprocess.Popen(
            words, env=environment(), stdout=subprocess.PIPE, text=True, cwd=self.folder
        )
        assert self.process.stdout is not None
        address = json.loads(self.process.stdout.readline())["address"]
        self.port = self.port or int(address.rpartition(":")[2])
        assert address == self.address
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)
            self.process = None


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    service = Served(folder, options).start()
    try:
        yield service
    finally:
        service.stop()


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A browser of Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
