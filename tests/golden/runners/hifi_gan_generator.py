"""HiFi-GAN's generator: features, layers, waveform and the mel loss, from a waveform."""

from __future__ import annotations

import math
from typing import Any

import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.losses.spectral import MelDistance
from sonograph.systems.vocode import istftnet
from tests.golden.patches import count

PUBLISHED = (((1, 3, 5),) * 3, ((1, 2), (2, 6), (3, 12)))  # dilations of V1 and V2, of V3


def config_of(settings: dict[str, Any]) -> istftnet.Config:
    """Ours of what the case's configuration file said."""
    rate, hop = settings.get("sampling_rate", 22050), math.prod(settings["upsample_rates"])
    spec = istftnet.hifigan_spec(rate, settings["num_mels"], settings.get("fmax") or rate / 2)
    spec = spec.override(
        low_hz=float(settings.get("fmin", 0)),
        fft_samples=settings.get("n_fft", 1024),
        window_samples=settings.get("win_size", 1024),
        hop_samples=settings.get("hop_size", hop * settings.get("gen_istft_hop_size", 1)),
    )
    return istftnet.Config(
        features=spec,
        channels=settings["upsample_initial_channel"],
        rates=tuple(settings["upsample_rates"]),
        kernels=tuple(settings["upsample_kernel_sizes"]),
        block="paired" if settings["resblock"] == "1" else "single",
        block_kernels=tuple(settings["resblock_kernel_sizes"]),
        dilations=tuple(tuple(d) for d in settings["resblock_dilation_sizes"]),
        fft_samples=settings.get("gen_istft_n_fft", 0),
    )


def model_of(case: Any, golden: Any) -> istftnet.Generator:
    """The case's weights in the model of its settings; what the weights alone tell must agree."""
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    assert istftnet.is_published(published)
    config = config_of(case.about["settings"])
    told = istftnet.config_from_published(published)
    # not in the weights, and told as they were published: to be right where they are so
    untold = ["features"]
    untold += ["rates"] * any(k != 2 * rate for k, rate in zip(config.kernels, config.rates))
    untold += ["dilations"] * (config.dilations not in PUBLISHED)
    assert told.override({name: getattr(config, name) for name in untold}) == config
    model = istftnet.build(config).eval()
    model.load_state_dict(istftnet.from_published(published))
    assert count(model) == case.about["parameters"]
    return model


def thinned(case: Any, values: torch.Tensor, name: str) -> Any:
    """Every k-th value, where the case keeps so many."""
    rule = case.about["strides"].get(name)
    return values.reshape(-1)[:: rule[0]].numpy() if rule else values.numpy()


def watched(model: istftnet.Generator) -> dict[str, torch.Tensor]:
    """What the layers named by the case give, filled while the model runs."""
    seen: dict[str, torch.Tensor] = {}
    layers = {"conv_pre": model.conv_pre} | {f"ups_{i}": up for i, up in enumerate(model.ups)}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    return seen


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    model = model_of(case, golden)
    waveform = torch.as_tensor(case.inputs["waveform"])
    seen = watched(model)
    mel, distance = Frontend(model.spec), MelDistance.full_band(model.spec)
    features = mel(waveform).values
    made = model(features)
    wanted, ours = distance.frontend(waveform).values, distance.frontend(made).values
    answers = seen | {
        "mel_input": features,
        "mel_loss_real": wanted,
        "waveform": made,
        "mel_loss_generated": ours,
        "loss_mel_x45": 45 * distance(made, waveform),
    }
    return {name: thinned(case, value, name) for name, value in answers.items()}
