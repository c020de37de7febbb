"""Good embeddings with statistics: sounds as bags of words, the words found by autoencoders.

For whoever wants to see why a sound was taken for something, or has no more than a processor: no
convolution, no recurrence, no attention, only small feed-forward networks and counting.
Verma, "Attention is All You Need? Good Embeddings with Statistics are enough: Large Scale Audio
Understanding without Transformers/ Convolutions/ BERTs/ Mixers/ Attention/ RNNs or ....", 2021
(arXiv 2110.03183). A second of sound is looked at in many ways (views): envelopes of its spectra,
boxes of several sizes, slices, spectra of several window lengths. Of each view an autoencoder makes
vectors, k-means words, and counting a description. A classifier sees only how often each word came,
or what a layer made of it that was taught without labels, as in SimCLR, to know a clip again.

Published: better than convolutional networks on FSD50K (200 classes) and close to Transformers; the
paper's baselines there are mAP 0.373 (ResNet-18) to 0.434 (VGG-like).

Shapes: waveform (b, 1, samples) -> tokens (b, chunks, width), one token a second, width = (words of
all views) x (number of statistics), or `represented`.

The abstract is all that says how; every size here is our choice: 16 kHz, 128 mel bands every 10 ms,
512-256-64 networks, 256 words for what is short (micro) and 64 for what is long (macro), and as
statistics how often each word was the nearest, and how near it was on average.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad, relu, softmax

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, Frontend, waveform_spec
from sonograph.errors import InputError
from sonograph.losses.contrastive import nt_xent
from sonograph.losses.masked import masked_reconstruction
from sonograph.nn.codebook import kmeans, nearest
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.heads import Answer, Tagging
from sonograph.nn.hiding import Hiding, filler_size, patch_of
from sonograph.nn.patches import patch_grid, patchify
from sonograph.registry import About, register

Statistic = Literal["counts", "mean", "deviation", "largest"]


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """All views; `labels` makes a classifier of it."""

    features: FeatureSpec = waveform_spec(16000)
    frames: int = 160_000  # samples looked at together; any length of whole chunks is possible
    chunk_samples: int = 16_000
    spectrogram: FeatureSpec = FeatureSpec()  # that boxes and slices are cut from
    boxes: tuple[tuple[int, int], ...] = ((8, 8), (16, 16), (32, 32))  # (bins, frames)
    slices: tuple[tuple[int, int], ...] = ((128, 4), (1, 96))
    envelope: int = 20  # cepstral coefficients that are left of a frame; 0: no such view
    windows: tuple[int, ...] = (256, 512, 1024, 2048, 4096)  # samples, of spectra of 40 bands
    hidden: tuple[int, ...] = (512, 256)
    code_width: int = 64
    micro_words: int = 256
    macro_words: int = 64  # of boxes and slices longer than a quarter of a second
    softness: float = 0.1  # of "how near": a share of the mean squared distance between words
    statistics: tuple[Statistic, ...] = ("counts", "mean")
    represented: int = 0  # width of a learned layer on the counts, see Contrast; 0: the counts
    labels: tuple[str, ...] = ()
    head_width: int = 2048
    dropout: float = 0.3
    answer: Answer = "several"


# --- views ---------------------------------------------------------------------------------------


class Boxes(nn.Module):
    """Boxes of a spectrogram, next to each other: (b, bins, frames) -> (b, n, bins x frames)."""

    def __init__(self, spec: FeatureSpec, box: tuple[int, int]):
        super().__init__()
        self.frontend, self.box, self.size = Frontend(spec), box, box[0] * box[1]

    def forward(
        self, waveform: Float[Tensor, "b n"], lengths: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b m size"], Bool[Tensor, "b m"]]:
        features = _framed(self.frontend, waveform, lengths, self.box[1])
        rows, columns = patch_grid(features.values.shape[1:], self.box, self.box)  # type: ignore[arg-type]
        own = (features.lengths // self.box[1]).clamp(min=1)
        inside = torch.arange(columns, device=own.device) < own[:, None]
        return patchify(features.values, self.box), inside.repeat(1, rows)


class Spectra(nn.Module):
    """Whole spectra, frame by frame; of a cepstral envelope with `coefficients` above 0."""

    def __init__(self, spec: FeatureSpec, coefficients: int = 0):
        super().__init__()
        self.frontend, self.size = Frontend(spec), spec.bins
        smooth = torch.eye(spec.bins)
        if coefficients:
            k = torch.arange(coefficients)[:, None]
            cosines = torch.cos(math.pi / spec.bins * (torch.arange(spec.bins) + 0.5) * k)
            cosines = cosines / cosines.norm(dim=1, keepdim=True)
            smooth = cosines.T @ cosines  # to the cepstrum, its first coefficients, and back
        self.smooth: Tensor
        self.register_buffer("smooth", smooth, persistent=False)

    def forward(
        self, waveform: Float[Tensor, "b n"], lengths: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b m size"], Bool[Tensor, "b m"]]:
        features = _framed(self.frontend, waveform, lengths, 1)
        frames = features.values.shape[2]
        own = features.lengths.clamp(min=1)
        inside = torch.arange(frames, device=own.device) < own[:, None]
        return features.values.transpose(1, 2) @ self.smooth, inside


def _framed(frontend: Frontend, waveform: Tensor, lengths: Tensor, frames: int) -> Any:
    """Features of at least so many frames; what is shorter is filled up with silence."""
    least = frontend.spec.samples(frames)
    waveform = pad(waveform, (0, max(0, least - waveform.shape[1])))
    return frontend(waveform, lengths.clamp(min=least if frames == 1 else 0))


class View(nn.Module):
    """One way to look: a cut, its encoder into a bottleneck, and the words found there."""

    def __init__(self, cut: nn.Module, hidden: tuple[int, ...], code_width: int, words: int):
        super().__init__()
        self.cut = cut
        self.encode = feedforward((cut.size, *hidden, code_width))  # type: ignore[arg-type]
        self.words: Tensor
        self.register_buffer("words", 0.1 * torch.randn(words, code_width))

    def codes(
        self, waveform: Float[Tensor, "b n"], lengths: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"], Float[Tensor, "b m size"]]:
        """(bottlenecks, which of them are of the clip, what they were made of)."""
        pieces, inside = self.cut(waveform, lengths)
        return self.encode(pieces), inside, pieces


def feedforward(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear maps with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def statistics_of(
    codes: Float[Tensor, "b m d"],
    inside: Bool[Tensor, "b m"],
    words: Float[Tensor, "k d"],
    which: tuple[Statistic, ...],
    softness: float,
) -> Float[Tensor, "b values"]:
    """What is counted of a bag of codes: k values for each statistic, roots of shares.

    counts: how often each word is the nearest. mean, deviation, largest: of how near each word is,
    a softmax over minus the squared distances. The root (Hellinger) lets rare words speak.
    """
    weight = inside.to(codes.dtype)
    total = weight.sum(1, keepdim=True).clamp(min=1)
    parts = []
    if "counts" in which:
        labels = nearest(codes.flatten(0, 1), words).view(codes.shape[:2])
        counted = (one_hot(labels, len(words)) * weight[..., None]).sum(1) / total
        parts.append(counted.to(codes.dtype).sqrt())
    if set(which) - {"counts"}:
        spread = 2 * words.var(0, unbiased=False).sum().clamp(min=1e-6)  # mean squared distance
        distances = torch.cdist(codes, words[None]).square() / (softness * spread)
        near = softmax(-distances, -1) * weight[..., None]
        mean = near.sum(1) / total
        if "mean" in which:
            parts.append((mean + 1e-8).sqrt())
        if "deviation" in which:
            apart = (near - mean[:, None]).square() * weight[..., None]
            parts.append((apart.sum(1) / total + 1e-8).sqrt())
        if "largest" in which:
            parts.append(near.amax(1))
    return torch.cat(parts, 1)


# --- model ---------------------------------------------------------------------------------------


class EmbeddingStatistics(nn.Module, Embeds):
    """The encoder: one token for each second, a description by counts.

    waveform (b, 1, samples), lengths (b,) in samples or None -> Tokens on a grid (1, chunks).

    >>> encoder = EmbeddingStatistics(dataclasses.replace(test(), labels=()))
    >>> encoder(torch.zeros(2, 1, 8000)).grid
    (1, 4)
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec = config, config.features
        spec = config.spectrogram
        self.views = nn.ModuleDict()
        if config.envelope:
            self._add("envelope", Spectra(spec, config.envelope), config.micro_words)
        for kind, shapes in (("box", config.boxes), ("slice", config.slices)):
            for bins, frames in shapes:
                long = frames * spec.hop_samples > 0.25 * spec.rate_hz
                words = config.macro_words if long else config.micro_words
                self._add(f"{kind}_{bins}x{frames}", Boxes(spec, (bins, frames)), words)
        for window in config.windows:
            finer = spec.override(
                window_samples=window, fft_samples=window, hop_samples=window // 2, bins=40
            )
            self._add(f"spectrum_{window}", Spectra(finer), config.micro_words)
        if not self.views:
            raise InputError("no view is left: give boxes, slices, windows or an envelope")
        self.counted = len(config.statistics) * sum(len(view.words) for view in self._views())
        self.width = config.represented or self.counted
        if config.represented:
            self.represent = nn.Linear(self.counted, config.represented)
        self.grid = (1, max(1, config.frames // config.chunk_samples))

    def _add(self, name: str, cut: nn.Module, words: int) -> None:
        self.views[name] = View(cut, self.config.hidden, self.config.code_width, words)

    def _views(self) -> Iterator[View]:
        yield from self.views.values()  # type: ignore[misc]

    def chunks(
        self, features: Float[Tensor, "b 1 samples"], lengths: Int[Tensor, "b"] | None
    ) -> tuple[Float[Tensor, "c chunk"], Int[Tensor, "c"], int]:
        """Every chunk of every clip as a row, zero beyond its clip, and how many there are of one.

        A last chunk of less than a quarter is left out, unless it is the only one.
        """
        size = self.config.chunk_samples
        batch, _, samples = features.shape
        if lengths is None:
            lengths = torch.full((batch,), samples, device=features.device)
        count = max(1, math.ceil((samples - size // 4 + 1) / size))
        waveform = pad(features[:, 0], (0, max(0, count * size - samples)))[:, : count * size]
        inside = torch.arange(count * size, device=features.device) < lengths[:, None]
        waveform = torch.where(inside, waveform, 0)
        begins = size * torch.arange(count, device=features.device)
        own = (lengths[:, None] - begins).clamp(0, size)
        return rearrange(waveform, "b (c n) -> (b c) n", c=count), own.flatten(), count

    def forward(
        self, features: Float[Tensor, "b 1 samples"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        waveform, own, count = self.chunks(features, lengths)
        which, softness = self.config.statistics, self.config.softness
        # which word is the nearest is not a matter of rounding: float32 also under autocast
        with torch.autocast(waveform.device.type, enabled=False):
            described = [
                statistics_of(*view.codes(waveform, own)[:2], view.words, which, softness)
                for view in self._views()
            ]
        values = rearrange(torch.cat(described, 1), "(b c) d -> b c d", c=count)
        if self.config.represented:
            values = relu(self.represent(values))
        heard = (own >= self.config.chunk_samples // 4).view(-1, count)
        first = torch.arange(count, device=own.device) == 0
        mask = heard | first
        return Tokens(values, None if bool(mask.all()) else mask, (1, count))

    @torch.no_grad()
    def find_words(
        self,
        batches: list[tuple[Tensor, Tensor]],
        generator: torch.Generator,
        most: int = 200_000,
        iterations: int = 20,
    ) -> None:
        """k-means over the bottlenecks of (waveform, lengths) batches, view by view."""
        for name, view in self.views.items():
            assert isinstance(view, View)
            found = []
            for waveform, lengths in batches:
                pieces, own, _ = self.chunks(waveform[:, None], lengths)
                heard = own >= self.config.chunk_samples // 4
                codes, inside, _ = view.codes(pieces[heard], own[heard])
                found.append(codes[inside])
            points = torch.cat(found)
            points = points[torch.randperm(len(points), generator=generator)[:most]]
            if len(points) < len(view.words):
                raise InputError(
                    f"{name}: {len(points)} pieces of sound are fewer than its {len(view.words)} "
                    "words: give more sound, or fewer words"
                )
            view.words.copy_(kmeans(points, len(view.words), iterations, generator=generator)[0])

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "encoder",
            "system": "embedding_statistics",
            "config": dataclasses.replace(self.config, labels=()).to_dict(),
        }


class StatisticsTagger(nn.Module, Embeds, Tagging):
    """The descriptions and a feed-forward head; logits of a clip are the mean of its chunks'."""

    def __init__(self, config: Config, encoder: EmbeddingStatistics | None = None):
        super().__init__()
        self.config = config
        self.labels, self.answer = config.labels, config.answer
        self.encoder = encoder or EmbeddingStatistics(config)
        self.head = nn.Sequential(
            nn.Linear(self.encoder.width, config.head_width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.head_width, len(config.labels)),
        )

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def forward(
        self, features: Float[Tensor, "b 1 samples"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b labels"]:
        tokens = self.encoder(features, lengths)
        return dataclasses.replace(tokens, values=self.head(tokens.values)).pool()

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        config = self.config.to_dict()
        return {"kind": "tagger", "system": "embedding_statistics", "config": config}


def build(config: Config) -> EmbeddingStatistics | StatisticsTagger:
    return StatisticsTagger(config) if config.labels else EmbeddingStatistics(config)


# --- objective -----------------------------------------------------------------------------------


class Pretraining(nn.Module, Embeds):
    """Autoencoders: what went into each bottleneck comes out of it again, in mean squares.

    Of an encoder of another system the tokens are the bottlenecks of what they stand for.
    """

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder
        if isinstance(encoder, EmbeddingStatistics):
            hidden, width = encoder.config.hidden[::-1], encoder.config.code_width
            sizes = {name: int(view.cut.size) for name, view in encoder.views.items()}  # type: ignore
        else:
            rows, frames = patch_of(encoder)
            hidden, width = (encoder.width,), encoder.width
            sizes = {"tokens": rows * frames}
        self.decode = nn.ModuleDict(
            {name: feedforward((width, *hidden, size)) for name, size in sizes.items()}
        )

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def forward(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The mean of all views' errors, and each one."""
        if not isinstance(self.encoder, EmbeddingStatistics):
            clips = Hiding(self.encoder, features, lengths)
            nothing = torch.zeros_like(clips.valid)
            filler = features.new_zeros(1, 1, filler_size(self.encoder))
            decoded = self.decode["tokens"](clips.encode(nothing, filler))
            loss = masked_reconstruction(decoded, clips.targets(), clips.valid)
            return {"loss": loss}
        waveform, own, _ = self.encoder.chunks(features, lengths)
        heard = own >= self.encoder.config.chunk_samples // 4
        if bool(heard.any()):
            waveform, own = waveform[heard], own[heard]
        parts = {}
        for name, view in self.encoder.views.items():
            assert isinstance(view, View)
            codes, inside, pieces = view.codes(waveform, own)
            parts[name] = masked_reconstruction(self.decode[name](codes), pieces, inside)
        return {"loss": torch.stack(list(parts.values())).mean(), **parts}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        kind, system = "pretraining", "embedding_statistics"
        return {"kind": kind, "system": system, "encoder": self.encoder.describe()}


class Contrast(nn.Module):
    """SimCLR's objective on the layer that represents counts: seconds of a clip know each other.

    The seconds of every clip are divided at random into two bags; each bag is to find the other
    one among those of all clips. The words stay as they are, as the paper keeps its codes, and the
    projection is thrown away afterwards (Chen et al. 2020, section 4.2).
    """

    def __init__(self, encoder: EmbeddingStatistics, width: int = 128, temperature: float = 0.1):
        super().__init__()
        if not encoder.config.represented:
            raise InputError("there is no layer to teach: give `represented`, its width")
        self.encoder, self.temperature = encoder, temperature
        encoder.views.requires_grad_(False)
        self.project = feedforward((encoder.width, encoder.width, width))

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def forward(
        self,
        features: Float[Tensor, "b 1 samples"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The loss, and how often the other bag is found. Clips of one second are left out.

        Raises InputError where fewer than two clips are longer.
        """
        tokens = self.encoder(features, lengths)
        mask = tokens.mask
        if mask is None:
            mask = torch.ones(tokens.values.shape[:2], dtype=torch.bool, device=features.device)
        enough = mask.sum(1) > 1
        if int(enough.sum()) < 2:
            raise InputError("contrast needs two clips that are longer than a second: crop longer")
        values = tokens.values[enough]
        first, second = (
            self.project((values * half[..., None]).sum(1) / half.sum(1, keepdim=True))
            for half in halves(mask[enough], generator)
        )
        loss, found = nt_xent(first, second, self.temperature)
        return {"loss": loss, "found": found}

    def describe(self) -> dict[str, Any]:
        """The encoder's: what is left of this."""
        return self.encoder.describe()


def halves(
    mask: Bool[Tensor, "b n"], generator: torch.Generator
) -> tuple[Bool[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """The marked places of every row in two parts by chance, the second one larger if odd."""
    chance = torch.rand(mask.shape, generator=generator).to(mask.device)
    rank = chance.masked_fill(~mask, 2.0).argsort(1).argsort(1)
    count = mask.sum(1, keepdim=True)
    return rank < count // 2, (rank >= count // 2) & (rank < count)


# --- presets -------------------------------------------------------------------------------------


@register("embedding-statistics", system="embedding_statistics", note="all views; sizes are ours")
def all_views() -> Config:
    return Config()


@register("embedding-statistics-mini", system="embedding_statistics", note="for small sets")
def mini() -> Config:
    return Config(
        boxes=((16, 16), (32, 32)),
        slices=((128, 4), (1, 96)),
        windows=(512, 2048),
        hidden=(128,),
        code_width=24,
        micro_words=128,
        macro_words=64,
        head_width=256,
    )


@register(
    "embedding-statistics-contrastive", system="embedding_statistics", note="SimCLR's head on all"
)
def contrastive() -> Config:
    return dataclasses.replace(all_views(), represented=2048)


@register(
    "embedding-statistics-contrastive-mini", system="embedding_statistics", note="on the mini's"
)
def contrastive_mini() -> Config:
    return dataclasses.replace(mini(), represented=256)


@register("embedding-statistics-box", system="embedding_statistics", note="one view, of the mini")
def one_view() -> Config:
    return dataclasses.replace(mini(), boxes=((16, 16),), slices=(), windows=(), envelope=0)


@register("embedding-statistics-test", system="embedding_statistics")
def test() -> Config:
    return Config(
        frames=16_000,
        chunk_samples=2_000,
        spectrogram=FeatureSpec(bins=32),
        boxes=((8, 8),),
        slices=((32, 4),),
        windows=(512,),
        hidden=(32,),
        code_width=8,
        micro_words=12,
        macro_words=6,
        head_width=16,
        labels=("a", "b", "c"),
    )


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Sounds described by how often learned words occur in them: no network but MLPs.",
    use=(
        "A classifier whose reasons can be read: which words of which view were counted.",
        "A baseline that trains in minutes on a processor, and that larger models must beat.",
        "Microcontrollers and other places where only matrix products run.",
    ),
    avoid=(
        "The order of events matters: a bag forgets it within each second.",
        "There is much labelled sound: networks that learn their features from labels win.",
        "Little sound to learn words from: measured here, words of encoders that had learned "
        "nothing were better in two of three tasks than those of trained ones (docs/claims.md).",
    ),
    paper="Prateek Verma, 2021, arXiv 2110.03183",
    figures=(
        "FSD50K: better than the convolutional baselines (mAP 0.373 to 0.434), close to "
        "Transformers; the exact number is in no source we have",
    ),
    code_licence="none: no official code was found",
    weights_licence="none: no official weights were found",
    deviations=(
        "Everything the abstract leaves open is our choice: sizes, words, statistics, the head.",
        "Counts enter as square roots, and a softened count stands beside the hard one, so that a "
        "head can be taught together with the encoders; the paper keeps its codes fixed.",
        "k-means starts from points drawn at random, without k-means++.",
        'The abstract calls its head "similar to the approach in SimCLR" and says no more. Two are '
        "built: layers trained on labels alone, and a layer taught by SimCLR's loss that stays in "
        "the encoder (presets `-contrastive`), for any head. Its two views of a clip are its "
        "seconds, divided by chance; nothing is augmented.",
        "There are no published weights or counts to equal: what is exact here is k-means beside "
        "scikit-learn's, and each formula by its own tests.",
    ),
    faults=(),
    verbs=("train", "adapt", "embed", "tag"),
    golden=(),
    checks=("tests/parity/test_words_sklearn.py",),
)
