"""The separator that is asked, its configuration, and what it is asked with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.audio.stft import Stft
from sonograph.data import ontology
from sonograph.errors import InputError, did_you_mean
from sonograph.nn.film import Shifts
from sonograph.nn.resunet import MOMENTUM, ResUNet
from sonograph.nn.separator import Separator
from sonograph.systems.separate.universal.query import (
    Blocks,
    QueryNet,
    Sound,
    filled,
    mono,
    segments,
    without_silence,
)
from sonograph.systems.tag import panns

LEAST = 0.2  # a node is present from this probability on


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of ResUNet30 with the soft tags of CNN14."""

    rate_hz: int = 32000
    audio_channels: int = 1
    fft_samples: int = 2048
    hop_samples: int = 320
    channels: tuple[int, ...] = (32, 64, 128, 256, 384, 384)  # of the encoder's blocks
    query: Literal["soft_tags", "embedding", "given"] = "soft_tags"
    tagger: panns.Config | None = panns.Config()  # the query net; None where conditions are given
    condition: int = 0  # what an adaptor makes of the tagger's answer (0: none), or what is given
    asks: tuple[str, ...] = ()  # classes that are pulled out when nothing else is asked
    window_s: float = 2.0  # heard at once; also what is asked and tagged at once
    momentum: float = MOMENTUM  # of running statistics; more where training is short
    loss: Literal["waveform", "waveform+magnitude"] = "waveform"

    def __post_init__(self) -> None:
        divide = 2 ** len(self.channels)
        if self.fft_samples // 2 % divide:
            raise InputError(
                f"an FFT of {self.fft_samples} samples has {self.fft_samples // 2} bins, which "
                f"{len(self.channels)} blocks cannot halve: give a multiple of {2 * divide}"
            )
        if not 1 <= self.hop_samples <= self.fft_samples // 2:
            raise InputError(f"hop_samples is {self.hop_samples}: give 1 to half the FFT")
        if (self.tagger is None) != (self.query == "given"):
            raise InputError(f"a query of kind {self.query!r} has "
                             f"{'a' if self.tagger is None else 'no'} tagger")  # fmt: skip
        if self.tagger is None and self.condition < 1:
            raise InputError("conditions are given: say in `condition` how wide they are")
        if self.tagger is not None and self.tagger.features.rate_hz != self.rate_hz:
            raise InputError(
                f"the tagger hears {self.tagger.features.rate_hz} Hz and the separator "
                f"{self.rate_hz} Hz: give both the same"
            )


# --- the network ---------------------------------------------------------------------------------


class MaskNet(nn.Module):
    """Mixture and condition to one sound: a mask of magnitudes and a turn of phases.

    mixture (b, channels, n), condition (b, c) -> (b, channels, n), n >= 1. The top bin of what
    comes out is 0 (section III.C; official code).
    """

    def __init__(self, config: Config, condition: int):
        super().__init__()
        fft, channels = config.fft_samples, config.audio_channels
        self.hop_samples = config.hop_samples
        self.stft = Stft(fft, config.hop_samples, fft)
        self.norm = nn.BatchNorm2d(fft // 2 + 1, momentum=config.momentum)  # of bins
        self.unet = ResUNet(channels, 3 * channels, config.channels, config.momentum)
        self.film = Shifts(condition, self.unet.shift_widths)

    def forward(
        self, mixture: Float[Tensor, "b channels n"], condition: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b channels n"]:
        spectrum, looks = self.look(mixture)
        return self.sound(self.masks(looks, condition), spectrum, mixture.shape[2])

    def look(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> tuple[Tensor, Float[Tensor, "b channels t f"]]:
        """The spectrum (b, channels, t, f + 1), and what the U-Net sees of it."""
        batch, channels, samples = mixture.shape
        short = max(0, self.stft.fft_samples // 2 + 1 - samples)
        padded = nn.functional.pad(mixture, (0, short)).flatten(0, 1)
        spectrum = self.stft(padded).mT.unflatten(0, (batch, channels))
        return spectrum, self.norm(magnitude(spectrum).transpose(1, 3)).transpose(1, 3)[..., :-1]

    def masks(
        self, looks: Float[Tensor, "b channels t f"], condition: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b channels_x_3 t f"]:
        return self.unet(looks, self.film(condition))

    def sound(
        self, masks: Float[Tensor, "b channels_x_3 t f"], spectrum: Tensor, samples: int
    ) -> Float[Tensor, "b channels n"]:
        """|X| sigmoid(m0), its phase turned by the angle of tanh m1 + j tanh m2."""
        scale, real, imaginary = masks.unflatten(1, (-1, 3)).unbind(2)
        real, imaginary = real.tanh(), imaginary.tanh()
        length = (real.square() + imaginary.square()).clamp(min=1e-20).sqrt()
        gain = scale.sigmoid() / length
        made = spectrum[..., :-1] * torch.complex(gain * real, gain * imaginary)
        made = nn.functional.pad(made, (0, 1)).flatten(0, 1).mT
        window, fft = self.stft.window.values, self.stft.fft_samples
        frames = self.hop_samples * (made.shape[2] - 1)
        sound = torch.istft(made, fft, self.hop_samples, fft, window, length=max(frames, samples))
        return sound[:, :samples].unflatten(0, (len(masks), -1))


def magnitude(spectrum: Tensor, floor: float = 1e-10) -> Tensor:
    """|X|, of a power that is at least `floor`."""
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=floor).sqrt()


# --- the model -----------------------------------------------------------------------------------


class Universal(Separator):
    """One network for any sound that it is asked for.

    >>> model = build(Config(rate_hz=16000, fft_samples=256, hop_samples=80, channels=(4, 6),
    ...                      query="given", tagger=None, condition=3))
    >>> birds = model.asked({"birds": torch.tensor([0.0, 1.0, 0.0])})
    >>> birds(torch.zeros(1, 1, 900)).shape
    torch.Size([1, 1, 1, 900])
    """

    ordered = True
    rest = "rest"
    typical: Float[Tensor, "labels labels"]

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.query = None
        if config.tagger is not None:
            kind = config.query
            self.query = QueryNet(config.tagger, kind, config.condition)
        self.condition_width = config.condition if self.query is None else self.query.width
        self.net = MaskNet(config, self.condition_width)
        if self.classes:  # the tags that are typical of a class: of itself alone, unless learned
            self.register_buffer("typical", torch.eye(len(self.classes)))
        self.rate_hz, self.channels = config.rate_hz, config.audio_channels
        self.window_samples = round(config.window_s * config.rate_hz)
        self.stems = config.asks
        for name in config.asks:
            self._places(name)  # raises where this model cannot be asked for it

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        if not self.stems:
            raise InputError("nothing is asked of this separator: call `asked` first")
        conditions = torch.stack([self.condition_of_class(name) for name in self.stems])
        return self.separate(mixture, conditions.expand(len(mixture), -1, -1))

    def separate(
        self, mixture: Float[Tensor, "b channels n"], conditions: Float[Tensor, "b stems c"]
    ) -> Float[Tensor, "b stems channels n"]:
        """What each clip holds of each of its conditions."""
        spectrum, looks = self.net.look(mixture)
        samples = mixture.shape[2]
        made = [
            self.net.sound(self.net.masks(looks, condition), spectrum, samples)
            for condition in conditions.unbind(1)
        ]
        return torch.stack(made, dim=1)

    # --- what it can be asked ---

    @property
    def classes(self) -> tuple[str, ...]:
        """The names it knows; none where it is asked by examples or given conditions."""
        return self.query.labels if self.query and self.query.kind == "soft_tags" else ()

    def asked(self, queries: Mapping[str, Float[Tensor, "c"]]) -> Asked:
        """A separator whose stems are these queries; it shares the weights."""
        if not queries:
            raise InputError("nothing is asked: name at least one sound")
        for name, condition in queries.items():
            if tuple(condition.shape) != (self.condition_width,):
                raise InputError(
                    f"the condition of {name!r} has shape {tuple(condition.shape)}, this model "
                    f"takes ({self.condition_width},): make it with this model"
                )
        return Asked(self, queries)

    def condition_of_class(self, name: str) -> Float[Tensor, "c"]:
        """The condition that asks for a class, or for a node of the ontology.

        A class asks with the tags that are typical of it; any other node of the ontology with the
        mean of the classes under it. Raises InputError where nothing fits, with what is known.
        """
        places = self._places(name)
        assert self.query is not None
        return self.query.adapted(self.typical[places].mean(0, keepdim=True))[0]

    @torch.no_grad()
    def learn_typical(self, name: str, waveforms: Float[Tensor, "b n"]) -> None:
        """Ask for a class from now on with the mean tags of these sounds of it."""
        assert self.query is not None
        self.typical[self.classes.index(name)] = self.query.tags(waveforms).mean(0)

    def _mask(self, places: Iterable[int]) -> Float[Tensor, "labels"]:
        mask = torch.zeros(len(self.classes), device=self.net.norm.weight.device)
        mask[list(places)] = 1
        return mask

    def _places(self, name: str) -> list[int]:
        """Which classes a name means."""
        if not self.classes:
            raise InputError(
                f"this model cannot be asked for {name!r}: it has no class names, give an example"
            )
        lower = [label.lower() for label in self.classes]
        if name.strip().lower() in lower:
            return [lower.index(name.strip().lower())]
        node = ontology.node_of(name)
        if node is not None and (found := list(ontology.members(node, self.classes))):
            return found
        hint = did_you_mean(name, self.classes)
        listed = ", ".join(self.classes[:30])
        more = f" and {len(self.classes) - 30} more" if len(self.classes) > 30 else ""
        raise InputError(f"no sound {name!r} is known.{hint} Known are: {listed}{more}")

    @torch.no_grad()
    def condition_of_example(self, example: Sound) -> Float[Tensor, "c"]:
        """The condition that asks for what an example (at `rate_hz`) sounds like.

        The mean over its segments, silent parts left out. Raises InputError for silence, and where
        conditions are given to this model.
        """
        if self.query is None:
            raise InputError("this model has no query net: its conditions come from outside")
        heard = without_silence(mono(example).to(self.net.norm.weight), self.rate_hz)
        pieces = segments(heard, self.window_samples)
        conditions = [self.query(filled(piece, self.window_samples)[None]) for piece in pieces]
        return torch.cat(conditions).mean(0)

    @torch.no_grad()
    def detect(self, sound: Blocks) -> dict[str, Float[Tensor, "segments"]]:
        """The probability of every label of the tagger in each segment of `window_s`.

        sound: (n,) at `rate_hz`, or blocks that follow each other.
        """
        if self.query is None:
            raise InputError("this model has no tagger: it cannot tell what is in a sound")
        pieces = segments(sound, self.window_samples)
        told = [self.query.tags(piece[None].to(self.net.norm.weight))[0].cpu() for piece in pieces]
        if not told:
            raise InputError("there is no sound to look into: it has no samples")
        return dict(zip(self.query.labels, torch.stack(told).unbind(1)))

    # --- the hierarchical strategy ---

    def classes_apart(self) -> dict[str, Float[Tensor, "labels"]]:
        """Each class with a mask of itself."""
        if not self.classes:
            raise InputError("this model has no class names: ask it with an example")
        return {name: self._mask([place]) for place, name in enumerate(self.classes)}

    def hierarchy(self, level: int) -> dict[str, Float[Tensor, "labels"]]:
        """The nodes of a level of the ontology, each with a mask of the classes under it.

        Nodes without a class are left out. Section III.E.
        """
        if not self.classes:
            raise InputError("this model has no class names, so no hierarchy of them")
        found = {}
        for node in ontology.at_level(level):
            if places := list(ontology.members(node, self.classes)):
                found[node.name] = self._mask(places)
        if not found:
            raise InputError(f"the ontology has no classes of this model at level {level}: give "
                             "1, 2 or 3")  # fmt: skip
        return found

    def present(
        self,
        detected: Mapping[str, Float[Tensor, "segments"]],
        masks: Mapping[str, Float[Tensor, "labels"]],
        least: float = LEAST,
    ) -> dict[str, Float[Tensor, "segments"]]:
        """The nodes that `detect` heard somewhere, each with its probability in each segment."""
        table = torch.stack(list(detected.values()))
        found = {name: table[mask.cpu() > 0].amax(0) for name, mask in masks.items()}
        return {name: told for name, told in found.items() if float(told.max()) >= least}

    def following(
        self, masks: Mapping[str, Float[Tensor, "labels"]], least: float = LEAST
    ) -> Following:
        """A separator whose conditions are the tags of what it hears, each within its mask."""
        if not masks:
            raise InputError("nothing is asked: name at least one node")
        if not self.classes:
            raise InputError("this model has no class names, so no hierarchy of them")
        return Following(self, masks, least)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "separator", "system": "universal", "config": self.config.to_dict()}


class _Asking(Separator):
    """What separators made from a `Universal` have of it."""

    ordered = True
    rest = "rest"

    def __init__(self, model: Universal, stems: Iterable[str]):
        super().__init__()
        self.model = model
        self.stems = tuple(stems)
        self.rate_hz, self.channels = model.rate_hz, model.channels
        self.window_samples = model.window_samples
        self.card, self.name = getattr(model, "card", {}), getattr(model, "name", "universal")
        self.train(model.training)


class Asked(_Asking):
    """A separator that pulls out what it was asked for. Made by `Universal.asked`."""

    conditions: Tensor

    def __init__(self, model: Universal, queries: Mapping[str, Float[Tensor, "c"]]):
        super().__init__(model, queries)
        device = model.net.norm.weight.device
        told = torch.stack([condition.to(device) for condition in queries.values()])
        self.register_buffer("conditions", told, persistent=False)

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        return self.model.separate(mixture, self.conditions.expand(len(mixture), -1, -1))

    def describe(self) -> dict[str, Any]:
        """That of the model, asked for these stems. InputError where examples were asked with."""
        same: Callable[[str], Tensor] = self.model.condition_of_class
        if not self.model.classes or not all(
            torch.equal(same(name), told) for name, told in zip(self.stems, self.conditions)
        ):
            raise InputError("conditions of examples are not kept: describe the model itself")
        config = dataclasses.replace(self.model.config, asks=self.stems)
        return {"kind": "separator", "system": "universal", "config": config.to_dict()}


class Following(_Asking):
    """A separator that asks with the tags of each window. Made by `Universal.following`.

    A window in which no class of a stem reaches `least` is silent in that stem.
    """

    masks: Tensor

    def __init__(
        self, model: Universal, masks: Mapping[str, Float[Tensor, "labels"]], least: float
    ):
        super().__init__(model, masks)
        self.least = least
        device = model.net.norm.weight.device
        told = torch.stack([mask.to(device) for mask in masks.values()])
        self.register_buffer("masks", told, persistent=False)

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        query = self.model.query
        assert query is not None
        tags = query.tags(mixture.mean(1))[:, None] * self.masks  # (b, stems, labels)
        heard = tags.amax(2) >= self.least
        conditions = query.adapted(tags.flatten(0, 1)).unflatten(0, heard.shape)
        return self.model.separate(mixture, conditions) * heard[:, :, None, None]

    def describe(self) -> dict[str, Any]:
        """That of the model: which nodes are followed is not kept."""
        return self.model.describe()


def build(config: Config) -> Universal:
    return Universal(config)
