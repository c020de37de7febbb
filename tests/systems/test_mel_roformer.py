from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.systems.separate import mel_roformer
from sonograph.systems.separate.mel_roformer import Config


def tiny(**changes) -> Config:
    return mel_roformer.test().override(
        {"width": 16, "num_bands": 8, "head_width": 8, "num_heads": 2, **changes}
    )


def published(config: Config, wrap=lambda state: state, newer: bool = False) -> dict:
    """Our weights under published names, as a file of the community holds them."""
    torch.manual_seed(0)
    model: Any = mel_roformer.build(config)
    state: dict[str, torch.Tensor] = {}
    for n, layer in enumerate(model.layers):
        for axis, part in enumerate(layer):
            place = f"layers.{n}.{axis + newer}"
            for k, (attend, feed) in enumerate(zip(part.attention, part.feedforward)):
                a, f = f"{place}.layers.{k}.0", f"{place}.layers.{k}.1"
                a, f = (a + ".branch", f + ".branch") if newer else (a, f)
                state |= {
                    f"{a}.rotary_embed.freqs": torch.ones(config.head_width // 2),
                    f"{a}.norm.gamma": attend.norm.gain,
                    f"{a}.to_qkv.weight": attend.qkv.weight,
                    f"{a}.to_out.0.weight": attend.project.weight,
                    f"{f}.net.0.gamma": feed.norm.gain,
                }
                if attend.gates is not None:
                    state[f"{a}.to_gates.weight"] = attend.gates.weight
                    state[f"{a}.to_gates.bias"] = attend.gates.bias
                for number, linear in ((1, feed.expand), (4, feed.contract)):
                    state[f"{f}.net.{number}.weight"] = linear.weight
                    state[f"{f}.net.{number}.bias"] = linear.bias
            if config.norm == "each":
                state[f"{place}.norm.gamma"] = part.norm.gain
    if config.norm == "last":
        state["final_norm.gamma"] = model.norm.gain
    split = model.split
    for r, (a, b) in enumerate(split.project.runs):
        for k in range(a, b):
            place = f"band_split.to_features.{k}"
            state[f"{place}.0.gamma"] = split.gains[r][k - a]
            state[f"{place}.1.weight"] = split.project.weights[r][k - a].T
            state[f"{place}.1.bias"] = split.project.biases[r][k - a]
    for s, head in enumerate(model.heads):
        for number, maps in enumerate([*head.hidden, head.out]):
            for r, (a, b) in enumerate(maps.runs):
                for k in range(a, b):
                    place = f"mask_estimators.{s}.to_freqs.{k}.0.{2 * number}"
                    state[f"{place}.weight"] = maps.weights[r][k - a].T
                    state[f"{place}.bias"] = maps.biases[r][k - a]
    return wrap({name: value.detach().clone() for name, value in state.items()})


SETTINGS = """
audio:
  chunk_size: 32000
model:
  dim: 16
  stft_hop_length: 256
  zero_dc: true
  multi_stft_resolutions_window_sizes: !!python/tuple
  - 1024
  - 512
training:
  instruments: [voice, others]
  target_instrument: voice
"""


@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        tiny(channels=2, depth=2, mask_depth=2),
        tiny(stems=("a", "b"), gates=False, time_depth=2),
        tiny(bands="hand", norm="last", mask_depth=0),
        tiny(num_bands=3, band_bins=(7, 50, 200), bands="hand"),
    ],
    ids=["mel", "stereo", "stems", "beside", "widths"],
)
def test_published_files_come_back_as_they_were(config):
    state = published(config)
    assert mel_roformer.is_published(state)
    told = {"stft_hop_length": config.hop_samples, "sample_rate": config.rate_hz}
    model = mel_roformer.load_published(state, settings=told)
    torch.manual_seed(0)
    own = mel_roformer.build(config)
    for name in ("channels", "width", "depth", "time_depth", "frequency_depth", "num_heads",
                 "head_width", "gates", "norm", "mask_depth", "layout", "fft_samples"):  # fmt: skip
        assert getattr(model.config, name) == getattr(config, name), name
    mixture = 0.1 * torch.randn(1, config.channels, 3000)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(mixture), own.eval()(mixture))


@pytest.mark.parametrize("wrap", ["state", "state_dict", "plain"])
@pytest.mark.parametrize("newer", [True, False])
def test_a_file_with_a_yaml_beside_it(tmp_path, wrap, newer):
    state = published(tiny(), newer=newer)
    path = tmp_path / "model.ckpt"
    torch.save(state if wrap == "plain" else {wrap: state, "epoch": 3}, path)
    path.with_suffix(".yaml").write_text(SETTINGS)
    model = weights.load(path)
    config = model.config
    assert (model.stems, model.rest) == (("voice",), "others")
    assert (config.hop_samples, config.zero_dc, config.loss_windows) == (256, True, (1024, 512))
    assert model.window_samples == 32_000
    with torch.inference_mode():
        assert abs(float(model(torch.randn(1, 1, 4096) + 1).mean())) < 0.05  # nothing at 0 Hz


def test_without_a_yaml_the_files_most_in_use_are_assumed(tmp_path):
    path = tmp_path / "model.ckpt"
    torch.save(published(tiny()), path)
    model = mel_roformer.load_published(weights.read_tensors(path), path)
    assert (model.config.hop_samples, model.config.zero_dc) == (160, False)  # 10 ms
    assert model.stems == ("vocals",)


def test_windows_shorter_than_the_fft_are_refused():
    state = published(tiny())
    with pytest.raises(InputError, match="windows of 256 samples in an FFT of 512"):
        mel_roformer.load_published(state, settings={"model": {"stft_win_length": 256}})


def test_a_yaml_runs_nothing(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("model: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match=r"bad\.yaml is not read: could not determine a constr"):
        mel_roformer.read_settings(path)
    path.write_text("- 1\n")
    with pytest.raises(InputError, match="holds no named settings"):
        mel_roformer.read_settings(path)
    assert yaml.safe_load(SETTINGS.replace("!!python/tuple", ""))["audio"]["chunk_size"] == 32000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("layers.1.1.layers.0.0.branch.learned_value_residual_mix.0.weight", "value residuals"),
        ("layers.0.0.layers.0.0.static_alpha", "hyper-connections"),
        ("layers.0.0.layers.0.0.temperature", "linear attention"),
        ("layers.0.2.layers.0.0.norm.gamma", "parts 0, 1, 2"),
        ("something.else", "no rule knows"),
    ],
)
def test_relatives_are_refused_by_name(tmp_path, name, words):
    path = tmp_path / "relative.ckpt"
    torch.save({**published(tiny()), name: torch.zeros(1)}, path)
    with pytest.raises(InputError, match=words):
        weights.load(path)


def test_bands_of_no_layout_are_refused():
    state = published(tiny())
    state["band_split.to_features.0.0.gamma"] = torch.ones(2)
    with pytest.raises(InputError, match=r"8 bands of 2 to .* fit no layout"):
        mel_roformer.config_from_published(state)


def test_names_of_weights_do_not_change():
    names = set(mel_roformer.build(tiny()).state_dict())
    assert {
        "split.gains.0", "split.project.weights.0", "split.project.biases.0",
        "layers.0.0.attention.0.norm.gain", "layers.0.1.attention.0.qkv.weight",
        "layers.0.0.attention.0.gates.bias", "layers.0.0.attention.0.project.weight",
        "layers.0.0.feedforward.0.expand.weight", "layers.0.0.norm.gain",
        "heads.0.hidden.0.weights.0", "heads.0.out.biases.0",
    } <= names  # fmt: skip


def test_skips_hear_the_sum_of_all_earlier_layers():
    torch.manual_seed(0)
    model: Any = mel_roformer.build(tiny(depth=3, skips=True)).eval()
    spectrum = model.spectrum(torch.randn(1, 1, 2000))
    with torch.inference_mode():
        found = model.encode(spectrum)
        x = model.split(torch.view_as_real(spectrum).permute(2, 0, 3, 1, 4).flatten(-2))
        outs: list[torch.Tensor] = []
        for time, frequency in model.layers:
            x = x + sum(outs) if outs else x
            x = frequency(time(x.flatten(1, 2)).view_as(x).flatten(0, 1)).view_as(x)
            outs.append(x)
    torch.testing.assert_close(found, x)


def test_a_mask_of_ones_gives_the_mixture_back():
    model = mel_roformer.build(tiny(hop_samples=100)).eval()
    model.mask = lambda head, tokens: torch.ones(1, dtype=torch.complex64)
    for samples in (1, 255, 256, 257, 1000, 4321):
        mixture = torch.randn(2, 1, samples)
        with torch.inference_mode():
            torch.testing.assert_close(model(mixture)[:, 0], mixture, atol=1e-5, rtol=1e-4)


def test_the_objective_is_about_the_stems_alone():
    model = mel_roformer.build(tiny())
    learner = mel_roformer.Pretraining(model)
    sources = 0.1 * torch.randn(1, 3, 1, 3000)
    found = learner({"mixture": sources.sum(1), "sources": sources})
    l1 = (model(sources.sum(1)) - sources[:, :1]).abs().mean()
    torch.testing.assert_close(found["l1"], l1)
    torch.testing.assert_close(found["loss"], found["l1"] + found["spectral"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head_width": 7}, "head_width 7 is odd"),
        ({"hop_samples": 300}, "hop_samples 300 must lie between 1 and half the FFT"),
        ({"stems": ()}, "name at least one"),
        ({"band_bins": (3, 4)}, "band_bins sum to 7"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(InputError, match=words):
        tiny(**changes)


def test_other_channels_are_refused():
    with pytest.raises(InputError, match="2 channels; this model hears 1"):
        mel_roformer.build(tiny())(torch.zeros(1, 2, 1000))


@pytest.mark.parametrize(
    ("name", "millions"), [("mel-roformer-paper-small", 9.1), ("mel-roformer-paper-large", 50.7)]
)
def test_sizes_of_which_the_paper_gives_the_count_alone(name, millions):
    model = registry.build(name, device="meta")
    assert abs(sum(p.numel() for p in model.parameters()) / 1e6 - millions) < 0.06
