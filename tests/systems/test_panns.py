from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.feature_spec import Frontend, waveform_spec
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.systems.tag import panns
from sonograph.systems.tag.panns import presets, published
from sonograph.systems.tag.panns.labels import LABELS

# every family and front-end, narrow
SMALL = {
    "cnn": presets.test(),
    "cnn5": dataclasses.replace(presets.test(), kernel=5),
    "attention": dataclasses.replace(presets.test(), decision="attention"),
    "max": dataclasses.replace(presets.test(), decision="max"),
    "mean": dataclasses.replace(presets.test(), decision="mean"),
    "resnet": dataclasses.replace(
        presets.resnet22(),
        channels=(4, 4, 8, 8, 8, 16),
        layers=(1, 2, 1, 1),
        unit="bottleneck",
    ),
    "mobilenetv1": dataclasses.replace(
        presets.mobilenetv1(), channels=(4, 8, 8, 16), pools=(2, 1, 2, 2), embedding=8
    ),
    "mobilenetv2": dataclasses.replace(
        presets.mobilenetv2(), channels=(4, 4, 8, 8, 16), pools=(2, 1, 2, 1, 1), embedding=8
    ),
    "wavegram": dataclasses.replace(
        presets.wavegram_logmel_cnn14(),
        front="wavegram",
        channels=(4, 8, 8),
        pools=(2, 2, 1),
        wave_channels=(4, 4, 4, 32),
    ),
    "both": dataclasses.replace(
        presets.wavegram_logmel_cnn14(),
        channels=(4, 8, 8),
        pools=(2, 2, 1),
        wave_channels=(4, 4, 4, 32),
    ),
    "leenet": dataclasses.replace(
        presets.leenet24(), channels=(4, 8, 8), pools=(1, 3, 1), layers=(2, 1, 2), embedding=8
    ),
    "dainet": dataclasses.replace(
        presets.dainet19(), channels=(4, 4, 8), pools=(4, 4, 1), embedding=8
    ),
    "res1dnet": dataclasses.replace(
        presets.res1dnet31(),
        channels=(4, 4, 8),
        pools=(1, 4, 4),
        layers=(1, 2, 1),
        embedding=8,
    ),
}
SMALL = {
    name: dataclasses.replace(
        config,
        labels=("a", "b", "c"),
        embedding=8,
        frames=101 if config.features.kind == "log_mel" else 12_800,
    )
    for name, config in SMALL.items()
}


@pytest.fixture(params=SMALL)
def model(request) -> panns.PANNs:
    torch.manual_seed(0)
    made = panns.build(SMALL[request.param])
    for name, value in made.state_dict().items():  # norms as if trained, residuals not silent
        if name.endswith("running_mean"):
            value.normal_(0, 0.3)
        elif value.ndim == 1 and name.endswith("weight"):
            value.uniform_(0.5, 1.5)
    return made.eval()


def sound_of(model: panns.PANNs, clips: int = 2, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(clips, model.spec.rows, model.config.frames, generator=random)


@torch.no_grad()
def test_padding_changes_nothing_in_any_network(model):
    features = sound_of(model)
    for share in (0.02, 0.37, 0.9):
        length = int(model.config.frames * share)
        alone = features[:1, :, :length]
        lengths = torch.tensor([length, model.config.frames])
        torch.testing.assert_close(model(features, lengths)[:1], model(alone), atol=1e-5, rtol=1e-5)
        beside, one = model.encoder(features, lengths), model.encoder(alone)
        torch.testing.assert_close(beside.special[:1], one.special, atol=1e-5, rtol=1e-5)
        heard, short = model.events(features, lengths)[:1], model.events(alone)
        torch.testing.assert_close(heard[..., : short.shape[2]], short, atol=1e-5, rtol=1e-5)
        assert not heard[..., short.shape[2] :].any()


@torch.no_grad()
def test_the_grid_is_what_comes_out_and_least_makes_one_column(model):
    encoder = model.encoder
    assert encoder(sound_of(model)).grid == encoder.grid
    assert encoder.columns(encoder.least) == 1
    assert encoder.least == 1 or encoder.columns(encoder.least - 1) == 0
    longer = encoder.least + encoder.column_stride
    assert encoder(torch.zeros(1, model.spec.rows, longer)).grid == (1, 2)


def test_every_weight_that_is_not_idle_learns(model):
    model.train()
    lengths = torch.tensor([model.config.frames // 2, model.config.frames])
    model(sound_of(model), lengths).square().sum().backward()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert torch.isfinite(weight.grad).all(), name


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 1e-9, 1.0, 50.0])
def test_silence_and_clipping_have_finite_answers(model, level):
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    made = Frontend(model.spec)((noise * level).clamp(-1, 1))
    scores = model.scores(model(made.values, made.lengths))
    assert torch.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_one_sample_and_stereo_are_tagged():
    model = panns.build(presets.test()).eval()
    tags = model.tag(Audio(np.full((1, 1), 0.5, np.float32), 32_000))
    assert set(tags.scores) == {"speech", "music", "noise"}
    left = np.random.default_rng(0).standard_normal((2, 20_000)).astype(np.float32)
    stereo = model.tag(Audio(left, 32_000)).scores
    assert stereo == model.tag(Audio(left.mean(0, keepdims=True), 32_000)).scores


@torch.no_grad()
def test_events_lie_where_the_sound_is():
    """A head that answers to loudness: high in the columns of the noise, low elsewhere."""
    config = dataclasses.replace(presets.test(), channels=(4, 4, 4), labels=("loud",), embedding=1)
    model = panns.build(config).eval()
    for block in model.encoder.blocks.values():
        for conv in (block.conv1, block.conv2):
            conv.weight.fill_(1 / conv.weight[0].numel())
    model.encoder.embedding.weight.fill_(0.1)
    model.head.weight.fill_(10)
    model.head.bias.fill_(-5)
    features = torch.zeros(1, 64, 160)
    features[:, :, 64:96] = 10.0
    scores = model.events(features)[0, 0]
    assert scores.shape == (160,)
    assert scores[72:88].min() > 0.9
    assert scores[:40].max() < 0.1
    assert scores[120:].max() < 0.1


@torch.no_grad()
def test_frames_of_events_repeat_their_column():
    model = panns.build(dataclasses.replace(presets.test(), decision="max")).eval()
    features = torch.randn(1, 64, 101)
    scores = model.events(features)
    steps = model.steps(model.encoder.trunk(model.encoder.front(features, None))).sigmoid()
    assert scores.shape == (1, 3, 101)
    assert torch.equal(scores[0, :, 8], steps[0, 1])
    assert torch.equal(scores[0, :, 100], steps[0, -1])
    clip = model.scores(model(features))
    torch.testing.assert_close(clip, steps.amax(1))


@torch.no_grad()
def test_decisions_by_their_formulas():
    torch.manual_seed(0)
    features = torch.randn(1, 64, 101)
    mean = panns.build(dataclasses.replace(presets.test(), decision="mean")).eval()
    last = mean.encoder.trunk(mean.encoder.front(features, None))
    want = mean.steps(last).sigmoid().mean(1)
    torch.testing.assert_close(mean.scores(mean(features)), want, atol=1e-6, rtol=1e-5)


# --- published files


def official(config: panns.Config) -> dict[str, torch.Tensor]:
    """A file of the official layout with a network of ours, by the table of names."""
    back = [(new, old) for old, new in panns.PUBLISHED_NAMES]
    return weights.rename(panns.build(config).state_dict(), back)


@pytest.mark.parametrize(
    "name", ["panns-cnn6", "panns-mobilenetv1", "panns-mobilenetv2", "panns-leenet11",
             "panns-dainet19", "panns-cnn10"]
)  # fmt: skip
def test_every_file_says_which_network_it_holds(name):
    state = official(registry.preset(name).make())
    assert panns.is_published(state)
    assert panns.look_of(panns.config_from_published(state)) == name
    model = panns.load_published({f"module.{key}": value for key, value in state.items()})
    assert model.labels == LABELS
    again = weights.rename(model.state_dict(), [(b, a) for a, b in panns.PUBLISHED_NAMES])
    assert all(torch.equal(again[key], value) for key, value in state.items())


def meta_state(name: str) -> dict[str, torch.Tensor]:
    back = [(new, old) for old, new in panns.PUBLISHED_NAMES]
    return weights.rename(registry.build(name, device="meta").state_dict(), back)


@pytest.mark.parametrize("preset", registry.presets("panns-*"), ids=lambda preset: preset.name)
def test_shapes_tell_every_preset_but_those_that_are_alike(preset):
    if preset.parameters is None:
        pytest.skip("not a published network")
    alike = {"panns-cnn14-decision-max", "panns-cnn14-decision-avg"}
    state = meta_state(preset.name)
    if preset.name in ("panns-cnn14-16k", "panns-cnn14-8k"):
        window = 512 if "16k" in preset.name else 256
        state[published.STFT] = torch.zeros(window // 2 + 1, 1, window)
    told = panns.look_of(panns.config_from_published(state))
    assert told == ("panns-cnn14" if preset.name in alike else preset.name)


def test_another_variant_than_asked_is_named():
    state = official(presets.cnn6())
    with pytest.raises(InputError, match=r"looks like panns-cnn6, not panns-cnn10"):
        panns.load_published(state, "panns-cnn10")
    with pytest.raises(InputError, match=r"looks like panns-cnn6, not panns-leenet11"):
        panns.load_published(state, "panns-leenet11")
    with pytest.raises(InputError, match="no preset of PANNs"):
        panns.load_published(state, "ssast-test")


def test_a_file_that_lacks_a_weight_says_which():
    state = official(presets.cnn6())
    del state["conv_block2.bn1.running_var"]
    with pytest.raises(InputError, match=r"blocks\.2\.bn1\.running_var is missing"):
        panns.load_published(state)


def test_files_are_opened_as_they_were_saved(tmp_path):
    """Iteration, weights and the state of the sampler, which holds arrays."""
    state = official(presets.cnn6()) | {published.STFT: torch.zeros(513, 1, 1024)}
    sampler = {"indexes_per_class": [np.arange(3)], "pointer": np.int64(4), "queue": [1, 2]}
    path = tmp_path / "Cnn6_mAP=0.343.pth"
    torch.save({"iteration": 600_000, "model": state, "sampler": sampler}, path)
    model = weights.load(path)
    assert model.config == presets.cnn6()
    assert torch.equal(model.encoder.blocks["1"].conv1.weight, state["conv_block1.conv1.weight"])


def test_other_numbers_of_labels_are_numbered():
    state = official(dataclasses.replace(presets.test(), labels=("a", "b")))
    assert panns.load_published(state | {published.STFT: torch.zeros(513, 1, 1024)}).labels == (
        "class 0",
        "class 1",
    )


def test_the_527_labels():
    assert len(LABELS) == len(set(LABELS)) == 527
    assert (LABELS[0], LABELS[137], LABELS[526]) == ("Speech", "Music", "Field recording")


# --- bad input


def test_bad_input_is_told_in_a_line():
    model = panns.build(presets.test())
    with pytest.raises(InputError, match="takes 64 bins, not 128"):
        model(torch.zeros(1, 128, 100))
    with pytest.raises(InputError, match="does not take features of kind"):
        dataclasses.replace(presets.test(), features=waveform_spec(32_000))
    with pytest.raises(InputError, match="does not take features of kind"):
        dataclasses.replace(presets.leenet11(), features=panns.logmel())
    with pytest.raises(InputError, match="give one of each for every block"):
        dataclasses.replace(presets.test(), pools=(2, 2))
    with pytest.raises(InputError, match="needs labels"):
        dataclasses.replace(presets.test(), labels=())
    with pytest.raises(InputError, match="no multiple of 32 bins"):
        panns.build(dataclasses.replace(SMALL["both"], wave_channels=(4, 4, 4, 33)))


@pytest.mark.parametrize("name", ["panns-test", "panns-mini"])
def test_heard_is_forward_and_events_at_once(name: str) -> None:
    model = registry.build(name).eval()
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(2, model.spec.rows, 90, generator=draw)
    lengths = torch.tensor([90, 61])
    with torch.no_grad():
        logits, events = model.heard(features, lengths)
        assert torch.equal(logits, model(features, lengths))
        assert torch.equal(events, model.events(features, lengths))
