"""Pictures of every flow of the page: `python -m tests.serve.screens FOLDER [docs/screens]`.

At 1200 and 400 pixels, in light and dark: FOLDER/1200-light-tag.png and so on. They are made to be
looked at after a change. Those that the documentation shows go, small, into the second folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serve.browser import Served, browsing, served
from tests.serve.sounds import furnish, labelled

WIDTHS = (1200, 400)
THEMES = ("light", "dark")
TEXT = "Good morning. Your call is important to us, please hold the line."


class Client:
    """The service, asked by hand: all jobs are done once, then looked at in every dress."""

    def __init__(self, address: str):
        self.address = address

    def ask(self, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.address}/api{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def upload(self, path: Path, label: str = "") -> str:
        edge = "edge-of-a-part"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="label"\r\n\r\n{label}\r\n'
        head += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"'
        body = f"{head}\r\n\r\n".encode() + path.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        request = urllib.request.Request(
            f"{self.address}/api/sounds",
            body,
            {"Content-Type": f"multipart/form-data; boundary={edge}"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id"]

    def do(self, action: str, sounds: list[str], text: str = "", **settings: Any) -> None:
        given = {"action": action, "sounds": sounds, "text": text, "settings": settings}
        job = self.ask("/jobs", given)
        while job["state"] in ("queued", "running"):
            time.sleep(0.3)
            job = self.ask(f"/jobs/{job['id']}")
        if job["state"] != "done":
            print(f"{action}: {job['error']}", file=sys.stderr)


def everything(client: Client, room: Path) -> list[str]:
    """Do all that can be done; the actions in the order of their jobs."""
    names = ("birds.wav", "rain.wav", "evening song.flac", "speech in noise.wav")
    birds, rain, song, noisy = (client.upload(room / name) for name in names)
    mine = [
        client.upload(path, path.parent.name)
        for path in sorted((room.parent / "many").glob("*/*.wav"))
    ]
    client.do("adapt", mine, steps=60, name="mine")
    client.do("tag", [birds, song], model="mine")
    client.do("search", [song, birds, rain, noisy])
    client.do("transcribe-notes", [song])
    client.do("separate", [song])
    client.do("compare", [noisy], model="enhancer", other="talkers")
    client.do("embed", [song, rain])
    client.do("speak", [], TEXT)
    client.do("enhance", [noisy])
    client.do("tag", [noisy])
    return [job["action"] for job in client.ask("/jobs")]


class Looker:
    """One page in one dress."""

    def __init__(self, browser: Any, address: str, width: int, theme: str, folder: Path):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 800 else 800},
            color_scheme=theme,
            reduced_motion="reduce",
            device_scale_factor=1,
        )
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda problem: print("page error:", problem, file=sys.stderr))
        self.page.goto(address)
        self.name = f"{width}-{theme}"
        self.folder = folder

    def ready(self) -> Looker:
        self.page.wait_for_selector("body[data-ready]")
        return self

    def shot(self, name: str, of: Any = None, whole: bool = False) -> None:
        self.page.mouse.move(0, 0)
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(350)
        path = self.folder / f"{self.name}-{name}.png"
        if of is None:
            self.page.screenshot(path=path, full_page=whole)
        else:
            of.screenshot(path=path)


def of_nothing(looker: Looker) -> None:
    """Before anything was given."""
    page = looker.ready().page
    looker.shot("empty", whole=True)
    page.get_by_role("button", name="Record").click()
    page.wait_for_timeout(1800)
    looker.shot("recording")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("radio", name="Teach your labels").check()
    looker.shot("adapt-before", page.locator("#task"))


def of_everything(looker: Looker, actions: list[str]) -> None:
    """The sheet, each action's form, each result."""
    page = looker.ready().page
    looker.shot("first")
    for name in ("Pull apart", "Compare two models", "Speak a text", "Teach your labels"):
        page.get_by_role("radio", name=name).check()
        for details in page.locator("#task details").all()[-1:]:
            details.evaluate("one => { one.open = true; }")
        looker.shot(f"form-{name.lower().replace(' ', '-')}", page.locator("#task"))
    page.get_by_role("radio", name="Pull apart").check()
    page.locator("#task .offer details").first.evaluate("one => { one.open = true; }")
    looker.shot("form-card", page.locator("#task"))
    for place, action in enumerate(actions):
        job = page.locator(".job").nth(place)
        fold = job.locator("header .tools button").first
        if fold.text_content() == "Show":
            fold.click()
        for lane in job.locator(".sheet").all():
            lane.scroll_into_view_if_needed()
            page.wait_for_timeout(250)
        if action in ("separate", "enhance"):
            last = job.locator(".spectrum").last
            last.click(position={"x": 0.44 * last.bounding_box()["width"], "y": 20})
            page.mouse.move(0, 0)
        job.scroll_into_view_if_needed()
        looker.shot(f"{place}-{action}", job)
        fold.click()
    page.evaluate("scrollTo(0, 0)")
    sheet = page.locator("#look .sheet")
    sheet.locator(".ruler").focus()
    for key in ("ArrowRight",) * 5 + ("+", "+"):
        page.keyboard.press(key)
    looker.shot("closer")
    page.locator("footer summary").click()
    looker.shot("keys", page.locator("footer"))


def of_trouble(looker: Looker, service: Served, room: Path, client: Client) -> None:
    """What cannot be used, a queue, and a service that is gone."""
    page = looker.ready().page
    page.set_input_files("#files", [room / "broken.wav"])
    page.locator("#uploads .wrong").wait_for()
    sound = client.ask("/sounds")[0]["id"]
    for _ in range(3):
        client.ask("/jobs", {"action": "separate", "sounds": [sound], "settings": {"shifts": 8}})
    page.reload()
    looker.ready()
    page.set_input_files("#files", [room / "broken.wav"])
    page.locator("#uploads .wrong").wait_for()
    page.locator("#results").scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    page.screenshot(path=looker.folder / f"{looker.name}-queue.png", full_page=True)
    for job in client.ask("/jobs"):
        if job["state"] in ("queued", "running"):
            request = urllib.request.Request(
                f"{client.address}/api/jobs/{job['id']}", method="DELETE"
            )
            urllib.request.urlopen(request).close()
    service.stop()
    page.evaluate("fetch('/api/health').catch(() => {})")
    page.get_by_role("button", name="Remove").first.evaluate("one => one.click()")
    page.locator("#banner").wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=looker.folder / f"{looker.name}-gone.png")
    service.start()


def dressed(see: Callable[[int, str], None]) -> None:
    for width in WIDTHS:
        for theme in THEMES:
            see(width, theme)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, browsing() as browser:
        room = furnish(Path(place) / "room")
        labelled(Path(place) / "many", each=40)
        with served(Path(place) / "empty") as service:

            def nothing(width: int, theme: str) -> None:
                looker = Looker(browser, service.address, width, theme, folder)
                looker.context.grant_permissions(["microphone"], origin=service.address)
                of_nothing(looker)
                looker.context.close()

            dressed(nothing)
        with served(Path(place) / "token", "--token", "secret") as service:

            def token(width: int, theme: str) -> None:
                looker = Looker(browser, service.address, width, theme, folder)
                looker.page.locator("dialog[open]").wait_for()
                looker.shot("token")
                looker.context.close()

            dressed(token)
        with served(Path(place) / "full") as service:
            client = Client(service.address)
            actions = everything(client, room)

            def all_of_it(width: int, theme: str) -> None:
                looker = Looker(browser, service.address, width, theme, folder)
                of_everything(looker, actions)
                looker.context.close()

            dressed(all_of_it)
            looker = Looker(browser, service.address, 1200, "light", folder)
            of_trouble(looker, service, room, client)
            looker.context.close()


# What the documentation shows: one picture, or several side by side.
SHOWN = {
    "page": ("1200-light-first",),
    "welcome": ("1200-light-empty",),
    "enhance": ("1200-light-1-enhance",),
    "separate": ("1200-dark-5-separate",),
    "notes": ("1200-light-6-transcribe-notes",),
    "adapt": ("1200-light-9-adapt",),
    "narrow": ("400-light-first", "400-dark-closer", "400-light-recording"),
}


def publish(folder: Path, to: Path) -> None:
    """Small copies for the documentation."""
    from PIL import Image, ImageOps

    to.mkdir(parents=True, exist_ok=True)
    for name, parts in SHOWN.items():
        found = [Image.open(folder / f"{part}.png").convert("RGB") for part in parts]
        if found[0].width not in WIDTHS:  # a part of the page: with some of its paper around it
            found = [ImageOps.expand(one, 28, one.getpixel((2, one.height - 2))) for one in found]
        wide, gap = sum(one.width for one in found), 24
        high = min(1200, max(one.height for one in found))
        sheet = Image.new("RGB", (wide + gap * (len(found) - 1), high), "white")
        left = 0
        for one in found:
            sheet.paste(one, (left, 0))
            left += one.width + gap
        sheet.save(to / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m tests.serve.screens FOLDER [docs/screens]")
    main(Path(sys.argv[1]))
    if len(sys.argv) == 3:
        publish(Path(sys.argv[1]), Path(sys.argv[2]))
