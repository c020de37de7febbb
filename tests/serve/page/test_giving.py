"""Sounds that are given: dropped, chosen, recorded, a folder of them; and looked at closely."""

from __future__ import annotations

import base64
import re
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.serve.browser import Served
from tests.serve.page.conftest import ENDS, Open, ask, at, colours_of, expect, give

pytestmark = pytest.mark.slow

# In the page itself, so that no message between two busy programs comes too late.
PAUSE_SOON = """() => {
  const button = document.querySelector("#look .play");
  const at = Number(document.querySelector("#look [role=slider]").ariaValueNow);
  if (at <= 0.3 || button.ariaLabel !== "Pause birds.wav") return false;
  button.click();
  return true;
}"""
STOP_SOON = """() => {
  if (document.getElementById("recorded").textContent < "0:02") return false;
  document.getElementById("stop").click();
  return true;
}"""


@pytest.mark.usefixtures("fresh")
def test_what_is_dropped_is_seen_heard_and_looked_at_closely(open_page: Open, room: Path):
    page = open_page()
    page.evaluate(
        """(content) => {
          const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "birds.wav", { type: "audio/wav" }));
          const drag = (kind) => document.body.dispatchEvent(
            new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
          drag("dragenter");
          window.offered = !document.getElementById("drop").hidden;
          drag("drop");
        }""",
        base64.b64encode((room / "birds.wav").read_bytes()).decode(),
    )
    sheet = page.locator("#look .sheet")
    expect(page.get_by_role("heading", name="birds.wav")).to_be_visible()
    assert page.evaluate("window.offered")
    expect(
        sheet.get_by_role("img", name=re.compile("Waveform of birds.wav: 6.0 s, loudest at"))
    ).to_be_visible()
    page.wait_for_function(
        "() => { const one = document.querySelector('#look .spectrum');"
        " return one.getContext('2d').getImageData(9, 9, 1, 1).data[3] > 0; }"
    )
    assert colours_of(sheet.locator(".spectrum")) > 50
    assert colours_of(sheet.locator(".wave")) > 2

    page.get_by_role("button", name="Play birds.wav").click()
    page.wait_for_function(PAUSE_SOON)
    expect(sheet.get_by_role("button", name="Play birds.wav")).to_be_visible()
    assert 0.3 < at(sheet) < 3

    box = sheet.locator(".spectrum").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)  # jumps
    assert at(sheet) == pytest.approx(3.0, abs=0.05)
    page.keyboard.press("ArrowRight")
    assert at(sheet) == pytest.approx(3.3, abs=0.05)
    ask_closer = "() => document.querySelector('#look [aria-label=Closer]').click()"
    with page.expect_request(lambda one: "spectrogram.png" in one.url) as closer:
        page.evaluate(ask_closer)
    start, end = (float(re.search(rf"{key}=([\d.]+)", closer.value.url)[1]) for key in ENDS)
    assert end - start == pytest.approx(3.0, abs=0.01)
    assert start < 3.3 < end  # around the playhead
    page.keyboard.press("0")
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 25, steps=4)
    with page.expect_request(lambda one: "peaks" in one.url) as drawn:
        page.mouse.up()  # a stretch that was drawn is looked at
    assert float(re.search(r"start_s=([\d.]+)", drawn.value.url)[1]) == pytest.approx(1.5, abs=0.05)
    assert float(re.search(r"end_s=([\d.]+)", drawn.value.url)[1]) == pytest.approx(3.0, abs=0.05)
    page.keyboard.down("Control")
    with page.expect_request(lambda one: "peaks" in one.url) as wheeled:
        page.mouse.wheel(0, 400)
    page.keyboard.up("Control")
    assert float(re.search(r"start_s=([\d.]+)", wheeled.value.url)[1]) < 1.4
    page.mouse.dblclick(box["x"] + 30, box["y"] + 20)
    expect(sheet.get_by_role("button", name="Whole")).to_have_attribute("aria-disabled", "true")


@pytest.mark.usefixtures("fresh")
def test_two_fingers_look_closer_and_one_moves(open_page: Open, room: Path):
    page = open_page(width=400, has_touch=True)
    give(page, room / "birds.wav")
    box = page.locator("#look .spectrum").bounding_box()
    page.wait_for_load_state("networkidle")
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *shares: float) -> None:
        points = [
            {"x": box["x"] + share * box["width"], "y": box["y"] + 30, "id": number}
            for number, share in enumerate(shares)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def looked_at(drawn: Any) -> list[float]:
        return [float(re.search(rf"{key}=([\d.]+)", drawn.value.url)[1]) for key in ENDS]

    with page.expect_request(lambda one: "peaks" in one.url) as drawn:
        fingers("touchStart", 0.4)
        fingers("touchStart", 0.4, 0.6)
        for away in (0.05, 0.1, 0.15, 0.2):
            fingers("touchMove", 0.4 - away, 0.6 + away)
        fingers("touchEnd")
    start, end = looked_at(drawn)
    assert end - start == pytest.approx(2.0, abs=0.2)  # three times as close
    assert start == pytest.approx(2.0, abs=0.2)  # around what lay between the fingers
    with page.expect_request(lambda one: "peaks" in one.url) as drawn:
        fingers("touchStart", 0.2)
        for share in (0.3, 0.45, 0.7):
            fingers("touchMove", share)
        fingers("touchEnd")
    moved = looked_at(drawn)
    assert moved[0] == pytest.approx(start - 1.0, abs=0.2)
    assert moved[1] - moved[0] == pytest.approx(end - start, abs=0.01)


@pytest.mark.usefixtures("fresh")
def test_sounds_are_chosen_shown_ticked_and_removed(open_page: Open, room: Path, service: Served):
    page = open_page()
    expect(page.get_by_role("heading", name="Drop a sound")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files([room / "tone.wav", room / "rain.wav"])
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.get_by_role("heading", name="tone.wav")).to_be_visible()  # the first of them
    expect(page.locator("#task button[type=submit]")).to_have_text("Say what is heard · 2 sounds")
    page.get_by_role("checkbox", name="Use tone.wav").uncheck()
    expect(page.locator("#task button[type=submit]")).to_have_text("Say what is heard")
    page.get_by_role("button", name="rain.wav 5.0 s · 16 kHz · mono").click()
    expect(page.get_by_role("heading", name="rain.wav")).to_be_visible()
    page.locator("#list li", has_text="rain.wav").hover()
    page.get_by_role("button", name="Remove rain.wav").click()
    expect(page.get_by_role("heading", name="tone.wav")).to_be_visible()
    assert [one["name"] for one in ask(service, "/sounds")] == ["tone.wav"]


@pytest.mark.usefixtures("fresh")
def test_the_microphone_becomes_a_wav_file(open_page: Open, service: Served, tmp_path: Path):
    page = open_page()
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop and keep")).to_be_focused()
    expect(page.get_by_role("timer")).not_to_have_text("0:00")
    assert colours_of(page.locator("#level")) > 1
    page.wait_for_function(STOP_SOON)
    expect(page.locator("#list .open")).to_have_text(re.compile(r"recording .*\.wav"))
    (sound,) = ask(service, "/sounds")
    assert 1.3 < sound["duration_s"] < 10
    assert sound["channels"] == 1
    urllib.request.urlretrieve(
        f"{service.address}/api/sounds/{sound['id']}/audio?download=1", tmp_path / "it.wav"
    )
    assert soundfile.info(tmp_path / "it.wav").subtype == "PCM_16"
    samples, _ = soundfile.read(tmp_path / "it.wav")
    assert np.abs(samples).max() > 0.05  # chromium's false microphone beeps
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_focused()
    assert len(ask(service, "/sounds")) == 1


@pytest.mark.usefixtures("fresh")
def test_a_file_that_is_no_sound_is_told_in_one_line(open_page: Open, room: Path):
    page = open_page(expected=r"status of 4\d\d")
    page.set_input_files("#files", [room / "broken.wav", room / "tone.wav"])
    told = page.get_by_role("alert").filter(has_text="broken.wav")
    expect(told).to_be_visible()
    expect(page.locator("#list li")).to_have_count(1)  # the other one came
    page.get_by_role("button", name="Dismiss what is said about broken.wav").click()
    expect(told).to_have_count(0)


DROP_FOLDER = """([content, paths]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const entry = (path, below) => below.length === 0
    ? {
      isFile: true, fullPath: path,
      file: (take) => take(new File([bytes], path.split("/").at(-1))),
    }
    : {
      isDirectory: true, fullPath: path,
      createReader() {
        const left = [...new Set(below.map((one) => one[0]))];
        const within = (name) => below.filter((one) => one[0] === name && one.length > 1);
        const rest = (name) => within(name).map((one) => one.slice(1));
        const some = () => left.splice(0, 1).map((name) => entry(`${path}/${name}`, rest(name)));
        return { readEntries: (take) => take(some()) };
      },
    };
  const tree = entry("/set", paths.map((one) => one.split("/")));
  DataTransferItem.prototype.webkitGetAsEntry = () => tree;
  const transfer = new DataTransfer();
  transfer.items.add(new File([], "set"));
  document.body.dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.mark.usefixtures("fresh")
def test_a_folder_that_is_dropped_brings_its_labels(open_page: Open, room: Path, service: Served):
    page = open_page()
    content = base64.b64encode((room / "tone.wav").read_bytes()).decode()
    page.evaluate(DROP_FOLDER, [content, ["a.wav", "notes.txt"]])
    expect(page.locator("#give-error")).to_contain_text("lie in no folder of their own")
    page.evaluate(DROP_FOLDER, [content, ["bell/a.wav", "bell/.b.wav", "horn/c.wav", "notes.txt"]])
    expect(page.locator(".labels")).to_have_text("bell 1 soundhorn 1 sound")
    expect(page.get_by_role("radio", name="Teach your labels")).to_be_checked()
    assert sorted(one["label"] for one in ask(service, "/sounds")) == ["bell", "horn"]
    page.get_by_role("button", name="Remove the labelled sounds").click()
    expect(page.get_by_role("heading", name="Drop a sound")).to_be_visible()
    assert ask(service, "/sounds") == []
