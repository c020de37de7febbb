"""SSAMBA: SSAST with a bidirectional Mamba in place of attention; time and memory linear in length.

For long sounds and finely cut ones, with much sound and few labels.
Shams, Dindar, Jiang and Mesgarani, "SSAMBA: Self-Supervised Audio Representation Learning with
Mamba State Space Model", SLT 2024. Patches, positions and objective are SSAST's; the encoder is
Vision Mamba's (Zhu et al. 2024): every layer scans the tokens both ways, and the layers work in
pairs that see the sequence from opposite ends.

Published (tiny, about 22,000 tokens): 92.7 % less time for a batch and 95.4 % less memory than
SSAST, whose attention keeps all pairs of tokens there; a fused attention does not, and
`sonograph claim ssamba` measures both.

Shapes: features (b, bins, frames) -> tokens (b, n, d), n = rows x columns in frequency-major order.

Ours, where the paper is silent: a padded clip's own tokens are moved together before the layers,
as they would stand without padding, so that neither direction nor convolution sees the padding;
shorter clips use the first columns of the position table; `mask_share` instead of a count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from sonograph.errors import InputError
from sonograph.losses.masked_patches import MaskedPatches
from sonograph.nn.encoder import Embeds, Tokens, require_fit
from sonograph.nn.heads import Classifier
from sonograph.nn.mamba import Mamba
from sonograph.nn.patch_encoder import PatchConfig, refitted, with_published_input
from sonograph.nn.patches import PatchEmbed
from sonograph.nn.positions import first_columns
from sonograph.nn.scan import Order
from sonograph.registry import About, register
from sonograph.weights import part_of, rename

Pairing = Literal["doubled", "mean", "none"]


@dataclasses.dataclass(frozen=True)
class Config(PatchConfig):
    """Sizes are those of the tiny model, pre-trained on ten seconds."""

    width: int = 192
    depth: int = 24  # even, where layers are paired
    states: int = 16  # of each channel
    expand: int = 2  # channels for each number of the width
    kernel: int = 4  # tokens that the convolution before the scan sees
    # "doubled": the published pairs, which add up a residual that is the same in both, so that it
    # doubles with each pair; "mean": of the two residuals; "none": one layer after the other
    pairing: Pairing = "doubled"
    drop_path: float = 0.1  # chance of leaving a layer's output out, of the last one; rises to it


# --- blocks --------------------------------------------------------------------------------------


class WideNorm(nn.LayerNorm):
    """A layer norm in float32 whatever its weights are in: paired residuals outgrow halves."""

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        weight, bias = self.weight.float(), self.bias.float()
        y = layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps)
        return y.to(self.weight.dtype)


class Layer(nn.Module):
    """Add, normalise, mix: (output of the layer before, residual) -> (output, residual).

    `drop` is the chance that a clip goes without the output of the layer before.
    """

    def __init__(
        self,
        width: int,
        directions: Sequence[Order],
        states: int,
        expand: int,
        kernel: int,
        drop: float,
    ):
        super().__init__()
        self.drop = drop
        self.norm = WideNorm(width)
        self.mixer = Mamba(width, directions, states, expand, kernel)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        residual: Float[Tensor, "b n d"] | None,
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n d"]]:
        residual = drop_path(x, 0.0 if residual is None else self.drop, self.training, residual)
        return self.mixer(self.norm(residual), mask), residual


def drop_path(
    x: Float[Tensor, "b n d"],
    share: float,
    training: bool,
    residual: Float[Tensor, "b n d"] | None = None,
) -> Float[Tensor, "b n d"]:
    """residual + x, in float32 since paired residuals grow; in training some clips go without x.

    Stochastic depth, Huang et al. 2016: what is kept is scaled so that the mean stays.
    """
    x = x.float()
    if training and share > 0:
        keep = torch.rand(len(x), 1, 1, device=x.device) >= share
        x = x * keep / (1 - share)
    return x if residual is None else residual + x


# --- model ---------------------------------------------------------------------------------------


class SSAMBA(nn.Module, Embeds):
    """The encoder: patches, a class token in front, learned positions, Mamba layers in pairs.

    features (b, bins, frames), lengths (b,) in frames or None -> Tokens. Frames beyond a clip's
    length are never looked at. Raises InputError for inputs longer than `config.frames`.

    >>> encoder = SSAMBA(test())
    >>> encoder(torch.zeros(2, 128, 64)).values.shape
    torch.Size([2, 32, 48])
    """

    def __init__(self, config: Config):
        super().__init__()
        if config.pairing != "none" and config.depth % 2:
            raise InputError(f"{config.depth} layers do not make pairs: give an even depth")
        self.config = config
        self.spec, self.width = config.features, config.width
        self.padding = -self.spec.mean / self.spec.deviation  # what raw 0 becomes
        self.grid = config.grid
        self.patches = PatchEmbed(config.width, config.patch, config.stride)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], config.width))
        steps = max(1, config.depth - 1)
        drops = [0.0, *(config.drop_path * k / steps for k in range(config.depth))]
        ways: tuple[Order, Order] = ("forward", "backward")
        self.layers = nn.ModuleList(
            Layer(
                config.width,
                # the second of a pair sees the sequence from its end: its two directions swap
                ways if k % 2 == 0 or config.pairing == "none" else ways[::-1],
                config.states,
                config.expand,
                config.kernel,
                drops[k],
            )
            for k in range(config.depth)
        )
        self.norm = WideNorm(config.width)
        self._initialise()

    def _initialise(self) -> None:
        """Vision Mamba's start; outer maps into the residual are smaller in deeper models."""
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        with torch.no_grad():
            for name, weight in self.layers.named_parameters():
                if name.endswith("contract.weight"):
                    weight.div_(self.config.depth**0.5)

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        return self.encode(self.patch_tokens(features, lengths))

    def patch_tokens(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        """Patch tokens before positions: what an objective may hide."""
        require_fit(self, features)
        return self.patches.tokens(features, lengths, self.padding)

    def encode(self, tokens: Tokens) -> Tokens:
        """Positions, layers, and the final norm, applied twice as published."""
        x = torch.cat([self.class_token.expand(len(tokens.values), -1, -1), tokens.values], dim=1)
        x = x + first_columns(self.positions, self.grid, tokens.grid[1], 1)
        if tokens.mask is None:
            x = self.mix(x)
        else:  # a clip's own tokens first, in their order: as they stand without padding
            mask = nn.functional.pad(tokens.mask, (1, 0), value=True)
            order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
            x = self.mix(_taken(x, order), mask.gather(1, order))
            x = _taken(x, order.argsort(dim=1))
        x = self.norm(self.norm(x))
        return Tokens(x[:, 1:], tokens.mask, tokens.grid, special=x[:, :1])

    def mix(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """The layers, up to the sum that is normalised; `mask` marks tokens, which come first."""
        residual: Tensor | None = None
        if self.config.pairing == "none":
            for layer in self.layers:
                x, residual = layer(x, residual, mask)
        else:
            # both of a pair are given the same; as the second scans from the end, nothing is
            # flipped, and both residuals are equal but for what is dropped in training
            for first, second in zip(self.layers[::2], self.layers[1::2]):
                (y, r), (z, s) = first(x, residual, mask), second(x, residual, mask)
                x, residual = y + z, r + s
                if self.config.pairing == "mean":
                    residual = residual / 2
        return drop_path(x, self.config.drop_path, self.training, residual)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "ssamba", "config": self.config.to_dict()}


def _taken(x: Float[Tensor, "b n d"], order: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    return x.gather(1, order[..., None].expand_as(x))


def build(config: Config) -> SSAMBA:
    return SSAMBA(config)


def refit(
    encoder: SSAMBA, frames: int | None = None, stride: tuple[int, int] | None = None
) -> SSAMBA:
    """The same encoder for another input length or patch stride; positions are cut or stretched.

    The paper fine-tunes this way, with strides of 10.
    """
    return refitted(encoder, frames, stride)


Pretraining = MaskedPatches  # SSAST's objective: L = L_d + 10 L_g


# --- published weights ---------------------------------------------------------------------------

_MIXER, _OURS = "v.layers.{}.mixer.", "encoder.layers.{}.mixer."
# published name, our name; what stands in braces is a number, or weight or bias
PUBLISHED_NAMES = (
    ("v.cls_token", "encoder.class_token"),
    ("v.pos_embed", "encoder.positions"),
    ("v.patch_embed.proj.{}", "encoder.patches.project.{}"),
    ("v.layers.{}.norm.{}", "encoder.layers.{}.norm.{}"),
    (_MIXER + "in_proj.weight", _OURS + "expand.weight"),
    (_MIXER + "out_proj.weight", _OURS + "contract.weight"),
    (_MIXER + "A_log", _OURS + "directions.0.log_rates"),
    (_MIXER + "A_b_log", _OURS + "directions.1.log_rates"),
    (_MIXER + "D", _OURS + "directions.0.skip"),
    (_MIXER + "D_b", _OURS + "directions.1.skip"),
    *(
        (f"{_MIXER}{theirs}{suffix}.{{}}", f"{_OURS}directions.{number}.{ours}.{{}}")
        for number, suffix in enumerate(("", "_b"))
        for theirs, ours in (("conv1d", "conv"), ("x_proj", "select"), ("dt_proj", "step"))
    ),
    ("v.norm_f.{}", "encoder.norm.{}"),
    ("cpredlayer.{}.{}", "discriminate.{}.{}"),
    ("gpredlayer.{}.{}", "generate.{}.{}"),
    ("mask_embed", "hidden"),
    ("mlp_head.0.{}", "head.norm.{}"),
    ("mlp_head.1.{}", "head.project.{}"),
)
# Vision Mamba's ImageNet head, never used; the pre-training shape, which the config holds
UNUSED = ("v.head.{}", "p_input_fdim", "p_input_tdim")


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official SSAMBA file."""
    bare = {name.removeprefix("module.") for name in names}
    return {"v.cls_token", "v.layers.0.mixer.A_b_log"} <= bare


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and what the file has of the heads."""
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    return rename(bare, PUBLISHED_NAMES, unused=UNUSED)


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes: see `with_published_input`.

    How many patches were hidden is in no file.
    """
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    width, _, *patch = bare["v.patch_embed.proj.weight"].shape
    channels, states = bare["v.layers.0.mixer.A_log"].shape
    shape = (int(patch[0]), int(patch[1]))
    config = Config(
        width=width,
        depth=1 + max(int(name.split(".")[2]) for name in bare if name.startswith("v.layers.")),
        states=states,
        expand=channels // width,
        kernel=bare["v.layers.0.mixer.conv1d.weight"].shape[2],
        patch=shape,
        stride=shape,
        masking="random" if shape[0] == 128 else "cluster",
    )
    return with_published_input(config, bare, special=1)


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a model: a Classifier if it was fine-tuned, else the encoder."""
    ours, encoder = from_published(state), SSAMBA(config_from_published(state))
    if "head.project.weight" not in ours:
        encoder.load_state_dict(part_of(ours, "encoder."))
        return encoder
    labels = [f"class {index}" for index in range(len(ours["head.project.bias"]))]
    model = Classifier(encoder, labels)
    model.load_state_dict({name: ours[name] for name in model.state_dict()})
    return model


# --- presets -------------------------------------------------------------------------------------


@register("ssamba-test", system="ssamba", note="for tests: under a million parameters")
def test() -> Config:
    return Config(width=48, depth=2, states=4, drop_path=0.0, frames=128)


@register("ssamba-mini", system="ssamba", note="the claim's: pre-trains in minutes on two cores")
def mini() -> Config:
    return Config(width=96, depth=4, pairing="mean", drop_path=0.0, frames=128)


@register("ssamba-tiny", system="ssamba", parameters=6_922_176, note="Tiny-400")
def tiny() -> Config:
    return Config()


@register("ssamba-tiny-300", system="ssamba", parameters=6_922_176, note="Tiny-300")
def tiny_300() -> Config:
    return dataclasses.replace(tiny(), mask_share=300 / 512)


@register("ssamba-tiny-250", system="ssamba", parameters=6_922_176, note="Tiny-250")
def tiny_250() -> Config:
    return dataclasses.replace(tiny(), mask_share=250 / 512)


@register("ssamba-small", system="ssamba", parameters=25_345_920, note="Small-400")
def small() -> Config:
    return Config(width=384)


@register("ssamba-small-300", system="ssamba", parameters=25_345_920, note="Small-300")
def small_300() -> Config:
    return dataclasses.replace(small(), mask_share=300 / 512)


@register("ssamba-small-250", system="ssamba", parameters=25_345_920, note="Small-250")
def small_250() -> Config:
    return dataclasses.replace(small(), mask_share=250 / 512)


@register("ssamba-base", system="ssamba", parameters=96_698_112, note="Base-400")
def base() -> Config:
    return Config(width=768)


@register("ssamba-base-300", system="ssamba", parameters=96_698_112, note="Base-300")
def base_300() -> Config:
    return dataclasses.replace(base(), mask_share=300 / 512)


@register("ssamba-base-250", system="ssamba", parameters=96_698_112, note="Base-250")
def base_250() -> Config:
    return dataclasses.replace(base(), mask_share=250 / 512)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A bidirectional Mamba over spectrogram patches that learns from unlabelled sound.",
    use=(
        "Long sounds or finely cut ones, thousands of tokens at once: time and memory grow with "
        "the length, not with its square.",
        "Published SSAMBA weights at hand: `sonograph.load` opens the official files, without "
        "CUDA and without the patched packages that they were trained with.",
        "Research on state-space layers: `nn.mamba` and `nn.scan` are the layers alone.",
    ),
    avoid=(
        "Ten seconds of sound in patches of 16 x 16, which are 512 tokens: attention is several "
        "times faster there. The claim's record says from how many tokens on it pays.",
        "Seconds of training count: taught alike, the small one was more accurate than SSAST of "
        "its size after as many updates, but each update took it four to five times as long.",
        "Memory is the concern and a fused attention is at hand: that is linear in length, too.",
        "Words are to be written down: it knows nothing of language.",
        "Less than an hour of sound and no published weights: from scratch there is little to "
        "learn from.",
    ),
    paper="Siavash Shams, Sukru Samet Dindar, Xilin Jiang, Nima Mesgarani, SLT 2024",
    figures=(
        "tiny, about 22,000 tokens: 92.7 % less time for a batch than SSAST, 95.4 % less memory",
        "base 99.0, small 26.2, tiny 7.3 million parameters, pre-training heads included",
    ),
    code_licence="BSD-3-Clause; Vision Mamba, which it builds on, Apache-2.0",
    weights_licence="linked from the official code, which names no other licence for them; trained "
    "on AudioSet and LibriSpeech",
    deviations=(
        "Padding changes nothing: a clip's own tokens are moved together before the layers, so "
        "that the backward direction starts at its own end. The official code pads to a fixed "
        "length.",
        "The share of hidden patches is fixed, not their number; masks are drawn without SSAST's "
        'bias unless `compat="published"`.',
        "Steps of both directions begin log-uniform from 0.001 to 0.1; in the official code a "
        "later pass over all linear layers sets those of the backward one to softplus(0) = 0.69.",
        "Rates and skips do not decay; the official training, with 5e-8, decays them too.",
        "The scan is plain PyTorch with a backward pass of its own, not a CUDA kernel; it keeps a "
        "state a block for it.",
        "Presets `ssamba-test` and `-mini` are ours, with a shorter schedule; `-mini` averages the "
        'residuals of a pair (`pairing="mean"`).',
    ),
    faults=(
        "Layers are paired and both of a pair add up a residual that is the same in both: it "
        "doubles with each pair, 4,096-fold after 24 layers, and drowns what later layers add. "
        "Published weights need it, so it is the published presets' form, in float32; "
        "`pairing` has two others.",
        "The final norm is applied twice; kept for the published weights' sake.",
        "The option that halves the sum of both directions is misspelt and has no effect; the "
        "library's default, which halves, is what the weights were trained with.",
        "Without causal-conv1d the mixer cannot be imported, and the model file hides why.",
        "A 1000-class ImageNet head lies unused in every checkpoint.",
        "Adapting positions takes the number of frequency rows for 8, whatever the patches.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("ssamba",),
    checks=("tests/parity/test_mamba_transformers.py",),
)
