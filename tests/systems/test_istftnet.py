"""Published files of generators, the variants, and the configurations that cannot be."""

from __future__ import annotations

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.systems.vocode import istftnet


@pytest.mark.parametrize(
    "name", ["hifigan-v2", "hifigan-v3", "istftnet-v2-c8c8i", "istftnet-v3-c8i"]
)
def test_a_published_file_loads_and_tells_its_sizes(name, tmp_path):
    model = registry.build(name)
    torch.save({"generator": model.state_dict()}, tmp_path / "g_02500000.pth")
    loaded = weights.load(tmp_path / "g_02500000.pth")
    assert loaded.config == model.config
    state = loaded.state_dict()
    assert all(torch.equal(value, state[n]) for n, value in model.state_dict().items())


@pytest.mark.parametrize(("rates", "fft", "hop"), [((5, 5, 4, 3), 0, 300), ((10, 6), 20, 300)])
def test_a_file_of_another_hop_tells_it_by_its_rates(rates, fft, hop):
    plain = istftnet.Config(channels=32, block_kernels=(3,), dilations=((1, 3, 5),))
    config = plain.override(
        {"features.hop_samples": hop}, rates=rates, kernels=[2 * r for r in rates], fft_samples=fft
    )
    state = istftnet.build(config).state_dict()
    state = {name: value for name, value in state.items() if "inverse" not in name}
    assert istftnet.config_from_published(state) == config


def test_features_that_are_normalised_first_are_refused():
    state = registry.build("hifigan-v2").state_dict() | {"mean": torch.ones(80)}
    with pytest.raises(InputError, match="normalises its features"):
        istftnet.from_published(state)


def test_phase_scale_widens_the_phase_and_nothing_else():
    plain = registry.build("istftnet-test").eval()
    wide = registry.build("istftnet-test", phase_scale=3.0).eval()
    features = torch.randn(1, 80, 9)
    with torch.no_grad():
        (magnitude, phase), (same, wider) = (m.polar(m.trunk(features)) for m in (plain, wide))
    assert torch.equal(magnitude, same)
    torch.testing.assert_close(wider, 3 * phase)
    assert phase.abs().max() <= 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rates", (8, 8, 2, 4), "do not fit a hop"),
        ("kernels", (16, 16), "as many kernels"),
        ("channels", 100, "cannot be halved"),
    ],
)
def test_impossible_sizes_are_refused(field, value, words):
    with pytest.raises(InputError, match=words):
        registry.build("hifigan-v1", **{field: value})


@pytest.mark.parametrize("name", ["hifigan-v3", "istftnet-v3-c8c8i"])
def test_half_precision_is_near(name):
    """Autocast, and weights that are bfloat16 themselves."""
    model = registry.build(name).eval()
    features = torch.randn(1, 80, 8, generator=torch.Generator().manual_seed(0)) - 4
    with torch.no_grad():
        whole = model(features)
        with torch.autocast("cpu", torch.bfloat16):
            cast = model(features)
        half = model.bfloat16()(features.bfloat16())
    for found in (cast, half):
        assert (found.float() - whole).norm() < 0.03 * whole.norm()
