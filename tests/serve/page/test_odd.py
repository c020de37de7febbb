"""Files and moments that nobody planned for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.serve.browser import Served
from tests.serve.page.conftest import Open, ask, choose, expect, give, settle
from tests.serve.sounds import RATE

pytestmark = pytest.mark.slow
ODD = 'Grüße "an alle" d\'été & <b>100%<b>.wav'


@pytest.mark.usefixtures("fresh")
def test_any_name_is_shown_as_it_is(open_page: Open, room: Path, service: Served, tmp_path: Path):
    path, option = tmp_path / ODD, tmp_path / "--help.wav"
    for one in (path, option):
        one.write_bytes((room / "tone.wav").read_bytes())
    page = open_page()
    give(page, path, option)
    assert {one["name"] for one in ask(service, "/sounds")} == {ODD, "--help.wav"}
    expect(page.get_by_role("heading", name=ODD)).to_be_visible()
    page.locator("#list .open", has_text="--help.wav").click()
    job = settle(page)
    job.get_by_role("tab", name="Command").click()
    expect(job.get_by_role("tabpanel")).to_contain_text("sonograph tag ./--help.wav --model")


@pytest.mark.usefixtures("fresh")
def test_a_click_is_as_short_as_it_is(open_page: Open, tmp_path: Path):
    click = np.zeros(RATE // 20)
    click[100:130] = 0.8
    soundfile.write(tmp_path / "click.wav", click, RATE)
    page = open_page(width=360)
    give(page, tmp_path / "click.wav")
    expect(page.locator("#list")).to_contain_text("50 ms")
    expect(page.locator("#look .clock")).to_have_text("0.00 s / 0.05 s")
    choose(page, "Turn into vectors")
    job = settle(page)
    box = job.get_by_role("rowheader", name="vectors").bounding_box()
    assert box["height"] < 60  # on one line, however narrow


@pytest.mark.usefixtures("fresh")
def test_a_text_with_signs_is_shown_as_it_was_written(open_page: Open):
    page = open_page()
    choose(page, "Speak a text")
    page.get_by_label("Text", exact=True).fill("Fish & <b>chips</b> for 5 %.")
    job = settle(page)
    expect(job.locator(".said")).to_have_text("Fish & <b>chips</b> for 5 %. ")


@pytest.mark.usefixtures("fresh")
def test_an_upload_can_be_cancelled(open_page: Open, room: Path, service: Served):
    page = open_page(expected="ERR_")
    page.route("**/api/sounds", lambda route: None)  # it never gets there
    page.set_input_files("#files", [room / "tone.wav", room / "rain.wav"])
    cancel = page.get_by_role("button", name="Cancel the upload")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#uploads li")).to_have_count(0)
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    expect(page.locator("#said")).to_have_text("The upload was cancelled")
    page.unroute("**/api/sounds")
    assert ask(service, "/sounds") == []
    give(page, room / "tone.wav")  # and the next one comes


@pytest.mark.usefixtures("fresh")
def test_the_keyboard_goes_on_where_something_was_removed(open_page: Open, room: Path):
    page = open_page(expected=r"status of 4\d\d")
    give(page, room / "tone.wav", room / "rain.wav")
    settle(page)
    page.get_by_role("button", name="Remove Say what is heard").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".job")).to_have_count(0)
    expect(page.locator("#task")).to_be_focused()
    page.get_by_role("button", name="Remove tone.wav").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove rain.wav")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    page.set_input_files("#files", [room / "broken.wav"])
    page.get_by_role("button", name="Dismiss what is said about broken.wav").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()


@pytest.mark.usefixtures("fresh")
def test_whoever_writes_is_not_disturbed_by_what_ends(open_page: Open, room: Path):
    page = open_page()
    choose(page, "Teach your labels")
    page.locator("#folder").set_input_files(room / "mine")
    expect(page.locator("#list")).to_contain_text("12 sounds of 2 labels")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Steps").fill("40")
    page.locator("#task button[type=submit]").click()
    page.wait_for_selector(".job")
    choose(page, "Speak a text")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Text", exact=True).press_sequentially("Good ")
    with page.expect_response("**/api/actions"):  # there is a model more
        page.wait_for_selector(".job[data-state=done]")
    page.wait_for_load_state("networkidle")
    page.keyboard.type("morning.")
    expect(page.get_by_label("Text", exact=True)).to_have_value("Good morning.")
    expect(page.get_by_label("Pace")).to_be_visible()
