"""PeriodWave's golden cases: prior, conditions, velocity, samples, loss, FreeU."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import torch

from sonograph.nn.weight_norm import fold
from sonograph.systems.vocode import periodwave
from sonograph.systems.vocode.periodwave.estimator import time_sinusoid
from tests.golden.patches import count

OTHERS = ("x", "noise", "wave", "loss noise")  # inputs that are no features


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, settings = case.about, case.about["settings"]
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    assert periodwave.is_published(published)
    config = with_settings(periodwave.config_from_published(published), settings)
    assert config.width == settings["hidden_dim"]
    assert config.periods == tuple(settings["periods"])
    model: Any = periodwave.PeriodWave(config).eval()
    model.load_state_dict(periodwave.from_published(published))
    assert count(model) == about["parameters"]
    signals = {
        name: torch.from_numpy(made(rule, golden)) for name, rule in about["input_rule"].items()
    }
    given = {name: torch.from_numpy(value) for name, value in case.inputs.items()}
    name = next(n for n in (*given, *signals) if n not in OTHERS and ":" not in n)
    mel = (signals | given)[name]  # or the latent of a codec

    loss = periodwave.loss(
        model,
        mel,
        signals["wave"],
        torch.tensor(settings["lengths"]),
        signals["loss noise"],
        torch.tensor(settings["loss_t"]),
    )["loss"]
    fold(model)  # the samples are asked of plain weights, as in use
    field, times = model.fields[0], torch.tensor(settings["t"])
    conditioned, _ = model.conditioned(mel)
    conditions = field.condition(conditioned)
    answers: dict[str, Any] = {"loss": loss}
    if config.energy is not None:
        answers["std_frames"] = periodwave.energy_deviation(mel, config.energy)
    for period, condition in zip(config.periods, conditions):
        answers[f"cond_period_{period}"] = condition.transpose(2, 3)
    answers["time_embedding"] = time_sinusoid(times, field.embed_width)
    answers["velocity"] = field(signals["x"], conditions, times)
    answers["velocity_from_cond"] = model.velocity(0, conditioned, signals["x"][:, :0])(
        signals["x"][:, 0], times
    )
    answers["velocity_freeu"] = field(signals["x"], conditions, times, freeu_of(about))
    for solver in ("euler", "midpoint"):
        way = periodwave.Sampling((settings["steps"],), solver, settings["temperature"])
        noise = signals["noise"]
        answers[f"sample_{solver}"] = model.sample(mel[: len(noise)], way, noise)
        swayed = dataclasses.replace(way, sway=-1.0)
        answers[f"sample_{solver}_sway"] = model.sample(mel[: len(noise)], swayed, noise)
    return {name: subsampled(name, value, about) for name, value in answers.items()}


def with_settings(config: periodwave.Config, settings: Any) -> periodwave.Config:
    """The noise of the case, where it names it: it belongs to the data, not to the weights."""
    energy = config.energy
    if energy is not None and "energy_max" in settings:
        energy = periodwave.Energy(
            settings["energy_min"], settings["energy_max"], settings["std_min"]
        )
    scale = settings.get("noise_scale", config.noise_scale)
    return dataclasses.replace(config, noise_scale=scale, energy=energy)


def freeu_of(about: Any) -> tuple[float, float]:
    """Factors of backbone and skips, from "b_w=1.1, s_w=0.9" in what the case compares."""
    told = dict(re.findall(r"([bs]_w)\s*=\s*([\d.]*\d)", about.get("compared", "")))
    return float(told.get("b_w", 1.1)), float(told.get("s_w", 0.9))


def made(rule: str, golden: Any) -> np.ndarray:
    """What a rule like "signal('name', (2, 1, 6), 0.3) - 1.5" names."""
    found = re.fullmatch(r"signal\('([^']+)', \(([^)]+)\), ([\d.]+)\)(?: - ([\d.]+))?", rule)
    assert found is not None
    shape = tuple(int(n) for n in found[2].split(",") if n.strip())
    return golden.signal(found[1], shape, float(found[3])) - np.float32(found[4] or 0)


def subsampled(name: str, value: torch.Tensor, about: Any) -> np.ndarray:
    """As `strides` says: every k-th number of the flattened tensor."""
    step, _ = about["strides"].get(name, (1, None))
    return value.reshape(-1)[::step].numpy() if step > 1 else value.numpy()


def pass_mark(about: Any, output: str, want: np.ndarray) -> float:
    """Ten times the reference's own float32 noise, at least 5e-6."""
    noise = about["tolerance_float32_vs_float64"].get(output, {}).get("relative", 0.0)
    return max(5e-6, 10 * noise)
