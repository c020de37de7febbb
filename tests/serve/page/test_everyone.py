"""By keyboard, by screen reader, on a narrow page, in the dark, without motion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.serve import reading
from tests.serve.browser import Served
from tests.serve.page.conftest import Open, choose, expect, give, settle
from tests.serve.sounds import RATE, rain

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("fresh")
def test_by_keyboard_alone(open_page: Open, tmp_path: Path):
    path = tmp_path / "rain.wav"
    soundfile.write(path, rain(20.0), RATE)  # long enough to be paused on a busy machine
    page = open_page()
    stops: list[dict[str, Any]] = []

    def tab_to(name: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            stops.append(reading.told(page, "focus"))
            if re.search(name, stops[-1]["name"]):
                return
        pytest.fail(f"{name} was not reached: {[one['name'] for one in stops]}")

    tab_to("^Choose files$")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(path)
    expect(page.get_by_role("heading", name="rain.wav")).to_be_visible()
    tab_to("^Play rain.wav$")
    page.keyboard.press("Space")
    expect(page.locator("#look").get_by_role("button", name="Pause rain.wav")).to_be_visible()
    page.keyboard.press("Space")
    tab_to("^Playhead of rain.wav$")
    page.keyboard.press("End")
    page.keyboard.press("+")
    tab_to("^tag$")  # the radio of the action, by its value
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Clean up speech", exact=True)).to_be_checked()
    page.keyboard.press("ArrowLeft")
    tab_to("^Settings$")
    page.keyboard.press("Enter")
    tab_to("^Say what is heard$")
    page.keyboard.press("Enter")
    page.wait_for_selector(".job[data-state=done]")
    tab_to("^Hide Say what is heard$")
    tab_to("^Python$")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Command")).to_have_attribute("aria-selected", "true")
    tab_to("^Copy the command$")
    page.keyboard.press("Enter")
    expect(page.locator(".copy")).to_have_text("Copied")
    tab_to("^Keys$")
    assert [one for one in stops if not one["shown"]] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_readable_for_everyone(
    open_page: Open, room: Path, service: Served, fresh: None, theme: str, width: int
):
    page = open_page(width=width, color_scheme=theme)
    assert reading.faults(page) == []
    assert reading.told(page, "wider") == {"wide": width, "scrolls": width, "told": []}
    give(page, room / "evening song.flac", room / "speech in noise.wav")
    choose(page, "Turn into vectors")
    settle(page)
    page.get_by_role("button", name=re.compile("^evening song")).first.click()
    for number, title in enumerate(("Write down notes", "Pull apart", "Say what is heard"), 2):
        choose(page, title)
        for details in page.locator("#task details").all():
            details.evaluate("one => { one.open = true; }")
        assert reading.faults(page) == []
        settle(page, number)
    page.locator("footer summary").click()
    page.wait_for_load_state("networkidle")
    assert reading.faults(page) == []
    assert reading.told(page, "wider") == {"wide": width, "scrolls": width, "told": []}
    assert page.locator("main, header.top, footer").count() == 3
    expect(page.locator("#said")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#said")).to_have_text("Say what is heard is done")


@pytest.mark.usefixtures("fresh")
def test_dark_and_light_by_the_system_and_by_a_switch(open_page: Open, room: Path):
    page = open_page(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 19, 26)"
    give(page, room / "tone.wav")
    with page.expect_request(lambda one: "theme=light" in one.url):
        page.get_by_role("radio", name="Light").check()
    assert page.evaluate(ground) == "rgb(250, 248, 243)"
    page.reload()
    assert page.evaluate(ground) == "rgb(250, 248, 243)"
    expect(page.get_by_role("radio", name="Light")).to_be_checked()
    page.get_by_role("radio", name="Auto").check()
    assert page.evaluate(ground) == "rgb(21, 19, 26)"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == "rgb(250, 248, 243)"


@pytest.mark.usefixtures("fresh")
def test_nothing_moves_for_those_who_asked_for_that(open_page: Open):
    page = open_page(reduced_motion="reduce")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#recorder")).to_be_visible()
    moving = "document.getAnimations().filter((one) => one.playState === 'running').length"
    assert page.evaluate(moving) == 0
    page.get_by_role("button", name="Discard").click()


FAULTY = """<!doctype html><html><body style="background: #fff; color: #000; margin: 0">
<h1>One</h1><h3>Three</h3><button></button><p id="a" style="color: #aaa">faint</p><p id="a">x</p>
<p style="color: #949494; font-size: 30px">large enough</p><div style="width: 3000px">wide</div>
<input aria-describedby="nobody" aria-label="named"><button style="outline: none">plain</button>
</body></html>"""


def test_the_questions_see_what_is_wrong(browser: Any):
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.set_content(FAULTY)
    found = reading.faults(page)
    assert [one.split(":")[0].split(",")[0] for one in found] == [
        "no name", "twice", "points nowhere", "faint", "heading 3 after 1"
    ]  # fmt: skip
    assert len(reading.told(page, "wider")["told"]) == 1
    page.get_by_text("plain").focus()
    assert not reading.told(page, "focus")["shown"]
    page.close()
