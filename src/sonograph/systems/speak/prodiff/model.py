"""The model: FastSpeech 2 without its decoder, and a denoiser of mels that it is told by.

Shapes: b texts, n tokens, t frames; features (b, rows, t); levels are times of the diffusion, 0 the
least noisy one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph import config as base
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.speech_features import natspeech_spec
from sonograph.errors import InputError
from sonograph.losses.acoustic import Losses
from sonograph.nn import diffusion
from sonograph.nn.acoustic import Acoustic, Controls, Spoken, Text, mask_of, require_text
from sonograph.nn.alignment import Alignment
from sonograph.nn.diffnet import DiffNet, sines
from sonograph.nn.fft_block import PreNormFFT, masked
from sonograph.nn.frame_noise import noise_of
from sonograph.nn.length_regulator import lengthen, paced
from sonograph.nn.pitch_bins import PitchBins
from sonograph.nn.variance import Predictor, damped

PITCH = PitchBins(high_hz=1100.0)
ENERGY_BINS = 256
Sampling = Literal["ddim", "published"]
Prediction = Literal["clean", "noise"]


@dataclasses.dataclass(frozen=True)
class Config(base.Config):
    """The defaults are the official teacher's."""

    features: FeatureSpec = dataclasses.field(default_factory=natspeech_spec)
    alphabet: str = "NATSpeech"
    tokens: int = 80
    width: int = 256
    encoder_depth: int = 4
    encoder_kernel: int = 9
    num_heads: int = 2
    dropout: float = 0.1
    duration_layers: int = 2
    duration_kernel: int = 3
    predictor_layers: int = 2  # of pitch and energy
    predictor_kernel: int = 5
    predictor_dropout: float = 0.5
    predictor_gradient: float = 0.1  # share of it that reaches the encoder
    pitch_mean: float = 200.0  # Hz, over the voiced frames of the corpus; in no official weights
    pitch_deviation: float = 60.0
    energy_most: float = 4.0  # where the table of energies ends

    blocks: int = 20  # of the denoiser
    channels: int = 256
    dilation_cycle: int = 1
    prediction: Prediction = "clean"
    teacher_steps: int = 4  # there is one level more
    stride: int = 1  # levels to a step: 2 for a student, 4 for the student of that one
    betas: tuple[float, ...] = ()  # of the levels; () is the paper's "vpsde"
    mean: float = 0.0  # of features, taken off before diffusion: official mels go as they are
    deviation: float = 1.0
    clip: float = 0.0  # clean features are kept within so many deviations; 0: they are not

    # "published": first level as if it were the last but one, one-step posteriors, noise in between
    sampling: Sampling = "ddim"
    alignment: Alignment = Alignment()
    losses: Losses = Losses(
        mel="l1 and ssim",
        token_duration=0.1,
        word_duration=1.0,
        sentence_duration=1.0,
        energy=0.1,
    )
    compat: Literal["none", "published"] = "none"  # "published": frames past the end are seen

    def __post_init__(self) -> None:
        if self.tokens < 2:
            raise InputError(f"tokens is {self.tokens}: padding and one token are the least")
        if self.teacher_steps < 1 or self.stride < 1 or self.teacher_steps % self.stride:
            raise InputError(
                f"{self.teacher_steps} steps do not make whole strides of {self.stride}: a student "
                "takes half, a quarter.. of its teacher's steps"
            )
        if self.betas and len(self.betas) != self.teacher_steps + 1:
            raise InputError(
                f"betas has {len(self.betas)} levels: {self.teacher_steps} steps need one more"
            )
        if self.width < 4 or self.channels < 4 or self.width % 2 or self.channels % 2:
            raise InputError("width and channels are even numbers from 4 on")

    @property
    def steps(self) -> int:
        """How often the denoiser is asked for one mel."""
        return self.teacher_steps // self.stride


class Read(NamedTuple):
    """A text read, and what is said of each of its frames.

    predicted: log(1 + frames) of each token. pitch: normalised F0 and a logit that there is none,
    f0_hz: what was embedded, 0 where unvoiced.
    """

    encoded: Float[Tensor, "b n d"]
    decoder_input: Float[Tensor, "b t d"]
    lengths: Int64[Tensor, "b"]
    durations: Int64[Tensor, "b n"]
    predicted: Float[Tensor, "b n"]
    pitch: Float[Tensor, "b t 2"]
    f0_hz: Float[Tensor, "b t"]
    energy: Float[Tensor, "b t"]

    @property
    def condition(self) -> Float[Tensor, "b d t"]:
        return self.decoder_input.transpose(1, 2)

    @property
    def mask(self) -> Float[Tensor, "b 1 t"]:
        place = torch.arange(self.decoder_input.shape[1], device=self.lengths.device)
        return (place < self.lengths[:, None])[:, None].to(self.decoder_input.dtype)


class FramePredictor(nn.Module):
    """A predictor over frames that know their place."""

    def __init__(self, config: Config, outputs: int):
        super().__init__()
        self.compat = config.compat
        self.alpha = nn.Parameter(torch.ones(1))
        self.layers = predictor(
            config, config.predictor_layers, config.predictor_kernel, outputs, config.compat
        )

    def forward(self, x: Float[Tensor, "b t d"], mask: Tensor | None) -> Float[Tensor, "b t o"]:
        x = x + self.alpha * places(x, mask)  # padding has none in official code either
        return self.layers(x, mask if self.compat == "none" else None)


def predictor(
    config: Config, layers: int, kernel: int, outputs: int, compat: Literal["none", "published"]
) -> Predictor:
    """Convolutions of the model's width; norms divide by the deviation itself."""
    made = Predictor(
        config.width,
        config.width,
        layers,
        kernel,
        config.predictor_dropout,
        outputs,
        compat=compat,
    )
    for norm in made.norms:
        norm.eps = 1e-12  # type: ignore[assignment]
    return made


def places(x: Float[Tensor, "b t d"], mask: Tensor | None) -> Float[Tensor, "b t d"]:
    """Sinusoids of 1, 2, ..; zeros for padding."""
    table = sines(torch.arange(1, x.shape[1] + 1, device=x.device), x.shape[2]).to(x.dtype)
    return masked(table.expand(len(x), -1, -1), mask)


class ProDiff(Acoustic):
    """Tokens to features: what each frame is of, then `config.steps` looks at noise.

    >>> from sonograph.systems.speak.prodiff import test
    >>> model = ProDiff(test()).eval()
    >>> ids = torch.tensor([[3, 1, 4]])
    >>> spoken = model.speak(Text(ids, torch.tensor([3]), torch.zeros_like(ids)))
    >>> spoken.features.shape[2] == int(spoken.durations.sum())
    True
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec, self.alphabet = config, config.features, config.alphabet
        width, compat = config.width, config.compat
        self.scale = math.sqrt(width)
        self.embed = nn.Embedding(config.tokens, width, padding_idx=0)
        self.encoder = nn.ModuleList(
            PreNormFFT(
                width, config.num_heads, config.encoder_kernel, config.dropout, compat=compat
            )
            for _ in range(config.encoder_depth)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.duration = predictor(config, config.duration_layers, config.duration_kernel, 1, "none")
        self.pitch = FramePredictor(config, 2)
        self.pitch_embed = nn.Embedding(PITCH.rows, width, padding_idx=0)
        self.energy = FramePredictor(config, 1)
        self.energy_embed = nn.Embedding(ENERGY_BINS, width, padding_idx=0)
        for table in (self.embed, self.pitch_embed, self.energy_embed):
            nn.init.normal_(table.weight[1:], std=width**-0.5)
        self.denoiser = DiffNet(
            config.features.rows, config.channels, width, config.blocks, config.dilation_cycle
        )
        with torch.device("cpu"):  # a table, wherever the weights are
            self.schedule = (
                diffusion.Schedule(torch.tensor(config.betas, dtype=torch.float64))
                if config.betas
                else diffusion.vpsde(config.teacher_steps + 1)
            )

    # -- what each frame is of ------------------------------------------------------------------

    def encode(self, text: Text) -> Float[Tensor, "b n d"]:
        mask = mask_of(text.lengths, text.ids.shape[1])
        x = self.scale * self.embed(text.ids)
        x = masked(self.dropout(x + places(x, mask)), mask)
        for block in self.encoder:
            x = block(x, mask)
        return masked(self.norm(x), mask)

    def read(
        self,
        text: Text,
        durations: Int64[Tensor, "b n"] | None = None,
        pitch: Float[Tensor, "b t 2"] | None = None,
        energy: Float[Tensor, "b t"] | None = None,
        controls: Controls = Controls(),  # noqa: B008
        attention: Float[Tensor, "b t n"] | None = None,
    ) -> Read:
        """What is given is taken, the rest predicted.

        pitch: normalised F0, and above 0 where there is none. attention: soft weights of frames
        over tokens, in place of repeating tokens by `durations`.
        """
        require_text(text, self.config.tokens)
        encoded = self.encode(text)
        share, tokens = self.config.predictor_gradient, mask_of(text.lengths, text.ids.shape[1])
        predicted = self.duration(damped(encoded, share), tokens)[..., 0]
        if durations is None:
            durations = self.frames_of(predicted, text, controls.pace)
        lengths = durations.sum(1)
        frames = int(lengths.max()) if attention is None else attention.shape[1]
        inside = mask_of(lengths, frames)
        y = lengthen(encoded, durations, frames) if attention is None else attention @ encoded
        y = masked(y, inside)
        factors = [
            None if one is None else lengthen(one[..., None].to(y.dtype), durations, frames)[..., 0]
            for one in (controls.pitch, controls.energy)
        ]
        told = damped(y, share)
        said_pitch = self.pitch(told, inside)
        said_energy = self.energy(told, inside)[..., 0]
        f0_hz = self.f0_hz(said_pitch if pitch is None else pitch, inside)
        if pitch is None and factors[0] is not None:
            f0_hz = f0_hz * factors[0]
        if energy is None:
            energy = said_energy if factors[1] is None else said_energy * factors[1]
        bins = (energy * (ENERGY_BINS / self.config.energy_most)).floor()
        varied = self.pitch_embed(PITCH.of(f0_hz))
        varied = varied + self.energy_embed(bins.clamp(0, ENERGY_BINS - 1).long())
        return Read(
            encoded,
            masked(y + varied, inside),
            lengths,
            durations,
            predicted,
            said_pitch,
            f0_hz,
            said_energy,
        )

    def f0_hz(
        self, pitch: Float[Tensor, "b t 2"], mask: Tensor | None = None
    ) -> Float[Tensor, "b t"]:
        """Hz of normalised F0; 0 where unvoiced."""
        hz = pitch[..., 0] * self.config.pitch_deviation + self.config.pitch_mean
        hz = hz.masked_fill(pitch[..., 1] > 0, 0.0)
        if self.config.compat == "none":  # official code lets F0 fall below 0, into the lowest bin
            hz = hz.clamp(min=0)
        return hz if mask is None else hz.masked_fill(~mask, 0.0)

    def frames_of(
        self, predicted: Float[Tensor, "b n"], text: Text, pace: Float[Tensor, "b n"] | None = None
    ) -> Int64[Tensor, "b n"]:
        """Whole frames of each token, at least one a text; 0 for padding."""
        whole = (predicted.detach().exp() - 1).round().clamp(min=0).long()
        frames = paced(whole, pace) * text.mask
        frames[:, 0] += (frames.sum(1) == 0).long()
        return frames

    def _seen(self, mask: Any) -> Any:
        """A mask, or none where frames past the end are looked at as in official code."""
        return mask if self.config.compat == "none" else None

    # -- the diffusion --------------------------------------------------------------------------

    def code(self, level: diffusion.Time) -> diffusion.Time:
        """The number under which the denoiser knows a level: a student's, the one it goes to."""
        return level if self.config.stride == 1 else level - self.config.stride

    def predict(
        self, x: Float[Tensor, "b rows t"], code: diffusion.Time, condition: Tensor, mask: Tensor
    ) -> Float[Tensor, "b rows t"]:
        """What the network says of x, clean features or noise."""
        steps = torch.as_tensor(code, device=x.device).expand(len(x))
        return self.denoiser(x, steps, condition, self._seen(mask))

    def clean(
        self, x: Float[Tensor, "b rows t"], level: diffusion.Time, condition: Tensor, mask: Tensor
    ) -> Float[Tensor, "b rows t"]:
        """The clean (normalised) features that the network sees in x at a level."""
        return self._clean(self.predict(x, self.code(level), condition, mask), x, level)

    def _clean(self, said: Tensor, x: Tensor, level: diffusion.Time) -> Tensor:
        if self.config.prediction == "noise":
            said = self.schedule.clean_of_noise(x, level, said)
        return said.clamp(-self.config.clip, self.config.clip) if self.config.clip else said

    @property
    def levels(self) -> list[int]:
        """Those that sampling goes through, one step each; the last one ends at clean features."""
        stride = self.config.stride
        return [stride * k for k in range(self.config.steps, 0, -1)]

    def sample(
        self,
        read: Read,
        noises: Callable[[], Float[Tensor, "b rows t"]],
        levels: Sequence[int] | None = None,
    ) -> Float[Tensor, "b rows t"]:
        """Features from noise. `noises` is asked once, and for the published way before each step.

        levels: others than `self.levels`, for a model that learned them all.
        """
        condition, mask, x = read.condition, read.mask, noises()
        if self.config.sampling == "ddim":
            x = diffusion.ddim(
                lambda x, level: self.clean(x, level, condition, mask),
                self.schedule,
                x,
                self.levels if levels is None else levels,
            )
            return self.restored(x)
        for step in range(self.config.steps - 1, -1, -1):
            level = step * self.config.stride
            x0 = self._clean(self.predict(x, level, condition, mask), x, level)
            noise = noises() if level else torch.zeros_like(x)
            x = self.schedule.ddpm_step(x, level, x0, noise)
        return self.restored(x)

    def normalised(self, features: Tensor) -> Tensor:
        return (features - self.config.mean) / self.config.deviation

    def restored(self, x: Tensor) -> Tensor:
        return x * self.config.deviation + self.config.mean

    @torch.no_grad()
    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008 (nothing in it can change)
        generator: torch.Generator | None = None,
    ) -> Spoken:
        """Features of each text. Noise is that of the seed and the frame, the same in every row."""
        read = self.read(text, controls=controls)
        features = self.sample(read, self.noises(read, generator)) * read.mask
        return Spoken(features, read.lengths, read.durations)

    def noises(
        self, read: Read, generator: torch.Generator | None = None
    ) -> Callable[[], Float[Tensor, "b rows t"]]:
        """Where `sample` gets its noise from."""
        shape = (len(read.lengths), self.spec.rows, read.decoder_input.shape[1])

        def drawn() -> Tensor:
            seed = int(torch.randint(2**62, (), generator=generator))
            return noise_of(seed, shape).to(read.decoder_input)

        return drawn

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "acoustic", "system": "prodiff", "config": self.config.to_dict()}


def student_of(teacher: ProDiff) -> ProDiff:
    """A model of half the steps that begins with its teacher's weights. Section 4.3 of the paper.

    Raises InputError for a teacher of a single step, or an odd number of them.
    """
    config = teacher.config
    if config.steps % 2:
        raise InputError(f"a teacher of {config.steps} steps cannot be halved")
    given = dataclasses.replace(config.alignment, source="given")
    student = ProDiff(
        dataclasses.replace(config, stride=2 * config.stride, alignment=given, prediction="clean")
    )
    student.load_state_dict(teacher.state_dict())
    return student
