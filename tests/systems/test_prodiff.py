"""ProDiff: counts, published names both ways, what teacher and student learn, how it samples."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.acoustic import Controls, SpeechBatch, Text
from sonograph.systems.speak import prodiff


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def voice(**changes: object) -> prodiff.ProDiff:
    """The test model with a denoiser that says something, and durations of about three frames."""
    torch.manual_seed(0)
    model = prodiff.build(prodiff.test().override(changes)).eval()
    torch.nn.init.normal_(model.denoiser.end.weight, std=0.3)
    model.duration.project.bias.data.fill_(1.4)
    return model


def text(lengths: tuple[int, ...] = (12, 9)) -> Text:
    most = max(lengths)
    ids = torch.randint(1, 77, (len(lengths), most), generator=seeded(0))
    mask = torch.arange(most) < torch.tensor(lengths)[:, None]
    words = (torch.arange(most) // 3).expand(len(lengths), -1)
    return Text(ids * mask, torch.tensor(lengths), words)


def batch() -> SpeechBatch:
    spoken = text()
    durations = torch.where(spoken.mask, 3, 0)
    lengths = durations.sum(1)
    inside = torch.arange(int(lengths.max())) < lengths[:, None]
    features = (torch.randn(2, 80, int(lengths.max()), generator=seeded(1)) - 5) * inside[:, None]
    pitch = torch.where(inside, 200.0, 0.0)
    pitch[:, ::4] = 0
    return SpeechBatch(spoken, features, lengths, durations, pitch)


# --- sizes and names -----------------------------------------------------------------------------


def test_counts() -> None:
    whole = registry.build("prodiff-teacher", device="meta")
    assert (count(whole), count(whole.denoiser)) == (28_502_870, 15_086_416)
    assert count(whole) - count(whole.denoiser) + 80 * 257 == 13_437_014  # with mel_out
    assert count(registry.build("prodiff", device="meta")) == 28_502_870
    assert count(registry.build("prodiff-mini", device="meta").denoiser) == 1_617_872


@pytest.mark.parametrize("stride", [1, 2])
def test_published_names_both_ways(stride: int) -> None:
    model = voice(stride=stride, pitch_mean=180.0)
    published = prodiff.to_published(model)
    wrapped = {f"model.{name}": value for name, value in published.items()}
    assert prodiff.is_published(wrapped)
    assert not prodiff.is_published(model.state_dict())
    config = prodiff.config_from_published(wrapped, (180.0, 60.0))
    same = ("width", "blocks", "channels", "encoder_depth", "stride", "teacher_steps", "tokens")
    assert all(getattr(config, name) == getattr(model.config, name) for name in same)
    assert (config.betas, config.pitch_mean, config.sampling) == ((), 180.0, "published")
    again = prodiff.from_published(wrapped)
    state = model.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())


def test_statistics_of_pitch_and_other_betas_are_read_from_a_file() -> None:
    state = prodiff.to_published(voice())
    state |= {"f0_mean": torch.tensor(123.0), "f0_std": torch.tensor(45.0)}
    state["betas"] = torch.tensor([0.1, 0.2, 0.3])
    config = prodiff.config_from_published(state)
    assert (config.pitch_mean, config.pitch_deviation, config.teacher_steps) == (123.0, 45.0, 2)
    assert config.betas == pytest.approx((0.1, 0.2, 0.3))
    assert prodiff.load_published(state).schedule.steps == 3


def test_a_level_that_keeps_nearly_nothing_is_read_exactly() -> None:
    betas = (0.1, 0.3, 0.5, 0.8, 0.999)
    state = prodiff.to_published(voice(betas=betas, teacher_steps=4))
    assert 1 - prodiff.config_from_published(state).betas[4] == pytest.approx(0.001, rel=1e-6)


@torch.no_grad()
def test_published_f0_falls_below_zero_and_ours_does_not() -> None:
    pitch = torch.tensor([[[-5.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])  # deviations of 60 from 200 Hz
    assert voice().f0_hz(pitch).tolist() == [[0.0, 200.0, 0.0]]
    assert voice(compat="published").f0_hz(pitch).tolist() == [[-100.0, 200.0, 0.0]]


def test_files_of_other_kinds_and_impossible_configs_are_told() -> None:
    state = prodiff.to_published(voice())
    del state["fs2.energy_embed.weight"]
    with pytest.raises(InputError, match="no energy"):
        prodiff.config_from_published(state)
    for changes, words in (
        ({"stride": 3}, "whole strides"),
        ({"betas": [0.1, 0.2]}, "2 levels"),
        ({"tokens": 1}, "padding"),
        ({"width": 33}, "even"),
    ):
        with pytest.raises(InputError, match=words):
            prodiff.test().override(changes)


# --- sampling ------------------------------------------------------------------------------------


def test_steps_go_through_the_levels_of_distillation() -> None:
    assert voice().levels == [4, 3, 2, 1]
    assert voice(stride=2).levels == [4, 2]
    asked: list[int] = []
    for stride, sampling, expected in (
        (1, "ddim", [4, 3, 2, 1]),
        (2, "ddim", [2, 0]),  # a student knows a level by where it goes to
        (1, "published", [3, 2, 1, 0]),
        (2, "published", [2, 0]),
    ):
        model = voice(stride=stride, sampling=sampling)
        model.denoiser.register_forward_pre_hook(lambda _, given: asked.append(int(given[1][0])))
        asked.clear()
        model.speak(text(), generator=seeded())
        assert asked == expected


def test_ddim_is_the_formula_written_out() -> None:
    model = voice(stride=2)
    read = model.read(text((12,)))
    noise = model.noises(read, seeded())()
    a, s = model.schedule.signal.float(), model.schedule.noise.float()
    with torch.no_grad():
        first = model.predict(noise, 2, read.condition, read.mask)
        x = a[2] * first + s[2] / s[4] * (noise - a[4] * first)
        last = model.predict(x, 0, read.condition, read.mask)
        found = model.sample(read, lambda: noise)
    torch.testing.assert_close(found, last * 2 - 5, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampling", ["ddim", "published"])
def test_a_text_alone_is_the_text_in_a_batch(sampling: str) -> None:
    model, both = voice(sampling=sampling), text((9, 14))
    alone = Text(both.ids[:1, :9], both.lengths[:1], both.words[:1, :9])
    one, two = (model.speak(some, generator=seeded()) for some in (alone, both))
    t = int(one.lengths[0])
    torch.testing.assert_close(one.features[0], two.features[0, :, :t], atol=1e-4, rtol=1e-4)
    assert (two.features[0, :, t:] == 0).all()
    other = model.speak(alone, generator=seeded(4))
    assert not torch.allclose(other.features, one.features)


def test_pitch_and_energy_can_be_asked_for() -> None:
    model, spoken = voice(), text((12,))
    plain = model.read(spoken)
    factor = torch.full((1, 12), 1.5)
    higher = model.read(spoken, controls=Controls(pitch=factor))
    torch.testing.assert_close(higher.f0_hz, 1.5 * plain.f0_hz)
    model.energy.layers.project.bias.data.fill_(3.0)
    louder = [model.read(spoken, controls=Controls(energy=f)) for f in (None, factor)]
    assert not torch.equal(louder[0].decoder_input, louder[1].decoder_input)


def test_energy_below_zero_is_silence() -> None:
    model = voice()
    model.energy.layers.project.bias.data.fill_(-9.0)
    assert torch.isfinite(model.read(text()).decoder_input).all()


def test_noise_that_is_predicted_gives_the_clean_features_back() -> None:
    model = voice(prediction="noise", clip=4.0)
    x0, noise = torch.rand(1, 80, 6), torch.randn(1, 80, 6)
    x = model.schedule.noised(x0, 1, noise)
    torch.testing.assert_close(model._clean(noise, x, 1), x0, atol=1e-4, rtol=1e-4)
    assert float(model._clean(noise + 3, x, 4).abs().max()) == 4


# --- learning ------------------------------------------------------------------------------------


def test_parts_and_their_weights() -> None:
    objective = prodiff.Pretraining(voice()).eval()
    found = objective(batch(), seeded())
    assert set(found) == {
        "loss", "l1", "ssim", "pitch", "voicing", "energy",
        "token_duration", "word_duration", "sentence_duration",
    }  # fmt: skip
    rest = sum(value for name, value in found.items() if name != "loss")
    torch.testing.assert_close(found["loss"], rest)
    said = objective.acoustic.read(batch().text, batch().durations)
    logs = torch.where(batch().text.mask, (said.predicted - torch.tensor(4.0).log()).square(), 0)
    expected = 0.1 * logs.sum() / batch().text.mask.sum()
    torch.testing.assert_close(found["token_duration"], expected)


def test_pitch_lies_on_lines_over_gaps_and_energy_is_a_norm() -> None:
    config = dataclasses.replace(prodiff.test(), pitch_mean=100.0, pitch_deviation=50.0)
    found = prodiff.pitch_of(torch.tensor([[100.0, 0.0, 200.0], [0.0, 0.0, 0.0]]), config)
    assert found[0].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]
    assert found[1].tolist() == [[0.0, 1.0]] * 3
    mel = torch.tensor([[[3.0], [4.0]]]).log()
    torch.testing.assert_close(prodiff.energy_of(mel), torch.tensor([[5.0]]))


def test_without_durations_the_aligner_learns_along() -> None:
    objective = prodiff.Pretraining(voice()).train()
    found = objective(batch()._replace(durations=None), seeded())
    assert "forward_sum" in found
    assert "binarisation" not in found
    assert int(objective.updates) == 1
    objective.updates.fill_(200)
    assert "binarisation" in objective(batch()._replace(durations=None), seeded())
    given = prodiff.Pretraining(voice(**{"alignment.source": "given"}))
    with pytest.raises(InputError, match="no durations"):
        given(batch()._replace(durations=None), seeded())
    with pytest.raises(InputError, match="sum up to"):
        given(batch()._replace(durations=batch().durations + 1), seeded())
    with pytest.raises(InputError, match="pitch"):
        given(batch()._replace(pitch_hz=None), seeded())


def test_a_student_that_says_the_target_ends_where_two_steps_end() -> None:
    teacher = prodiff.Pretraining(voice())
    objective = prodiff.Distillation(prodiff.student_of(teacher.acoustic), teacher)
    one, level = batch(), torch.tensor([2, 4])
    read, _, _ = objective.read(one, one.durations)
    x = torch.randn(one.features.shape, generator=seeded()) * read.mask
    target = objective.target(x, level, read)
    a, s = (
        values.float()
        for values in (teacher.acoustic.schedule.signal, teacher.acoustic.schedule.noise)
    )
    with torch.no_grad():
        for row, t in enumerate(level.tolist()):
            here = x
            for k in (t, t - 1):
                x0 = teacher.acoustic.predict(here, k, read.condition, read.mask) * read.mask
                here = a[k - 1] * x0 + s[k - 1] / s[k] * (here - a[k] * x0)
            said = a[t - 2] * target + s[t - 2] / s[t] * (x - a[t] * target)
            torch.testing.assert_close(said[row], here[row], atol=1e-4, rtol=1e-4)


def test_only_the_denoiser_of_a_student_learns() -> None:
    teacher = prodiff.Pretraining(voice())
    objective = prodiff.Distillation(prodiff.student_of(teacher.acoustic), teacher).train()
    found = objective(batch()._replace(durations=None), seeded())
    assert set(found) == {"loss", "distillation"}
    found["loss"].backward()
    learned = {name for name, p in objective.named_parameters() if p.grad is not None}
    assert learned
    assert all(name.startswith("acoustic.denoiser.") for name in learned)
    assert not any(name.startswith(("teacher", "_teacher")) for name in objective.state_dict())
    assert (objective.acoustic.config.steps, objective.acoustic.training) == (2, False)


def test_a_student_of_a_student() -> None:
    second = prodiff.student_of(prodiff.student_of(voice()))
    assert second.levels == [4]
    with pytest.raises(InputError, match="cannot be halved"):
        prodiff.student_of(second)
    with pytest.raises(InputError, match="two of its steps"):
        prodiff.Distillation(second, prodiff.Pretraining(voice()))
