"""FastSpeech 2's golden cases (ming024): with everything given, its losses, and a free run."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.nn.acoustic import Controls, SpeechBatch, Text
from sonograph.systems.speak import fastspeech
from sonograph.systems.speak.fastspeech.objective import losses

LEVELS = {"phoneme_level": "tokens", "frame_level": "frames"}
LOSSES = ("mel", "refined", "pitch", "energy", "token_duration")  # in the official order


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    config = fastspeech.config_from_published(published)
    config = config.override(
        {
            "pitch.level": LEVELS[settings["pitch"]["feature"]],
            "energy.level": LEVELS[settings["energy"]["feature"]],
            "encoder.num_heads": settings["model"]["transformer"]["encoder_head"],
            "decoder.num_heads": settings["model"]["transformer"]["decoder_head"],
        }
    )
    model = fastspeech.FastSpeech(config).eval()
    model.load_state_dict(fastspeech.from_published(published))

    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    ids, lengths = given["tokens"], given["lengths"]
    text = Text(ids, lengths, torch.zeros_like(ids))
    speaker = given["speakers"] if config.speakers else None
    pitch, energy, durations = given["pitch"], given["energy"], given["durations"]
    hidden: list[torch.Tensor] = []  # of the encoder, before the speaker is added
    hook = model.encoder.register_forward_hook(lambda _, __, output: hidden.append(output))
    said = model(text, durations, pitch, energy, speaker=speaker)
    hook.remove()
    # losses are taken over valid frames; ours are given masked ones
    batch = SpeechBatch(text, given["mel"].transpose(1, 2), said.lengths, durations)
    parts, _ = losses(model, said, batch, {"pitch": pitch, "energy": energy})
    each = [parts[name] for name in LOSSES]
    answers = {
        "encoder": hidden[0],
        "adaptor": said.decoder_input,
        "decoder": said.decoded,
        "mel": said.mel,
        "mel_postnet": said.refined,
        "pitch": said.pitch,
        "energy": said.energy,
        "log_duration": said.predicted,
        "losses": torch.stack([sum(each, torch.zeros(())), *each]),
    }
    factors = settings["controls of the free run"]
    ones = torch.ones(ids.shape, dtype=torch.float64)
    controls = Controls(ones / factors["d"], ones * factors["p"], ones * factors["e"])
    free = model(text, controls=controls, speaker=speaker)
    answers |= {
        "free_mel_postnet": free.refined,
        "free_durations": free.durations,
        "free_mel_lens": free.lengths,
        "free_pitch": free.pitch,
        "free_energy": free.energy,
    }
    steps = {name: rule[0] for name, rule in case.about["strides"].items()}
    return {
        name: (value.reshape(-1)[:: steps[name]] if name in steps else value).numpy()
        for name, value in answers.items()
    }
