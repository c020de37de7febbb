"""Diffusion against closed forms: data that are normal, where every posterior is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn import diffusion
from sonograph.nn.diffusion import Schedule
from tests.conftest import shared_folder

SCHEDULES = {
    "linear": diffusion.linear(50, 1e-3, 0.2),
    "cosine": diffusion.cosine(20),
    "vpsde": diffusion.vpsde(5),
}


@pytest.fixture(params=SCHEDULES)
def schedule(request) -> Schedule:
    return SCHEDULES[request.param]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_signal_and_noise_make_one(schedule):
    total = schedule.signal.square() + schedule.noise.square()
    torch.testing.assert_close(total, torch.ones_like(total))
    assert (schedule.signal[:-1].diff() < 0).all()
    assert (schedule.signal[-1], schedule.noise[-1]) == (1, 0)


def test_cosine_keeps_a_squared_cosine_of_the_signal():
    found = diffusion.cosine(100).signal[:-1].square()
    at = (torch.arange(1, 100, dtype=torch.float64) / 100 + 0.008) / 1.008
    want = torch.cos(at * math.pi / 2).square() / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(found[:-1], want)


def test_noise_in_small_steps_is_noise_in_one(schedule):
    """Variances of x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps, one after the other."""
    signal, variance = 1.0, 0.0
    for t, beta in enumerate(schedule.betas.tolist()):
        signal, variance = signal * math.sqrt(1 - beta), variance * (1 - beta) + beta
        assert float(schedule.signal[t]) == pytest.approx(signal)
        assert float(schedule.noise[t]) ** 2 == pytest.approx(variance)


def test_posterior_is_that_of_bayes(schedule):
    """N(x_{t-1}; a x_0, s^2) N(x_t; sqrt(1 - beta) x_{t-1}, beta), normalised."""
    x0, x = drawn(3, 4), drawn(3, 4, seed=1)
    for t in range(1, schedule.steps):
        beta = float(schedule.betas[t])
        a, s = float(schedule.signal[t - 1]), float(schedule.noise[t - 1])
        precision = 1 / s**2 + (1 - beta) / beta
        mean = (a * x0 / s**2 + math.sqrt(1 - beta) * x / beta) / precision
        found, variance = schedule.posterior(x, t, x0)
        torch.testing.assert_close(found, mean)
        torch.testing.assert_close(variance, torch.tensor(1 / precision, dtype=torch.float64))


def test_the_last_step_is_the_data(schedule):
    x0, x = drawn(2, 3), drawn(2, 3, seed=1)
    torch.testing.assert_close(schedule.ddpm_step(x, 0, x0, drawn(2, 3, seed=2)), x0)
    torch.testing.assert_close(schedule.ddim_step(x, 0, x0, -1), x0)


def test_predictions_say_the_same_of_the_data(schedule):
    x0, noise, t = drawn(4, 2, 3), drawn(4, 2, 3, seed=1), torch.tensor([0, 1, 2, 4])
    x = schedule.noised(x0, t, noise)
    torch.testing.assert_close(schedule.noise_of_clean(x, t, x0), noise)
    torch.testing.assert_close(schedule.clean_of_noise(x, t, noise), x0, rtol=1e-5, atol=1e-5)
    velocity = schedule.velocity(x0, t, noise)
    torch.testing.assert_close(schedule.clean_of_velocity(x, t, velocity), x0)


def test_times_of_a_batch_are_those_of_its_rows(schedule):
    x0, x, t = drawn(3, 5), drawn(3, 5, seed=1), torch.tensor([1, 4, 2])
    mean, variance = schedule.posterior(x, t, x0)
    for row in range(3):
        one, spread = schedule.posterior(x[row : row + 1], int(t[row]), x0[row : row + 1])
        torch.testing.assert_close(mean[row : row + 1], one)
        torch.testing.assert_close(variance[row, 0], spread)


def test_ddim_along_the_true_noise_stays_on_its_line(schedule):
    x0, noise = drawn(3), drawn(3, seed=1)
    x = schedule.noised(x0, 4, noise)
    torch.testing.assert_close(schedule.ddim_step(x, 4, x0, 2), schedule.noised(x0, 2, noise))


def test_ddim_with_all_its_noise_is_ddpm(schedule):
    x0, x, noise = drawn(2, 3), drawn(2, 3, seed=1), drawn(2, 3, seed=2)
    for t in range(1, schedule.steps):
        found = schedule.ddim_step(x, t, x0, t - 1, eta=1.0, noise=noise)
        torch.testing.assert_close(found, schedule.ddpm_step(x, t, x0, noise))


def normal_clean(schedule: Schedule, mean: float, deviation: float):
    """E[x_0 | x_t] where x_0 is N(mean, deviation^2): what a perfect network says."""

    def clean(x: torch.Tensor, t: int) -> torch.Tensor:
        a, s = float(schedule.signal[t]), float(schedule.noise[t])
        gain = a * deviation**2 / (a**2 * deviation**2 + s**2)
        return mean + gain * (x - a * mean)

    return clean


def test_ddpm_and_ddim_draw_from_normal_data():
    schedule = diffusion.linear(200, 1e-4, 0.1)
    clean, draw = normal_clean(schedule, 2.0, 0.5), torch.Generator().manual_seed(3)
    x = drawn(20_000)
    noises = lambda: torch.randn(x.shape, generator=draw, dtype=torch.float64)  # noqa: E731
    for found in (
        diffusion.ddpm(clean, schedule, x, noises),
        diffusion.ddim(clean, schedule, x, schedule.times(100)),
    ):
        assert float(found.mean()) == pytest.approx(2.0, abs=0.02)
        assert float(found.std()) == pytest.approx(0.5, rel=0.05)


def test_a_student_s_one_step_ends_where_the_teacher_s_two_do(schedule):
    teacher, x = normal_clean(schedule, 1.0, 0.7), drawn(6)
    for t, to in ((4, 2), (3, 1), (1, -1)):
        target = diffusion.distillation_target(teacher, schedule, x, t, to)
        two = schedule.ddim_step
        middle = (t + to) // 2
        half = two(x, t, teacher(x, t), middle)
        want = two(half, middle, teacher(half, middle), to)
        torch.testing.assert_close(schedule.ddim_step(x, t, target, to), want)


def test_a_perfect_teacher_of_one_point_is_learned_unchanged(schedule):
    point = drawn(6)
    target = diffusion.distillation_target(lambda x, t: point, schedule, drawn(6, seed=1), 4, 2)
    torch.testing.assert_close(target, point)


def test_float32_data_stay_float32(schedule):
    x = torch.randn(2, 3)
    assert schedule.posterior(x, 2, x)[0].dtype == torch.float32
    assert schedule.ddim_step(x, 2, x, 0).dtype == torch.float32


@pytest.mark.skipif(shared_folder() is None, reason="no golden cases beside the project")
def test_vpsde_is_that_of_prodiff():
    folder = shared_folder()
    assert folder is not None
    with np.load(folder / "golden" / "prodiff-teacher.npz", allow_pickle=False) as file:
        table = {n: torch.from_numpy(file[f"out/table_{n}"]).double() for n in (
            "betas", "alphas_cumprod", "posterior_mean_coef1", "posterior_mean_coef2",
            "posterior_variance",
        )}  # fmt: skip
    schedule = diffusion.vpsde(len(table["betas"]))
    close = {"rtol": 1e-6, "atol": 1e-9}
    torch.testing.assert_close(schedule.betas, table["betas"], **close)
    kept = schedule.signal[:-1].square()
    torch.testing.assert_close(kept, table["alphas_cumprod"], **close)
    one, zero = torch.ones(1).double(), torch.zeros(1).double()
    for t in range(schedule.steps):
        of_clean, variance = schedule.posterior(zero, t, one)
        torch.testing.assert_close(of_clean[0], table["posterior_mean_coef1"][t], **close)
        of_x, _ = schedule.posterior(one, t, zero)
        torch.testing.assert_close(of_x[0], table["posterior_mean_coef2"][t], **close)
        torch.testing.assert_close(variance, table["posterior_variance"][t], **close)


@pytest.mark.parametrize("betas", [[], [0.0], [0.5, 1.0]])
def test_betas_outside_their_range_are_refused(betas):
    with pytest.raises(InputError, match="between 0 and 1"):
        Schedule(torch.tensor(betas, dtype=torch.float64))


def test_wrong_times_are_refused():
    schedule, x = diffusion.vpsde(5), torch.zeros(1)
    with pytest.raises(InputError, match="time 5"):
        schedule.noised(x, 5, x)
    with pytest.raises(InputError, match="no middle"):
        diffusion.distillation_target(lambda x, t: x, schedule, x, 3, 2)
    with pytest.raises(InputError, match="fall"):
        diffusion.ddim(lambda x, t: x, schedule, x, [2, 3])
    with pytest.raises(InputError, match="give it"):
        schedule.ddim_step(x, 2, x, 1, eta=0.5)
    with pytest.raises(InputError, match="clean already"):
        schedule.posterior(x, -1, x)
    with pytest.raises(InputError, match="cannot be taken"):
        schedule.times(6)
