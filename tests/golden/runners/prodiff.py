"""ProDiff's golden cases: text side, denoiser, tables, a training pass, and what it samples."""

from __future__ import annotations

import re
from typing import Any

import torch

from sonograph.nn.acoustic import Text
from sonograph.systems.speak import prodiff

FIELDS = {  # settings of a case that its weights tell as well
    "hidden_size": "width",
    "enc_layers": "encoder_depth",
    "enc_ffn_kernel_size": "encoder_kernel",
    "dur_predictor_layers": "duration_layers",
    "dur_predictor_kernel": "duration_kernel",
    "predictor_layers": "predictor_layers",
    "predictor_kernel": "predictor_kernel",
    "residual_layers": "blocks",
    "residual_channels": "channels",
    "phones in dictionary": "tokens",
}


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, settings = case.about, case.about["settings"]
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    assert prodiff.is_published(state)
    config = prodiff.config_from_published(state, (settings["f0_mean"], settings["f0_std"]))
    for theirs, ours in FIELDS.items():
        assert getattr(config, ours) == settings[theirs], theirs
    config = config.override(
        num_heads=settings["num_heads"],
        dilation_cycle=settings["dilation_cycle_length"],
        stride=stride_of(about, state, config.teacher_steps),
    )
    model = prodiff.build(config).eval()
    model.load_state_dict(prodiff.from_published(state))
    unused = [v.numel() for n, v in state.items() if n.startswith("fs2.mel_out.")]
    assert sum(p.numel() for p in model.parameters()) + sum(unused) == about["parameters"]
    again = prodiff.to_published(model)
    assert again.keys() - state.keys() <= {"timesteps", "timescale"}  # which training registers
    assert state.keys() <= again.keys()
    for name, value in again.items():
        if name not in state:
            continue
        # one tensor under two names: a case fills both, and the later one counts
        if not name.startswith(("fs2.mel_out.", "fs2.encoder_embed_tokens.")):
            torch.testing.assert_close(value, state[name], rtol=2e-6, atol=1e-7)

    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    ids, spread, mel = given["tokens"], given["mel2ph"], given["mel"].transpose(1, 2)
    text = Text(ids, (ids > 0).sum(1), torch.zeros_like(ids))
    durations = torch.zeros(len(ids), ids.shape[1] + 1, dtype=torch.int64)
    durations = durations.scatter_add(1, spread, torch.ones_like(spread))[:, 1:]
    pitch = torch.stack([given["f0"], given["uv"]], dim=2)
    read = model.read(text, durations, pitch, given["energy"])
    noises = [noise(k, about, golden, mel.shape) for k in range(config.teacher_steps + 1)]
    level = torch.tensor(settings["t"])
    mask = read.mask
    mean, variance = model.schedule.posterior(noises[0], level, mel)
    answers = {
        "encoder": read.encoded,
        "decoder_input": read.decoder_input,
        "dur": read.predicted,
        "pitch_pred": read.pitch,
        "energy_pred": read.energy,
        "f0_denorm": read.f0_hz,
        "denoised": model.predict(noises[0], level, read.condition, mask)[:, None],
        "q_sample": model.schedule.noised(mel, level, noises[1])[:, None],
        "posterior_mean": mean[:, None],
        "posterior_variance": variance.flatten(),
        "posterior_log_variance_clipped": variance.flatten().clamp(min=1e-20).log(),
    }
    answers |= {f"table_{name}": value for name, value in prodiff.buffers_of(model).items()}
    drawn = iter(noises)
    answers["sample_mel"] = model.sample(read, lambda: next(drawn)).transpose(1, 2)
    level = torch.tensor(settings["t drawn in the training forward"])
    if config.stride == 1:
        x = model.schedule.noised(mel, level, noises[1]) * mask
        said = model.predict(x, level, read.condition, mask) * mask
        answers["train_mel"] = said.transpose(1, 2)
    else:
        answers |= _distilled(model, read, mel, level, noises, state, golden)
    return {name: _every(value, about["strides"].get(name)) for name, value in answers.items()}


def stride_of(about: dict, state: dict[str, Any], teacher_steps: int) -> int:
    """Levels to a step, as the weights, the settings or the variant's name tell."""
    if "timescale" in state:
        return int(state["timescale"])
    settings = about["settings"]
    for name in ("time_scale", "timescale"):
        if name in settings:
            return int(settings[name])
    variant = about.get("variant", "")
    steps = min(int(n) for n in [settings["timesteps"], *re.findall(r"\d+", variant)])
    if "student" in variant and steps == teacher_steps:
        return 2  # its own steps are told nowhere: it halves its teacher's
    return teacher_steps // steps


def _distilled(
    model: Any, read: Any, mel: Any, level: Any, noises: Any, state: Any, golden: Any
) -> dict[str, torch.Tensor]:
    """A pass of the student's training, beside a teacher whose denoiser is filled by a rule."""
    drawn = dict(state)
    for name, value in state.items():
        if name.startswith("denoise_fn."):
            filled = golden.fill(
                "teacher." + name.removeprefix("denoise_fn."), tuple(value.shape), "float32"
            )
            drawn[name] = torch.as_tensor(filled)
    teacher = prodiff.build(model.config.override(stride=model.config.stride // 2)).eval()
    teacher.load_state_dict(prodiff.from_published(drawn))
    objective = prodiff.Distillation(model, prodiff.Pretraining(teacher))
    mask, schedule, code = read.mask, model.schedule, model.code(level)
    x = schedule.noised(mel, level, noises[1]) * mask
    said = model.predict(x, code, read.condition, mask) * mask
    before = torch.where(
        (code < 1)[:, None, None], mel, schedule.noised(mel, (code - 1).clamp(min=0), noises[1])
    )
    mean, variance = schedule.posterior(x, code, said)
    loss = objective.distilled(read, mel, level, noises[1])
    return {
        "train_mel": loss,
        "train_loss": loss,
        "loss": loss,
        "mel_out": loss,
        "x_t": x.transpose(1, 2),
        "x_target": (objective.target(x, level, read) * mask)[:, None],
        "target": (objective.target(x, level, read) * mask)[:, None],
        "x_pred": said[:, None],
        "x_t_prev": (before * mask).transpose(1, 2),
        "x_t_prev_pred": ((mean + variance.sqrt() * noises[2]) * mask).transpose(1, 2),
        "t": level,
    }


def noise(number: int, about: dict, golden: Any, shape: Any) -> torch.Tensor:
    """The case's noise of that number, by the name in its rule."""
    found = re.search(r"signal\('([^']+)<i>'", about["input_rule"]["noise"])
    assert found is not None
    b, rows, t = shape
    return torch.from_numpy(golden.signal(f"{found[1]}{number}", (b, 1, rows, t), 1.0))[:, 0]


def _every(value: torch.Tensor, stride: list | None) -> Any:
    """Every k-th entry, as the case keeps it."""
    if stride is None:
        return value.numpy()
    return value.reshape(-1)[:: stride[0]].numpy()
