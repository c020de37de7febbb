"""What the two synthesizers share: who speaks, when it ends, and which frame belongs to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sonograph.errors import InputError
from sonograph.nn.acoustic import Acoustic, Controls, Spoken, Text, require_text
from sonograph.nn.monotonic import from_attention
from sonograph.systems.speak.sv2tts.sizes import Config, Synthesis
from sonograph.systems.speak.sv2tts.speaker import SpeakerEncoder, fictitious, published_encoder

if TYPE_CHECKING:
    import numpy as np

    from sonograph.outputs import Audio

LEAST_FRAMES = 10  # before which it does not stop: RTVC's rule; NVIDIA's has no such bound


class Taught(NamedTuple):
    """One teacher-forced pass. stop: logits that a frame is the last or beyond it."""

    encoded: Float[Tensor, "b n e"]
    mel: Float[Tensor, "b t rows"]
    refined: Float[Tensor, "b t rows"]
    stop: Float[Tensor, "b t"]
    attention: Float[Tensor, "b steps n"]


class Synthesizer(Acoustic):
    """Tokens to features, frame after frame, in the voice of a vector of numbers.

    `voice` is that vector, kept with the weights: a fictitious speaker at first, anybody after
    `like(recording)`. It has no pace to set: rhythm comes with the sound.
    """

    paced = False
    voice: Tensor

    def __init__(self, config: Config, sizes: Synthesis):
        super().__init__()
        self.config, self.spec, self.alphabet = config, config.features, config.alphabet
        self.speaker, self.most_frames = sizes.speaker, sizes.most_frames
        self.listener: list[SpeakerEncoder] = []  # in a list: it is no part of this model
        if sizes.speaker:
            self.register_buffer("voice", fictitious(sizes.speaker))

    def forward(
        self,
        text: Text,
        features: Float[Tensor, "b rows t"],
        lengths: Int64[Tensor, "b"],
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> Taught:
        """Every frame from the true ones before it."""
        raise NotImplementedError

    def generate(
        self, text: Text, generator: torch.Generator | None, speakers: Float[Tensor, "b d"] | None
    ) -> tuple[Float[Tensor, "b rows t"], Int64[Tensor, "b"], Float[Tensor, "b t n"]]:
        """Features, how many frames of each text are meant, and what each frame attends to."""
        raise NotImplementedError

    @torch.no_grad()
    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> Spoken:
        """Features of each text, until it says that it is done. Controls are not obeyed.

        speakers: a vector for each text in place of `voice`. A token lasts for the frames that
        attend to it most. The pre-net's dropout is drawn from `generator`, for each text on its
        own: one seed says one thing.
        """
        require_text(text, self.config.tokens)
        features, lengths, attention = self.generate(text, generator, speakers)
        inside = torch.arange(features.shape[2], device=features.device) < lengths[:, None]
        found = from_attention(attention[None], lengths, text.lengths)
        return Spoken(features * inside[:, None], lengths, found.frames)

    def like(
        self, recording: Audio | np.ndarray, encoder: SpeakerEncoder | None = None
    ) -> Float[Tensor, " d"]:
        """Speak like a recording from now on; returns the vector that says so.

        encoder: what listens; the published one unless given (see `published_encoder`), which is
        right for weights that were trained with it. Raises InputError for a model of one voice, for
        silence, and where no encoder fits.
        """
        if not self.speaker:
            raise InputError("this model has one voice: take one that is told who speaks (sv2tts)")
        if encoder is not None:
            self.listener = [encoder]
        elif not self.listener:
            self.listener = [published_encoder()]
        found = self.listener[0].embed(recording)
        if len(found) != self.speaker:
            raise InputError(
                f"the encoder gives {len(found)} numbers, this model takes {self.speaker}: give "
                "the encoder that it was trained with"
            )
        self.voice.copy_(found)
        return found

    def invent(self, generator: torch.Generator | None = None) -> Float[Tensor, " d"]:
        """Speak like nobody: a fictitious speaker, drawn from `generator`."""
        if not self.speaker:
            raise InputError("this model has one voice: take one that is told who speaks (sv2tts)")
        self.voice.copy_(fictitious(self.speaker, generator))
        return self.voice.clone()

    def told(
        self, encoded: Float[Tensor, "b n e"], speakers: Float[Tensor, "b d"] | None
    ) -> Float[Tensor, "b n m"]:
        """The speaker's vector beside every token."""
        if not self.speaker:
            return encoded
        speakers = self.voice.expand(len(encoded), -1) if speakers is None else speakers
        if speakers.shape != (len(encoded), self.speaker):
            raise InputError(
                f"speakers of shape {tuple(speakers.shape)} for {len(encoded)} texts and vectors "
                f"of {self.speaker}"
            )
        return torch.cat([encoded, speakers[:, None].expand(-1, encoded.shape[1], -1)], 2)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "acoustic", "system": "sv2tts", "config": self.config.to_dict()}


def ended(
    lengths: Int64[Tensor, "b"],
    stop: Float[Tensor, "b"],
    frames: int,
    most: int,
    least: int = LEAST_FRAMES,
) -> Int64[Tensor, "b"]:
    """Lengths after one more step that reaches `frames`: those stop that say so, `most` is none."""
    done = (stop > 0) & (lengths == most) & (frames > least)
    return torch.where(done, min(frames, most), lengths)


def mask_of(lengths: Int64[Tensor, "b"], size: int) -> Bool[Tensor, "b size"] | None:
    """True where there is something; None where that is everywhere, which is faster."""
    if bool((lengths == size).all()):
        return None
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def inside(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b t d"]:
    """Zero where there is nothing."""
    return x if mask is None else x * mask[..., None]
