"""All that stands behind the routes: the folder, sounds, jobs, models; begun and ended together."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonograph.errors import InputError
from sonograph.serve.access import Keys
from sonograph.serve.action import Action, Cancelled, Given, Made
from sonograph.serve.answers import Refused, busy, told, without_paths
from sonograph.serve.jobs import Job, Jobs
from sonograph.serve.metrics import Metrics, memory_bytes
from sonograph.serve.models import Models
from sonograph.serve.names import shown, stem_of
from sonograph.serve.now import Now
from sonograph.serve.pictures import Pictures
from sonograph.serve.room import Room, size_of
from sonograph.serve.settings import NOW_LARGEST_BYTES, UPLOADS, WAITING, Settings
from sonograph.serve.shapes import ActionInfo, Counts, FileInfo, LicensedModel, NewJob, ResultInfo
from sonograph.serve.sounds import Sound, Sounds
from sonograph.serve.threads import look, work
from sonograph.serve.uploads import Received, receive

if TYPE_CHECKING:
    from starlette.requests import Request

SWEEP_S = 5.0
PATIENCE_S = 2.0  # with jobs that are told to stop
LOOK_S = 1.0  # between looks at how much a running job has written


class Service:
    """What an application holds. `close` ends it, and leaves nothing on the disk."""

    def __init__(self, settings: Settings, actions: dict[str, Action], models: Models):
        self.settings, self.actions, self.models = settings, actions, models
        self.metrics = Metrics()
        self.keys = Keys(settings.token)
        self.room = Room(settings.folder, settings.quota_bytes)
        self.sounds = Sounds(self.room, settings.longest_s, settings.keep_s)
        self.jobs = Jobs(
            self.room.folder / "jobs",
            settings.jobs,
            settings.queue,
            settings.keep_s,
            self._forgotten,
        )
        self.pictures = Pictures()
        self.now = Now(models, self.metrics)
        self.under_way: Counter[str] = Counter()
        self.closing = threading.Event()
        self._once = threading.Lock()
        self._ended: bool | None = None
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._sweeper.start()

    def end(self) -> None:
        """Tell everything that runs to stop: called as soon as a signal comes."""
        self.closing.set()

    def close(self) -> bool:
        """Stop jobs and remove the folder; whether all of them ended in time."""
        self.closing.set()
        with self._once:
            if self._ended is None:
                self.now.close()
                self._ended = self.jobs.stop(PATIENCE_S)
                self.room.close()
        return self._ended

    # --- sounds ---

    async def upload(self, request: Request) -> Received:
        """Stream a sound that is to be kept into the folder; see `uploads.receive`."""
        with self._one_of("uploads", UPLOADS):
            return await self._receive(request, self.settings.largest_bytes)

    async def answer(self, request: Request, do: Callable[..., Any], model: str) -> Any:
        """Take in a short sound, answer it, and forget it."""
        with self._one_of("requests", WAITING):
            received = await self._receive(request, NOW_LARGEST_BYTES)
            try:
                return await work(do, received.path, received.name, model)
            finally:
                self._discard(received)

    async def look(self, sound: Sound, do: Callable[..., Any], *given: Any) -> Any:
        """`do(sound, *given)` among what draws. Raises Refused (404) if it is deleted meanwhile."""
        try:
            return await look(do, sound, *given)
        except (OSError, InputError):
            self.sounds.require(sound)
            raise

    @contextlib.contextmanager
    def _one_of(self, what: str, most: int) -> Iterator[None]:
        """Count something that is under way. Raises Refused (503) where there are enough."""
        if self.closing.is_set():
            raise busy("the service is stopping", 5)
        if self.under_way[what] >= most:
            raise busy(f"{most} {what} are under way already: try again later")
        self.under_way[what] += 1
        try:
            yield
        finally:
            self.under_way[what] -= 1

    async def _receive(self, request: Request, most_bytes: int) -> Received:
        path = self.room.folder / "arriving" / secrets.token_urlsafe(16)
        idle_s = self.settings.idle_s
        return await receive(request, path, most_bytes, idle_s, self.room, self.closing)

    def keep(self, received: Received) -> Sound:
        """Check what was received and make it a sound."""
        label = received.fields.get("label", "")
        sound = self.sounds.add(received.path, received.name, label)
        self.metrics.count("uploads_total")
        self.metrics.count("upload_bytes_total", sound.bytes)
        return sound

    def _discard(self, received: Received) -> None:
        with contextlib.suppress(OSError):
            received.path.unlink()
            self.room.give(received.bytes)

    # --- actions and jobs ---

    def action(self, one: Action) -> ActionInfo:
        fits = self.models.fit(one.name)
        return ActionInfo(
            name=one.name,
            title=one.title,
            words=one.words,
            kind=one.kind,
            sounds=Counts(least=one.least, most=one.most),
            settings=one.schema(fits),
            models=fits,
        )

    def begin(self, new: NewJob) -> Job:
        """Check what is asked and queue it. Raises Refused: 404, 422, 503."""
        action = self.actions.get(new.action)
        if action is None:
            raise Refused(422, f"there is no such action: choose of {', '.join(self.actions)}")
        if self.closing.is_set():
            raise busy("the service is stopping", 5)
        sounds = self.sounds.lend(new.sounds)
        try:
            given = [Given(sound.path, sound.name, sound.label) for sound in sounds]
            with told(422, {}):
                action.check(given, new.text)
                action.read(new.settings, self.models)
            made: list[Sound] = []
            job = Job(
                action.name,
                lambda job: self._carry(action, new, given, job, made),
                tuple(new.sounds),
                new.text,
                release=lambda: self.sounds.give_back(sounds),
                undo=lambda: self._take_back(made),
            )
            self.jobs.submit(job)
        except BaseException:
            self.sounds.give_back(sounds)
            raise
        self.metrics.count("jobs_total")
        return job

    def _carry(
        self, action: Action, new: NewJob, given: Sequence[Given], job: Job, made: list[Sound]
    ) -> ResultInfo:
        """In a job's thread: do it, and take in what it made."""
        folder = self.jobs.folder_of(job)
        watched = Watched(job, self.room, folder, self.closing)
        try:
            outcome = action.run(given, new.text, new.settings, folder, self.models, watched)
        except InputError as problem:
            places = {one.path: one.name for one in given} | {folder: "the result"}
            places |= {self.room.folder: "the service"}
            raise InputError(without_paths(str(problem), places)) from None
        stem = stem_of(given[0].name) if len(given) == 1 else action.name
        files: list[tuple[Made, FileInfo]] = []
        infos = []
        for one in outcome.made:
            watched(1, 1, "keeping what was made")
            size = one.path.stat().st_size
            part = one.part.replace(": ", "-")  # of two models; no name of a file everywhere
            name = shown(f"{stem}-{part}{one.path.suffix}")
            if one.kind == "file":
                url = f"/api/jobs/{job.id}/files/{len(files)}"
                kept = FileInfo(name=name, bytes=size, media_type=one.media_type, url=url)
                files.append((one, kept))
                continue
            self.room.take(size)
            sound = self.sounds.add(one.path, name, "", job.id, one.part)
            made.append(sound)
            infos.append(sound.info())
        size = size_of(folder)
        self.room.take(size)
        job.bytes = size  # what was not taken is not given back
        job.files = tuple(files)
        licences = {about.name: about.licence for about in self.models.names()}
        return ResultInfo(
            summary=outcome.summary,
            sounds=infos,
            files=[kept for _, kept in files],
            model=LicensedModel(name=outcome.model, licence=licences.get(outcome.model, "")),
            python=outcome.python,
            command=outcome.command,
        )

    def file(self, job: Job, number: int) -> tuple[Made, FileInfo]:
        """A file that a job made. Raises Refused (404)."""
        if not 0 <= number < len(job.files):
            raise Refused(404, "this job made no such file")
        return job.files[number]

    def _take_back(self, made: list[Sound]) -> None:
        for sound in made:
            with contextlib.suppress(Refused):
                self.sounds.delete(sound.id)

    def _forgotten(self, job: Job) -> None:
        """Before a job's folder goes: models that lie in it go too."""
        folder = self.jobs.folder_of(job)
        for about in self.models.names():
            if folder in about.folder.parents:
                self.models.remove(about.name)
        self.room.give(job.bytes)
        job.bytes = 0

    # --- watching ---

    def _sweep(self) -> None:
        while not self.closing.wait(SWEEP_S):
            self.jobs.sweep()
            self.sounds.sweep()

    def measured(self) -> str:
        """Everything for Prometheus."""
        counts = self.jobs.counts()
        self.metrics.set("model_loads_total", self.models.loads)
        return self.metrics.text(
            {
                "jobs": ("Jobs that are known, by state.", {str(k): v for k, v in counts.items()}),
                "queue_length": ("Jobs that wait.", counts["queued"]),
                "sounds": ("Sounds that are kept.", len(self.sounds.all())),
                "folder_bytes": ("Bytes that the folder holds.", self.room.held_bytes),
                "models_loaded": ("Models in memory.", len(self.models.memory)),
                "memory_bytes": ("Memory of the process in RAM.", memory_bytes()),
            }
        )


class Watched:
    """The progress of a job; now and then it looks at what was written."""

    def __init__(self, job: Job, room: Room, folder: Path, closing: threading.Event):
        self.job, self.room, self.folder, self.closing = job, room, folder, closing
        self.looked = time.monotonic()

    def __call__(self, done: float, total: float | None, note: str = "") -> None:
        """Raises Cancelled, or Refused (507) where too much is written."""
        if self.closing.is_set():
            raise Cancelled
        self.job.progress(done, total, note)
        if time.monotonic() - self.looked > LOOK_S:
            self.looked = time.monotonic()
            size = size_of(self.folder)
            self.room.take(size)  # refuses where it would be too much
            self.room.give(size)
