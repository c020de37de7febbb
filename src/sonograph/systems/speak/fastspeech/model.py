"""FastSpeech and FastSpeech 2: the model, in all its published forms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph import config as base
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.speech_features import tacotron2_spec
from sonograph.errors import InputError
from sonograph.losses.acoustic import Losses
from sonograph.nn.acoustic import Acoustic, Controls, Spoken, Text, mask_of, require_text
from sonograph.nn.alignment import Alignment
from sonograph.nn.fft_block import PostNormFFT, PreNormFFT, masked
from sonograph.nn.length_regulator import lengthen, paced
from sonograph.nn.postnet import CBHG, Postnet
from sonograph.nn.relative_encoder import RelativeEncoder
from sonograph.nn.sinusoids import sinusoids
from sonograph.nn.variance import Predictor, damped
from sonograph.systems.speak.fastspeech.variance import Binned, MelPitch, Variance, WaveletPitch


@dataclasses.dataclass(frozen=True)
class Stack(base.Config):
    """One of the two halves, over tokens or over frames.

    "post-norm": the paper's FFT blocks. NATSpeech's: "pre-norm" FFT blocks, "relative" attention
    (VITS's text encoder), "convolutions" in residual blocks of two.
    """

    kind: Literal["post-norm", "pre-norm", "relative", "convolutions"] = "post-norm"
    depth: int = 6
    hidden: int = 1536
    kernels: tuple[int, int] = (3, 3)  # convolutions: of the blocks and of the last one
    num_heads: int = 2
    dropout: float = 0.1
    first_position: int = 0  # of the sinusoids: xcmyz counts from 1
    prenet: bool = True  # relative: three convolutions before
    pre_norm: bool = True  # relative: normalise before each part, and at the end
    dilations: tuple[int, ...] = ()  # convolutions: of each block; () is 1 for all
    layers_in_block: int = 2  # convolutions: of one dilation


@dataclasses.dataclass(frozen=True)
class Config(base.Config):
    """The defaults are the paper's: FastSpeech, figure 1 and section 4.2."""

    features: FeatureSpec = tacotron2_spec()
    alphabet: str = "letters"
    tokens: int = 51
    speakers: int = 0  # 0: one voice, without a table
    width: int = 384
    embedding_scale: Literal["none", "root of width"] = "none"
    decoding: Literal["parallel", "autoregressive"] = "parallel"
    encoder: Stack = Stack()
    decoder: Stack = Stack()
    predictor_width: int = 384
    predictor_layers: int = 2
    predictor_kernel: int = 3
    predictor_dropout: float = 0.1
    predictor_gradient: float = 1.0  # share of it that reaches the encoder
    durations: Literal["log", "relu", "softplus"] = "log"
    pitch: Variance = Variance()
    # "mel": NATSpeech's, with voicing. "wavelet": FastSpeech 2's, of frames, with voicing
    pitch_code: Literal["bins", "mel", "wavelet"] = "bins"
    pitch_spread: float = 0.8  # wavelet: how much of the predicted deviation is spoken
    energy: Variance = Variance()
    postnet: Literal["none", "tacotron2", "cbhg"] = "none"
    alignment: Alignment = Alignment()
    losses: Losses = Losses()
    # "published": the official code's convolutions look past a text's end, post-nets see unmasked
    # frames, pitch and energy are multiplied as normalised values, both by the pitch factor
    compat: Literal["none", "published"] = "none"

    def __post_init__(self) -> None:
        if self.width % self.encoder.num_heads or self.width % self.decoder.num_heads:
            raise InputError(f"width {self.width} is not a multiple of the number of heads")
        if self.tokens < 2:
            raise InputError(f"{self.tokens} tokens: padding and one more are needed")
        if self.pitch_code == "wavelet" and self.pitch.level == "tokens":
            raise InputError(
                'wavelets are of the frames of a text: set pitch.level to "frames", or pitch_code '
                'to "bins"'
            )


class Said(NamedTuple):
    """What one pass computes. mel is what the decoder says, refined what the post-net makes of it.

    predicted: of each token, in the domain of `Config.durations`. pitch, energy: of tokens or
    frames, normalised, or log2 of F0 where its code is not "bins"; voicing: logits that a frame is
    unvoiced; wavelets of ln F0, and span, its mean and deviation: each where it is predicted.
    """

    encoded: Float[Tensor, "b n d"]
    decoder_input: Float[Tensor, "b t d"]
    decoded: Float[Tensor, "b t d"]
    mel: Float[Tensor, "b t rows"]
    refined: Float[Tensor, "b t rows"]
    lengths: Int64[Tensor, "b"]
    durations: Int64[Tensor, "b n"]
    predicted: Float[Tensor, "b n"]
    pitch: Tensor | None
    voicing: Tensor | None
    energy: Tensor | None
    wavelets: Float[Tensor, "b t scales"] | None
    span: Float[Tensor, "b 2"] | None


class FastSpeech(Acoustic):
    """Tokens to features in one pass: encode, predict durations, repeat, decode.

    >>> from sonograph.systems.speak.fastspeech import test
    >>> model = FastSpeech(test()).eval()
    >>> ids = torch.tensor([[3, 1, 4]])
    >>> spoken = model.speak(Text(ids, torch.tensor([3]), torch.zeros_like(ids)))
    >>> spoken.features.shape[2] == int(spoken.durations.sum())
    True
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec, self.alphabet = config, config.features, config.alphabet
        width, compat = config.width, config.compat
        # ming024's frames past a text's end are not hidden from its post-net
        self.leaks = compat == "published" and config.postnet == "tacotron2"
        self.embed = nn.Embedding(config.tokens, width)
        self.scale = math.sqrt(width) if config.embedding_scale == "root of width" else 1.0
        if self.scale != 1.0:
            nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.encoder = stack(config.encoder, width, "tokens", compat)
        self.decoder = stack(config.decoder, width, "frames", compat)
        self.project = nn.Linear(width, config.features.rows)
        self.duration = self._predictor(
            output={"log": "linear"}.get(config.durations, config.durations),
            order="norm first" if config.durations == "relu" else "activation first",
        )
        self.pitch: nn.Module | None = None
        if config.pitch.level != "none":
            if config.pitch_code == "mel":
                self.pitch = MelPitch(config.pitch.level, width, config.predictor_width, compat)
            elif config.pitch_code == "wavelet":
                self.pitch = WaveletPitch(
                    width,
                    config.predictor_width,
                    config.predictor_dropout,
                    config.pitch_spread,
                    compat,
                )
            else:
                self.pitch = Binned("pitch", config.pitch, self._predictor(), width, compat)
        self.energy: Binned | None = None
        if config.energy.level != "none":
            self.energy = Binned("energy", config.energy, self._predictor(), width, compat)
        self.speaker = nn.Embedding(config.speakers, width) if config.speakers else None
        self.postnet: nn.Module | None = None
        if config.postnet == "tacotron2":
            self.postnet = Postnet(config.features.rows)
        elif config.postnet == "cbhg":
            self.postnet = CBHG(config.features.rows)

    def _predictor(self, output: str = "linear", order: str = "activation first") -> Predictor:
        config = self.config
        return Predictor(
            config.width,
            config.predictor_width,
            config.predictor_layers,
            config.predictor_kernel,
            config.predictor_dropout,
            order=order,  # type: ignore[arg-type]
            output=output,  # type: ignore[arg-type]
            # NATSpeech's durations are masked after every layer
            compat="none" if output == "softplus" else config.compat,
        )

    def encode(
        self, text: Text, speaker: Int64[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b n d"]:
        mask, x = mask_of(text.lengths, text.ids.shape[1]), self.scale * self.embed(text.ids)
        if self.config.compat == "published" and self.config.encoder.kind == "convolutions":
            mask = x.abs().sum(2) > 0  # so they tell padding, whatever the row of padding holds
        x = self.encoder(masked(x, mask), mask)
        if self.speaker is None:
            return x
        if speaker is None:
            raise InputError(f"this model has {self.config.speakers} speakers: say which")
        return x + self.speaker(speaker)[:, None]

    def forward(
        self,
        text: Text,
        durations: Int64[Tensor, "b n"] | None = None,
        pitch: Tensor | None = None,
        energy: Tensor | None = None,
        controls: Controls = Controls(),  # noqa: B008
        speaker: Int64[Tensor, "b"] | None = None,
        encoded: Float[Tensor, "b n d"] | None = None,
        attention: Float[Tensor, "b t n"] | None = None,
    ) -> Said:
        """What is given (normalised pitch and energy, durations) is taken, the rest predicted.

        encoded: what `encode` answered, if it was asked already. attention: soft weights of the
        frames over the tokens, in place of repeating them by `durations`.
        """
        x = encoded = self.encode(text, speaker) if encoded is None else encoded
        tokens = mask_of(text.lengths, text.ids.shape[1])
        predicted = self.duration(damped(x, self.config.predictor_gradient), tokens)[..., 0]
        if durations is None:
            durations = self.frames_of(predicted, text, controls.pace)
        lengths = durations.sum(1)
        frames = int(lengths.max()) if attention is None else attention.shape[1]
        inside = mask_of(lengths, frames)
        said: dict[str, Tensor] = {}
        loudness = controls.pitch if self.config.compat == "published" else controls.energy
        if self.config.pitch.level == "tokens":
            x = x + self._vary(said, "pitch", x, tokens, pitch, controls.pitch)
        if self.config.energy.level == "tokens":
            x = x + self._vary(said, "energy", x, tokens, energy, loudness)
        y = lengthen(x, durations, frames) if attention is None else attention @ x
        shown = None if self.leaks else inside
        for name, given, factor in (("pitch", pitch, controls.pitch), ("energy", energy, loudness)):
            if getattr(self.config, name).level == "frames":
                if factor is not None:
                    factor = lengthen(factor[..., None], durations, frames)[..., 0]
                y = y + self._vary(said, name, masked(y, shown), inside, given, factor)
        y = masked(y, shown)
        decoded = self.decoder(y, inside)
        mel = masked(self.project(decoded), shown)
        refined = mel if self.postnet is None else masked(mel + self.postnet(mel, shown), shown)
        return Said(
            encoded,
            y,
            decoded,
            mel,
            refined,
            lengths,
            durations,
            predicted,
            said.get("pitch"),
            said.get("voicing"),
            said.get("energy"),
            said.get("wavelets"),
            said.get("span"),
        )

    def _vary(
        self,
        said: dict[str, Tensor],
        name: str,
        x: Tensor,
        mask: Tensor | None,
        given: Tensor | None,
        factor: Tensor | None,
    ) -> Tensor:
        """Predict a quantity, note it in `said`, and embed it, or what is given in its place."""
        module: Any = getattr(self, name)
        found, embedding = module(damped(x, self.config.predictor_gradient), mask, given, factor)
        said |= found
        return embedding

    def frames_of(
        self, predicted: Float[Tensor, "b n"], text: Text, pace: Float[Tensor, "b n"] | None = None
    ) -> Int64[Tensor, "b n"]:
        """Whole frames of each token, at least one a text (published: a batch); 0 for padding."""
        predicted = predicted.detach()
        if self.config.durations == "log":
            whole = (predicted.exp() - 1).round().clamp(min=0)
        else:
            whole = predicted.round()
        if self.config.compat == "published" and pace is not None:  # they cut what pace leaves over
            if self.config.durations == "log":
                frames = (whole.float() * pace.double().reciprocal().float()).floor().long()
            elif self.config.durations == "relu":
                frames = ((predicted.double() + 0.5) / pace.double()).floor().long()
            else:
                frames = (predicted.double() / pace.double()).round().long()
        else:
            frames = paced(whole.long(), pace)
        frames = frames * text.mask
        silent = frames.sum(1) == 0
        if self.leaks:  # ming024's code lets a text be silent beside others; `speak` does not
            silent = silent & silent.all()
        frames[:, 0] += silent.long()
        return frames

    @torch.no_grad()
    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008
        generator: torch.Generator | None = None,
        speaker: Int64[Tensor, "b"] | None = None,
    ) -> Spoken:
        """Features of each text; the same text says the same every time. See `Acoustic.speak`."""
        require_text(text, self.config.tokens)
        said = self(text, controls=controls, speaker=speaker)
        if bool((said.lengths == 0).any()):
            durations = said.durations.clone()
            durations[:, 0] += (said.lengths == 0).long()
            said = self(text, durations, controls=controls, speaker=speaker)
        return Spoken(said.refined.transpose(1, 2), said.lengths, said.durations)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "acoustic", "system": "fastspeech", "config": self.config.to_dict()}


# --- the two halves ------------------------------------------------------------------------------


def stack(config: Stack, width: int, over: Literal["tokens", "frames"], compat: str) -> nn.Module:
    """The layers of one half: (x (b, n, width), mask) -> the same."""
    if config.kind == "post-norm":
        return PostNormStack(config, width, compat)
    if config.kind == "pre-norm":
        return PreNormStack(config, width, over, compat)
    if config.kind == "convolutions":
        return ConvolutionStack(config, width, compat)
    return RelativeStack(config, width)


def positions(count: int, width: int, like: Tensor, first: int = 0) -> Float[Tensor, "n d"]:
    """Sinusoids of places `first`, `first` + 1, ..."""
    table = torch.from_numpy(sinusoids(first + count, width)[first:])
    return table.to(like.device, like.dtype)


class PostNormStack(nn.Module):
    """Positions and FFT blocks of the paper."""

    def __init__(self, config: Stack, width: int, compat: str):
        super().__init__()
        self.first = config.first_position
        self.blocks = nn.ModuleList(
            PostNormFFT(
                width,
                config.num_heads,
                config.hidden,
                config.kernels,
                config.dropout,
                compat=compat,  # type: ignore[arg-type]
            )
            for _ in range(config.depth)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + positions(x.shape[1], x.shape[2], x, self.first)
        for block in self.blocks:
            x = block(x, mask)
        return x


class PreNormStack(nn.Module):
    """NATSpeech's FFT blocks, behind positions: over frames under a learned factor."""

    def __init__(self, config: Stack, width: int, over: str, compat: str):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1)) if over == "frames" else None
        self.blocks = nn.ModuleList(
            PreNormFFT(
                width,
                config.num_heads,
                config.kernels[0],
                config.dropout,
                compat=compat,  # type: ignore[arg-type]
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        places = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
        half = x.shape[2] // 2  # sines, then cosines, as in tensor2tensor
        step = torch.arange(half, device=x.device, dtype=x.dtype) / (half - 1)
        angle = places[:, None] * torch.exp(-math.log(10000) * step)
        table = torch.cat([angle.sin(), angle.cos()], dim=1)
        x = self.dropout(x + (table if self.alpha is None else self.alpha * table))
        x = masked(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        return masked(self.norm(x), mask)


class ConvolutionStack(nn.Module):
    """NATSpeech's residual convolutions: norm, convolution, GELU, pointwise."""

    def __init__(self, config: Stack, width: int, compat: str):
        super().__init__()
        self.compat, self.kernel = compat, config.kernels[0]
        dilations = config.dilations or (1,) * config.depth
        self.norms = nn.ModuleList()
        self.expand, self.contract = nn.ModuleList(), nn.ModuleList()
        for dilation in [d for d in dilations for _ in range(config.layers_in_block)]:
            reach = dilation * (self.kernel - 1) // 2
            self.norms.append(nn.LayerNorm(width))
            self.expand.append(
                nn.Conv1d(width, 2 * width, self.kernel, padding=reach, dilation=dilation)
            )
            self.contract.append(nn.Conv1d(2 * width, width, 1))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Conv1d(width, width, config.kernels[1], padding=config.kernels[1] // 2)
        self.dropout = nn.Dropout(config.dropout)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for norm, expand, contract in zip(self.norms, self.expand, self.contract):
            inner = masked(norm(x), None if self.compat == "published" else mask).transpose(1, 2)
            hidden = nn.functional.gelu(expand(inner) * self.kernel**-0.5)
            x = masked(x + self.dropout(contract(hidden).transpose(1, 2)), mask)
        x = masked(self.norm(x), mask)
        return masked(self.last(x.transpose(1, 2)).transpose(1, 2), mask)


class RelativeStack(nn.Module):
    """VITS's text encoder as NATSpeech has it: attention with relative positions."""

    def __init__(self, config: Stack, width: int):
        super().__init__()
        self.layers = RelativeEncoder(
            width,
            config.hidden,
            config.num_heads,
            config.depth,
            kernels=config.kernels,
            norms="before" if config.pre_norm else "after",
            prenet=config.prenet,
            dropout=config.dropout,
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        ones = x.new_ones(x.shape[0], 1, x.shape[1]) if mask is None else mask[:, None].to(x.dtype)
        return self.layers(x.transpose(1, 2), ones).transpose(1, 2)
