"""Never Train from Scratch's golden cases: whole backbones with their loss; the S4D layer alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from sonograph.nn.hiding import Hiding
from sonograph.nn.s4d import diagonal_space
from sonograph.systems.represent import self_pretraining
from sonograph.systems.represent.self_pretraining import LEVELS, Config
from sonograph.weights import part_of
from tests.golden.patches import count, named_signal, strided


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about = case.about
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    if "layer" in about["settings"]:
        answers = whole(case, golden, published)
    else:
        answers = layer_alone(case, golden, published)
    strides = about["output_stride"]
    return {
        # the rule of a kernel has no axis of clips
        name: strided(value[None], strides.get(name))[0]
        if name == "kernel"
        else strided(value, strides.get(name))
        for name, value in answers.items()
    }


def inputs_of(case: Any, golden: Any, name: str) -> torch.Tensor:
    """The inputs by the case's rule, whose words hold the name and the shape of the signal."""
    if name in case.inputs:
        return torch.as_tensor(case.inputs[name])
    rule = case.about["input_rule"]
    made = named_signal(rule, golden)
    return made.clip(-1, 1) if "clip" in rule else made


def layer_alone(case: Any, golden: Any, published: dict[str, torch.Tensor]) -> dict[str, Any]:
    settings = case.about["settings"]
    u = inputs_of(case, golden, "u")
    layer = diagonal_space(settings["d_model"], settings["d_state"]).eval()
    official = {f"model.layers.0.layer.{name}": value for name, value in published.items()}
    ours = self_pretraining.from_published(official)
    layer.load_state_dict(part_of(ours, "encoder.layers.0.space."))
    assert count(layer) == case.about["parameters"]
    if not settings["transposed"]:
        return {"kernel": layer.kernel(u.shape[1])[0], "y": layer(u)}
    y = layer(u.transpose(1, 2)).transpose(1, 2)
    return {"kernel": layer.kernel(u.shape[2])[0], "y": y}


def config_of(settings: dict[str, Any], published: dict[str, torch.Tensor]) -> Config:
    """From the case's settings alone; that shapes say the same is asserted where they can."""
    first = settings["layer"][0]
    config = Config(
        width=settings["d_model"],
        depth=settings["n_layers"],
        norm=settings["norm"],
        order="pre" if settings["prenorm"] else "post",
    )
    if settings.get("output", 1) == LEVELS:
        config = dataclasses.replace(config, objective="level")
    if first["_name_"] == "s4d":  # the standalone layer, as its defaults are
        config = dataclasses.replace(
            config,
            mixer="space",
            states=first.get("d_state", 64),
            sees="past",
            discretise="zoh",
            source="ones",
        )
    if first["_name_"] == "s4":
        config = dataclasses.replace(
            config,
            mixer="space",
            states=first.get("d_state", 64),
            groups=(first.get("n_ssm") or 0) % settings["d_model"],
            sees="both" if first.get("bidirectional") else "past",
            discretise=first.get("disc", "bilinear"),
            form="nplr" if first.get("mode", "nplr") == "nplr" else "diagonal",
        )
    if config.mixer == "space":
        told = self_pretraining.config_from_published(published)
        known: dict[str, Any] = {
            "discretise": config.discretise,
            "frames": config.frames,
            "objective": config.objective,
        }
        assert dataclasses.replace(told, **known) == config
        return config
    assert settings["layer"][1].get("activation", "gelu") == "gelu"  # which is in no file
    reach = {first.get("look_backward", 1), first.get("look_forward", 1)}
    assert first.get("causal", True) or reach == {1}
    return dataclasses.replace(
        config,
        num_heads=first["n_heads"],
        expand=settings["layer"][1]["expand"],
        window=first.get("window_size", 0),
        positions="rotary" if first.get("rotary") else "none",
        sees="past" if first.get("causal", True) else "both",
    )


def whole(case: Any, golden: Any, published: dict[str, torch.Tensor]) -> dict[str, Any]:
    values = inputs_of(case, golden, "values")
    config = config_of(case.about["settings"], published)
    config = dataclasses.replace(config, frames=max(config.frames, values.shape[1]))
    if case.about["settings"].get("input_channels", 2) == 1:
        return fine_tuned(case, values, config, published)
    model = self_pretraining.Pretraining(self_pretraining.build(config)).eval()
    self_pretraining.fill(model, published)
    assert count(model) == case.about["parameters"]["with encoder and decoder"]
    hidden = torch.as_tensor(case.inputs["mask"])
    clips = Hiding(model.encoder, values[:, None], None)
    seen: dict[str, torch.Tensor] = {}
    hook = model.encoder.layers[0].register_forward_hook(
        lambda _, __, output: seen.update(layer0=output)
    )
    context = clips.encode(hidden, model.hidden)
    hook.remove()
    output = model.predict(clips, hidden)
    loss = model.loss(output[hidden], model.targets(clips)[hidden])["loss"]
    answers = {"layer0": seen["layer0"], "hidden": context, "output": output}
    names = ("masked_ce", "masked_cross_entropy") if model.classes else ("masked_l1",)
    return answers | dict.fromkeys(names, loss[None])


def fine_tuned(
    case: Any, values: torch.Tensor, config: Config, published: dict[str, torch.Tensor]
) -> dict[str, Any]:
    """A file whose inputs have no flag of what is hidden: every place is shown."""
    encoder = self_pretraining.build(config).eval()
    self_pretraining.fill(encoder, published)
    head = part_of(self_pretraining.from_published(published), "head.")
    total = count(encoder) + sum(weight.numel() for weight in head.values())
    assert total == case.about["parameters"]["with encoder and decoder"]
    seen: dict[str, torch.Tensor] = {}
    encoder.layers[0].register_forward_hook(lambda _, __, output: seen.update(layer0=output))
    context = encoder(values[:, None]).values
    pooled = context if case.outputs["output"].ndim == 3 else context.mean(1)
    output = torch.nn.functional.linear(pooled, head["weight"], head["bias"])
    answers = {"layer0": seen["layer0"], "hidden": context, "output": output}
    if "masked_ce" in case.outputs:
        hidden = torch.as_tensor(case.inputs["mask"])
        levels = ((values + 1) / 2 * (output.shape[-1] - 1)).round().long()
        loss = torch.nn.functional.cross_entropy(output[hidden], levels[hidden])
        answers["masked_ce"] = loss[None]
    return answers
