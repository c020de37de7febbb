"""Metrics of separation against museval, mir_eval and fast_bss_eval."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sonograph.metrics.separation import bss_eval_v3, bss_eval_v4, csdr


def leaking(sources: int, channels: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and sources with some of everything: leaks, an echo, noise, low-passed sound."""
    draw = np.random.default_rng(n)
    wanted = 0.02 * np.cumsum(0.1 * draw.standard_normal((sources, channels, n)), -1)
    made = wanted + 0.1 * np.roll(wanted, 1, axis=0) + 0.01 * draw.standard_normal(wanted.shape)
    return made + 0.2 * np.roll(wanted, 9, axis=-1), wanted


@pytest.fixture(scope="module")
def museval() -> ModuleType:
    """museval.metrics alone: the package's __init__ wants ffmpeg for its data set."""
    found = importlib.util.find_spec("museval")
    if found is None or not found.submodule_search_locations:
        pytest.skip("museval is not installed")
    path = Path(found.submodule_search_locations[0], "metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("sources", "channels", "taps"), [(2, 2, 512), (3, 1, 128)])
def test_v4_equals_museval(museval, sources: int, channels: int, taps: int) -> None:
    made, wanted = leaking(sources, channels, 17_500)
    wanted[0, :, 4000:8000] = 0  # one silent window
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = museval.bss_eval(
            wanted.transpose(0, 2, 1), made.transpose(0, 2, 1), 4000, 2000, filters_len=taps
        )
    ours = bss_eval_v4(made, wanted, 4000, hop_s=0.5, taps=taps)
    for got, want in zip((ours.sdr, ours.isr, ours.sir, ours.sar), theirs):
        assert np.isnan(want).any()
        np.testing.assert_allclose(got, want, atol=1e-5)
    median = np.nanmedian(theirs[0], axis=1)
    np.testing.assert_allclose(csdr(made, wanted, 4000, hop_s=0.5), median, atol=1e-9)


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_v3_equals_mir_eval_and_fast_bss_eval(sources: int) -> None:
    separation = pytest.importorskip("mir_eval.separation")
    fast = pytest.importorskip("fast_bss_eval")
    made, wanted = (sound[:, 0] for sound in leaking(sources, 1, 9000))
    made = made[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = separation.bss_eval_sources(wanted, made)
    ours = bss_eval_v3(made, wanted)
    # fast_bss_eval does not take a lone source
    second = [fast.bss_eval_sources(wanted.copy(), made.copy())] if sources > 1 else []
    for reference in (theirs, *second):
        np.testing.assert_allclose(ours.sdr, reference[0], atol=1e-5)
        np.testing.assert_allclose(ours.sar, reference[2], atol=1e-5)
        if sources > 1:  # that of a lone source is inf or rounding noise
            np.testing.assert_allclose(ours.sir, reference[1], atol=1e-5)
        assert np.array_equal(ours.order, reference[3])


def test_v3_of_a_nearly_clean_estimate_equals_mir_eval() -> None:
    separation = pytest.importorskip("mir_eval.separation")
    draw = np.random.default_rng(0)
    wanted = 1e-3 * draw.standard_normal((2, 5000))
    made = wanted + 1e-8 * draw.standard_normal(wanted.shape)  # 100 dB
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = separation.bss_eval_sources(wanted, made)
    ours = bss_eval_v3(made, wanted)
    for got, want in zip((ours.sdr, ours.sir, ours.sar), theirs):
        np.testing.assert_allclose(got, want, atol=0.01)
