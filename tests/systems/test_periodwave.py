from __future__ import annotations

import dataclasses

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.cqt_discriminator import View
from sonograph.nn.discriminators import Critics
from sonograph.nn.weight_norm import fold
from sonograph.systems.vocode import periodwave
from sonograph.systems.vocode.periodwave import Config, PeriodWave, Sampling, estimator, model


def vocoder(changes: dict | None = None, seed: int = 0) -> PeriodWave:
    torch.manual_seed(seed)
    made = PeriodWave(periodwave.test().override(changes or {})).eval()
    for name, weight in made.named_parameters():
        if "response" in name:  # begins at 0, and would hide what depends on the whole clip
            torch.nn.init.normal_(weight)
    return made


def four_bands() -> PeriodWave:
    return vocoder({"bands": 4, "sampling.steps": (2, 1, 1, 1)})


def features(frames: int = 9, clips: int = 2, rows: int = 20) -> torch.Tensor:
    return torch.randn(clips, rows, frames, generator=torch.Generator().manual_seed(3)) - 4


# --- folds


def test_columns_come_back():
    x = torch.randn(2, 3, 1000)
    for period in (1, 2, 7):
        columns = estimator.folded(x, period, 64)
        assert columns.shape[:4] == (2, period, 3, 1)
        assert columns.shape[4] % 64 == 0
        back = estimator.unfolded(columns, 1000)
        torch.testing.assert_close(back.transpose(1, 2), x)


def test_mirrored_as_often_as_it_takes():
    x = torch.tensor([[[1.0, 2, 3]]])
    assert estimator.reflected(x, 2).flatten().tolist() == [1, 2, 3, 2, 1]
    assert estimator.reflected(x, 5).flatten().tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert estimator.reflected(x[..., :1], 2).flatten().tolist() == [1, 1, 1]
    assert estimator.reflected(x, 0) is x


@pytest.mark.parametrize("periods", [(1, 2, 3), (5, 7), (1,)])
def test_periods_together_are_periods_in_turn(periods):
    for made in (vocoder({"periods": periods}), vocoder({"periods": periods, "width": 64})):
        field = made.fields[0]
        with torch.no_grad():  # so that what leaks out of a column is seen
            for name, weight in field.unet.named_parameters():
                if name.endswith("bias"):
                    weight.normal_()
        x, t = torch.randn(2, 1, 1500), torch.tensor([0.1, 0.8])
        conditions = [torch.randn(2, made.config.width, 1, 30) for _ in periods]
        inputs = x, conditions, field.embeddings(t), (1.1, 0.9)
        one, other = field.together(*inputs), field.in_turn(*inputs)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        gradients = [
            torch.autograd.grad(found.square().mean(), list(field.unet.parameters()))
            for found in (one, other)
        ]
        for ours, theirs in zip(*gradients):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


# --- sound


@torch.no_grad()
@pytest.mark.parametrize("make", [vocoder, four_bands])
def test_sound_has_a_hop_a_frame_and_belongs_to_its_seed(make):
    made = make()
    sound, again, other = (made(features(), torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert sound.shape == (2, 9 * 256)
    assert bool(torch.isfinite(sound).all())
    torch.testing.assert_close(sound, again, rtol=0, atol=0)
    assert not torch.allclose(sound, other)


@torch.no_grad()
def test_one_frame_is_enough():
    for made in (vocoder(), four_bands(), vocoder({"periods": (1, 8, 16)})):
        assert made(features(1)).shape == (2, 256)


@torch.no_grad()
def test_clips_of_a_batch_do_not_touch_each_other():
    made, x = vocoder(), features()
    noise = made.draw(x, torch.Generator().manual_seed(0))
    together = made.sample(x, made.config.sampling, noise)
    alone = made.sample(x[1:], made.config.sampling, noise[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_folded_weights_sound_the_same():
    made, x = vocoder(), features()
    before = made(x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        fold(made)(x, torch.Generator().manual_seed(0)), before, rtol=1e-3, atol=1e-5
    )


@torch.no_grad()
def test_loud_clips_are_brought_down_and_others_left():
    made = vocoder({"sampling.temperature": 1.0})
    x, loud = features(clips=1), Sampling((2,), "euler", temperature=1.0)
    made.fields[0].final.project.weight_g.mul_(500)
    raw = made.sample(x, loud, made.draw(x, torch.Generator().manual_seed(0)))
    assert float(raw.abs().max()) > model.PEAK
    sound = made(x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(sound, raw * model.PEAK / raw.abs().max())
    made.fields[0].final.project.weight_g.zero_()  # the noise stays as it is
    quiet = made(x, torch.Generator().manual_seed(0))
    assert 0 < float(quiet.abs().max()) < model.PEAK


@torch.no_grad()
def test_parts_of_a_long_clip_make_the_same_sound(monkeypatch):
    for made in (vocoder(), four_bands()):
        x = features(20, clips=1)
        whole = made(x, torch.Generator().manual_seed(0))
        monkeypatch.setattr(model, "PART_SAMPLES", 300)
        torch.testing.assert_close(
            made(x, torch.Generator().manual_seed(0)), whole, rtol=1e-4, atol=1e-5
        )
        monkeypatch.undo()


def test_reach_covers_what_a_velocity_depends_on():
    field = vocoder().fields[0]
    n = 8 * field.unit
    x = torch.randn(1, 1, n, requires_grad=True)
    conditions = [torch.zeros(1, 32, 1, n // (64 * p)) for p in field.periods]
    field(x, conditions, torch.tensor([0.5]))[0, n // 2].backward()
    assert x.grad is not None
    touched = x.grad[0, 0].nonzero().flatten() - n // 2
    assert field.reach // 2 < int(touched.abs().max()) <= field.reach


def test_freeu_scales_backbone_and_skips():
    torch.manual_seed(0)
    up = estimator.Up(8, 4, 4, 8)
    x, skip, t = torch.randn(1, 8, 1, 5), torch.randn(1, 4, 1, 20), torch.randn(1, 8)
    up.residual, rows = estimator.Residuals(4, ()), estimator.Rows()
    embedded = up.embed(t)[:, :, None, None]
    parts = up(x, 0 * skip, t, (1.0, 1.0), rows) - embedded
    want = 1.1 * parts + 0.9 * skip + embedded
    torch.testing.assert_close(up(x, skip, t, (1.1, 0.9), rows), want)


def test_noise_is_as_loud_as_its_frame():
    energy, x = periodwave.Energy(0.5, 4.5, 0.1), torch.zeros(1, 16, 3)
    x[0, :, 1], x[0, :, 2] = -20, 2 * torch.log(torch.tensor(1.5))
    found = periodwave.energy_deviation(x, energy)
    # sqrt(16) = 4; nothing; sqrt(16 * 2.25) = 6: above the loudest frame that was measured
    torch.testing.assert_close(found, torch.tensor([[3.5 / 4, 0.1, 5.5 / 4]]))


# --- objective


def batch(clips: int = 2, samples: int = 2100) -> dict:
    waveform = 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(5))
    return {"waveform": waveform, "lengths": torch.tensor([samples, samples // 2][:clips])}


@pytest.mark.parametrize("make", [vocoder, four_bands])
def test_every_weight_learns(make):
    objective = periodwave.Pretraining(make())
    objective(batch(), torch.Generator().manual_seed(0))["loss"].backward()
    for name, weight in objective.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.abs().sum() > 0), name


def test_the_loss_of_a_field_that_knows_is_nothing():
    made, x = vocoder(), features(8)
    wave, lengths = 0.1 * torch.randn(2, 2048), torch.tensor([2048, 1000])
    noise, t = torch.randn(2, 1, 2048), torch.tensor([0.2, 0.7])
    _, deviation = made.conditioned(x)
    x0 = noise[:, 0] * made.config.noise_scale * deviation
    wave[1, 1000:] = 0
    right = made.path.velocity(x0, wave)
    made.velocity = lambda band, conditioned, lower: lambda y, t: right
    assert periodwave.loss(made, x, wave, lengths, noise, t)["loss"] == 0
    off = right + deviation
    off[1, 1000:] = 99
    made.velocity = lambda band, conditioned, lower: lambda y, t: off
    found = periodwave.loss(made, x, wave, lengths, noise, t)["loss"]
    torch.testing.assert_close(found, torch.tensor(1.0))


def test_noise_beyond_a_clips_end_changes_no_loss():
    made, x = vocoder(), features(8)
    wave, lengths = 0.1 * torch.randn(2, 2048), torch.tensor([2048, 1000])
    noise, t = torch.randn(2, 1, 2048), torch.tensor([0.2, 0.7])
    found = periodwave.loss(made, x, wave, lengths, noise, t)["loss"]
    noise[1, :, 1000:] = 9.0
    torch.testing.assert_close(periodwave.loss(made, x, wave, lengths, noise, t)["loss"], found)
    noise[1, :, :1000] = 9.0
    inside = periodwave.loss(made, x, wave, lengths, noise, t)["loss"]
    assert (inside - found).abs() > 0.1 * found


def test_codes_learn_without_a_prior():
    codes = vocoder({"code_rows": 8, "energy": None, "embed_width": 32})
    x, wave = torch.randn(2, 8, 3), torch.randn(2, 960)
    t, noise = torch.rand(2), torch.randn(2, 1, 960)
    assert bool(periodwave.loss(codes, x, wave, torch.tensor([960, 500]), noise, t)["loss"] > 0)
    assert codes(x).shape == (2, 960)
    with pytest.raises(InputError, match="call `loss` with its codes"):
        periodwave.Pretraining(codes)


def test_turbo_learns_through_its_steps():
    critics, views = Critics(periods=(2,), scales=0, width=0.05), (View(256, 6, 4),)
    turbo = periodwave.Turbo(vocoder(), Sampling((2,), "euler", 1.0), critics, views)
    assert set(turbo.discriminators.kinds) == {"mpd", "cqt"}
    crop = {"waveform": 0.1 * torch.randn(2, 4096)}
    losses = turbo.turns(crop, torch.Generator().manual_seed(0))
    next(losses)["loss"].backward()
    assert all(p.grad is None for p in turbo.vocoder.parameters())
    found = next(losses)
    assert float(found["loss"].detach()) == pytest.approx(
        float((45 * found["mel"] + found["adversarial"] + 2 * found["features"]).detach()), rel=1e-5
    )
    found["loss"].backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in turbo.vocoder.parameters())
    mel = turbo.regression(crop, torch.Generator().manual_seed(0))["loss"]
    torch.testing.assert_close(mel, found["mel"])


def test_a_batch_is_learned():
    torch.manual_seed(0)
    objective, crop = (
        periodwave.Pretraining(PeriodWave(periodwave.test())).eval(),
        batch(samples=1100),
    )
    optimizer = torch.optim.Adam(objective.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        loss = objective(crop, torch.Generator().manual_seed(0))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


# --- names and sizes


def published(made: PeriodWave) -> dict[str, torch.Tensor]:
    """Our weights under official names."""
    state = {}
    for name, value in made.state_dict().items():
        for theirs, ours in periodwave.PUBLISHED_NAMES:
            found = periodwave_pattern(ours).fullmatch(name.removeprefix("fields.0."))
            if found:
                if "response" in name:
                    value = value[None, None]
                elif value.ndim == 4 and name.startswith("fields.0.final"):
                    value = value.squeeze(2)
                elif value.ndim == 4:
                    value = value.transpose(2, 3)
                state["estimator." + theirs.format(*found.groups())] = value
                break
    assert len(state) == len(made.state_dict())
    return state


def periodwave_pattern(template: str):
    import re

    return re.compile(re.escape(template).replace(r"\{\}", r"([^.]+)"))


@pytest.mark.parametrize("preset", ["base", "lj", "encodec", "large"])
def test_official_files_load(preset):
    config = getattr(periodwave, preset)()
    small = dataclasses.replace(
        config, width=64, embed_width=64 if config.embed_width else 0, periods=(1, 2, 4)
    )
    made = PeriodWave(small)
    state = published(made)
    assert periodwave.is_published(state)
    assert not periodwave.is_published(made.state_dict())
    assert periodwave.config_from_published(state) == small
    renamed = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in state.items()
    }
    for names in (state, renamed | {"msmel.window": torch.zeros(3)}):
        loaded = periodwave.load_published(names)
        for name, value in made.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    plain = {  # what remove_weight_norm leaves
        name.replace("weight_v", "weight"): torch._weight_norm(value, state[name[:-1] + "g"], 0)
        if name.endswith("weight_v")
        else value
        for name, value in state.items()
        if not name.endswith("weight_g")
    }
    loaded, folded = fold(periodwave.load_published(plain)), fold(made).state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, folded[name])
    embed = state["estimator.MelCond.embed.weight"][:, :41]
    with pytest.raises(ValueError, match="41 rows of features are of no published model"):
        periodwave.config_from_published(state | {"estimator.MelCond.embed.weight": embed})


def test_published_sizes():
    counted = [p for p in registry.presets() if p.system == "periodwave" and p.parameters]
    assert len(counted) == 8
    for preset in counted:
        found = sum(p.numel() for p in registry.build(preset.name, device="meta").parameters())
        assert found == preset.parameters, preset.name


def test_wrong_inputs():
    made = vocoder()
    with pytest.raises(InputError, match=r"takes \(clips, 20 rows, frames\), not \(2, 80, 9\)"):
        made(features(rows=80))
    with pytest.raises(InputError, match="frames"):
        made(torch.zeros(1, 20, 0))
    for changes, said in (
        ({"bands": 3}, "3 bands: give 1, or 4"),
        ({"width": 40}, "a width of 40 does not divide by 16"),
        ({"features.hop_samples": 200}, "a hop of 200 samples is no multiple of 64"),
        ({"bands": 4}, "are given for 4 bands"),
        ({"periods": (0, 1)}, "give some of 1 or more"),
    ):
        with pytest.raises(InputError, match=said):
            periodwave.test().override(changes)
    assert Config.from_dict(Config().to_dict()) == Config()
