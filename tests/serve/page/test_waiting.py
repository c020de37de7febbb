"""What takes its time, breaks off, comes back, or asks who is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.serve import reading
from tests.serve.browser import Served, served
from tests.serve.page.conftest import Open, ask, choose, expect, give, settle
from tests.serve.sounds import RATE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def long_sound(room: Path) -> Path:
    path = room / "long.wav"
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (90 * RATE, 2))
    soundfile.write(path, noise, RATE)
    return path


@pytest.mark.usefixtures("fresh")
def test_what_runs_and_what_waits_can_be_cancelled_and_survives_a_reload(
    open_page: Open, long_sound: Path, service: Served
):
    page = open_page()
    give(page, long_sound)
    choose(page, "Pull apart")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Shifts").fill("8")
    for _ in range(3):
        page.locator("#task button[type=submit]").click()
        page.wait_for_function("() => !document.querySelector('#task [aria-busy]')")
    jobs = page.locator(".job")
    expect(jobs).to_have_count(3)
    expect(jobs.nth(0)).to_contain_text("In the queue, 1 job before it")
    expect(jobs.nth(1)).to_contain_text("Next in the queue")
    expect(jobs.nth(2).get_by_role("progressbar")).to_be_visible()
    expect(jobs.nth(2)).to_contain_text(" left")
    page.reload()
    expect(jobs).to_have_count(3)
    expect(jobs.nth(2)).to_contain_text(" left")
    for place in (0, 2, 1):
        jobs.nth(place).get_by_role("button", name="Cancel Pull apart").click()
        expect(jobs.nth(place)).to_contain_text("Cancelled.")
    assert {one["state"] for one in ask(service, "/jobs")} == {"cancelled"}
    jobs.nth(0).get_by_role("button", name="Remove Pull apart").click()
    expect(jobs).to_have_count(2)


@pytest.mark.usefixtures("fresh")
def test_without_a_stream_of_events_it_asks(open_page: Open, room: Path):
    page = open_page(expected="ERR_FAILED")
    page.route("**/events", lambda route: route.abort())
    give(page, room / "tone.wav")
    choose(page, "Say what is heard")
    job = settle(page)
    expect(job.locator(".bars")).to_be_visible()


@pytest.mark.usefixtures("fresh")
def test_a_reload_shows_everything_again(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "tone.wav", room / "speech in noise.wav")
    choose(page, "Clean up speech")
    page.locator("#task button[type=submit]").click()  # of each: two jobs
    page.wait_for_function("() => document.querySelectorAll('.job[data-state=done]').length === 2")
    page.reload()
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator(".job")).to_have_count(2)
    expect(page.locator(".job").nth(0).locator(".lane")).to_have_count(3)  # the last one is open
    expect(page.locator(".job").nth(1).locator(".lane")).to_have_count(0)
    page.locator(".job").nth(1).get_by_role("button", name="Show Clean up speech").click()
    expect(page.locator(".job").nth(1).locator(".lane")).to_have_count(3)


@pytest.mark.usefixtures("fresh")
def test_a_service_that_is_gone_is_told_and_found_again(
    open_page: Open, room: Path, service: Served
):
    page = open_page(expected="Failed to load resource|ERR_")
    give(page, room / "tone.wav")
    service.stop()
    page.locator("#task button[type=submit]").click()
    expect(page.get_by_text("The service does not answer.")).to_be_visible()
    expect(page.locator("#wanted .wrong")).to_contain_text("is `sonograph serve` still running?")
    service.start()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.get_by_role("heading", name="Drop a sound")).to_be_visible()  # it is a new one
    give(page, room / "tone.wav")
    settle(page)


def test_the_token_is_asked_for_once(browser: Any, open_page: Open, room: Path, tmp_path: Path):
    with served(tmp_path / "locked", "--token", "swordfish") as service:
        page = open_page(service.address, expected="status of 401", ready=False)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(page.get_by_label("Token", exact=True)).to_be_focused()
        assert reading.told(page, "nameless") == []
        page.keyboard.type("haddock")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("That is not the token of this service.")
        page.get_by_label("Token", exact=True).fill("swordfish")
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        give(page, room / "tone.wav")
        settle(page)
        page.reload()
        expect(page.locator("#list li")).to_have_count(1)
        expect(dialog).to_be_hidden()
        page.close()  # before the service is
