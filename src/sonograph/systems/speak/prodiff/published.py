"""Official weights, both ways: names of Rongjiehuang/ProDiff and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.nn import diffusion
from sonograph.systems.speak.prodiff.model import Config, ProDiff
from sonograph.weights import rename

# published name, our name; what stands in braces is a number or the last part of a name
PUBLISHED_NAMES = (
    ("fs2.encoder.embed_tokens.weight", "embed.weight"),  # the later one of two names for it
    *(
        (f"fs2.encoder.layers.{{}}.op.{theirs}", f"encoder.{{}}.{ours}")
        for theirs, ours in (
            ("layer_norm1.{}", "norm1.{}"),
            ("self_attn.in_proj_weight", "attention.qkv.weight"),
            ("self_attn.out_proj.weight", "attention.project.weight"),
            ("layer_norm2.{}", "norm2.{}"),
            ("ffn.ffn_1.{}", "expand.{}"),
            ("ffn.ffn_2.{}", "contract.{}"),
        )
    ),
    ("fs2.encoder.layer_norm.{}", "norm.{}"),
    ("fs2.dur_predictor.conv.{}.1.{}", "duration.convolutions.{}.{}"),
    ("fs2.dur_predictor.conv.{}.3.{}", "duration.norms.{}.{}"),
    ("fs2.dur_predictor.linear.{}", "duration.project.{}"),
    *(
        (f"fs2.{part}{theirs}", f"{part}{ours}")
        for part in ("pitch", "energy")
        for theirs, ours in (
            ("_predictor.pos_embed_alpha", ".alpha"),
            ("_predictor.conv.{}.1.{}", ".layers.convolutions.{}.{}"),
            ("_predictor.conv.{}.3.{}", ".layers.norms.{}.{}"),
            ("_predictor.linear.{}", ".layers.project.{}"),
            ("_embed.weight", "_embed.weight"),
        )
    ),
    ("denoise_fn.input_projection.{}", "denoiser.start.{}"),
    ("denoise_fn.mlp.0.{}", "denoiser.widen.{}"),
    ("denoise_fn.mlp.2.{}", "denoiser.narrow.{}"),
    ("denoise_fn.residual_layers.{}.dilated_conv.{}", "denoiser.blocks.{}.gate.{}"),
    ("denoise_fn.residual_layers.{}.diffusion_projection.{}", "denoiser.blocks.{}.step.{}"),
    ("denoise_fn.residual_layers.{}.conditioner_projection.{}", "denoiser.blocks.{}.condition.{}"),
    ("denoise_fn.residual_layers.{}.output_projection.{}", "denoiser.blocks.{}.out.{}"),
    ("denoise_fn.skip_projection.{}", "denoiser.skip.{}"),
    ("denoise_fn.output_projection.{}", "denoiser.end.{}"),
)
# what follows from the betas; a projection that nothing asks; the tokens once more; empty bounds
BUFFERS = (
    "timesteps",
    "timescale",
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
UNUSED = (
    *BUFFERS,
    "fs2.mel_out.{}",
    "fs2.encoder_embed_tokens.weight",
    "fs2.encoder.embed_positions._float_tensor",
    "fs2.pitch_predictor.embed_positions._float_tensor",
    "fs2.energy_predictor.embed_positions._float_tensor",
    "spec_min",
    "spec_max",
    "f0_mean",
    "f0_std",
)


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official ProDiff file, teacher or student."""
    bare = _bare(names)
    marks = {"fs2.dur_predictor.linear.weight", "denoise_fn.input_projection.weight"}
    return marks <= bare.keys()


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours."""
    return rename(_bare(state), PUBLISHED_NAMES, UNUSED)


def to_published(model: ProDiff) -> dict[str, Tensor]:
    """The weights under their official names, with all that official files carry beside them.

    `fs2.mel_out`, which no official code asks, is zeros.
    """
    config = model.config
    theirs = rename(model.state_dict(), [(ours, names) for names, ours in PUBLISHED_NAMES])
    theirs["fs2.encoder_embed_tokens.weight"] = theirs["fs2.encoder.embed_tokens.weight"]
    theirs["fs2.mel_out.weight"] = torch.zeros(config.features.rows, config.width)
    theirs["fs2.mel_out.bias"] = torch.zeros(config.features.rows)
    return theirs | buffers_of(model)


def buffers_of(model: ProDiff) -> dict[str, Tensor]:
    """The tables of official files, by their names."""
    schedule, config = model.schedule, model.config
    betas = schedule.betas
    kept = schedule.signal[:-1].square()
    before = torch.cat([torch.ones(1, dtype=kept.dtype), kept[:-1]])
    variance = betas * (1 - before) / (1 - kept)
    found = {
        "timesteps": torch.tensor(float(config.steps)),
        "timescale": torch.tensor(float(config.stride)),
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": kept.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - kept).log(),
        "sqrt_recip_alphas_cumprod": (1 / kept).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - kept),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - kept),
    }
    return {name: value.float() for name, value in found.items()}


def config_from_published(
    state: Mapping[str, Tensor], pitch: tuple[float, float] | None = None
) -> Config:
    """The configuration of an official file, read from its shapes; heads show in none: two.

    pitch: mean and deviation of F0 in Hz, which official code keeps in a file of the corpus
    (`train_f0s_mean_std.npy`); without them `f0_mean` and `f0_std` of the state are taken, and
    without those the defaults of `Config`.
    """
    bare = _bare(state)
    tokens, width = bare["fs2.encoder.embed_tokens.weight"].shape
    if "fs2.pitch_embed.weight" not in bare or "fs2.energy_embed.weight" not in bare:
        raise InputError("this ProDiff has no pitch or no energy: only files with both are read")
    if "fs2.pitch_predictor.linear.weight" not in bare:
        raise InputError("this ProDiff predicts pitch by wavelets: only that of frames is built")
    if bare["fs2.pitch_predictor.linear.weight"].shape[0] != 2:
        raise InputError("this ProDiff predicts the pitch of phones: only that of frames is built")
    channels, rows, _ = bare["denoise_fn.input_projection.weight"].shape
    betas = bare["betas"].double() if "betas" in bare else diffusion.vpsde(5).betas
    kept, before = (bare.get(f"alphas_cumprod{end}", betas[:0]) for end in ("", "_prev"))
    if kept.shape == before.shape == betas.shape:
        # told more exactly by these where nearly nothing is kept
        betas = torch.where(betas > 0.5, 1 - kept.double() / before.double(), betas)
    plain = diffusion.vpsde(len(betas)).betas
    same = bool(torch.allclose(betas, plain, atol=1e-6))
    if pitch is None and {"f0_mean", "f0_std"} <= bare.keys():
        pitch = float(bare["f0_mean"]), float(bare["f0_std"])
    mean, deviation = (Config.pitch_mean, Config.pitch_deviation) if pitch is None else pitch
    found = Config()
    return Config(
        features=found.features.override(bins=rows),
        tokens=tokens,
        width=width,
        encoder_depth=_count(bare, r"fs2\.encoder\.layers\.(\d+)\."),
        encoder_kernel=bare["fs2.encoder.layers.0.op.ffn.ffn_1.weight"].shape[2],
        duration_layers=_count(bare, r"fs2\.dur_predictor\.conv\.(\d+)\."),
        duration_kernel=bare["fs2.dur_predictor.conv.0.1.weight"].shape[2],
        predictor_layers=_count(bare, r"fs2\.pitch_predictor\.conv\.(\d+)\."),
        predictor_kernel=bare["fs2.pitch_predictor.conv.0.1.weight"].shape[2],
        pitch_mean=mean,
        pitch_deviation=deviation,
        blocks=_count(bare, r"denoise_fn\.residual_layers\.(\d+)\."),
        channels=channels,
        teacher_steps=len(betas) - 1,
        stride=int(bare["timescale"]) if "timescale" in bare else 1,
        betas=() if same else tuple(betas.tolist()),
        sampling="published",
        compat="published",
    )


def load_published(state: Mapping[str, Tensor]) -> ProDiff:
    """An official file as a model."""
    model = ProDiff(config_from_published(state))
    model.load_state_dict(from_published(state))
    return model


def _count(state: Mapping[str, Any], pattern: str) -> int:
    """One more than the largest number that stands where the pattern has its group."""
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))


def _bare(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("model."): value for name, value in state.items()}
