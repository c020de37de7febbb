"""The JSON that goes in and out: what /openapi.json tells."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="One line that says what to do.")


class SoundInfo(BaseModel):
    """A sound that was uploaded, or that a job made."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    name: str
    label: str
    bytes: int
    rate_hz: int
    channels: int
    duration_s: float
    from_: str | None = Field(alias="from", description="The job that made it.")
    part: str = Field(description="Which part of a result it is; empty for an upload.")


class OutlineInfo(BaseModel):
    """The outline of a stretch of a sound, over all its channels."""

    start_s: float
    end_s: float
    low: list[float]
    high: list[float]


class Counts(BaseModel):
    """How many sounds an action takes; most is null where there is no end."""

    least: int
    most: int | None


class ActionInfo(BaseModel):
    """Something that can be done with sounds."""

    name: str
    title: str
    words: str
    kind: Literal["sounds", "text", "labelled"]
    sounds: Counts
    settings: dict[str, Any] = Field(description="A JSON schema.")
    models: list[str] = Field(description="Those that fit, the default first.")


class ModelInfo(BaseModel):
    """A model that can be named in the settings of a job."""

    name: str
    system: str
    summary: str
    licence: str
    parameters: int | None
    bytes: int | None
    actions: list[str]
    quality: dict[str, Any]
    limits: Any
    paper: str


class NewJob(BaseModel):
    """A job to begin."""

    model_config = ConfigDict(extra="forbid")

    action: Annotated[str, Field(max_length=64)]
    sounds: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=1000)] = []
    text: Annotated[str, Field(max_length=200_000)] = ""
    settings: dict[str, JsonValue] = {}


class ProgressInfo(BaseModel):
    """How far a job is; total and seconds_left are null where nobody knows."""

    done: float
    total: float | None
    note: str
    seconds_left: float | None


class FileInfo(BaseModel):
    """A file that a job made and that is no sound."""

    name: str
    bytes: int
    media_type: str
    url: str


class LicensedModel(BaseModel):
    """The model that made a result."""

    name: str
    licence: str


class ResultInfo(BaseModel):
    """What came out of a job, and how to get the same from Python and from the command line."""

    summary: dict[str, Any]
    sounds: list[SoundInfo]
    files: list[FileInfo]
    model: LicensedModel
    python: str
    command: str


class JobInfo(BaseModel):
    """A job: what it does, how far it is, what came out. Times are seconds since 1970."""

    id: str
    action: str
    sounds: list[str] = Field(description="Ids of the sounds that it was given.")
    text: str = Field(description="The text that it was given.")
    state: State
    place: int | None = Field(description="In the queue, 1 is next; null once it has begun.")
    created: float
    began: float | None
    ended: float | None
    progress: ProgressInfo
    error: str | None
    result: ResultInfo | None


class TokenGiven(BaseModel):
    """What opens a session."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]


class Health(BaseModel):
    """That the service is well."""

    status: Literal["ok", "stopping"]
    version: str
    models_loaded: int
    jobs: dict[State, int]


class SpanInfo(BaseModel):
    """A stretch of a sound and its most probable label."""

    start_s: float
    end_s: float
    label: str
    score: float


class TagsInfo(BaseModel):
    """Labels of a sound."""

    name: str
    known: list[str]
    scores: dict[str, float]
    spans: list[SpanInfo]


class Vector(BaseModel):
    """A sound as numbers."""

    name: str
    values: list[float]


class EmbeddingInfo(BaseModel):
    """Vectors of sounds."""

    model: str
    vectors: list[Vector]
