"""Notes out of a separator: its trunk with note predictors in place of its masks.

Wang, Lu and Chen, "Mel-RoFormer for Vocal Separation and Vocal Melody Transcription", ISMIR 2024,
section 4: the net that was trained to separate vocals is fine-tuned to say, of every frame and
pitch, how probable it is that a note begins and that one sounds, in the manner of onsets and frames
(Hawthorne et al. 2018). Notes are monophonic and do not overlap.

Ours, where the paper is silent: MIDI 36 to 96; of each band 16 numbers with GELU, then one linear
map of all of them; an onset is marked in the frame nearest to it and its two neighbours; equal
weights of both losses, summed over pitches and averaged over frames; output biases that begin at a
probability of 0.01; how notes are read from the probabilities (`notes_of`).

Shapes: mixture (b, channels, n) -> tokens (t, b, bands, d) -> logits (b, t, keys).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.nn.mel_bands import BandLinear
from sonograph.nn.pretrained import Pretrained
from sonograph.nn.separator import Separator
from sonograph.outputs import Note

RARE = 0.01  # how probable an onset or a note is before anything is learned


@dataclasses.dataclass(frozen=True)
class NoteConfig(Config):
    """Which notes there are, and when one is believed."""

    lowest_key: int = 36
    highest_key: int = 96
    band_width: int = 16  # numbers that each band tells of a frame
    onset_frames: int = 3  # frames in which an onset is marked, an odd number
    least_frame: float = 0.5  # probability from which a note sounds
    least_onset: float = 0.5  # probability from which a sounding pitch begins anew
    shortest_s: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.lowest_key <= self.highest_key <= 127:
            raise InputError(f"keys {self.lowest_key} to {self.highest_key}: give 0 to 127")
        if self.onset_frames < 1 or self.onset_frames % 2 == 0:
            raise InputError(f"onset_frames {self.onset_frames}: give an odd number")

    @property
    def keys(self) -> int:
        return self.highest_key - self.lowest_key + 1


class NoteLogits(NamedTuple):
    """onset, frame: (b, t, keys), before the sigmoid; frame k is centred on sample k hop."""

    onset: Float[Tensor, "b t keys"]
    frame: Float[Tensor, "b t keys"]


class NoteHead(nn.Module):
    """Tokens of all bands to the logits of every key: (t, b, bands, d) -> (b, t, keys) twice."""

    def __init__(self, bands: int, width: int, band_width: int, keys: int):
        super().__init__()
        self.keys = keys
        self.of_band = BandLinear([width] * bands, [band_width] * bands)
        self.out = nn.Linear(bands * band_width, 2 * keys)
        nn.init.constant_(self.out.bias, math.log(RARE / (1 - RARE)))

    def forward(self, tokens: Float[Tensor, "t b bands d"]) -> NoteLogits:
        t, b = tokens.shape[:2]
        by_band = tokens.flatten(0, 1).transpose(0, 1)
        told = F.gelu(self.of_band.run(0, by_band)).transpose(0, 1)
        logits = self.out(told.flatten(1)).view(t, b, 2, self.keys)
        return NoteLogits(*logits.permute(2, 1, 0, 3))


class Transcriber(nn.Module, Pretrained):
    """A separator's trunk and a `NoteHead`: sound to the logits of 1 + n // hop frames.

    The separator offers `spectrum(mixture)`, `encode(spectrum)`, its masks as `heads`, which are
    dropped, and a `config` with `layout`, `width` and `hop_samples`, as Mel-RoFormer does.
    """

    card: dict[str, Any]
    name: str

    def __init__(self, separator: Separator, notes: NoteConfig | None = None):
        super().__init__()
        if not hasattr(separator, "encode"):
            raise InputError(
                f"{type(separator).__name__} has no tokens to hear notes in: take a Mel-RoFormer"
            )
        trunk: Any = separator
        self.notes = notes or NoteConfig()
        self.described = separator.describe()
        config = trunk.config
        self.rate_hz, self.channels = separator.rate_hz, separator.channels
        self.hop_samples: int = config.hop_samples
        self.window_samples = separator.window_samples
        trunk.heads = nn.ModuleList()
        self.trunk = trunk
        bands = len(config.layout)
        self.head = NoteHead(bands, config.width, self.notes.band_width, self.notes.keys)

    def forward(self, mixture: Float[Tensor, "b channels n"]) -> NoteLogits:
        frames = 1 + mixture.shape[-1] // self.hop_samples
        logits = self.head(self.trunk.encode(self.trunk.spectrum(mixture)))
        return NoteLogits(*(part[:, :frames] for part in logits))  # short clips were padded

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "transcriber",
            "separator": self.described,
            "notes": self.notes.to_dict(),
        }


# --- learning ------------------------------------------------------------------------------------


def note_targets(
    notes: Sequence[Note], frames: int, hop_s: float, config: NoteConfig
) -> tuple[Float32[np.ndarray, "t keys"], Float32[np.ndarray, "t keys"]]:
    """(onset, frame) of notes, 1 where there is one. Notes beyond the keys are left out."""
    onset = np.zeros((frames, config.keys), np.float32)
    frame = np.zeros_like(onset)
    for note in notes:
        key = round(note.pitch) - config.lowest_key
        if not 0 <= key < config.keys:
            continue
        nearest, reach = round(note.onset_s / hop_s), config.onset_frames // 2
        onset[max(0, nearest - reach) : max(0, nearest + reach + 1), key] = 1
        begin, end = (math.ceil(t / hop_s - 1e-9) for t in (note.onset_s, note.offset_s))
        frame[max(0, begin) : max(0, end), key] = 1
    return onset, frame


class NoteLoss(nn.Module):
    """Cross-entropy of onsets and of frames around a transcriber.

    batch: "mixture" (b, channels, n), "notes": a list of `Note`s a clip.
    """

    def __init__(self, transcriber: Transcriber):
        super().__init__()
        self.transcriber = transcriber

    def forward(
        self, batch: dict[str, Any], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        model = self.transcriber
        logits = model(batch["mixture"])
        hop_s, frames = model.hop_samples / model.rate_hz, logits.onset.shape[1]
        rows = [note_targets(notes, frames, hop_s, model.notes) for notes in batch["notes"]]
        losses = []
        for made, wanted in zip(logits, zip(*rows)):
            true = torch.from_numpy(np.stack(wanted)).to(made)
            losses.append(F.binary_cross_entropy_with_logits(made, true, reduction="none"))
        onset, frame = (loss.sum(-1).mean() for loss in losses)
        return {"loss": onset + frame, "onset": onset, "frame": frame}


# --- reading notes -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """What is kept of frames to read notes from: a few bytes each, so that hours fit in memory.

    key: the likeliest one; frame: how likely; begins: whether its onset is a peak there.
    """

    key: Int[np.ndarray, "t"]
    frame: Float32[np.ndarray, "t"]
    begins: Bool[np.ndarray, "t"]

    def __getitem__(self, part: slice) -> Heard:
        return Heard(self.key[part], self.frame[part], self.begins[part])

    @classmethod
    def joined(cls, parts: Iterable[Heard]) -> Heard:
        """Parts that follow each other, taken one at a time.

        They are copied as they come: thousands of small arrays that stay would keep the memory of
        the windows between them from being used again.
        """
        columns = bytearray(), bytearray(), bytearray()
        for part in parts:
            columns[0].extend(part.key.astype(np.uint8).tobytes())
            columns[1].extend(part.frame.astype(np.float32).tobytes())
            columns[2].extend(part.begins.tobytes())
        kinds = (np.uint8, np.float32, bool)
        return cls(*(np.frombuffer(row, kind) for row, kind in zip(columns, kinds)))


def heard(logits: NoteLogits, config: NoteConfig) -> list[Heard]:
    """Of every clip of a batch the likeliest key of each frame, and where its onset peaks.

    A peak is at least `least_onset`, above the frame before and not below the one after.
    """
    onset = torch.sigmoid(logits.onset.float())
    found, key = torch.sigmoid(logits.frame.float()).max(-1)
    padded = F.pad(onset, (0, 0, 1, 1))
    peak = (onset >= config.least_onset) & (onset > padded[:, :-2]) & (onset >= padded[:, 2:])
    begins = peak.gather(-1, key[..., None])[..., 0]
    rows = zip(key.cpu().numpy(), found.cpu().numpy(), begins.cpu().numpy())
    return [Heard((k + config.lowest_key).astype(np.uint8), f, b) for k, f, b in rows]


def notes_of(frames: Heard, hop_s: float, config: NoteConfig) -> tuple[Note, ...]:
    """Monophonic notes: stretches of one key that sounds, cut where it begins anew.

    A note reaches from half a hop before its first frame to half a hop after its last; one that
    begins anew while it sounds begins at its peak. Notes shorter than `shortest_s` are dropped, and
    a peak so soon after a note's beginning is that beginning.
    """
    made: list[Note] = []
    sounding = frames.frame >= config.least_frame
    key = np.where(sounding, frames.key.astype(np.int64), -1)
    edges = [*np.flatnonzero(np.diff(key, prepend=-2)).tolist(), len(key)]
    least = max(1, round(config.shortest_s / hop_s))
    for first, end in itertools.pairwise(edges):
        if key[first] < 0:
            continue
        cuts = [first]
        for peak in (first + np.flatnonzero(frames.begins[first:end])).tolist():
            if peak - cuts[-1] >= least:
                cuts.append(peak)
        for k, (begin, stop) in enumerate(zip(cuts, [*cuts[1:], end])):
            onset_s = (begin if k else max(0.0, begin - 0.5)) * hop_s
            offset_s = (stop - (0.5 if stop == end else 0)) * hop_s
            if offset_s - onset_s >= config.shortest_s - 1e-9:
                score = float(frames.frame[begin:stop].mean())
                made.append(Note(onset_s, offset_s, int(key[begin]), score))
    return tuple(made)
