"""Teacher and student: FastSpeech as the paper trains it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonograph import weights
from sonograph.data.clips import Clips
from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.monotonic import from_attention
from sonograph.progress import Progress, silent
from sonograph.recipes.speak.acoustic import prepared
from sonograph.recipes.speak.corpus import Speech
from sonograph.recipes.speak.fastspeech.training import Recipe, learned
from sonograph.recipes.speak.left import before_and_after
from sonograph.registry import preset
from sonograph.systems.speak import fastspeech


class Taught(Speech):
    """A corpus as a teacher says it: its durations, and its mels in place of the recorded ones.

    Stages B and C of the paper: durations from the head of largest focus rate while the teacher
    reads the recording (section 3.3), mels from the same pass, so that both fit each other.
    """

    def __init__(self, speech: Speech, teacher: fastspeech.TransformerTTS, seed: int = 0):
        super().__init__(speech.spec, speech.items, speech.dropped)
        self.teacher, self.seed = teacher.eval(), seed
        self.kept: dict[str, tuple[Tensor, Tensor, float]] = {}

    @torch.no_grad()
    def listen(self, batch: int = 16, progress: Progress = silent) -> Taught:
        """Let the teacher say every clip; what `batch` then gives is what it said. Returns self."""
        order = sorted(range(len(self)), key=lambda row: self.items[row].frames)
        for k in range(0, len(order), batch):
            rows = order[k : k + batch]
            given = super().batch(rows)
            noise = torch.Generator().manual_seed(self.seed * 1_000_003 + k)
            taught = self.teacher(given.text, given.features, given.lengths, noise)
            found = from_attention(taught.attention, given.lengths, given.text.lengths)
            for place, row in enumerate(rows):
                item = self.items[row]
                frames = found.frames[place, : len(item.ids)].clone()
                mel = taught.refined[place, : item.frames].T.clone()
                self.kept[item.id] = (frames, mel, float(found.score[place]))
            progress(min(k + batch, len(order)), len(order), "the teacher speaks")
        return self

    def focus(self) -> float:
        """Mean focus rate: near 1 where the teacher knows which token each frame says."""
        return float(np.mean([score for _, _, score in self.kept.values()]))

    def batch(self, rows: Sequence[int]) -> SpeechBatch:
        given = super().batch(rows)
        durations = torch.zeros_like(given.text.ids)
        features = given.features.clone()
        for place, row in enumerate(rows):
            frames, mel, _ = self.kept[self.items[row].id]
            durations[place, : len(frames)] = frames
            features[place, :, : mel.shape[1]] = mel
        return given._replace(features=features, durations=durations)


def teach(
    clips: Clips,
    folder: Path,
    teacher: Recipe,
    student: Recipe,
    names: tuple[str, str] = ("fastspeech-teacher-mini", "fastspeech-student-mini"),
    progress: Progress = silent,
) -> dict[str, Any]:
    """The paper's three stages: train the teacher, let it speak, train the student on that.

    `folder/teacher` and `folder/student` are the runs; started again it goes on. Returns held-out
    losses of both (the student's against the teacher's mels), and the teacher's focus rate.
    """
    config = preset(names[0]).make()
    assert isinstance(config, fastspeech.Config)
    speech = prepared(config, clips, progress)
    first = learned(names[0], speech, folder / "teacher", teacher, progress)
    master = first.objective.acoustic
    weights.save_folder(folder / "teacher" / "voice", master, {"name": names[0]})
    taught = Taught(speech, master, teacher.train.seed).listen(progress=progress)
    second = learned(names[1], taught, folder / "student", student, progress)
    weights.save_folder(folder / "student" / "voice", second.objective.acoustic, {"name": names[1]})
    return {
        **{
            who: before_and_after(done.before, done.after, done.summary)
            for who, done in (("teacher", first), ("student", second))
        },
        "focus_rate": taught.focus(),
    }
