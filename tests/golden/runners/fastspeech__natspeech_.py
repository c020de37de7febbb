"""FastSpeech's golden cases (NATSpeech): given durations, official losses, and a free run."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from sonograph.losses.durations import mean_over, word_duration_loss
from sonograph.losses.ssim import ssim_loss
from sonograph.nn.acoustic import Text
from sonograph.nn.monotonic import token_of_frame
from sonograph.systems.speak import fastspeech
from sonograph.systems.speak.fastspeech.variance import voiced_hz

SILENCE = 5  # the one silent token of the cases


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    config = fastspeech.config_from_published(published)
    config = config.override(
        {
            "encoder.num_heads": settings["num_heads"],
            "decoder.num_heads": settings["num_heads"],
            "decoder.dilations": settings["dec_dilations"],
            "encoder.dilations": settings.get("enc_dilations", []),
            "predictor_gradient": settings["predictor_grad"],
        }
    )
    frames = settings["pitch_type"] != "ph"
    if config.pitch.level != "none" and not frames:
        config = config.override({"pitch.level": "tokens"})
    model = fastspeech.FastSpeech(config).eval()
    model.load_state_dict(fastspeech.from_published(published))
    assert sum(p.numel() for p in model.parameters()) == case.about["parameters"]

    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    ids, places, mel = given["tokens"], given["mel2ph"], given["mel"]
    text = Text(ids, (ids > 0).sum(1), torch.zeros_like(ids))
    durations = torch.zeros(len(ids), ids.shape[1] + 1, dtype=torch.int64)
    durations = durations.scatter_add(1, places, torch.ones_like(places))[:, 1:]
    pitch = None
    if "f0" in given:
        pitch = torch.stack([given["f0"], given.get("uv", torch.zeros_like(given["f0"]))], dim=2)
    said = model(text, durations, pitch)
    mel_weight = (mel.abs().sum(2) > 0).float()
    l1 = mean_over((said.mel - mel).abs().mean(2), mel_weight)
    silent = (ids == SILENCE).long()
    words = silent.cumsum(1) * (1 - silent)
    linear, wanted = said.predicted, durations.float()
    logs = (linear + 1).log() - (wanted + 1).log()
    sentence = (linear.sum(1) + 1).log() - (wanted.sum(1) + 1).log()
    plan = config.losses
    answers = {
        "encoder": said.encoded,
        "durations": linear,
        "decoder_input": said.decoder_input,
        "mel": said.mel,
        "loss_l1": l1[None],
        "loss_ssim": ssim_loss(said.mel, mel, mel_weight)[None],
        "loss_pdur": plan.token_duration * mean_over(logs.square(), text.mask)[None],
        "loss_wdur": plan.word_duration * word_duration_loss(linear, wanted, words, 1)[None],
        "loss_sdur": plan.sentence_duration * sentence.square().mean()[None],
    }
    free = model(text)
    answers["free_mel"] = free.mel
    spoken = token_of_frame(free.durations, free.mel.shape[1]) + 1
    answers["free_mel2ph"] = spoken
    if said.wavelets is not None:
        assert said.voicing is not None
        answers["cwt"] = torch.cat([said.wavelets, said.voicing[..., None]], dim=2)
        answers["f0_mean"], answers["f0_std"] = said.span.unbind(1)
        answers["f0_denorm"] = voiced_hz(*pitch.unbind(2), places > 0)
        answers["free_f0_denorm"] = voiced_hz(free.pitch, free.voicing, spoken > 0)
    elif said.pitch is not None:
        assert said.voicing is not None
        assert pitch is not None
        answers["pitch_pred"] = torch.stack([said.pitch, said.voicing], dim=2)
        f0, unvoiced = pitch.unbind(2)
        valid = places > 0 if frames else text.mask
        wrong = binary_cross_entropy_with_logits(said.voicing, unvoiced, reduction="none")
        answers["loss_uv"] = mean_over(wrong, valid)[None]
        voiced = valid & (unvoiced == 0) if frames else valid
        answers["loss_f0"] = mean_over((said.pitch - f0).abs(), voiced)[None]
        found = model.pitch.hz(pitch, valid)
        asked = torch.stack([free.pitch, free.voicing], dim=2)
        asked = model.pitch.hz(asked, spoken > 0 if frames else text.mask)
        if not frames:  # told of frames
            found, asked = (
                pad(hz, (1, 0)).gather(1, of) for hz, of in ((found, places), (asked, spoken))
            )
        answers |= {"f0_denorm": found, "free_f0_denorm": asked, "free_pitch_pred": free.pitch}
    steps = {name: rule[0] for name, rule in case.about["strides"].items()}
    return {
        name: (value.reshape(-1)[:: steps[name]] if name in steps else value).numpy()
        for name, value in answers.items()
    }
