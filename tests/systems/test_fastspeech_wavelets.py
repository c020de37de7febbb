"""FastSpeech 2 whose pitch is wavelets: targets, losses, what is spoken, and what is asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.acoustic import Controls, SpeechBatch, Text
from sonograph.nn.length_regulator import lengthen
from sonograph.nn.pitch_bins import PitchBins
from sonograph.nn.pitch_wavelets import wavelets
from sonograph.systems.speak import fastspeech
from sonograph.systems.speak.fastspeech import objective
from sonograph.systems.speak.fastspeech.variance import WaveletPitch

DURATIONS = torch.tensor([[3, 5, 4, 6, 2], [4, 7, 3, 0, 0]])


@pytest.fixture
def model() -> fastspeech.FastSpeech:
    torch.manual_seed(0)
    made = registry.build("fastspeech2-wavelet-test", **{"losses.pitch": 2.0}).eval()
    with torch.no_grad():  # voices of some 150 Hz, tokens of some five frames
        made.pitch.span[4].bias.copy_(torch.tensor([math.log(150.0), 0.3]))
        made.duration.project.bias.fill_(math.log(6))
    return made


@pytest.fixture
def text() -> Text:
    ids = torch.randint(1, 77, (2, 5), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([5, 3])
    ids[1, 3:] = 0
    return Text(ids, lengths, torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 1, 1]]))


@pytest.fixture
def batch(text, model) -> SpeechBatch:
    draw = torch.Generator().manual_seed(2)
    lengths = DURATIONS.sum(1)
    inside = torch.arange(20) < lengths[:, None]
    f0 = (150 + 50 * torch.rand(2, 20, generator=draw)) * inside
    f0 = f0 * (torch.rand(2, 20, generator=draw) > 0.3)
    features = torch.randn(2, 80, 20, generator=draw) * inside[:, None]
    return SpeechBatch(text, features, lengths, DURATIONS, f0, f0 / 100)


def test_targets_are_the_wavelets_of_the_logarithm_over_its_gaps(model, batch):
    found = objective.targets(model, batch, DURATIONS)
    for row, t in enumerate(batch.lengths.tolist()):
        f0 = batch.pitch_hz[row, :t].double().numpy()
        places = np.flatnonzero(f0)
        logs = np.interp(np.arange(t), places, np.log(f0[places]))
        span = found["span"][row].tolist()
        assert span == pytest.approx([logs.mean(), logs.std()], rel=1e-4)
        rows = wavelets(torch.from_numpy((logs - logs.mean()) / logs.std()))
        torch.testing.assert_close(found["wavelets"][row, :t].double(), rows, atol=1e-4, rtol=1e-4)
        assert found["wavelets"][row, t:].abs().sum() == 0
        assert found["pitch"][row, :t, 1].tolist() == (f0 == 0).tolist()


def test_losses_are_means_over_voices_frames_and_scales(model, batch):
    given = objective.targets(model, batch, DURATIONS)
    said = model(batch.text, DURATIONS, given["pitch"], given["energy"])
    parts, weights = objective.losses(model, said, batch, given)
    off = [(said.wavelets - given["wavelets"])[k, :t].abs() for k, t in enumerate((20, 14))]
    torch.testing.assert_close(parts["wavelets"], torch.cat(off).mean())
    torch.testing.assert_close(
        parts["pitch_mean"], (said.span[:, 0] - given["span"][:, 0]).abs().mean()
    )
    torch.testing.assert_close(
        parts["pitch_deviation"], (said.span[:, 1] - given["span"][:, 1]).abs().mean()
    )
    assert "pitch" not in parts
    assert {weights[name] for name in ("wavelets", "pitch_mean", "pitch_deviation")} == {2.0}
    assert weights["voicing"] == 1.0


def test_a_clip_without_voice_teaches_no_pitch(model, batch):
    alone = batch._replace(pitch_hz=batch.pitch_hz * torch.tensor([[1.0], [0.0]]))
    given = objective.targets(model, alone, DURATIONS)
    said = model(batch.text, DURATIONS, given["pitch"], given["energy"])
    parts, _ = objective.losses(model, said, alone, given)
    torch.testing.assert_close(
        parts["wavelets"], (said.wavelets - given["wavelets"])[0].abs().mean()
    )
    torch.testing.assert_close(parts["pitch_mean"], (said.span - given["span"])[0, 0].abs())
    silent = batch._replace(pitch_hz=torch.zeros_like(batch.pitch_hz))
    assert torch.isfinite(objective.Pretraining(model)(silent)["loss"])


@torch.no_grad()
def test_what_is_spoken_follows_the_formula(model, text):
    said = model(text)
    weights = (np.arange(1, 11) + 2.5) ** -2.5
    for row, t in enumerate(said.lengths.tolist()):
        x = said.wavelets[row, :t].double().numpy() @ weights
        mean, deviation = said.span[row].tolist()
        logs = (x - x.mean()) / x.std() * 0.8 * deviation + mean
        np.testing.assert_allclose(said.pitch[row, :t] * math.log(2), logs, atol=1e-4)
    hz = torch.where(said.voicing > 0, 0.0, 2**said.pitch)
    encoded = model.encode(text)
    frames = lengthen(encoded, said.durations)
    energy, _ = model.energy(encoded, text.mask, None, None)
    table = model.energy.embed(torch.bucketize(energy["energy"], model.energy.bins))
    wanted = frames + lengthen(table, said.durations) + model.pitch.embed(PitchBins().of(hz))
    t = int(said.lengths[1])
    torch.testing.assert_close(said.decoder_input[1, :t], wanted[1, :t], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_pitch_is_multiplied_in_hz_for_a_word_alone(model, text):
    seen: list[torch.Tensor] = []
    model.pitch.embed.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.pitch.predictor.project.bias[-1] = -9.0  # all voiced
    said = model(text)
    factor = torch.ones(2, 5)
    factor[0, 1] = 1.5
    higher = model(text, controls=Controls(pitch=factor))
    assert torch.equal(said.durations, higher.durations)
    first, last = said.durations[0, :2].cumsum(0).tolist()
    plain, raised = seen
    assert torch.equal(plain[0, :first], raised[0, :first])
    assert torch.equal(plain[0, last:], raised[0, last:])
    assert torch.equal(plain[1], raised[1])
    hz = 1.5 * 2 ** said.pitch[0, first:last]
    assert torch.equal(raised[0, first:last], PitchBins().of(hz))
    assert (raised[0, first:last] > plain[0, first:last]).all()


@torch.no_grad()
def test_as_published_padding_is_looked_at(text):
    found = {}
    for compat in ("none", "published"):
        torch.manual_seed(0)
        pitch = WaveletPitch(16, 8, 0.1, 0.8, compat).eval()
        x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(3))
        mask = torch.arange(9) < torch.tensor([9, 5])[:, None]
        x = x * mask[..., None]
        both, _ = pitch(x, mask, None, None)
        alone, _ = pitch(x[1:, :5], None, None, None)
        found[compat] = [float((both[n][1] - alone[n][0]).abs().max()) for n in ("span",)] + [
            float((both[n][1, :5] - alone[n][0]).abs().max()) for n in ("pitch", "wavelets")
        ]
    assert max(found["none"]) < 1e-5
    assert min(found["published"]) > 1e-3


def test_wavelets_are_not_of_tokens():
    with pytest.raises(InputError, match="wavelets are of the frames"):
        registry.build("fastspeech2-wavelet-test", **{"pitch.level": "tokens"})


def test_it_learns_pitch_of_a_batch(model, batch):
    learner = objective.Pretraining(model).train()
    learner.updates.fill_(200)
    optimizer = torch.optim.Adam(learner.parameters(), 3e-3)
    seen = []
    for _ in range(40):
        optimizer.zero_grad()
        found = learner(batch)
        found["loss"].backward()
        optimizer.step()
        seen.append({name: float(found[name].detach()) for name in ("pitch_mean", "voicing")})
    assert seen[-1]["pitch_mean"] < 0.1
    assert seen[-1]["voicing"] < seen[0]["voicing"]
