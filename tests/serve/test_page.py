"""The page in a real browser, before a real service: every flow from end to end."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.serve import reading
from tests.serve.browser import Served, browsing, chromium, served
from tests.serve.sounds import RATE, furnish

try:
    from playwright.sync_api import expect
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("playwright is not here: pip install playwright", allow_module_level=True)

pytestmark = pytest.mark.slow
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not chromium():
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: install it, or set CHROMIUM")
        pytest.skip("no chromium is here: set CHROMIUM to its program")
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnish(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
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
        context.set_default_timeout(20_000)
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


# --- giving ---


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
    expect(sheet.get_by_role("button", name="Pause birds.wav")).to_be_visible()
    page.wait_for_function(
        "() => Number(document.querySelector('#look [role=slider]').ariaValueNow) > 0.3"
    )
    sheet.get_by_role("button", name="Pause birds.wav").click()
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
    expect(page.get_by_role("timer")).to_have_text("0:02")
    assert colours_of(page.locator("#level")) > 1
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#list .open")).to_have_text(re.compile(r"recording .*\.wav"))
    (sound,) = ask(service, "/sounds")
    assert 1.3 < sound["duration_s"] < 4
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


# --- doing ---


@pytest.mark.usefixtures("fresh")
def test_labels_as_bars_and_as_a_track(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "rain.wav")
    choose(page, "Say what is heard")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Least").fill("0.05")
    job = settle(page)
    assert job.locator(".bars li").count() >= 3
    shares = [one.strip(" %\xa0") for one in job.locator(".bars output").all_text_contents()]
    assert [float(one) for one in shares] == sorted(map(float, shares), reverse=True)
    expect(job.locator(".span-row").first).to_be_visible()
    box, screen = (
        job.locator(".span-row i").first.bounding_box(),
        job.locator(".screen").bounding_box(),
    )
    assert (
        screen["x"] - 1 <= box["x"] < box["x"] + box["width"] <= screen["x"] + screen["width"] + 1
    )
    expect(job.locator("header")).to_contain_text("rain.wav · panns-mini, Apache-2.0")
    job.get_by_role("tab", name="Command").click()
    expect(job.get_by_role("tabpanel")).to_contain_text(
        "sonograph tag rain.wav --model panns-mini --least 0.05"
    )
    job.get_by_role("button", name="Copy the command").click()
    expect(job.locator(".copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("sonograph tag rain.wav")
    with page.expect_download() as saved:
        job.get_by_text("result.json").click()
    assert '"tags"' in Path(saved.value.path()).read_text()


@pytest.mark.usefixtures("fresh")
def test_similar_sounds_are_a_list_to_play(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "speech.wav", room / "rain.wav", room / "speech in noise.wav")
    choose(page, "Find similar")
    expect(page.locator(".go p").first).to_have_text("speech.wav beside 2 other sounds")
    job = settle(page)
    rows = job.locator(".matches li")
    expect(rows).to_have_count(2)
    button = rows.first.get_by_role("button")
    button.click()
    expect(button).to_have_class(re.compile(r"\bon\b"))
    rows.nth(1).get_by_role("button").click()  # one is heard at a time
    expect(button).not_to_have_class(re.compile(r"\bon\b"))
    page.get_by_role("checkbox", name="Use rain.wav").uncheck()
    page.get_by_role("checkbox", name="Use speech in noise.wav").uncheck()
    expect(page.locator(".go p").first).to_have_text("Tick at least 2 sounds in the list.")
    page.locator("#task button[type=submit]").click(force=True)  # it is off, and says why
    expect(page.locator("#wanted .wrong")).to_have_text("Tick at least 2 sounds in the list.")
    expect(page.locator(".job")).to_have_count(1)


HEARD = """() => {
window.begun = [];
const play = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.begun.push([when, offset]);
  return play.call(this, when, offset);
};
window.gains = [];
const make = BaseAudioContext.prototype.createGain;
BaseAudioContext.prototype.createGain = function () {
  const gain = make.call(this);
  window.gains.push(gain);
  return gain;
};
}"""


@pytest.mark.usefixtures("fresh")
def test_parts_are_heard_together_alone_and_against_the_whole(open_page: Open, room: Path):
    page = open_page()
    page.evaluate(HEARD)
    give(page, room / "evening song.flac")
    choose(page, "Pull apart")
    job = settle(page)
    sheet = job.locator(".sheet")
    expect(job.locator(".lane")).to_have_count(3)
    job.get_by_role("button", name="Play the parts").click()
    page.wait_for_function("() => window.begun.length === 3 && window.gains.length === 3")
    assert len({tuple(one) for one in page.evaluate("window.begun")}) == 1  # on the same sample

    def loud() -> list[int]:
        page.wait_for_timeout(120)
        return [round(one) for one in page.evaluate("window.gains.map((one) => one.gain.value)")]

    assert loud() == [0, 1, 1]
    job.get_by_role("radio", name="Before").check()
    assert loud() == [1, 0, 0]
    page.keyboard.press("b")  # in a field: it is left alone
    job.get_by_role("radio", name="After").check()
    job.get_by_role("button", name="Mute Guitar").click()
    assert loud() == [0, 0, 1]
    expect(job.get_by_role("button", name="Mute Guitar")).to_have_attribute("aria-pressed", "true")
    job.get_by_role("button", name="Only Guitar").click()
    assert loud() == [0, 1, 0]
    sheet.get_by_role("slider").focus()
    page.keyboard.press("2")  # all again: what is muted stays so
    assert loud() == [0, 0, 1]
    page.keyboard.press("b")
    assert loud() == [1, 0, 0]
    assert len(page.evaluate("window.begun")) == 3  # it never stopped
    place = at(sheet)
    assert place > 0.2
    page.keyboard.press("Home")
    page.wait_for_function("() => window.begun.length === 6")  # moved, all of them
    assert len({tuple(one) for one in page.evaluate("window.begun.slice(3)")}) == 1
    heads = sheet.locator(".head").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().x)"
    )
    assert max(heads) - min(heads) < 1  # one playhead over all of them
    page.keyboard.press(" ")
    expect(job.get_by_role("button", name="Play the parts")).to_be_visible()
    with page.expect_download() as saved:
        job.get_by_role("link", name="Save Guitar").click()
    assert (
        soundfile.info(saved.value.path()).frames
        == soundfile.info(room / "evening song.flac").frames
    )


@pytest.mark.usefixtures("fresh")
def test_what_was_made_is_gone_on_with(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "speech in noise.wav")
    choose(page, "Clean up speech")
    job = settle(page)
    expect(job.get_by_role("button", name="Mute Noise")).to_have_attribute("aria-pressed", "true")
    job.get_by_role("button", name="Go on with Speech").click()
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator("#list li.shown")).to_contain_text("speech")
    choose(page, "Say what is heard")
    job = settle(page, 2)
    expect(job.locator("header")).to_contain_text("speech in noise-speech.wav")
    page.reload()
    expect(page.locator("#list li")).to_have_count(2)


@pytest.mark.usefixtures("fresh")
def test_a_text_is_spoken_and_followed(open_page: Open):
    page = open_page()
    choose(page, "Speak a text")
    expect(page.locator(".go p").first).to_have_text("Write what to say.")
    page.get_by_label("Text", exact=True).fill("Good morning. All is well.")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Pace").fill("9")
    page.locator("#task button[type=submit]").click()
    expect(page.locator("#wanted .wrong")).to_contain_text("Pace")
    expect(page.locator(".job")).to_have_count(0)
    page.get_by_label("Pace").fill("1.2")
    job = settle(page)
    expect(job.locator(".said")).to_have_text("Good morning. All is well. ")
    job.get_by_role("button", name="Play the speech").click()
    expect(job.locator(".said .now")).to_have_count(1)
    expect(job.get_by_role("tabpanel")).to_contain_text("pace=1.2")


@pytest.mark.usefixtures("fresh")
def test_notes_are_a_piano_roll_and_a_table(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "evening song.flac")
    choose(page, "Write down notes")
    job = settle(page)
    expect(
        job.get_by_role("img", name=re.compile("Piano roll of .* notes: C4, E4, G4, C5"))
    ).to_be_visible()
    assert colours_of(job.locator(".roll")) > 3
    job.locator("summary").click()
    expect(job.locator("tbody tr").first).to_contain_text("C4")
    with page.expect_download() as saved:
        job.get_by_role("link", name=re.compile(r"notes\.mid")).click()
    assert Path(saved.value.path()).read_bytes().startswith(b"MThd")


@pytest.mark.usefixtures("fresh")
def test_two_models_are_set_side_by_side(open_page: Open, room: Path):
    page = open_page()
    give(page, room / "speech in noise.wav")
    choose(page, "Compare two models")
    first, other = page.locator(".models").all()
    first.get_by_role("radio", name="talkers").check()
    expect(first.get_by_role("radio", name="talkers")).to_be_focused()
    expect(other.get_by_role("radio", name="talkers")).to_have_count(0)  # never with itself
    expect(other.get_by_role("radio", name="melody")).to_have_count(0)  # does something else
    other.get_by_role("radio", name="enhancer").check()
    job = settle(page)
    sides = job.locator(".switch label").all_text_contents()
    assert sides == ["Before", "talkers", "enhancer"]
    expect(job.locator(".lane")).to_have_count(5)
    expect(job.locator(".lane.silent")).not_to_have_count(0)


@pytest.mark.usefixtures("fresh")
def test_a_folder_teaches_its_labels(open_page: Open, room: Path):
    page = open_page()
    choose(page, "Teach your labels")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(room / "mine")
    expect(page.locator(".labels")).to_have_text(re.compile("drum 6 sounds.*whistle 6 sounds"))
    expect(page.locator("#list")).to_contain_text("12 sounds of 2 labels")
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("Steps").fill("40")
    page.get_by_label("Name").fill("mine")
    job = settle(page)
    expect(job.locator(".figure")).to_contain_text("taught it drum, whistle")
    use = job.get_by_role("button", name=re.compile("^Use mine"))
    model = use.text_content().removeprefix("Use ")
    with page.expect_download() as saved:
        job.get_by_role("link", name=re.compile(r"\.zip")).click()
    assert Path(saved.value.path()).read_bytes().startswith(b"PK")
    use.click()
    expect(page.get_by_role("radio", name=model, exact=True)).to_be_checked()
    give(page, room / "birds.wav")
    job = settle(page, 2)
    assert set(job.locator(".bars li span:first-child").all_text_contents()) == {"drum", "whistle"}


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


@pytest.mark.usefixtures("fresh")
def test_an_action_that_is_not_known_here_appears_by_itself(open_page: Open, room: Path):
    def more(route: Any) -> None:
        answer = route.fetch()
        actions = answer.json()
        fields = {
            "how": {"type": "string", "enum": ["gently", "firmly"], "default": "firmly"},
            "twice": {"type": "boolean", "default": False, "description": "Do it again."},
            "times": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
            "share": {"type": ["number", "null"], "default": None, "minimum": 0, "maximum": 1},
            "names": {"type": "array", "items": {"type": "string"}, "default": ["one"]},
        }
        settings = {"type": "object", "properties": fields}
        actions.append({**actions[0], "name": "new", "title": "Do the new", "settings": settings})
        route.fulfill(json=actions)

    page = open_page(expected=r"status of 422")
    page.route("**/api/actions", more)
    page.reload()
    give(page, room / "tone.wav")
    choose(page, "Do the new")
    page.locator("summary", has_text="Settings").click()
    expect(page.get_by_label("How")).to_have_value("firmly")
    page.get_by_label("Twice").check()
    page.get_by_label("Names").fill("one, two")
    page.get_by_label("Times").fill("7")
    page.locator("#task button[type=submit]").click()
    expect(page.locator("#wanted .wrong")).to_contain_text("Times")
    page.get_by_label("Times").fill("3")
    with page.expect_request(
        lambda one: one.method == "POST" and one.url.endswith("/jobs")
    ) as sent:
        page.locator("#task button[type=submit]").click()
    assert sent.value.post_data_json["settings"] == {
        "twice": True,
        "times": 3,
        "names": ["one", "two"],
    }
    expect(page.locator("#wanted .wrong")).to_contain_text("there is no such action")


# --- waiting ---


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
    expect(jobs.nth(2)).to_contain_text(" left", timeout=30_000)
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


# --- for everyone ---


@pytest.mark.usefixtures("fresh")
def test_by_keyboard_alone(open_page: Open, room: Path):
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
    chooser.value.set_files(room / "rain.wav")
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
    quiet = "window.players.filter((one) => !one.paused).map((one) => one.muted)"
    assert page.evaluate(quiet) == [True, False, False]
    job.get_by_role("radio", name="Before").check()
    assert page.evaluate(quiet) == [False, True, True]
    assert page.evaluate("window.decoded") == 0


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
