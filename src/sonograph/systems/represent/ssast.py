"""SSAST, the Self-Supervised Audio Spectrogram Transformer: a ViT that learns sound unlabelled.

For whoever has much sound and few labels: pre-train on the sound, then fine-tune or probe.
Gong, Lai, Chung and Glass, "SSAST: Self-Supervised Audio Spectrogram Transformer", AAAI 2022.
Most patches of a log-mel spectrogram are hidden; the model picks the right patch for each gap
among the clip's others (discriminative) and paints it (generative). AST, its supervised parent
(Gong, Chung and Glass, Interspeech 2021), is the same encoder with overlapping patches.

Published (base, 400 of 512 patches hidden): ESC-50 88.8, Speech Commands 98.0, AudioSet-20K
mAP 31.0; from scratch 41.9, 92.6 and 14.8. Pre-training lifts the average of seven tasks by 60.9 %.

Shapes: features (b, bins, frames) -> tokens (b, n, d), n = rows x columns in frequency-major order.

Ours, where the paper is silent: shorter clips use the first columns of the position table, so that
padding changes nothing; `mask_share` instead of a fixed count, so that any length can be hidden in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonograph.losses.masked_patches import MaskedPatches
from sonograph.nn.encoder import Embeds, Tokens, require_fit
from sonograph.nn.heads import Classifier
from sonograph.nn.patch_encoder import PatchConfig, refitted, with_published_input
from sonograph.nn.patches import PatchEmbed
from sonograph.nn.positions import first_columns
from sonograph.nn.transformer import PreNormBlock
from sonograph.registry import About, register
from sonograph.weights import part_of, rename


@dataclasses.dataclass(frozen=True)
class Config(PatchConfig):
    """Sizes are those of the tiny patch model, pre-trained on ten seconds."""

    width: int = 192
    depth: int = 12
    num_heads: int = 3
    special_tokens: int = 2  # class and distillation token; one in models without distillation


# --- model ---------------------------------------------------------------------------------------


class SSAST(nn.Module, Embeds):
    """The encoder: patches, special tokens, learned positions, pre-norm transformer.

    features (b, bins, frames), lengths (b,) in frames or None -> Tokens. Frames beyond a clip's
    length are never looked at. Raises InputError for inputs longer than `config.frames`.

    >>> encoder = SSAST(test())
    >>> encoder(torch.zeros(2, 128, 64)).values.shape
    torch.Size([2, 32, 48])
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.spec, self.width = config.features, config.width
        self.padding = -self.spec.mean / self.spec.deviation  # what raw 0 becomes
        self.grid = config.grid
        places = config.special_tokens + self.grid[0] * self.grid[1]
        self.patches = PatchEmbed(config.width, config.patch, config.stride)
        self.special = nn.Parameter(torch.zeros(1, config.special_tokens, config.width))
        self.positions = nn.Parameter(torch.zeros(1, places, config.width))
        self.blocks = nn.ModuleList(
            PreNormBlock(config.width, config.num_heads) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        """DeiT's start: truncated normal of 0.02 for linear maps, tokens and positions."""
        nn.init.trunc_normal_(self.special, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

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
        """Positions, transformer blocks and the final norm."""
        count = self.config.special_tokens
        x = torch.cat([self.special.expand(tokens.values.shape[0], -1, -1), tokens.values], dim=1)
        x = x + first_columns(self.positions, self.grid, tokens.grid[1], count)
        mask = tokens.mask
        if mask is not None:
            mask = nn.functional.pad(mask, (count, 0), value=True)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return Tokens(x[:, count:], tokens.mask, tokens.grid, special=x[:, :count])

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "ssast", "config": self.config.to_dict()}


def build(config: Config) -> SSAST:
    return SSAST(config)


def refit(
    encoder: SSAST, frames: int | None = None, stride: tuple[int, int] | None = None
) -> SSAST:
    """The same encoder for another input length or patch stride; positions are cut or stretched.

    The paper fine-tunes this way: strides of 10 for AudioSet and ESC-50, section 2.4.
    """
    return refitted(encoder, frames, stride)


# --- objective -----------------------------------------------------------------------------------

Pretraining = MaskedPatches  # section 2.3: masked spectrogram patch modelling

# --- published weights ---------------------------------------------------------------------------

# published name, our name; what stands in braces is a number
PUBLISHED_NAMES = (
    ("v.pos_embed", "encoder.positions"),
    ("v.patch_embed.proj.{}", "encoder.patches.project.{}"),
    ("v.blocks.{}.norm1.{}", "encoder.blocks.{}.norm1.{}"),
    ("v.blocks.{}.attn.qkv.{}", "encoder.blocks.{}.attention.qkv.{}"),
    ("v.blocks.{}.attn.proj.{}", "encoder.blocks.{}.attention.project.{}"),
    ("v.blocks.{}.norm2.{}", "encoder.blocks.{}.norm2.{}"),
    ("v.blocks.{}.mlp.fc1.{}", "encoder.blocks.{}.feedforward.expand.{}"),
    ("v.blocks.{}.mlp.fc2.{}", "encoder.blocks.{}.feedforward.contract.{}"),
    ("v.norm.{}", "encoder.norm.{}"),
    ("cpredlayer.{}.{}", "discriminate.{}.{}"),
    ("gpredlayer.{}.{}", "generate.{}.{}"),
    ("mask_embed", "hidden"),
    ("mlp_head.0.{}", "head.norm.{}"),
    ("mlp_head.1.{}", "head.project.{}"),
)
# the two ImageNet heads of DeiT, never used; the pre-training shape, which the config holds
UNUSED = ("v.head.{}", "v.head_dist.{}", "p_input_fdim", "p_input_tdim")
SPECIAL = ("v.cls_token", "v.dist_token")  # joined along the token axis in `encoder.special`


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official SSAST or AST file."""
    bare = {name.removeprefix("module.") for name in names}
    return {"v.cls_token", "v.patch_embed.proj.weight"} <= bare


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and what the file has of the heads."""
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    special = [bare.pop(name) for name in SPECIAL if name in bare]
    ours = rename(bare, PUBLISHED_NAMES, unused=UNUSED)
    return {"encoder.special": torch.cat(special, dim=1), **ours}


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes: see `with_published_input`."""
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    width, _, *patch = bare["v.patch_embed.proj.weight"].shape
    special = sum(name in bare for name in SPECIAL)
    depth = 1 + max(int(name.split(".")[2]) for name in bare if name.startswith("v.blocks."))
    shape = (int(patch[0]), int(patch[1]))
    config = Config(
        width=width,
        depth=depth,
        num_heads=width // 64,
        patch=shape,
        stride=shape,
        special_tokens=special,
        masking="random" if shape[0] == 128 else "cluster",
    )
    finest = (shape[0], 1)  # of frame models
    return with_published_input(config, bare, special, strides=(finest,))


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a model: a Classifier if it was fine-tuned, else the encoder."""
    ours, encoder = from_published(state), SSAST(config_from_published(state))
    if "head.project.weight" not in ours:
        encoder.load_state_dict(part_of(ours, "encoder."))
        return encoder
    labels = [f"class {index}" for index in range(len(ours["head.project.bias"]))]
    model = Classifier(encoder, labels)
    model.load_state_dict({name: ours[name] for name in model.state_dict()})
    return model


EXPORTS = True  # torch.export takes the encoder, for clips that fill their batch


# --- presets -------------------------------------------------------------------------------------


@register("ssast-test", system="ssast", note="for tests: under a million parameters")
def test() -> Config:
    return Config(width=48, depth=2, num_heads=2, frames=128)


@register("ssast-demo", system="ssast", note="the demo's: pre-trains in three minutes on two cores")
def demo() -> Config:
    return Config(width=128, depth=4, num_heads=4, frames=128)


@register("ssast-mini", system="ssast", note="the bundled encoder's size")
def mini() -> Config:
    return Config(depth=4, frames=256)


@register("ssast-tiny", system="ssast", parameters=5_487_168, note="Tiny-Patch-400")
def tiny() -> Config:
    return Config()


@register("ssast-small", system="ssast", parameters=21_591_168, note="Small-Patch-400")
def small() -> Config:
    return Config(width=384, num_heads=6)


@register("ssast-base", system="ssast", parameters=85_649_664, note="Base-Patch-400")
def base() -> Config:
    return Config(width=768, num_heads=12)


@register("ssast-base-250", system="ssast", parameters=85_649_664, note="Base-Patch-250")
def base_250() -> Config:
    return dataclasses.replace(base(), mask_share=250 / 512)


def _frame(config: Config) -> Config:
    """Patches of two frames, all bins high; hidden one by one."""
    return dataclasses.replace(config, patch=(128, 2), stride=(128, 2), masking="random")


@register("ssast-tiny-frame", system="ssast", parameters=5_487_168, note="Tiny-Frame-400")
def tiny_frame() -> Config:
    return _frame(tiny())


@register("ssast-base-frame", system="ssast", parameters=85_649_664, note="Base-Frame-400")
def base_frame() -> Config:
    return _frame(base())


@register("ssast-base-frame-250", system="ssast", parameters=85_649_664, note="Base-Frame-250")
def base_frame_250() -> Config:
    return dataclasses.replace(base_frame(), mask_share=250 / 512)


@register("ast-base", system="ssast", parameters=86_187_264, note="AST: stride 10, ten seconds")
def ast_base() -> Config:
    return dataclasses.replace(base(), stride=(10, 10))


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A transformer over spectrogram patches that learns from unlabelled sound.",
    use=(
        "Much sound, few labels: pre-train on the sound, then probe, add low-rank adapters or "
        "fine-tune with the labels there are.",
        "Vectors of sounds of any kind (speech, music, effects), to search and to cluster.",
        "Published SSAST or AST weights at hand: `sonograph.load` opens the official files.",
    ),
    avoid=(
        "Words are to be written down: it knows nothing of language.",
        "Events shorter than a patch (160 ms in the patch models) are to be placed in time: the "
        "frame models, with patches of 20 ms, are finer.",
        "Less than an hour of sound and no published weights: from scratch there is little to "
        "learn from, and statistics of MFCCs are a hard baseline to beat.",
        "Minutes of pre-training, and labels that a model this small can learn from directly: "
        "measured here, the same updates spent on the labels from scratch did better "
        "(docs/claims.md). The gain of the paper is one of days on thousands of hours.",
    ),
    paper="Yuan Gong, Cheng-I Jeff Lai, Yu-An Chung, James Glass, AAAI 2022",
    figures=(
        "ESC-50 accuracy 88.8 % pre-trained, 41.9 % from scratch (base, patch, 400 hidden)",
        "Speech Commands 35 accuracy 98.0 % pre-trained, 92.6 % from scratch",
        "AudioSet-20K mAP 31.0 % pre-trained, 14.8 % from scratch",
        "average of seven tasks lifted by 60.9 % by pre-training",
    ),
    code_licence="BSD-3-Clause",
    weights_licence="linked from the official code, which names no other licence for them; trained "
    "on AudioSet and LibriSpeech",
    deviations=(
        "Masks: every patch is hidden equally often; the official draw wraps from one frequency "
        "row into the next, never hides the first patch and spares high frequencies. "
        '`compat="published"` draws as it does.',
        "The share of hidden patches is fixed, not their number, so that clips of any length can "
        "be learned from.",
        "Shorter clips use the first columns of the position table, padded frames are masked out: "
        "padding changes nothing. The official code pads to a fixed length.",
        "The contrastive loss is that of the official code (softmax over predictions, not over "
        "targets as in equation 1); the authors confirm the difference.",
        "Presets `ssast-test`, `-demo` and `-mini` are ours, with a shorter schedule (AdamW, "
        "cosine); the published presets carry the published schedule.",
    ),
    faults=(
        "Adapting positions takes the number of frequency rows for 8, whatever the patches.",
        "The same function cuts frequency with the length in time.",
        "Patches must have 256 pixels, an old release of timm is demanded, and labels are needed "
        "even to pre-train without labels.",
        "Two 1000-class ImageNet heads lie unused in every checkpoint.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("ssast", "kaldi-fbank"),
    checks=("tests/parity/test_ast_transformers.py",),
)
