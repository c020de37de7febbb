"""A browser, a service and a room full of sounds, for all tests of the page; each test says what
it does in words: give, choose, settle.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.browser import Served, browsing, chromium, served
from tests.serve.sounds import furnish

try:
    from playwright.sync_api import expect
except ImportError:
    expect = None

PATIENCE_MS = 90_000  # what a busy machine may need for anything
if expect is not None:
    expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., Any]


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Skips where there is none; where CI is true it has to be there."""
    lack = ""
    if expect is None:
        lack = "playwright is not here: pip install playwright"
    elif not chromium():
        lack = "no chromium is here: install it, or set CHROMIUM to its program"
    if lack and os.environ.get("CI") == "true":
        pytest.fail(lack)
    if lack:
        pytest.skip(lack)
    with browsing() as found:
        yield found


@pytest.fixture(scope="package")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnish(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="package")
def service(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture
def open_page(browser: Any, service: Served) -> Iterator[Open]:
    """Opens pages; afterwards none may have complained, or asked any other place for anything.

    expected: what the browser may write into its console, where a test makes a request fail.
    """
    contexts, told, strangers = [], [], []

    def open_at(
        address: str = "", width: int = 1200, expected: str = "", ready: bool = True, **dress: Any
    ) -> Any:
        address = address or service.address
        context = browser.new_context(viewport={"width": width, "height": 900}, **dress)
        context.grant_permissions(
            ["microphone", "clipboard-read", "clipboard-write"], origin=address
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()

        fine = "willReadFrequently" + f"|{expected}" * bool(expected)  # tests read pictures back

        def hear(message: Any) -> None:
            if message.type in ("error", "warning") and not re.search(fine, message.text):
                told.append(message.text)

        def watch(request: Any) -> None:
            if not request.url.startswith((address, "blob:", "data:")):
                strangers.append(request.url)

        page.on("console", hear)
        page.on("pageerror", lambda problem: told.append(str(problem)))
        page.on("request", watch)
        page.goto(address)
        if ready:
            page.wait_for_selector("body[data-ready]")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert told == []
    assert strangers == []


@pytest.fixture
def fresh(service: Served) -> None:
    """No sounds and no jobs are left from another test."""
    for kind in ("jobs", "jobs", "sounds"):  # the first time cancels, the second forgets
        for one in ask(service, f"/{kind}"):
            request = urllib.request.Request(
                f"{service.address}/api/{kind}/{one['id']}", method="DELETE"
            )
            with contextlib.suppress(urllib.error.HTTPError):  # it went with its job
                urllib.request.urlopen(request).close()


def ask(service: Served, path: str) -> Any:
    with urllib.request.urlopen(f"{service.address}/api{path}") as answer:
        return json.load(answer)


def give(page: Any, *files: Path) -> None:
    """Choose files, and wait until they are in the list."""
    before = page.locator("#list li").count()
    page.set_input_files("#files", list(files))
    expect(page.locator("#list li")).to_have_count(before + len(files))


def choose(page: Any, title: str) -> None:
    page.get_by_role("radio", name=title, exact=True).check()


def settle(page: Any, count: int = 1) -> Any:
    """Start what is chosen; the newest result, when it is there."""
    page.locator("#task button[type=submit]").click()
    page.wait_for_function(
        "n => document.querySelectorAll('.job[data-state=done]').length >= n", arg=count
    )
    return page.locator(".job").first


def colours_of(canvas: Any) -> int:
    """How many colours a canvas holds."""
    return canvas.evaluate(
        """(one) => {
          const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


ENDS = ("start_s", "end_s")  # in the address of what is drawn


def at(sheet: Any) -> float:
    return float(sheet.get_by_role("slider").get_attribute("aria-valuenow"))
