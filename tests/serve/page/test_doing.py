"""Every action from the button to its result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.serve.page.conftest import Open, at, choose, colours_of, expect, give, settle
from tests.serve.sounds import RATE, melody

pytestmark = pytest.mark.slow


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
    assert button.evaluate("one => { one.click(); return one.className; }").split()[-1] == "on"
    rows.nth(1).get_by_role("button").click()  # one is heard at a time
    expect(button).not_to_have_class(re.compile(r"\bon\b"))
    page.get_by_role("checkbox", name="Use rain.wav").uncheck()
    page.get_by_role("checkbox", name="Use speech in noise.wav").uncheck()
    expect(page.locator(".go p").first).to_have_text("Tick at least 2 sounds in the list.")
    page.locator("#task button[type=submit]").click(force=True)  # it is off, and says why
    expect(page.locator("#wanted .wrong")).to_have_text("Tick at least 2 sounds in the list.")
    expect(page.locator(".job")).to_have_count(1)


MARKED = """() => {
window.marked = [];
const said = document.querySelector(".said");
new MutationObserver(() => {
  const count = said.querySelectorAll(".now").length;
  if (count) window.marked.push(count);
}).observe(said, { subtree: true, attributes: true });
}"""
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
def test_parts_are_heard_together_alone_and_against_the_whole(open_page: Open, tmp_path: Path):
    song = tmp_path / "slow song.flac"
    soundfile.write(song, melody(1.2), RATE)  # long enough for a busy machine
    page = open_page()
    page.evaluate(HEARD)
    give(page, song)
    choose(page, "Pull apart")
    job = settle(page)
    sheet = job.locator(".sheet")
    expect(job.locator(".lane")).to_have_count(3)
    job.get_by_role("button", name="Play the parts").click()
    page.wait_for_function("() => window.begun.length === 3 && window.gains.length === 3")
    assert len({tuple(one) for one in page.evaluate("window.begun")}) == 1  # on the same sample

    def loud(*wanted: int) -> None:
        page.wait_for_function(
            "w => w.every((one, n) => Math.abs(window.gains[n].gain.value - one) < 0.1)",
            arg=list(wanted),
        )

    loud(0, 1, 1)
    job.get_by_role("radio", name="Before").check()
    loud(1, 0, 0)
    page.keyboard.press("b")  # in a field: it is left alone
    job.get_by_role("radio", name="After").check()
    job.get_by_role("button", name="Mute Guitar").click()
    loud(0, 0, 1)
    expect(job.get_by_role("button", name="Mute Guitar")).to_have_attribute("aria-pressed", "true")
    job.get_by_role("button", name="Only Guitar").click()
    loud(0, 1, 0)
    sheet.get_by_role("slider").focus()
    page.keyboard.press("2")  # all again: what is muted stays so
    loud(0, 0, 1)
    page.keyboard.press("b")
    loud(1, 0, 0)
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
    assert soundfile.info(saved.value.path()).frames == soundfile.info(song).frames


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
    page.evaluate(MARKED)
    job.get_by_role("button", name="Play the speech").click()
    page.wait_for_function("() => window.marked.length > 0")
    assert page.evaluate("Math.max(...window.marked)") == 1
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
