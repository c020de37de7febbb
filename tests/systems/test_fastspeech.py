from __future__ import annotations

import math

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.losses.durations import word_duration_loss
from sonograph.nn.acoustic import Controls, SpeechBatch, Text
from sonograph.nn.length_regulator import lengthen
from sonograph.systems.speak import fastspeech
from sonograph.systems.speak.fastspeech import objective, published
from sonograph.systems.speak.fastspeech.variance import Binned

SMALL = {
    "width": 16,
    "encoder.depth": 1,
    "decoder.depth": 1,
    "encoder.hidden": 24,
    "decoder.hidden": 24,
    "predictor_width": 12,
    "tokens": 20,
}
KINDS = (
    "fastspeech",
    "fastspeech-xcmyz",
    "fastspeech2-ming024",
    "fastspeech2-mini",
    "fastspeech2-wavelet-mini",
    "fastspeech-natspeech",
    "fastspeech2-natspeech",
)


def small(name: str, **changes: object) -> fastspeech.FastSpeech:
    """A published form, tiny, whose untrained tokens last some five frames."""
    torch.manual_seed(0)
    config = registry.preset(name).make().override(SMALL | changes)  # type: ignore[arg-type]
    model = fastspeech.FastSpeech(config).eval()
    with torch.no_grad():
        model.duration.project.bias.fill_(math.log(6) if config.durations == "log" else 5.0)
        model.duration.project.weight.mul_(0.3)
    return model


def text_of(lengths: list[int], tokens: int = 20) -> Text:
    torch.manual_seed(1)
    n = max(lengths)
    inside = torch.arange(n) < torch.tensor(lengths)[:, None]
    ids = torch.randint(1, tokens, (len(lengths), n)) * inside
    return Text(ids, torch.tensor(lengths), (torch.arange(n) // 3).expand(len(lengths), n))


def batch_of(text: Text, durations: torch.Tensor | None = None) -> SpeechBatch:
    frames = durations.sum(1) if durations is not None else 4 * text.lengths
    t = int(frames.max())
    torch.manual_seed(2)
    inside = torch.arange(t) < frames[:, None]
    features = torch.randn(len(frames), 80, t) * inside[:, None]
    f0 = 150 + 50 * torch.rand(len(frames), t) * inside
    f0 = f0 * (torch.rand(len(frames), t) > 0.3) * inside
    return SpeechBatch(text, features, frames, durations, f0, torch.rand(len(frames), t) * inside)


@pytest.mark.parametrize("name", KINDS)
def test_a_text_alone_says_what_it_says_among_others(name):
    model, text = small(name), text_of([9, 5, 1])
    together = model.speak(text)
    assert torch.equal(together.durations.sum(1), together.lengths)
    assert (together.lengths > 0).all()
    for k, n in enumerate([9, 5, 1]):
        one = Text(text.ids[k : k + 1, :n], torch.tensor([n]), text.words[k : k + 1, :n])
        alone = model.speak(one)
        t = int(alone.lengths)
        assert together.durations[k, :n].tolist() == alone.durations[0].tolist()
        torch.testing.assert_close(
            together.features[k, :, :t], alone.features[0], rtol=1e-4, atol=1e-4
        )
        assert together.features[k, :, t:].abs().sum() == 0


def test_the_mini_model_has_the_size_of_the_sheet():
    model = registry.build("fastspeech2-mini", device="meta", tokens=80)
    assert sum(p.numel() for p in model.parameters()) == 3_224_787
    aligner = fastspeech.Pretraining(model).aligner
    assert aligner is not None
    assert sum(p.numel() for p in aligner.parameters()) == 177_040


@pytest.mark.parametrize(
    "name", ["fastspeech", "fastspeech-31", "fastspeech2-ming024", "fastspeech2-natspeech"]
)
def test_published_sizes(name):
    model = registry.build(name, device="meta")
    assert sum(p.numel() for p in model.parameters()) == registry.preset(name).parameters


def test_pace_of_the_whole_and_of_a_word():
    model, text = small("fastspeech2-mini"), text_of([12])
    plain = model.speak(text).durations
    for pace in (0.5, 1.5, 2.0):
        said = model.speak(text, Controls(torch.full((1, 12), pace)))
        assert abs(int(said.lengths) - int(plain.sum()) / pace) <= 0.5
    word = (text.words == 1).float()
    slow = model.speak(text, Controls(1 - 0.5 * word)).durations
    inside = word.bool()
    assert (slow[inside] == 2 * plain[inside]).all()
    assert (slow[~inside] == plain[~inside]).all()


@pytest.mark.parametrize("what", ["pitch", "energy"])
def test_pitch_and_energy_are_scaled_in_their_own_unit(what):
    model, text = small("fastspeech2-mini"), text_of([8])
    module = getattr(model, what)
    config = module.config.override(mean=200.0, deviation=40.0)
    module.config = config
    factor = torch.ones(1, 8, dtype=torch.float64)
    factor[0, 3] = 1.2
    plain, said = (model(text, controls=Controls(**{what: f})) for f in (None, factor))
    before, after = (getattr(one, what) * 40 + 200 for one in (plain, said))
    torch.testing.assert_close(after[0, 3], before[0, 3] * 1.2)
    other = "energy" if what == "pitch" else "pitch"
    torch.testing.assert_close(before[0, :3], after[0, :3])
    if what == "energy":  # which comes after pitch
        torch.testing.assert_close(getattr(plain, other), getattr(said, other))
    assert not torch.allclose(plain.mel, said.mel)


def test_published_multiplies_normalised_values_and_energy_by_pitch():
    model, text = small("fastspeech2-ming024", compat="published"), text_of([8])
    plain = model(text)
    said = model(text, controls=Controls(None, torch.full((1, 8), 1.5), torch.full((1, 8), 9.0)))
    torch.testing.assert_close(said.pitch, plain.pitch * 1.5)
    energy = model.energy.predictor(  # of what was said, with the other pitch in it
        model.encode(text) + model.pitch.embed(torch.bucketize(said.pitch, model.pitch.bins)),
        None,
    )
    torch.testing.assert_close(said.energy, energy[..., 0] * 1.5)


def test_no_text_and_unknown_tokens_are_errors():
    model = small("fastspeech2-mini")
    none = torch.zeros(1, 0, dtype=torch.int64)
    with pytest.raises(InputError, match="without tokens"):
        model.speak(Text(none, torch.tensor([0]), none))
    with pytest.raises(InputError, match="token 99 is not one of the model's 20"):
        model.speak(Text(torch.tensor([[99]]), torch.tensor([1]), torch.tensor([[0]])))


def test_a_text_that_is_said_to_last_no_time_still_has_a_frame():
    model, text = small("fastspeech2-mini"), text_of([3])
    with torch.no_grad():
        model.duration.project.bias.fill_(-9.0)
    assert model.speak(text).lengths.tolist() == [1]


def test_published_lets_a_text_be_silent_beside_others_and_speaking_does_not():
    model, text = small("fastspeech2-ming024", compat="published"), text_of([9, 2])
    with torch.no_grad():
        model.duration.project.weight.zero_()
        model.duration.project.bias.fill_(1.0)
    text.ids[1] = 0
    model.duration.register_forward_hook(lambda _, __, out: out - 9 * (text.ids == 0)[..., None])
    assert model(text).lengths.tolist() == [18, 0]
    assert model.speak(text).lengths.tolist() == [18, 1]


def test_published_durations_are_cut_as_in_single_precision():
    model, text = small("fastspeech2-ming024", compat="published"), text_of([4])
    predicted = torch.tensor([[20.0, 40.0, 25.0, 50.0]]).log1p()
    pace = torch.ones(1, 4, dtype=torch.float64) / 1.15
    assert model.frames_of(predicted, text, pace).tolist() == [[23, 46, 28, 57]]


def test_every_speaker_has_a_voice():
    model, text = small("fastspeech2-mini", speakers=3), text_of([4])
    with pytest.raises(InputError, match="3 speakers: say which"):
        model.speak(text)
    first, second = (model.speak(text, speaker=torch.tensor([k])).features for k in (0, 1))
    assert first.shape != second.shape or not torch.allclose(first, second)


# --- objective ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*KINDS, "fastspeech-teacher-mini"])
def test_everything_learns_and_one_batch_is_learned_by_heart(name):
    torch.manual_seed(0)
    config = registry.preset(name).make().override(SMALL)
    config = config.override({"pitch.mean": 175.0, "pitch.deviation": 20.0})
    model = objective.Pretraining(fastspeech.build(config)).train()
    text = text_of([6, 4])
    given = None if config.alignment.source == "learned" else torch.randint(1, 6, (2, 6))
    batch = batch_of(text, given * text.mask if given is not None else None)
    parts = model(batch, torch.Generator().manual_seed(0))
    parts["loss"].backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None]
    assert untouched == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = float(parts["loss"].detach())
    for _ in range(8):
        loss = model(batch, torch.Generator().manual_seed(0))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.9 * first


def test_losses_are_those_of_the_formula():
    model, text = small("fastspeech2-mini"), text_of([4, 2])
    durations = torch.tensor([[2, 1, 3, 2], [1, 2, 0, 0]])
    batch = batch_of(text, durations)
    given = objective.targets(model, batch, durations)
    said = model(text, durations, given["pitch"], given["energy"])
    parts, factors = objective.losses(model, said, batch, given)
    assert set(parts) == set(factors) == {"mel", "token_duration", "pitch", "energy"}
    off, logs = [], []
    for k, n in enumerate([4, 2]):
        t = int(durations[k].sum())
        off.append((said.mel[k, :t] - batch.features[k, :, :t].T).abs().flatten())
        logs.append((said.predicted[k, :n] - (durations[k, :n] + 1.0).log()).square())
    torch.testing.assert_close(parts["mel"], torch.cat(off).mean())
    torch.testing.assert_close(parts["token_duration"], torch.cat(logs).mean())


def test_pitch_of_a_token_is_that_of_its_voiced_frames():
    model, text = small("fastspeech2-mini"), text_of([3])
    model.pitch.config = model.pitch.config.override(mean=100.0, deviation=10.0)
    f0 = torch.tensor([[110.0, 0, 130, 0, 0, 90]])
    batch = SpeechBatch(text, torch.zeros(1, 80, 6), torch.tensor([6]), None, f0, f0)
    found = objective.targets(model, batch, torch.tensor([[3, 2, 1]]))
    torch.testing.assert_close(found["pitch"], torch.tensor([[2.0, 0.0, -1.0]]))


def test_attention_is_soft_first_then_hard_then_pulled():
    torch.manual_seed(0)
    config = registry.preset("fastspeech2-mini").make()
    config = config.override(SMALL | {"alignment.hard_from": 1, "alignment.binarise_from": 2})
    model = objective.Pretraining(fastspeech.build(config)).train()
    seen: list[torch.Tensor | None] = []
    forward = model.acoustic.forward

    def spy(*given, **named):
        seen.append(named["attention"])
        return forward(*given, **named)

    model.acoustic.forward = spy
    batch = batch_of(text_of([6, 4]))
    parts = [model(batch) for _ in range(3)]
    assert [one is None for one in seen] == [False, True, True]
    assert ["binarisation" in one for one in parts] == [False, False, True]
    model.eval()
    model(batch)
    assert int(model.updates) == 3
    found = model.durations_of(batch)
    assert torch.equal(found.frames.sum(1), batch.lengths)


def test_what_is_missing_is_said():
    model = objective.Pretraining(small("fastspeech"))
    with pytest.raises(InputError, match="no durations: give them"):
        model(batch_of(text_of([3])))
    with pytest.raises(InputError, match="no aligner"):
        model.durations_of(batch_of(text_of([3])))
    pitched = objective.Pretraining(small("fastspeech2-ming024"))
    batch = batch_of(text_of([3]), torch.tensor([[2, 2, 2]]))
    with pytest.raises(InputError, match="learns pitch: the batch has none"):
        pitched(batch._replace(pitch_hz=None))


def test_only_a_share_of_the_gradient_reaches_the_encoder():
    model, text = small("fastspeech-natspeech"), text_of([5])
    grads = []
    for share in (1.0, 0.1):
        model.config = model.config.override(predictor_gradient=share)
        model.zero_grad()
        model(text, torch.tensor([[1, 2, 1, 2, 1]])).predicted.sum().backward()
        grads.append(model.embed.weight.grad.clone())
    torch.testing.assert_close(grads[1], 0.1 * grads[0])


def test_words_are_timed_as_wholes():
    words, ones = torch.tensor([[0, 0, 1]]), torch.ones(1, 3)
    loss = word_duration_loss(ones, torch.tensor([[2.0, 1, 1]]), words, 0)
    assert loss.item() == pytest.approx(math.log(3 / 4) ** 2 / 2)
    assert word_duration_loss(ones, ones, words, 1).item() == 0


# --- the teacher ----------------------------------------------------------------------------------


def teacher(**changes: object) -> fastspeech.TransformerTTS:
    torch.manual_seed(0)
    config = registry.preset("fastspeech-teacher-mini").make()
    return fastspeech.TransformerTTS(config.override(SMALL | changes)).eval()


@pytest.mark.parametrize("postnet", ["none", "tacotron2"])
@torch.no_grad()
def test_frame_by_frame_equals_all_at_once(postnet, monkeypatch):
    monkeypatch.setattr("sonograph.systems.speak.fastspeech.teacher.PRENET_DROPOUT", 0.0)
    model, text = teacher(postnet=postnet), text_of([6, 4])
    noise = torch.Generator().manual_seed(0)
    features, lengths = model.generate(text, 9, stops=False, generator=noise)
    assert lengths.tolist() == [9, 9]
    plain = features
    if postnet != "none":  # what it heard of itself was before the post-net
        net, model.postnet = model.postnet, None
        plain, _ = model.generate(text, 9, stops=False, generator=noise)
        model.postnet = net
    said = model(text, plain, lengths, noise)
    torch.testing.assert_close(said.mel.transpose(1, 2), plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(said.refined.transpose(1, 2), features, rtol=1e-4, atol=1e-4)
    assert said.attention.shape == (2, 2, 9, 6)


@torch.no_grad()
def test_it_stops_when_it_says_so_and_is_stopped_when_it_does_not():
    model, text = teacher(), text_of([3, 2])
    model.stop.weight.zero_()
    model.stop.bias.fill_(1.0)
    spoken = model.speak(text, generator=torch.Generator().manual_seed(0))
    assert spoken.lengths.tolist() == [1, 1]
    model.stop.bias.fill_(-1.0)
    spoken = model.speak(text, generator=torch.Generator().manual_seed(0))
    assert spoken.lengths.tolist() == [80, 80]
    assert torch.equal(spoken.durations.sum(1), spoken.lengths)


def test_the_past_never_sees_the_future():
    model, text = teacher(), text_of([4])
    features = torch.randn(1, 80, 8)
    other = features.clone()
    other[:, :, 5:] += 1
    lengths = torch.tensor([8])
    one, two = (
        model(text, f, lengths, torch.Generator().manual_seed(0)) for f in (features, other)
    )
    torch.testing.assert_close(one.mel[:, :6], two.mel[:, :6])
    assert not torch.allclose(one.mel[:, 6:], two.mel[:, 6:])


# --- published weights ----------------------------------------------------------------------------


def unnamed(model: torch.nn.Module, build: published.Build) -> dict[str, torch.Tensor]:
    """A model's weights under the published names: the table read backwards."""
    import re

    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        for theirs, ours in published.NAMES[build]:
            pattern = re.escape(ours).replace(r"\{\}", r"([^.]+)")
            found = re.fullmatch(pattern, name)
            if found is None:
                continue
            name = theirs.format(*found.groups())
            if ".slf_attn.qkv." in name:
                for part, rows in zip(("w_qs", "w_ks", "w_vs"), value.chunk(3)):
                    state[name.replace("qkv", part)] = rows
            else:
                state[name] = value
            break
        else:
            raise AssertionError(f"{name} has no published name")
    return state


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("fastspeech-xcmyz", "xcmyz"),
        ("fastspeech2-ming024", "ming024"),
        ("fastspeech2-natspeech", "NATSpeech"),
    ],
)
def test_published_names_go_there_and_back(name, build):
    model = small(name)
    state = unnamed(model, build)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    wrapped["module.encoder.position_enc"] = torch.zeros(1)
    assert published.build_of(wrapped) == build
    assert fastspeech.is_published(wrapped)
    config = fastspeech.config_from_published(wrapped)
    again = fastspeech.build(config.override({"compat": "none", "features": model.spec})).eval()
    again.load_state_dict(fastspeech.from_published(wrapped))
    text = text_of([7])
    torch.testing.assert_close(again.speak(text).features, model.speak(text).features)


def test_other_files_are_not_taken_for_these():
    assert not fastspeech.is_published({"encoder.weight": 0})
    assert not fastspeech.is_published({published.MARKS["NATSpeech"]: 0, "mel_out.weight": 0,
                                        "fvae.encoder.weight": 0})  # fmt: skip
    with pytest.raises(InputError, match="not the weights of a published FastSpeech"):
        fastspeech.from_published({"encoder.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "name", ["fastspeech-test", "fastspeech2-wavelet-test", "fastspeech-teacher-mini"]
)
def test_saved_and_loaded_it_says_the_same(name, tmp_path):
    torch.manual_seed(0)
    model = fastspeech.build(registry.preset(name).make().override({"width": 16})).eval()
    weights.save_folder(tmp_path, model, {"name": "x"})
    again = weights.load_folder(tmp_path)
    text = text_of([4])
    one, two = (m.speak(text, generator=torch.Generator().manual_seed(0)) for m in (model, again))
    assert torch.equal(one.features, two.features)


# --- pitch of frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["frames", "tokens"])
def test_natspeechs_pitch_is_learned_and_spoken(level):
    model, text = small("fastspeech-natspeech", **{"pitch.level": level}), text_of([5, 3])
    batch = batch_of(text, torch.tensor([[2, 3, 1, 4, 2], [2, 2, 3, 0, 0]]))
    parts = objective.Pretraining(model)(batch)
    assert ("voicing" in parts) == (level == "frames")
    assert torch.isfinite(parts["loss"])
    together = model.speak(text)
    one = Text(text.ids[1:, :3], torch.tensor([3]), text.words[1:, :3])
    alone = model.speak(one)
    t = int(alone.lengths)
    torch.testing.assert_close(together.features[1, :, :t], alone.features[0], rtol=1e-4, atol=1e-4)
    higher = model.speak(text, Controls(pitch=torch.full((2, 5), 1.5)))
    assert not torch.allclose(higher.features, together.features)
    assert torch.equal(higher.durations, together.durations)


def test_frames_may_have_pitch_and_energy_too():
    changes = {"pitch.level": "frames", "energy.level": "frames"}
    model, text = small("fastspeech2-mini", **changes), text_of([5, 3])
    batch = batch_of(text, torch.tensor([[2, 3, 1, 4, 2], [2, 2, 3, 0, 0]]))
    assert batch.durations is not None
    given = objective.targets(model, batch, batch.durations)
    said = model(text, batch.durations, given["pitch"], given["energy"])
    assert said.pitch is not None
    assert said.pitch.shape == (2, 12)
    assert isinstance(model.pitch, Binned)
    wanted = lengthen(model.encode(text), batch.durations)
    wanted = wanted + model.pitch.embed(torch.bucketize(given["pitch"], model.pitch.bins))
    wanted = wanted + model.energy.embed(torch.bucketize(given["energy"], model.energy.bins))
    torch.testing.assert_close(said.decoder_input[1, :7], wanted[1, :7])
