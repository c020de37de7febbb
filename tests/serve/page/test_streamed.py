"""Sounds that are too long to be held in the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.serve.page.conftest import Open, at, choose, expect, give, settle

pytestmark = pytest.mark.slow


STREAMED = """() => {
window.players = [];
const Player = window.Audio;
window.Audio = function () { const one = new Player(); window.players.push(one); return one; };
window.decoded = 0;
BaseAudioContext.prototype.decodeAudioData = () => { window.decoded++; throw new Error("no"); };
}"""


@pytest.mark.usefixtures("fresh")
def test_a_long_sound_is_streamed(open_page: Open, room: Path):
    path = room / "fifteen minutes.flac"
    time = np.arange(900 * 8000) / 8000
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * 300 * time), 8000)
    page = open_page()
    page.evaluate(STREAMED)
    give(page, path)
    sheet = page.locator("#look .sheet")
    sheet.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert at(sheet) == pytest.approx(855, abs=1)
    page.keyboard.press(" ")
    page.wait_for_function(
        "() => Number(document.querySelector('#look [role=slider]').ariaValueNow) > 855.4"
    )
    page.keyboard.press(" ")
    expect(sheet.get_by_role("button", name="Play fifteen minutes.flac")).to_be_visible()
    assert page.evaluate("window.decoded") == 0


@pytest.mark.usefixtures("fresh")
def test_parts_that_are_streamed_stay_together(open_page: Open, room: Path):
    page = open_page()

    def small(route: Any) -> None:
        answer = route.fetch()
        body = answer.text().replace("MOST_VALUES = 40e6", "MOST_VALUES = 1")
        assert body != answer.text()
        route.fulfill(response=answer, body=body)

    page.route("**/page/mixer.js", small)
    page.add_init_script(f"({STREAMED})()")
    page.reload()
    give(page, room / "evening song.flac")
    choose(page, "Pull apart")
    job = settle(page)
    job.get_by_role("button", name="Play the parts").click()
    apart = """() => {
      const heard = window.players.filter((one) => !one.paused).map((one) => one.currentTime);
      const apart = Math.max(...heard) - Math.min(...heard);
      return heard.length === 3 && Math.min(...heard) > 1.2 && apart < 0.06;
    }"""
    page.wait_for_function(apart)
    quiet = "window.players.slice(-3).map((one) => one.muted)"
    assert page.evaluate(quiet) == [True, False, False]
    job.get_by_role("radio", name="Before").check()
    assert page.evaluate(quiet) == [False, True, True]
    assert page.evaluate("window.decoded") == 0
