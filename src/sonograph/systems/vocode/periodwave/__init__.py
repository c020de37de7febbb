"""PeriodWave: a vocoder that carries noise to speech, along a velocity read by several periods.

For whoever wants the last bit of quality out of a mel spectrogram and can wait for a few steps.
Lee, Choi and Lee, "PeriodWave: Multi-Period Flow Matching for High-Fidelity Waveform Generation",
ICLR 2025; the same authors' "Accelerating High-Fidelity Waveform Generation via Adversarial Flow
Matching Optimization" (PeriodWave-Turbo, 2024), which then trains four fixed steps as a generator.

    features, energy -> ConvNeXt-V2 -> one condition a period       once
    noise x_t -> fold by p -> U-Net (shared, told p and t) -> unfold    for p in 1, 2, 3, 5, 7
              -> sum / sqrt(5) -> residual blocks, conv -> velocity     every evaluation

    estimator   condition encoder, U-Net over columns, the vector field
    model       configuration, energy prior, sampling (Euler, midpoint, Heun; FreeU; sway)
    objective   flow matching, and Turbo's adversarial one

Shape legend: b clips, r rows of features, t frames, n samples, p columns of a period.

Published (LibriTTS, 1 M updates with FreeU, against BigVGAN of 5 M): PESQ 4.248 to 4.027, pitch
error 17.4 to 25.7 cents, periodicity error 0.0765 to 0.1018; periods (1, 2, 3, 5, 7) UTMOS 3.554,
(1, 2, 4, 6, 8) 3.547. Turbo, large, 4 steps: PESQ 4.454.

Ours, where code and paper are silent (the multi-band form is in no published code): two levels of
orthonormal Haar packets give four bands of a quarter of the rate; a band's input are its noisy
samples and, as more channels, the bands below it (true ones in training, its own in use); the
wavelet takes the place of the first strided stage, so that U-Nets have two strides of four; every
band has a vector field, condition encoder included, and the prior of its frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sonograph.audio.feature_spec import waveform_spec
from sonograph.audio.speech_features import hifigan_spec, voice_spec
from sonograph.nn.weight_norm import normed
from sonograph.registry import About, register
from sonograph.systems.vocode.periodwave.estimator import VectorField
from sonograph.systems.vocode.periodwave.model import (
    LIBRITTS,
    LJSPEECH,
    Config,
    Energy,
    PeriodWave,
    Sampling,
    build,
    energy_deviation,
    frame_energy,
)
from sonograph.systems.vocode.periodwave.objective import Pretraining, Turbo, loss
from sonograph.weights import rename

__all__ = [
    "ABOUT", "FREEU", "LIBRITTS", "LJSPEECH", "TURBO", "Config", "Energy", "PeriodWave",
    "Pretraining", "Sampling", "Turbo", "VectorField", "build", "config_from_published",
    "energy_deviation", "frame_energy", "from_published", "is_published", "load_published", "loss",
]  # fmt: skip

# --- published weights ---------------------------------------------------------------------------

# published name below "estimator.", our name below "fields.0."
BLOCK = (
    ("dwconv.{}", "depthwise.{}"),
    ("norm.{}", "norm.{}"),
    ("pwconv1.{}", "expand.{}"),
    ("grn.{}", "response.{}"),
    ("pwconv2.{}", "contract.{}"),
)
RESIDUAL = (("ResBlocks.{}.block1.{}", "residual.{}.first.{}"),
            ("ResBlocks.{}.block2.{}", "residual.{}.second.{}"))  # fmt: skip
PUBLISHED_NAMES = (
    ("MelCond.embed.{}", "condition.embed.{}"),
    *((f"MelCond.convnext_block.{{}}.{a}", f"condition.lower.{{}}.{b}") for a, b in BLOCK),
    ("MelCond.up.{}", "condition.up.{}"),
    *((f"MelCond.cond.{{}}.{a}", f"condition.upper.{{}}.{b}") for a, b in BLOCK),
    ("MelCond.cond_block.{}.{}", "condition.folds.{}.{}"),
    ("period_emb.weight", "period.weight"),
    ("mlp.{}.{}", "embed.{}.{}"),
    ("mpg.mpg.downs.{}.down.{}", "unet.downs.{}.convolve.{}"),
    ("mpg.mpg.downs.{}.mlp.1.{}", "unet.downs.{}.embed.{}"),
    *((f"mpg.mpg.downs.{{}}.{a}", f"unet.downs.{{}}.{b}") for a, b in RESIDUAL),
    ("mpg.mpg.mids.0.down.{}", "unet.middle.convolve.{}"),
    *((f"mpg.mpg.mids.0.{a}", f"unet.middle.{b}") for a, b in RESIDUAL),
    ("mpg.mpg.ups.{}.up.{}", "unet.ups.{}.spread.{}"),
    ("mpg.mpg.ups.{}.mlp.1.{}", "unet.ups.{}.embed.{}"),
    *((f"mpg.mpg.ups.{{}}.{a}", f"unet.ups.{{}}.{b}") for a, b in RESIDUAL),
    *((f"proj_layer.{a}", f"final.{b}") for a, b in RESIDUAL),
    ("proj_layer.final_layer.{}", "final.project.{}"),
)

# layers with weight norm; a file may have lost it
NORMED = r"(MelCond\.(up|cond_block\.\d+)|mpg\.mpg\..*\.(down|up|block\d)|proj_layer\..*)$"


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file, of flow matching or Turbo."""
    bare = {name.removeprefix("module.") for name in names}
    return {"estimator.MelCond.embed.weight", "estimator.period_emb.weight"} <= bare


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours. Kernels of columns lie along the last axis here; 1D ones get one."""
    bare = {
        name.removeprefix("module.").removeprefix("estimator."): value
        for name, value in normed(state, NORMED).items()
        if not name.removeprefix("module.").startswith("msmel.")  # Turbo's loss
    }
    ours = {}
    for name, value in rename(bare, PUBLISHED_NAMES).items():
        if "response." in name:
            value = value.flatten()
        elif value.ndim == 4:
            value = value.transpose(2, 3)
        elif name.startswith("final.") and value.ndim == 3:
            value = value[:, :, None]
        ours[f"fields.0.{name}"] = value
    return ours


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration that the weights tell.

    The features are known from their number of bands: 80 are LJSpeech's, 100 LibriTTS's, 128 the
    latent of EnCodec; the energy prior and noise scale are those of the same data. What weights do
    not tell: whether they are Turbo's, which samples with `TURBO`.
    """
    ours = from_published(state)
    width, rows, _ = ours["fields.0.condition.embed.weight"].shape
    folds = sorted(n for n in ours if ".condition.folds." in n and n.endswith("weight_v"))
    periods = tuple(ours[name].shape[3] // 2 for name in folds)
    embed = ours["fields.0.period.weight"].shape[1]
    known = {81: lj, 101: base, 128: encodec}
    if rows not in known:
        raise ValueError(f"{rows} rows of features are of no published model")
    deep = "fields.0.final.residual.3.first.bias" in ours
    dilations = LARGE_DILATIONS if deep else (1, 2, 4)
    return dataclasses.replace(
        known[rows](),
        width=width,
        periods=periods,
        embed_width=0 if embed == width // 2 else embed,
        middle_dilations=dilations,
        final_dilations=dilations,
    )


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a vocoder."""
    model = PeriodWave(config_from_published(state))
    model.load_state_dict(from_published(state))
    return model


# --- presets -------------------------------------------------------------------------------------

LARGE_DILATIONS = (1, 2, 1, 4)
TURBO = Sampling(steps=(4,), solver="euler", temperature=1.0)
FREEU = Sampling(freeu=(1.1, 0.9))


@register("periodwave-24k", system="periodwave", parameters=29_805_025, note="LibriTTS, 100 bands")
def base() -> Config:
    return Config()


@register("periodwave-22k", system="periodwave", parameters=29_733_345, note="LJSpeech, 80 bands")
def lj() -> Config:
    return Config(features=hifigan_spec(), noise_scale=0.25, energy=LJSPEECH)


@register("periodwave-large", system="periodwave", parameters=70_249_873, note="24 kHz")
def large() -> Config:
    return Config(width=768, middle_dilations=LARGE_DILATIONS, final_dilations=LARGE_DILATIONS)


@register("periodwave-encodec", system="periodwave", parameters=31_344_865, note="of codes, 24 kHz")
def encodec() -> Config:
    """The input is the sum of EnCodec's first 8 codebook vectors, 128 rows at 75 Hz."""
    return Config(
        features=waveform_spec(24000),
        code_rows=128,
        embed_width=512,
        noise_scale=0.25,
        energy=None,
    )


@register("periodwave-turbo-24k", system="periodwave", parameters=29_805_025, note="four steps")
def turbo() -> Config:
    return dataclasses.replace(base(), sampling=TURBO)


@register("periodwave-turbo-22k", system="periodwave", parameters=29_733_345, note="four steps")
def turbo_lj() -> Config:
    return dataclasses.replace(lj(), sampling=TURBO)


@register("periodwave-turbo-large", system="periodwave", parameters=70_249_873, note="four steps")
def turbo_large() -> Config:
    return dataclasses.replace(large(), sampling=TURBO)


@register("periodwave-turbo-encodec", system="periodwave", parameters=31_344_865, note="four steps")
def turbo_encodec() -> Config:
    return dataclasses.replace(encodec(), sampling=TURBO)


@register("periodwave-mb", system="periodwave", note="four wavelet bands, our reading of the paper")
def multi_band() -> Config:
    return Config(bands=4, sampling=Sampling(steps=(16, 4, 1, 1)))


# of the frames of asterisk-en, 25 minutes of one voice at 16 kHz: through `voice_spec`, 20 bands
ALLISON, ALLISON_20 = Energy(0.077656, 5.073378), Energy(0.038550, 2.580037)


@register("periodwave-mini", system="periodwave", note="16 kHz: learns on two cores")
def mini() -> Config:
    return Config(
        features=voice_spec(),
        width=64,
        noise_scale=0.25,
        energy=ALLISON,
        sampling=Sampling(steps=(8,)),
    )


@register("periodwave-test", system="periodwave", note="for tests: under a million parameters")
def test() -> Config:
    return Config(
        features=hifigan_spec(16000, 20),
        width=32,
        periods=(1, 2, 3),
        noise_scale=0.25,
        energy=ALLISON_20,
        sampling=Sampling(steps=(2,), solver="euler"),
    )


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A flow-matching vocoder that reads the waveform by several periods.",
    use=(
        "Speech of the highest quality from a mel spectrogram, where a few seconds a sentence are "
        "no matter.",
        "Training a vocoder with one loss: nothing adversarial, nothing to balance; steps against "
        "quality is chosen afterwards, on the finished model.",
        "Published PeriodWave or Turbo weights at hand: `sonograph.load` opens the official files.",
    ),
    avoid=(
        "Speech while it is being made, or a small processor: an iSTFTNet asks its network once, "
        "this one 32 times (4 in Turbo), each of them of a similar cost.",
        "Minutes of training: at the size of our claims (docs/claims.md) flow matching had hardly "
        "begun to learn, where adversarial training of the same time was well on its way.",
        "An hour of sound in one piece: every sample depends on all frames through the response "
        "norm. The velocity is made in parts, so that memory stays bounded, the condition is not.",
        "Clips of several lengths in one batch: padding changes what they become, as published.",
    ),
    paper="Sang-Hoon Lee, Ha-Yeon Choi, Seong-Whan Lee, ICLR 2025; Turbo: the same, 2024",
    figures=(
        "LibriTTS PESQ 4.248, pitch error 17.4 cents, periodicity error 0.0765, M-STFT 1.0269 "
        "(BigVGAN 4.027, 25.7, 0.1018, 0.7997)",
        "LJSpeech PESQ 4.293 (BigVGAN 4.210, HiFi-GAN 3.646)",
        "periods (1, 2, 3, 5, 7) UTMOS 3.5544, (1, 2, 4, 6, 8) 3.5468, (1, 2, 4, 8, 16) 3.5408",
        "16 midpoint steps 7.48 times real time on a GPU, 2 steps 56.4, HiFi-GAN 167",
        "Turbo, large, 4 Euler steps: PESQ 4.454 on LibriTTS",
    ),
    code_licence="MIT",
    weights_licence="linked from the official page, MIT as the code; trained on LJSpeech (public "
    "domain) and LibriTTS (CC BY 4.0)",
    deviations=(
        "The claims recorded at the scale of a CPU are of models that had begun to learn, and no "
        "more (held-out loss 0.07 to 0.09 on average, 0.127 without any velocity; nothing in their "
        "sound is voiced yet): they say little of the paper. Beside them the iSTFTNet had a third "
        "of their time, as the machine was not idle, and was nearer to speech all the same.",
        "Columns are clips of a batch, channels last in memory, and all periods of a short clip "
        "are one row: the same numbers, 1.2 to 1.7 times as fast as the published layout on a CPU.",
        "Clips of any length: what is shorter than the mirrored padding is mirrored again, where "
        "the official code fails. Longer ones have their velocity made in parts.",
        "Training takes crops as they are; official code scales every file to a peak of 0.95.",
        "Turbo's constant-Q discriminator transforms every octave at the full rate, by its "
        "spectrum; the official one halves the rate from octave to octave.",
        "The multi-band form is ours (see the docstring); its vector fields are smaller than the "
        "37 M each of the paper.",
        "Presets `periodwave-mini` and `-test` are ours.",
    ),
    faults=(
        "The padding before conditions are folded is computed from an axis of length 1: it is "
        "p - 1 whatever the length. Weights were trained with it, so it is kept.",
        "Training fails for a batch of one clip, and for lengths without a second axis.",
        "Tensors are created on a GPU in the constructor; 24 kHz and a hop of 256 are written into "
        "the inference scripts.",
        "The response norm looks at padding too; kept, as published weights expect it.",
    ),
    verbs=("vocode", "train"),
    golden=("PeriodWave flow-matching estimator",),
    checks=(
        "tests/parity/test_flow_matching_torchdiffeq.py",
        "tests/parity/test_convnext_transformers.py",
        "tests/parity/test_wavelet_pywt.py",
    ),
)
