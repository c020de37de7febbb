"""The model: text encoder, alignment by words, autoencoder with a flow as prior, post-net flow.

Shapes: b texts, n tokens, w words, t frames, a multiple of four; c channels; features (b, rows, t).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.speech_features import natspeech_spec
from sonograph.config import Config as PlainConfig
from sonograph.errors import InputError
from sonograph.nn.acoustic import Acoustic, Controls, Spoken, Text, require_text
from sonograph.nn.couplings import Glow, ResidualFlow
from sonograph.nn.frame_noise import noise_of
from sonograph.nn.length_regulator import paced
from sonograph.nn.relative_encoder import RelativeEncoder
from sonograph.nn.variance import Predictor, damped
from sonograph.nn.wavenet import WaveNet
from sonograph.nn.word_maps import (
    counts,
    cut_to_multiple,
    expanded,
    frame_map,
    place_in_word,
    pooled,
    shared_out,
    sinusoid,
    summed,
    word_map,
)

STRIDE = 4  # frames that share a latent


@dataclasses.dataclass(frozen=True)
class Config(PlainConfig):
    """Sizes are those of the normal model; appendix A of the paper."""

    features: FeatureSpec = dataclasses.field(default_factory=natspeech_spec)
    alphabet: str = "arpabet"
    tokens: int = 80

    width: int = 192  # of text and frames alike
    encoder_inner: int = 768
    encoder_kernel: int = 5
    encoder_depth: int = 4
    num_heads: int = 2
    window: int = 4
    word_depth: int = 4  # its inner width is `width`

    duration_layers: int = 3
    duration_kernel: int = 5
    duration_dropout: float = 0.2
    duration_gradient: float = 0.1  # how much of its gradient the text encoder gets

    vae_width: int = 192
    vae_kernel: int = 5
    posterior_layers: int = 8
    decoder_layers: int = 4
    latent: int = 16
    prior_width: int = 64
    prior_kernel: int = 3
    prior_layers: int = 4
    prior_couplings: int = 4

    post_width: int = 192
    post_kernel: int = 3
    post_layers: int = 3
    post_steps: int = 12
    post_sharing: int = 4  # steps with the same gated layers
    post_noise: float = 0.8  # deviation of the noise that the post-net starts from

    latent_noise: float = 1.0
    compat: Literal["none", "published"] = "none"  # "published": flows look at padding

    def __post_init__(self) -> None:
        for name in ("width", "vae_width", "prior_width", "post_width"):
            if getattr(self, name) % 2 or getattr(self, name) < 4:
                raise InputError(f"{name} is {getattr(self, name)}: give an even number from 4 on")
        if self.latent % 2 or self.features.rows % 2:
            raise InputError("latent and the rows of features are halved: give even numbers")
        if self.tokens < 2:
            raise InputError(f"tokens is {self.tokens}: padding and one token are the least")


# --- text ----------------------------------------------------------------------------------------


class WordAttention(nn.Module):
    """Each frame looks at the phones of its own word and nowhere else. Section 3.1, figure 2.

    Keys and queries know how far into the word they are. answers (text features, weights).
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.phone = nn.Linear(2 * width, width)
        self.frame = nn.Linear(2 * width, width)
        self.residual = nn.Linear(2 * width, width)
        self.query, self.key, self.value, self.project = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.position = nn.Linear(width, width)
        for part in (self.query, self.key, self.value):  # as one matrix of 3 width rows
            bound = math.sqrt(6 / (4 * width))
            nn.init.uniform_(part.weight, -bound, bound)
        nn.init.xavier_uniform_(self.project.weight)

    def forward(
        self,
        phones: Float[Tensor, "b n c"],
        words: Float[Tensor, "b w c"],
        of_phones: Int64[Tensor, "b n"],
        of_frames: Int64[Tensor, "b t"],
    ) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b t n"]]:
        most = words.shape[1]
        in_phones = sinusoid(place_in_word(of_phones, most), self.width).to(phones)
        in_frames = sinusoid(place_in_word(of_frames, most), self.width).to(phones)
        heard = self.phone(torch.cat([phones, in_phones], dim=2))
        spread = torch.cat([expanded(words, of_frames), in_frames], dim=2)
        query = self.query(self.frame(spread)) * self.width**-0.5
        own = of_frames[:, :, None] == of_phones[:, None, :]
        scores = query @ self.key(heard).transpose(1, 2)
        weights = (scores - 1e9 * (~own).to(scores)).softmax(2)
        found = self.project(weights @ self.value(heard))
        return found + self.residual(spread) + self.position(in_frames), weights


# --- sound ---------------------------------------------------------------------------------------


class Posterior(NamedTuple):
    """What the autoencoder's encoder says of a recording; z is one draw."""

    z: Float[Tensor, "b latent t4"]
    mean: Float[Tensor, "b latent t4"]
    log_deviation: Float[Tensor, "b latent t4"]
    mask: Float[Tensor, "b 1 t4"]


class Through(nn.Module):
    """A convolution, a conditioned WaveNet, a projection."""

    def __init__(self, start: nn.Module, width: int, kernel: int, layers: int, told: int, out: int):
        super().__init__()
        self.start = start
        self.wavenet = WaveNet(width, kernel, layers, told)
        self.project = nn.Conv1d(width, out, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        return self.project(self.wavenet(self.start(x) * mask, mask, condition))


class FlowVAE(nn.Module):
    """A variational autoencoder at a quarter of the frame rate, with a flow as prior. Section 3.2.

    `posterior` is for training only.
    """

    def __init__(self, config: Config):
        super().__init__()
        rows, told, width = config.features.rows, config.width, config.vae_width
        kernel, layers = config.vae_kernel, config.posterior_layers
        self.latent = config.latent
        self.condition = nn.Conv1d(told, told, 2 * STRIDE, STRIDE, STRIDE // 2)
        down = nn.Conv1d(rows, width, 2 * STRIDE, STRIDE, STRIDE // 2)
        self.posterior = Through(down, width, kernel, layers, told, 2 * config.latent)
        self.prior = ResidualFlow(
            config.latent,
            config.prior_width,
            config.prior_kernel,
            config.prior_layers,
            told,
            config.prior_couplings,
        )
        up = nn.ConvTranspose1d(config.latent, width, STRIDE, STRIDE)
        self.decoder = Through(up, width, kernel, config.decoder_layers, told, rows)

    def encode(self, features: Tensor, mask: Tensor, told: Tensor, noise: Tensor) -> Posterior:
        """features (b, rows, t), mask (b, 1, t), told (b, c, t/4), noise (b, latent, t/4)."""
        quarter = mask[:, :, ::STRIDE]
        found = self.posterior(features, quarter, told)
        mean, log_deviation = found.split(self.latent, dim=1)
        return Posterior(mean + noise * log_deviation.exp(), mean, log_deviation, quarter)

    def divergence(self, posterior: Posterior, told: Tensor) -> tuple[Tensor, Tensor]:
        """(KL from the posterior to the prior by one draw, mean over what is valid; z through the
        flow). Equation 2.
        """
        z, mean, log_deviation, mask = posterior
        through = self.prior(z, mask, told).values
        log_q = -log_deviation - 0.5 * ((z - mean) / log_deviation.exp()).square()
        log_p = -0.5 * through.square()
        return ((log_q - log_p) * mask).sum() / mask.sum() / self.latent, through


# --- model ---------------------------------------------------------------------------------------


class Read(NamedTuple):
    """A text, read: encodings (b, n, c) and (b, w, c), the word of each token, predicted frames."""

    phones: Float[Tensor, "b n c"]
    words: Float[Tensor, "b w c"]
    of_phones: Int64[Tensor, "b n"]
    wishes: Float[Tensor, "b n"]

    @property
    def word_wishes(self) -> Float[Tensor, "b w"]:
        return summed(self.wishes, self.of_phones, self.words.shape[1])


class PortaSpeech(Acoustic):
    """Text to features; `vae` speaks them smoothly, `post_net` adds the detail.

    >>> voice = PortaSpeech(Config(encoder_depth=1, word_depth=1, post_steps=4)).eval()
    >>> ids = torch.tensor([[3, 4, 5]])
    >>> text = Text(ids, torch.tensor([3]), torch.tensor([[0, 0, 1]]))
    >>> spoken = voice.speak(text)
    >>> spoken.features.shape[1], bool(spoken.durations.sum() == spoken.lengths.sum())
    (80, True)
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec, self.alphabet = config, config.features, config.alphabet
        width = config.width
        self.embedding = nn.Embedding(config.tokens, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight[1:], std=width**-0.5)
        kernels = (config.encoder_kernel, 1)
        self.phone_encoder = RelativeEncoder(
            width,
            config.encoder_inner,
            config.num_heads,
            config.encoder_depth,
            kernels,
            config.window,
        )
        self.word_encoder = RelativeEncoder(
            width,
            width,
            config.num_heads,
            config.word_depth,
            kernels,
            config.window,
            norms="before",
        )
        self.durations = Predictor(
            width,
            width,
            config.duration_layers,
            config.duration_kernel,
            config.duration_dropout,
            output="softplus",
        )
        self.attention = WordAttention(width)
        self.vae = FlowVAE(config)
        self.post_net = Glow(
            config.features.rows,
            config.post_width,
            config.post_kernel,
            config.post_steps,
            config.post_layers,
            config.features.rows + width,
            config.post_sharing,
        )

    # -- the parts, in order --------------------------------------------------------------------

    def read(self, text: Text) -> Read:
        require_text(text, self.config.tokens)
        mask = text.mask
        of_phones = word_map(text.words, mask)
        most = int(of_phones.max())
        kept = mask[:, None].to(self.embedding.weight)
        x = self.embedding(text.ids).transpose(1, 2) * math.sqrt(self.config.width)
        phones = self.phone_encoder(x, kept)
        means = pooled(phones.transpose(1, 2), of_phones, most)
        spoken = (counts(of_phones, most) > 0)[:, None].to(kept)
        words = self.word_encoder(means.transpose(1, 2), spoken)
        phones = phones.transpose(1, 2)
        wishes = self.durations(damped(phones, self.config.duration_gradient), mask)[..., 0]
        return Read(phones, words.transpose(1, 2), of_phones, wishes)

    def linguistic(
        self, read: Read, of_frames: Int64[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b c t"], Float[Tensor, "b t n"]]:
        """Text features of each frame, and which phones it looks at."""
        told, weights = self.attention(read.phones, read.words, read.of_phones, of_frames)
        return (told * (of_frames > 0)[:, :, None]).transpose(1, 2), weights

    def smooth(
        self, told: Float[Tensor, "b c t"], mask: Tensor, noise: Float[Tensor, "b latent t4"]
    ) -> Float[Tensor, "b rows t"]:
        """What the autoencoder says, from noise of deviation 1."""
        quarter = self._seen(mask[:, :, ::STRIDE])
        start = noise * self.config.latent_noise * quarter
        z = self.vae.prior.inverse(start, quarter, self.vae.condition(told)).values
        return self.vae.decoder(z, mask, told)

    def detailed(
        self, smooth: Tensor, told: Tensor, mask: Tensor, noise: Float[Tensor, "b rows t"]
    ) -> Float[Tensor, "b rows t"]:
        """What the post-net makes of it, from noise of deviation 1."""
        condition = torch.cat([smooth, told], dim=1)
        start = noise * self.config.post_noise
        return self.post_net.inverse(start, self._seen(mask), condition).values

    def _seen(self, mask: Tensor) -> Tensor:
        """The flows' mask; official code samples with none."""
        return mask if self.config.compat == "none" else torch.ones_like(mask)

    # -- inference ------------------------------------------------------------------------------

    @torch.no_grad()
    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008 (nothing in it can change)
        generator: torch.Generator | None = None,
    ) -> Spoken:
        """Section 3.4. Lengths are multiples of four frames; F0 and energy cannot be asked for."""
        if controls.pitch is not None or controls.energy is not None:
            raise InputError("portaspeech has no control of pitch or energy: ask for the pace only")
        read = self.read(text)
        whole = read.word_wishes.round().long()
        tokens = paced(shared_out(read.wishes, read.of_phones, whole), controls.pace)
        frames = summed(tokens, read.of_phones, read.words.shape[1])
        frames = cut_to_multiple(frames, STRIDE)
        features = self.sound(read, frames, generator)
        durations = shared_out(tokens, read.of_phones, frames)
        return Spoken(features, frames.sum(1), durations)

    def sound(
        self, read: Read, frames: Int64[Tensor, "b w"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b rows t"]:
        """Features of words that last so many frames; those beyond a text's end are 0."""
        return self.both(read, frames, generator)[1]

    @torch.no_grad()
    def both(
        self, read: Read, frames: Int64[Tensor, "b w"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b rows t"], Float[Tensor, "b rows t"]]:
        """What the autoencoder says, and what the post-net makes of it."""
        of_frames = frame_map(frames)
        told, _ = self.linguistic(read, of_frames)
        mask = (of_frames > 0)[:, None].to(told)
        seeds = torch.randint(2**62, (2,), generator=generator).tolist()
        shape = (len(told), self.config.latent, told.shape[2] // STRIDE)
        smooth = self.smooth(told, mask, noise_of(seeds[0], shape).to(told))
        noise = noise_of(seeds[1], (len(told), self.spec.rows, told.shape[2])).to(told)
        return smooth * mask, self.detailed(smooth, told, mask, noise) * mask

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "acoustic", "system": "portaspeech", "config": self.config.to_dict()}


def build(config: Config) -> PortaSpeech:
    return PortaSpeech(config)


def parameters_to_speak(model: PortaSpeech) -> int:
    """How many weights speaking needs: all but the autoencoder's encoder."""
    of_training = {id(p) for p in model.vae.posterior.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in of_training)
