"""The web application: routes, each a few lines over the service behind it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response, StreamingResponse

from sonograph import __version__
from sonograph.serve import answers, metrics, pictures, playable, ranges, shapes
from sonograph.serve.access import COOKIE, SESSION_S
from sonograph.serve.actions import ACTIONS
from sonograph.serve.answers import Refused
from sonograph.serve.events import events
from sonograph.serve.guard import Guard
from sonograph.serve.jobs import in_order
from sonograph.serve.models import Models
from sonograph.serve.names import attachment
from sonograph.serve.service import Service
from sonograph.serve.settings import Settings
from sonograph.serve.threads import work

Seconds = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False)]
End = Annotated[float | None, Query(gt=0, le=1e7, allow_inf_nan=False)]
ModelName = Annotated[str, Query(max_length=200)]

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "label": {"type": "string", "maxLength": 1024},
                    },
                }
            }
        },
    }
}


def app(settings: Settings, models: Models | None = None) -> FastAPI:
    """The application; `application.state.service` is what stands behind it.

    models: those that may be named, else the bundled ones and those of the settings. Raises
    InputError where the folder cannot be used.
    """
    known = models or Models.of(ACTIONS, settings.models)
    service = Service(settings, ACTIONS, known)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        service.close()

    made = FastAPI(
        title="Sonograph",
        version=__version__,
        summary="Tag, clean, pull apart, compare, speak and teach: the house's verbs over HTTP.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={
            code: {"model": shapes.Problem, "description": words}
            for code, words in (
                (401, "The token is missing or wrong."),
                (403, "The host or the page that asks is a stranger."),
                (422, "Values that do not fit."),
                (429, "Too many requests: see Retry-After."),
            )
        },
    )
    made.state.service = service

    @made.exception_handler(HTTPException)
    async def of_http(_: Any, problem: HTTPException):
        return answers.of_http(problem)

    @made.exception_handler(RequestValidationError)
    async def of_validation(_: Any, problem: RequestValidationError):
        return answers.of_validation(problem.errors())

    _page(made)
    _sounds(made)
    _jobs(made)
    _now(made)
    _state(made)
    made.add_middleware(Guard, settings=settings, keys=service.keys, metrics=service.metrics)
    return made


def problems(**words: str) -> dict[int | str, dict[str, Any]]:
    """What a route may refuse, for /openapi.json: _404="...", ..."""

    return {
        int(code.lstrip("_")): {"model": shapes.Problem, "description": text}
        for code, text in words.items()
    }


def _page(made: FastAPI) -> None:

    files = {path.name: path.read_bytes() for path in PAGE.glob("*") if path.suffix in TYPES}

    def give(name: str) -> Response:
        if name not in files:
            raise Refused(404, "the page has no such file")
        kind = TYPES[Path(name).suffix]
        return Response(files[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    @made.get("/", include_in_schema=False)
    async def page():
        return give("index.html")

    @made.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str):
        return give(name)


def _sounds(made: FastAPI) -> None:

    service: Service = made.state.service
    gone = {"_404": "No such sound."}

    @made.post(
        "/api/sounds",
        status_code=201,
        response_model=shapes.SoundInfo,
        openapi_extra=FORM,
        responses=problems(
            _400="Not a form, or a damaged sound.",
            _408="The upload stopped coming.",
            _413="Too large or too long.",
            _415="Not a sound.",
            _503="Too many uploads at once: see Retry-After.",
            _507="The disk is full.",
        ),
    )
    async def upload(request: Request):
        """Take in a sound: it is streamed to disk, and checked by decoding it."""
        received = await service.upload(request)
        return (await work(service.keep, received)).info()

    @made.get("/api/sounds", response_model=list[shapes.SoundInfo])
    async def sounds():
        """All sounds that are kept."""
        return [sound.info() for sound in service.sounds.all()]

    @made.get("/api/sounds/{id}", response_model=shapes.SoundInfo, responses=problems(**gone))
    async def sound(id: str):
        """One sound."""
        return service.sounds.get(id).info()

    @made.delete(
        "/api/sounds/{id}",
        status_code=204,
        responses=problems(**gone, _409="A job needs it."),
    )
    async def delete(id: str):
        """Remove a sound."""
        service.sounds.delete(id)
        return Response(status_code=204)

    @made.get(
        "/api/sounds/{id}/audio",
        response_class=FileResponse,
        responses={
            200: {"content": {"audio/*": {}}, "description": "The sound."},
            206: {"content": {"audio/*": {}}, "description": "A part of it."},
            **problems(
                **gone, _413="No WAV can hold it.", _416="No such part.", _507="The disk is full."
            ),
        },
    )
    async def audio(request: Request, id: str, download: Annotated[int, Query(ge=0, le=1)] = 0):
        """A sound as browsers play it; `download=1` as it was given."""
        found = service.sounds.get(id)
        headers = {"Cache-Control": "private, max-age=3600"}
        if download:
            headers["Content-Disposition"] = attachment(found.name)
            path, kind = found.path, "application/octet-stream"
        else:
            ready = playable.as_it_is(found)
            path, kind = ready or await service.look(found, playable.playable, service.sounds)
        service.sounds.require(found)
        if not ranges.follow(request.headers.get("range", ""), path.stat().st_size):
            kept = [one for one in request.scope["headers"] if one[0] != b"range"]
            request.scope["headers"] = kept  # the response reads it again
        return FileResponse(path, media_type=kind, headers=headers)

    @made.get(
        "/api/sounds/{id}/peaks", response_model=shapes.OutlineInfo, responses=problems(**gone)
    )
    async def peaks(
        id: str,
        start_s: Seconds = 0.0,
        end_s: End = None,
        points: Annotated[int, Query(ge=1, le=4000)] = 800,
    ):
        """The outline of a stretch: the lowest and highest value of each of its parts."""
        found = service.sounds.get(id)
        part = pictures.stretch(found, start_s, end_s)
        low, high = await service.look(found, pictures.outline, part, points)
        return shapes.OutlineInfo(
            start_s=part.start_s,
            end_s=part.end_s,
            low=[round(float(v), 5) for v in low],
            high=[round(float(v), 5) for v in high],
        )

    @made.get(
        "/api/sounds/{id}/spectrogram.png",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}}, "description": "Low frequencies at the bottom."},
            **problems(**gone),
        },
    )
    async def spectrogram(
        id: str,
        start_s: Seconds = 0.0,
        end_s: End = None,
        width: Annotated[int, Query(ge=1, le=4096)] = 800,
        height: Annotated[int, Query(ge=1, le=1024)] = 200,
        theme: pictures.Theme = "light",
    ):
        """A stretch as a picture: time by logarithmic frequency."""
        found = service.sounds.get(id)
        part = pictures.stretch(found, start_s, end_s)
        draw = service.pictures.spectrogram
        made = await service.look(found, draw, part, width, height, theme)
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(made, media_type="image/png", headers=headers)


def _jobs(made: FastAPI) -> None:

    service: Service = made.state.service
    gone = {"_404": "No such job."}

    @made.get("/api/actions", response_model=list[shapes.ActionInfo])
    async def actions():
        """What can be done, and how it can be set."""
        return [service.action(one) for one in service.actions.values()]

    @made.get("/api/models", response_model=list[shapes.ModelInfo])
    async def models():
        """The models that can be named."""
        return [about.to_json() for about in service.models.names()]

    @made.post(
        "/api/jobs",
        status_code=202,
        response_model=shapes.JobInfo,
        responses=problems(
            _400="Not JSON.",
            _404="No such sound.",
            _413="The request is too large.",
            _422="The action, its sounds or its settings do not fit.",
            _503="The queue is full: see Retry-After.",
        ),
    )
    async def begin(new: shapes.NewJob):
        """Queue a job."""
        return service.jobs.info(service.begin(new))

    @made.get("/api/jobs", response_model=list[shapes.JobInfo])
    async def jobs():
        """All jobs that are kept, the newest first."""
        return [service.jobs.info(job) for job in in_order(service.jobs.all())]

    @made.get("/api/jobs/{id}", response_model=shapes.JobInfo, responses=problems(**gone))
    async def job(id: str):
        """One job."""
        return service.jobs.info(service.jobs.get(id))

    @made.delete("/api/jobs/{id}", status_code=204, responses=problems(**gone))
    async def drop(id: str):
        """Cancel a job that waits or runs; forget one that has ended."""
        await work(service.jobs.drop, id)
        return Response(status_code=204)

    @made.get(
        "/api/jobs/{id}/events",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The job on each change."},
            **problems(**gone),
        },
    )
    async def job_events(id: str):
        """The job on every change, as server-sent events, until it has ended."""
        told = events(service.jobs, service.jobs.get(id), service.closing)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(told, media_type="text/event-stream", headers=headers)

    @made.get(
        "/api/jobs/{id}/files/{number}",
        response_class=FileResponse,
        responses={
            200: {"content": {"application/octet-stream": {}}, "description": "The file."},
            **problems(_404="No such file."),
        },
    )
    async def job_file(id: str, number: int):
        """A file that a job made."""
        made, about = service.file(service.jobs.get(id), number)
        if not made.path.exists():
            raise Refused(404, "this file was just removed with its job")
        headers = {"Content-Disposition": attachment(about.name)}
        return FileResponse(made.path, media_type=about.media_type, headers=headers)


def _now(made: FastAPI) -> None:

    service: Service = made.state.service
    refused = problems(
        _400="Not a form, or a damaged sound.",
        _408="The upload stopped coming.",
        _413="Too large, or longer than a minute.",
        _415="Not a sound.",
        _503="Too many requests wait: see Retry-After.",
        _507="The disk is full.",
    )

    @made.post(
        "/api/now/tag", response_model=shapes.TagsInfo, openapi_extra=FORM, responses=refused
    )
    async def tag(request: Request, model: ModelName = ""):
        """What is heard in a sound of up to a minute."""
        return await service.answer(request, service.now.tag, model)

    @made.post(
        "/api/now/embed", response_model=shapes.EmbeddingInfo, openapi_extra=FORM, responses=refused
    )
    async def embed(request: Request, model: ModelName = ""):
        """The vector of a sound of up to a minute."""
        return await service.answer(request, service.now.embed, model)


def _state(made: FastAPI) -> None:

    service: Service = made.state.service

    @made.get("/api/health", response_model=shapes.Health)
    async def health():
        """That the service is well."""
        return shapes.Health(
            status="stopping" if service.closing.is_set() else "ok",
            version=__version__,
            models_loaded=len(service.models.memory),
            jobs=service.jobs.counts(),
        )

    @made.post(
        "/api/session", status_code=204, responses=problems(_400="Not JSON.", _413="Too large.")
    )
    async def session(given: shapes.TokenGiven):
        """Open a session with the token; its cookie lets players and pictures in."""
        if not service.keys.fits(given.token):
            raise Refused(401, "this is not the token: see the terminal of the service")
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE,
            service.keys.open(),
            max_age=round(SESSION_S),
            httponly=True,
            samesite="strict",
        )
        return answer

    @made.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "For Prometheus."}},
    )
    async def measured():
        """Counts, durations and sizes for Prometheus."""
        return Response(service.measured(), media_type=metrics.MEDIA_TYPE)
