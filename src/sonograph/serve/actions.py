"""What can be done, once for the page, the service and whoever drives it: ACTIONS.

Each is a few lines over the function that its verb calls, and tells how to do the same in Python
and in a shell. Which models fit an action is told from what they are, so that a system that is
registered and bundled appears by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sonograph.errors import InputError
from sonograph.progress import part_of
from sonograph.serve.action import Action, Given, Made, Outcome, Settings, Work, command, setting

if TYPE_CHECKING:
    from torch import nn

    from sonograph.data.clips import Clips

WAV, JSON, ZIP = "audio/wav", "application/json", "application/zip"
MODEL = ("", "What does it.", None, None, "model")


IMPORT = "import sonograph as sound"


def _python(*lines: str) -> str:
    return "\n".join([IMPORT, "", *lines])


def _names(sounds: Any) -> str:
    names = [repr(one.name) for one in sounds]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


# --- what a model is -----------------------------------------------------------------------------


def _tags(model: nn.Module) -> bool:
    from sonograph.nn.heads import Tagging

    return isinstance(model, Tagging)


def _embeds(model: nn.Module) -> bool:
    from sonograph.infer.embed import encoder_of

    try:
        return hasattr(encoder_of(model), "grid")
    except InputError:
        return False


def _encodes(model: nn.Module) -> bool:
    """An encoder alone, to be taught."""
    return _embeds(model) and not _tags(model)


def _separates(model: nn.Module) -> bool:
    from sonograph.nn.separator import Separator

    return isinstance(model, Separator) or hasattr(model, "asked")


def _enhances(model: nn.Module) -> bool:
    from sonograph.nn.separator import Separator

    return isinstance(model, Separator) and "speech" in model.stems


def _speaks(model: nn.Module) -> bool:
    from sonograph.nn.acoustic import Acoustic

    return isinstance(model, Acoustic)


def _hears_notes(model: nn.Module) -> bool:
    from sonograph.nn.notes import Transcriber

    return isinstance(model, Transcriber)


# --- tag -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TagSettings(Settings):
    model: str = setting(*MODEL)
    least: float | None = setting(None, "How sure to be of a label, 0 to 1.", 0, 1)


def _tag(work: Work) -> Outcome:
    from sonograph.infer.tag import tag

    model: Any = work.model()
    found = []
    for number, one in enumerate(work.sounds):
        told = part_of(work.progress, number, len(work.sounds), one.name)
        tags = tag(model, one.path, progress=told, least=work.settings.least)
        found.append(dataclasses.replace(tags, name=one.name).to_json())
    name = work.settings.model
    return Outcome(
        {"tags": found},
        name,
        _python(
            f"tags = sound.load({name!r}).tag({work.sounds[0].name!r})",
            "print(tags.top(5), tags.spans)",
        ),
        command(
            "tag", *(one.name for one in work.sounds), model=name, least=work.settings.least
        ) + " --spans",
    )  # fmt: skip


# --- find similar, vectors -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SearchSettings(Settings):
    model: str = setting(*MODEL)
    top: int = setting(10, "How many to list.", 1, 1000)


def _search(work: Work) -> Outcome:
    from sonograph.infer.embed import embed
    from sonograph.infer.search import search
    from sonograph.outputs import Embedding

    model: Any = work.model()
    query, *others = work.sounds
    # Names may repeat: what is compared are places, and names come back at the end.
    found = embed(model, [one.path for one in others], progress=work.progress)
    index = Embedding(found.values, tuple(str(n) for n in range(len(others))), found.model)
    matches = search(model, query.path, index, work.settings.top)
    told = [
        {"name": others[int(m.name)].name, "score": m.score, "sound": int(m.name) + 1}
        for m in matches.matches
    ]
    name = work.settings.model
    return Outcome(
        {"query": query.name, "matches": told},
        name,
        _python(
            "from sonograph.infer.search import search",
            "",
            f"model = sound.load({name!r})",
            f"print(search(model, {query.name!r}, {_names(others)}).matches)",
        ),
        command(
            "search", query.name, *(one.name for one in others), model=name, top=work.settings.top
        ),
    )


@dataclasses.dataclass(frozen=True)
class EmbedSettings(Settings):
    model: str = setting(*MODEL)
    pool: Literal["statistics", "mean"] = setting(
        "statistics", "Mean and deviation over time of each frequency row, or one mean of all."
    )


def _embed(work: Work) -> Outcome:
    from sonograph.infer.embed import embed

    model: Any = work.model()
    found = embed(model, [g.path for g in work.sounds], work.settings.pool, progress=work.progress)
    name, names = work.settings.model, tuple(one.name for one in work.sounds)
    path = dataclasses.replace(found, names=names, model=name).save(work.folder / "vectors.npz")
    return Outcome(
        {"vectors": len(found), "width": int(found.values.shape[1]), "names": list(names)},
        name,
        _python(f"vectors = sound.load({name!r}).embed({_names(work.sounds)}).values"),
        command("embed", *names, o="vectors.npz", model=name),
        (Made(path, "vectors", "file", "application/octet-stream"),),
    )


# --- separate, enhance ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SeparateSettings(Settings):
    model: str = setting(*MODEL)
    query: str = setting(
        "",
        "What to pull out, with commas, of models that can be asked; empty: all that is heard.",
    )
    overlap: float | None = setting(None, "Share of a window that the next hears again.", 0, 0.9)
    shifts: int = setting(1, "Passes that are averaged: slower and a little better.", 1, 8)


def _separate(work: Work) -> Outcome:
    from sonograph.infer.separate import Manner, Source, part_names, separated, useful_parts
    from sonograph.infer.stems import stem_files

    asked, (given,) = work.settings, work.sounds
    separator = _separator(work.model(), asked.query, given.path)
    source = Source.of(given.path)
    wanted = useful_parts(separator)
    paths = {stem: work.folder / f"{number}.wav" for number, stem in enumerate(wanted)}
    known, manner = part_names(separator), Manner(asked.overlap, None, asked.shifts)
    with stem_files(paths, source.rate_hz, source.channels) as add:
        for block in separated(separator, source, manner, work.progress):
            add(dict(zip(known, block, strict=True)))
    options = {"model": asked.model, "query": asked.query, "overlap": asked.overlap}
    return Outcome(
        {"name": given.name, "parts": list(wanted)},
        asked.model,
        _python(
            f"parts = sound.separate({given.name!r}, {asked.model!r})",
            f"parts[{wanted[0]!r}].write({wanted[0] + '.wav'!r})",
        ),
        command("separate", given.name, **options, shifts=asked.shifts if asked.shifts > 1 else ""),
        tuple(Made(paths[stem], stem, "sound", WAV) for stem in wanted),
    )


def _separator(model: Any, query: str, path: Path) -> Any:
    """The separator of what was asked for; of a model with fixed stems, itself."""
    from sonograph.infer.separate import heard_in, separator_of

    if not hasattr(model, "asked"):
        if query:
            raise InputError("this model has fixed parts: leave the query empty")
        return separator_of(model)
    if names := [word.strip() for word in query.split(",") if word.strip()]:
        return model.asked({name: model.condition_of_class(name) for name in names})
    separator = heard_in(model, path)
    if separator is None:
        raise InputError("nothing that the model knows is heard: ask for a sound by name")
    return separator


@dataclasses.dataclass(frozen=True)
class EnhanceSettings(Settings):
    model: str = setting(*MODEL)
    keep: float = setting(0.0, "How much of the noise stays, 0 to 1.", 0, 1)


def _enhance(work: Work) -> Outcome:
    from sonograph.infer.separate import Source, separated, separator_of
    from sonograph.infer.stems import stem_files

    separator, (given,) = separator_of(work.model()), work.sounds
    source, keep = Source.of(given.path), work.settings.keep
    place = separator.stems.index("speech")
    paths = {"speech": work.folder / "speech.wav", "noise": work.folder / "noise.wav"}
    with stem_files(paths, source.rate_hz, source.channels) as add:
        for parts in separated(separator, source, None, work.progress):
            noise = parts.sum(0) - parts[place]
            add({"speech": parts[place] + keep * noise, "noise": (1 - keep) * noise})
    name = work.settings.model
    return Outcome(
        {"name": given.name, "parts": list(paths)},
        name,
        _python(f"sound.enhance({given.name!r}, {name!r}).write('clear.wav')"),
        command("enhance", given.name, o="clear.wav", model=name, keep=keep or ""),
        tuple(Made(path, part, "sound", WAV) for part, path in paths.items()),
    )


# --- speak ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SpeakSettings(Settings):
    model: str = setting(*MODEL)
    pace: float = setting(1.0, "How fast: 2 is twice as fast.", 0.25, 4)
    pitch: float = setting(1.0, "Factor of the pitch.", 0.25, 4)
    energy: float = setting(1.0, "Factor of the loudness.", 0.25, 4)


MOST_LETTERS = 20_000


def _speak(work: Work) -> Outcome:
    from sonograph.audio.io import writer
    from sonograph.infer.speak import Manner, open_voice
    from sonograph.text.sentences import sentences
    from sonograph.text.ssml import is_ssml

    asked, path = work.settings, work.folder / "speech.wav"
    if len(work.text) > MOST_LETTERS:
        raise InputError(f"{len(work.text):,} letters are too many: give at most {MOST_LETTERS:,}")
    voice = open_voice(str(work.models.folder(asked.model)))
    manner = Manner(asked.pace, asked.pitch, asked.energy)
    count = None if is_ssml(work.text) else max(1, sum(1 for _ in sentences(work.text)))
    told: list[dict[str, Any]] = []
    with writer(path, voice.spec.rate_hz, 1) as add:
        for said in voice.say(work.text, manner):
            add(said.audio.samples)
            told.append(said.to_json())
            work.progress(min(len(told), count or len(told)), count, " ".join(said.text.split()))
    factors = {k: v for k in ("pace", "pitch", "energy") if (v := getattr(asked, k)) != 1}
    shown = "".join(f", {key}={value:g}" for key, value in factors.items())
    spoken = f" {work.text}" if work.text.startswith("-") else work.text  # no option
    ways = f", manner=Manner({shown[2:]})" if factors else ""
    return Outcome(
        {"duration_s": told[-1]["end_s"], "sentences": told},
        asked.model,
        _python(
            *(["from sonograph.infer.speak import Manner", ""] if factors else []),
            f"sound.speak({work.text!r}, {asked.model!r}{ways}).write('hello.wav')",
        ),
        command("speak", spoken, o="hello.wav", model=asked.model, **factors),
        (Made(path, "speech", "sound", WAV),),
    )


# --- notes ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class NotesSettings(Settings):
    model: str = setting(*MODEL)


def _notes(work: Work) -> Outcome:
    from sonograph.audio.midi import write_midi
    from sonograph.infer.transcribe import transcribe_notes, transcriber_of

    (given,), name = work.sounds, work.settings.model
    model = transcriber_of(work.model())
    found = transcribe_notes(model, given.path, work.progress)
    made: tuple[Made, ...] = ()
    if found.notes:
        path = work.folder / "notes.mid"
        write_midi(path, found.notes)
        made = (Made(path, "notes", "file", "audio/midi"),)
    return Outcome(
        dataclasses.replace(found, name=given.name).to_json(),
        name,
        _python(
            "from sonograph.infer.transcribe import transcribe_notes",
            "",
            f"for note in transcribe_notes(sound.load({name!r}), {given.name!r}).notes:",
            "    print(note.onset_s, note.name)",
        ),
        command("transcribe-notes", given.name, o="melody.mid", model=name),
        made,
    )


# --- two models on one sound ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CompareSettings(Settings):
    model: str = setting(*MODEL)
    other: str = setting("", "What it is compared with.", None, None, "model")


COMPARED = ("tag", "enhance", "separate", "transcribe-notes")


def _compares(model: nn.Module) -> bool:
    return any(ACTIONS[name].model(model) for name in COMPARED)


def _compare(work: Work) -> Outcome:
    """The same action by two models: the first of COMPARED that both can do."""
    names = (work.settings.model, work.settings.other)
    if names[0] == names[1]:
        raise InputError("choose two different models to compare")
    both = [n for n in COMPARED if all(name in work.models.fit(n) for name in names)]
    if not both:
        raise InputError(f"{names[0]} and {names[1]} do different things: choose two of a kind")
    action = ACTIONS[both[0]]
    found = []
    for number, name in enumerate(names):
        told = part_of(work.progress, number, 2, name)
        place = work.folder / str(number)
        found.append(action.run(work.sounds, "", {"model": name}, place, work.models, told))
    made = [
        dataclasses.replace(one, part=f"{name}: {one.part}")
        for name, outcome in zip(names, found, strict=True)
        for one in outcome.made
    ]
    outcomes = [{"model": n, "summary": one.summary} for n, one in zip(names, found, strict=True)]
    return Outcome(
        {"action": action.name, "outcomes": outcomes},
        names[0],
        "\n\n".join([found[0].python, found[1].python.removeprefix(IMPORT).lstrip()]),
        "\n".join(one.command for one in found),
        tuple(made),
    )


# --- adapt ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class AdaptSettings(Settings):
    model: str = setting(*MODEL)
    method: Literal["linear", "lora", "adapter", "svfit", "full"] = setting(
        "linear", "What learns: the head alone (quick), small parts beside, or everything."
    )
    steps: int = setting(300, "Updates.", 10, 5000)
    name: str = setting("mine", "What to call the model.")


def _adapt(work: Work) -> Outcome:
    from sonograph.data.named import held_out
    from sonograph.infer.embed import encoder_of
    from sonograph.metrics.intervals import proportion_interval
    from sonograph.nn.adaptation import shared_copy
    from sonograph.train.finetune import configured, examples_of, finetune, frames_of

    asked = work.settings
    train, test = held_out(_clips(work.sounds), "class", "test")
    encoder: Any = shared_copy(encoder_of(work.model()))
    frames = frames_of(train + test, encoder)
    reading = part_of(work.progress, 0, 2, "reading")
    learn = examples_of(train, "class", encoder.spec, frames, progress=reading)
    check = examples_of(test, "class", encoder.spec, frames, learn.classes) if len(test) else None
    config = configured(asked.method, "statistics", asked.steps, len(learn))
    name, folder = _free_name(asked.name, work), work.folder / "run"
    card = {
        "name": name,
        "system": encoder.describe()["system"],
        "summary": f"{asked.model}, taught {', '.join(learn.classes)} ({asked.method})",
        "from": asked.model,
        "data": "labelled sounds that were given to the service",
        "licence": "that of the model it was made from and of the sounds it was given",
        "train_clips": len(learn),
    }
    teaching = part_of(work.progress, 1, 2, "teaching")
    result = finetune(encoder, learn, check, folder, config, card, teaching)
    told: dict[str, Any] = {
        "model": name,
        "classes": list(learn.classes),
        "train_clips": len(learn),
        "test_clips": len(test),
        "unmeasured": sorted(set(learn.classes) - {clip.labels["class"] for clip in test}),
        "trained_parameters": result.trained_parameters,
        "total_parameters": result.total_parameters,
        "seconds": result.seconds,
        "accuracy": None,
        "confusion": None,
    }
    if result.measured is not None:
        right = int(result.measured.confusion.diagonal().sum())
        interval = proportion_interval(right, len(test))
        told |= {
            "accuracy": interval.mean,
            "accuracy_interval": [interval.low, interval.high],
            "confusion": result.measured.confusion.tolist(),
        }
    packed = _packed(folder, work.folder / "model.zip")
    work.models.add(folder, name)
    run = f"runs/{name}"
    return Outcome(
        told,
        asked.model,
        _python(f"sound.load({run!r}).tag('new.wav').top(3)"),
        command(
            "adapt", asked.model, data="folder/", method=asked.method, pool="statistics",
            steps=asked.steps, o=run,
        ),
        (Made(packed, name, "file", ZIP),),
    )  # fmt: skip


def _clips(sounds: Sequence[Given]) -> Clips:
    """Labelled sounds as clips, called as in a folder that holds a folder for each label.

    So what is held out of them is what `sonograph adapt` holds out of that folder.
    """
    from sonograph.audio.io import info
    from sonograph.data.clips import Clip, Clips

    if unnamed := next((one.name for one in sounds if not one.label), ""):
        raise InputError(f"{unnamed} has no label: put the sounds of each label into its folder")
    clips: dict[str, Clip] = {}
    for one in sounds:
        name, found = f"{one.label}/{one.name}", info(one.path)
        while name in clips:  # of another folder, where it is called the same
            name += " again"
        clips[name] = Clip(
            id=name,
            path=one.path,
            duration_s=found.duration_s,
            rate_hz=found.rate_hz,
            channels=found.channels,
            labels={"class": one.label},
            group=name,
            file_frames=found.frames,
        )
    return Clips(list(clips.values()))


def _free_name(wanted: str, work: Work) -> str:
    """The name as letters, digits and dashes, with a number where it is taken."""
    name = "-".join("".join(c if c.isalnum() else " " for c in wanted).split())[:40] or "mine"
    known = {one.name for one in work.models.names()}
    return next(n for n in (name, *(f"{name}-{k}" for k in range(2, 10_000))) if n not in known)


def _packed(folder: Path, path: Path) -> Path:
    """The model of a run folder as a zip archive."""
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.glob("*")):
            if file.is_file():
                archive.write(file, file.name)
    return path


# --- all of them, in the order in which a page shows them ----------------------------------------

ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("tag", "Say what is heard", "Labels, how sure each is, and when it is heard.",
               "sounds", 1, None, TagSettings, _tags, _tag, "panns-mini"),
        Action("enhance", "Clean up speech", "Speech out of noise and music.",
               "sounds", 1, 1, EnhanceSettings, _enhances, _enhance, "enhancer"),
        Action("separate", "Pull apart", "A mixture into its parts: stems, talkers, or by name.",
               "sounds", 1, 1, SeparateSettings, _separates, _separate, "guitar"),
        Action("transcribe-notes", "Write down notes", "The melody of a sound as notes and MIDI.",
               "sounds", 1, 1, NotesSettings, _hears_notes, _notes, "melody"),
        Action("search", "Find similar", "Which of the other sounds are like the first.",
               "sounds", 2, None, SearchSettings, _embeds, _search, "ssast-mini"),
        Action("compare", "Compare two models", "The same sound through two models.",
               "sounds", 1, 1, CompareSettings, _compares, _compare),
        Action("speak", "Speak a text", "A text, plain or SSML, as sound.",
               "text", 0, 0, SpeakSettings, _speaks, _speak, "voice"),
        Action("adapt", "Teach your labels", "A model that knows your labels, from a folder each.",
               "labelled", 2, None, AdaptSettings, _encodes, _adapt, "ast-mini"),
        Action("embed", "Turn into vectors", "A vector for each sound, for search and clustering.",
               "sounds", 1, None, EmbedSettings, _embeds, _embed, "ssast-mini"),
    )
}  # fmt: skip


def given(path: str | Path, name: str = "", label: str = "") -> Given:
    """A sound on disk as actions take it."""
    return Given(Path(path), name or Path(path).name, label)
