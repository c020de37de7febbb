"""USS's golden cases: the conditioned U-Net, an adaptive query net, the losses."""

from __future__ import annotations

import re
from typing import Any

import torch

from sonograph.audio.stft import Stft
from sonograph.systems.separate import universal
from sonograph.systems.separate.universal.model import magnitude
from sonograph.weights import load_state, rename
from tests.golden.patches import count


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    inputs = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    if "film.encoder_block1->conv_block1->beta1.weight" in published:
        answers = separated(case.about, published, inputs)
    elif "fc1.weight" in published:
        answers = adapted(published, inputs)
    else:
        answers = losses(case.about["settings"], inputs)
    return {name: told.numpy() for name, told in answers.items()}


def separated(
    about: dict[str, Any], published: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Every stage of the network, with the steps that the case tells in its words."""
    config, settings = universal.config_from_published(published), about["settings"]
    assert config.audio_channels == settings["input_channels"] == settings["output_channels"]
    assert config.condition == settings["condition_size"]
    model = universal.Universal(config).eval()
    load_state(model, universal.from_published(published), "the case")
    if "parameters_with_grad" in about:
        assert count(model) == about["parameters_with_grad"]
    net, found = model.net, {}

    def keep(name: str) -> Any:
        return lambda _, __, output: found.update({name: output})

    for n, encoder in enumerate(net.unet.encoders):
        encoder.register_forward_hook(keep(f"encoder_block{n + 1}"))
    for n, decoder in enumerate(net.unet.decoders):
        decoder.register_forward_hook(keep(f"decoder_block{n + 1}"))
    net.unet.middle.register_forward_hook(keep("center"))
    net.unet.after.register_forward_hook(keep("after_conv"))
    net.film.register_forward_hook(keep("film"))
    spectrum, looks = net.look(inputs["mixture"])
    masks = net.masks(looks, inputs["condition"])
    found["waveform"] = net.sound(masks, spectrum, inputs["mixture"].shape[2])
    found["magnitude"] = magnitude(spectrum)
    for n, pool in enumerate(net.unet.pools):
        name = f"encoder_block{n + 1}"
        found[name] = torch.nn.functional.avg_pool2d(found[name], pool)
    names = universal.published.SHIFTS
    for name, shift in zip(names, found.pop("film")):
        block, beta = name.removeprefix("film.").replace("->conv_block1", "").rsplit("->", 1)
        found[f"film_{block}_{beta}"] = shift[:, :, 0, 0]
    return {name: told_part(found[name], words) for name, words in about["outputs"].items()}


def told_part(values: torch.Tensor, words: str) -> torch.Tensor:
    """The part that a case keeps: "[..., ::9, ::31]", "[:, ::9]" or "every 4th sample"."""
    if every := re.search(r"every (\d+)(th|nd|rd) sample", words):
        return values[..., :: int(every[1])]
    rule = re.findall(r"\[([^\]]*::[^\]]*)\]", words)
    if not rule:
        return values
    axes = [part.strip() for part in rule[-1].split(",")]
    steps = tuple(... if a == "..." else slice(None, None, int(a[2:] or 1)) if a.startswith("::")
                  else slice(None) for a in axes)  # fmt: skip
    return values[steps]


def adapted(
    published: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The two layers on what a tagger told."""
    width, told = len(published["fc2.bias"]), published["fc1.weight"].shape[1]
    adaptor = universal.Adaptor(told, width, len(published["fc1.bias"])).eval()
    load_state(adaptor, rename(published, universal.published.ADAPTOR), "the case")
    return {"output": adaptor(next(iter(inputs.values())))}


def losses(settings: dict[str, Any], inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Both losses on given waveforms."""
    stft = Stft(settings["n_fft"], settings["hop"], settings["n_fft"])
    made, wanted = inputs["output"], inputs["target"]
    wave = universal.waveform_l1(made, wanted)
    both = wave + universal.magnitude_l1(made, wanted, stft)
    return {"l1_wav": wave[None], "l1_wav_l1_sp": both[None]}
