"""Clips by what a user calls them: a set, a corpus, or the path of one's own sounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sonograph.data.clips import Clips
from sonograph.data.corpora import CORPORA, SETS, data_folder, open_corpus, open_sets, plan
from sonograph.errors import InputError, did_you_mean


def open_data(wanted: Sequence[str], folder: Path | None = None) -> Clips:
    """The clips of sets, corpora and paths together.

    A name of a set or corpus comes before a folder that is called the same: `./core` is the folder.
    folder: where fetched corpora lie. Raises InputError for what is neither name nor path.
    """
    if not wanted:
        raise InputError("no data is given: name a set, a corpus, a folder, a .csv or a .jsonl")
    parts = [_open(name, folder, several=len(wanted) > 1) for name in wanted]
    clips = [clip for part in parts for clip in part]
    if not clips:
        raise InputError(f"{' '.join(wanted)} holds no clips")
    return Clips(clips)


def _open(name: str, folder: Path | None, several: bool) -> Clips:
    if name in SETS:
        missing = [row["name"] for row in plan([name], folder) if not row["ready"]]
        if missing:
            raise InputError(
                f"{', '.join(missing)} of {name} is not in {folder or data_folder()}: "
                f"run `sonograph data get {name}`"
            )
        return open_sets([name], folder)
    if name in CORPORA:
        return open_corpus(name, folder)
    path = Path(name)
    if not path.exists():
        hint = did_you_mean(name, [*SETS, *CORPORA]) or " `sonograph data list` shows the sets."
        raise InputError(f"{name} is no data set and no file or folder.{hint}")
    clips = Clips.open(path)
    if not several:
        return clips
    # two folders may well hold a `1.wav` each
    return Clips([dataclasses.replace(clip, id=f"{name}/{clip.id}") for clip in clips])


def task_of(clips: Clips, wanted: str, usual: str = "") -> str:
    """The task to work on: the one asked for, else `usual` if clips have it, else the only one."""
    known = clips.tasks()
    if wanted:
        clips.labelled(wanted)  # raises where there is none
        return wanted
    if usual in known:
        return usual
    if not known:
        raise InputError(
            "no clip has a label: give a CSV with columns path and label, or a folder with one "
            "sub-folder a class"
        )
    if len(known) > 1:
        raise InputError(f"the clips have labels for several tasks, choose --task: {_list(known)}")
    return next(iter(known))


def held_out(clips: Clips, task: str, part: str) -> tuple[Clips, Clips]:
    """(to learn from, to measure on): the labelled clips outside and inside of a part of the split.

    part: "test", "valid", a fold such as "fold1", or "none" to learn from all. Nothing is chosen
    by the validation split here, so it is learned from as well. Raises InputError for a class that
    a published split has only in the second.
    """
    labelled = clips.labelled(task)
    if part == "none":
        return labelled, Clips([])
    test = measured_part(clips, task, part)
    ids = {clip.id for clip in test}
    train = labelled.filter(lambda clip: clip.id not in ids)
    if not len(train):
        raise InputError(f"all {len(test)} labelled clips are in {part!r}: none are left to learn")
    strange = sorted({clip.labels[task] for clip in test} - set(train.classes(task)))
    if strange:
        raise InputError(
            f"{task} {strange[0]!r} occurs only in the held-out part {part!r}, so it cannot be "
            "learned: add clips of it, change the split in the table, or give --hold-out none"
        )
    return train, test


def measured_part(clips: Clips, task: str, part: str) -> Clips:
    """The labelled clips of a part of the split.

    A split that is published is taken as it is. Where it is ours, by chance, a class may have all
    its recordings in one part: these are left out here, with all of their groups, so that
    `held_out` can learn the class from them.
    """
    labelled = clips.labelled(task)
    test = labelled.split(part)
    if any(clip.split for clip in labelled):
        return test
    ids = {clip.id for clip in test}
    elsewhere = {clip.labels[task] for clip in labelled if clip.id not in ids}
    alone = [clip for clip in test if clip.labels[task] not in elsewhere]
    groups, files = {clip.group for clip in alone} - {""}, {clip.path for clip in alone}
    return test.filter(lambda clip: clip.group not in groups and clip.path not in files)


def _list(tasks: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count} clips)" for name, count in sorted(tasks.items()))
