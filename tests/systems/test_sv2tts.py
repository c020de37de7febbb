"""Counts, published files, voices that are copied or made up, stops, and the samples' alphabet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.infer.speak import Voice
from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.outputs import Audio
from sonograph.systems.speak import sv2tts
from sonograph.systems.speak.sv2tts import sampling, speaking
from sonograph.systems.speak.sv2tts.objective import losses
from sonograph.systems.speak.sv2tts.speaker import prepared, spread, starts_of, without_silence

TONE = 0.1 * np.sin(np.arange(32000) * 2 * np.pi * 200 / 16000).astype(np.float32)


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(n: int = 7) -> Text:
    ids = torch.arange(1, n + 1)[None]
    return Text(ids, torch.tensor([n]), torch.zeros_like(ids))


@pytest.mark.parametrize(
    ("name", "count"), [("sv2tts-mini", 2_453_089), ("sv2tts-tacotron2-mini", 1_891_681)]
)
def test_minis_have_the_counts_of_80_phones(name, count):
    model = registry.build(name, device="meta", tokens=80)
    assert sum(p.numel() for p in model.parameters()) == count


# --- who speaks


def test_like_sets_the_voice_and_it_is_kept(tmp_path):
    model, encoder = registry.build("sv2tts-test").eval(), registry.build("sv2tts-encoder-test")
    before = model.speak(text(), generator=drawn())
    found = model.like(Audio(TONE, 16000), encoder)
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert (found >= 0).all()
    assert torch.equal(model.voice, found)
    after = model.speak(text(), generator=drawn())
    assert not torch.equal(before.features[..., :5], after.features[..., :5])
    weights.save_folder(tmp_path, model, {"name": "kept"})
    loaded = weights.load(tmp_path)
    assert torch.equal(loaded.voice, found)
    voice = Voice(loaded, registry.build("istftnet-test"))
    loaded.listener = [encoder]
    voice.imitate(Audio(TONE[::2].copy(), 8000))


def test_a_vector_for_each_text():
    model = registry.build("sv2tts-test").eval()
    one = text()
    two = Text(*(part.repeat(2, *[1] * (part.ndim - 1)) for part in one))
    both = torch.stack([sv2tts.fictitious(16, drawn(seed)) for seed in (1, 2)])
    said = model.speak(two, generator=drawn(), speakers=both)
    alone = model.speak(one, generator=drawn(), speakers=both[:1])
    torch.testing.assert_close(
        said.features[:1, :, : int(said.lengths[0])], alone.features, atol=1e-5, rtol=1e-5
    )
    with pytest.raises(InputError, match="vectors of 16"):
        model.speak(one, speakers=torch.zeros(1, 7))


def test_a_fictitious_speaker_is_a_unit_vector_without_negative_parts():
    model = registry.build("sv2tts-test")
    one, two = model.invent(drawn(1)), model.invent(drawn(2))
    assert not torch.equal(one, two)
    assert torch.equal(one, model.invent(drawn(1)))
    for vector in (one, two):
        assert (vector >= 0).all()
        torch.testing.assert_close(vector.norm(), torch.tensor(1.0))


def test_voices_that_cannot_be_copied():
    encoder = registry.build("sv2tts-encoder-test")
    model = registry.build("sv2tts-test")
    one_voice = registry.build("sv2tts-test", **{"tacotron2.speaker": 0})
    for ask in (lambda: one_voice.like(TONE, encoder), one_voice.invent):
        with pytest.raises(InputError, match="one voice"):
            ask()
    with pytest.raises(InputError, match="silent"):
        model.like(np.zeros(16000, np.float32), encoder)
    with pytest.raises(InputError, match="not finite"):
        model.like(np.full(16000, np.nan, np.float32), encoder)
    other = registry.build("sv2tts-encoder-test", **{"encoder.embedding": 8})
    with pytest.raises(InputError, match="gives 8 numbers, this model takes 16"):
        model.like(TONE, other)


def test_without_an_encoder_it_says_where_one_is(monkeypatch):
    import importlib.util

    model, find = registry.build("sv2tts-test"), importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "resemblyzer" else find(name)
    )
    with pytest.raises(InputError, match="pip install resemblyzer"):
        model.like(TONE)


# --- the encoder's preparation


def test_quiet_sound_is_raised_and_loud_sound_is_left():
    quiet = prepared(0.001 * TONE, 16000)
    level = 20 * np.log10(np.sqrt(np.mean(quiet**2)))
    assert level == pytest.approx(-30, abs=0.1)
    assert np.abs(prepared(TONE, 16000)).max() == pytest.approx(0.1, rel=1e-3)


def test_long_silence_is_cut_and_short_gaps_stay():
    gap = np.zeros(1440, np.float32)  # 90 ms
    long = np.zeros(32000, np.float32)
    kept = without_silence(np.concatenate([TONE, gap, TONE, long, TONE]), 16000)
    assert 3 * len(TONE) <= len(kept) < 3 * len(TONE) + 16000
    assert len(without_silence(TONE[:100], 16000)) == 100


def test_decisions_are_smoothed_and_spread():
    lone = np.zeros(40, bool)
    lone[20] = True
    assert not spread(lone).any()
    lone[18:26] = True
    assert spread(lone).sum() > 8
    assert len(spread(np.ones(5, bool))) == 5


def test_windows_of_both_rules():
    model = registry.build("sv2tts-encoder-test")
    overlap, rate = (model.config.override(partials=rule) for rule in ("overlap", "rate"))
    assert np.diff(starts_of(16000 * 10, overlap, model.spec)).tolist() == [80] * 11
    assert set(np.diff(starts_of(16000 * 10, rate, model.spec)).tolist()) == {77}


def test_features_of_others_are_refused():
    with pytest.raises(InputError, match="takes 40"):
        registry.build("sv2tts-encoder-test")(torch.zeros(1, 80, 20))


def test_the_paper_s_encoder_says_unit_vectors_with_negative_parts():
    small = {"encoder.width": 24, "encoder.projection": 8, "encoder.embedding": 8}
    vector = registry.build("sv2tts-encoder-paper", **small)(torch.randn(1, 40, 20))
    torch.testing.assert_close(vector.norm(), torch.tensor(1.0))
    assert vector.min() < 0
    with pytest.raises(InputError, match="is the embedding itself"):
        sv2tts.Encoder(projection=8)


# --- published files


def named(model: torch.nn.Module, table: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """A model's weights under their published names."""
    back = [(ours, theirs) for theirs, ours in table]
    state = {name: value for name, value in model.state_dict().items() if name != "voice"}
    return weights.rename(state, back)


@pytest.mark.parametrize("name", ["sv2tts-test", "sv2tts-rtvc-test", "sv2tts-encoder-test"])
def test_a_published_file_loads_and_tells_its_sizes(name, tmp_path):
    from sonograph.systems.speak.sv2tts import published

    model = registry.build(name)
    part = model.whole.part if hasattr(model, "whole") else model.config.part
    table = {
        "encoder": published.ENCODER,
        "tacotron2": published.TACOTRON2,
        "hybrid": published.HYBRID,
    }[part]
    state = named(model, table)
    if part == "encoder":
        state |= {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    file = {"step": 3, "model_state": state, "optimizer_state": {"state": {}}}
    torch.save(file, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    loaded = weights.load(tmp_path / "old.pt")
    for key, value in model.state_dict().items():
        if key != "voice":
            assert torch.equal(loaded.state_dict()[key], value)


def test_a_tacotron2_of_several_frames_a_step_is_refused():
    from sonograph.systems.speak.sv2tts import published

    state = named(registry.build("sv2tts-test"), published.TACOTRON2)
    last = next(name for name in state if name.endswith("linear_projection.linear_layer.weight"))
    state[last] = state[last].repeat(2, 1)
    with pytest.raises(InputError, match="n_frames_per_step"):
        sv2tts.config_from_published(state)


def test_a_published_wavernn_loads(tmp_path):
    model = registry.build("sv2tts-wavernn-test")
    torch.save({"model_state": model.state_dict() | {"step": torch.ones(1)}}, tmp_path / "v.pt")
    loaded = weights.load(tmp_path / "v.pt")
    assert loaded.config.wavernn.samples == sv2tts.Samples(bits=6)
    assert loaded.config.wavernn.upsampling == model.config.wavernn.upsampling


# --- synthesizers


@pytest.mark.parametrize("name", ["sv2tts-test", "sv2tts-rtvc-test"])
def test_it_stops_when_it_says_so(name):
    model = registry.build(name).eval()
    torch.nn.init.zeros_(model.stop.weight)
    torch.nn.init.constant_(model.stop.bias, 9.0)
    soon = model.speak(text(), generator=drawn())
    assert speaking.LEAST_FRAMES < int(soon.lengths[0]) <= speaking.LEAST_FRAMES + 2
    torch.nn.init.constant_(model.stop.bias, -9.0)
    assert int(model.speak(text(), generator=drawn()).lengths[0]) == 60


def test_as_published_it_stops_like_the_official_code():
    nvidia = registry.build("sv2tts-test", **{"tacotron2.compat": "published"}).eval()
    rtvc = registry.build(
        "sv2tts-rtvc-test",
        **{"hybrid.compat": "published", "hybrid.at_once": 4, "hybrid.most_frames": 58},
    ).eval()
    for model, bias, frames in ((nvidia, 9.0, 1), (nvidia, -9.0, 60), (rtvc, -9.0, 60)):
        torch.nn.init.zeros_(model.stop.weight)
        torch.nn.init.constant_(model.stop.bias, bias)
        said = model.speak(text(), generator=drawn())
        assert said.features.shape[2] == int(said.lengths[0]) == frames
    # the last of their steps is whole in training too, and what it says too much costs nothing
    features, lengths = torch.zeros(1, 80, 10), torch.tensor([10])
    taught = rtvc(text(), features, lengths)
    assert taught.refined.shape[1] == taught.stop.shape[1] == 12
    batch = SpeechBatch(text(), features, lengths)
    assert torch.isfinite(losses(rtvc, taught, batch)["loss"])


@pytest.mark.parametrize("name", ["sv2tts-test", "sv2tts-rtvc-test"])
def test_dropout_stays_on_and_can_be_repeated(name):
    model = registry.build(name).eval()
    one, same, other = (model.speak(text(), generator=drawn(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.features, same.features)
    assert not torch.equal(one.features[..., :5], other.features[..., :5])


@pytest.mark.parametrize("name", ["sv2tts-test", "sv2tts-rtvc-test"])
def test_true_frames_say_what_free_running_said(name):
    """Generation, then its own frames as the past: the same frames again."""
    off = {f"{'hybrid' if 'rtvc' in name else 'tacotron2'}.prenet_dropout": 0.0}
    model = registry.build(name, **off).eval()
    plain = []
    model.project.register_forward_hook(lambda _, __, out: plain.append(out))
    free, lengths, attention = model.generate(text(), None, None)
    frames = (
        torch.cat([x.reshape(1, 80, -1)[:, :, :2] for x in plain], 2)
        if "rtvc" in name
        else (torch.stack(plain, 2))
    )
    taught = model(text(), frames, lengths)
    torch.testing.assert_close(taught.refined.transpose(1, 2), free, atol=1e-4, rtol=1e-4)
    assert attention.shape == (1, int(lengths[0]), 7)


def test_bad_texts_are_refused():
    model = registry.build("sv2tts-test").eval()
    with pytest.raises(InputError, match="without tokens"):
        model.speak(text(0))
    with pytest.raises(InputError, match="not one of the model's 77"):
        model.speak(text(90))
    with pytest.raises(InputError, match="at_once is 9"):
        sv2tts.Hybrid(most_at_once=4, at_once=9)


# --- samples


@pytest.mark.parametrize("kind", ["mu-law", "logistics"])
def test_samples_come_back(kind):
    said = sampling.Said(sv2tts.Samples(kind))
    x = torch.linspace(-1, 1, 101)
    torch.testing.assert_close(said.decode(said.encode(x)), x, atol=0.02, rtol=0)


def test_drawing_follows_the_shares():
    said = sampling.Said(sv2tts.Samples(bits=3))
    logits = torch.tensor([0.1, 0.2, 0.05, 0.05, 0.1, 0.1, 0.3, 0.1]).log().expand(4000, -1)
    found = said.draw(logits, torch.rand(4000, 1, generator=drawn()))
    shares = torch.bincount(((found + 1) / 2 * 7).round().long(), minlength=8) / 4000
    torch.testing.assert_close(shares, logits[0].exp(), atol=0.03, rtol=0)


def test_logistics_are_drawn_as_they_are_scored():
    """The mean of -log p over draws of one logistic is its entropy, ln(scale) + 2, in steps."""
    said = sampling.Said(sv2tts.Samples("logistics", mixtures=1, least_log_scale=-7.0))
    logits = torch.tensor([0.0, 0.1, -4.0]).expand(8000, -1)
    drawn_ = said.draw(logits, torch.rand(8000, 2, generator=drawn()))
    loss = said.loss(logits[None], drawn_[None])
    assert float(loss) == pytest.approx(-4.0 + 2 - np.log(2 / 65535), abs=0.05)


@pytest.mark.parametrize("name", ["sv2tts-wavernn-test", "sv2tts-wavenet-test"])
def test_sample_by_sample_is_what_it_learned(name):
    """Logits of generation equal those of the teacher-forced pass over what it said."""
    model = registry.build(name).eval()
    seen, draw = [], model.said.draw

    def watched(logits, uniform):
        seen.append(logits)
        return draw(logits, uniform)

    model.said.draw = watched
    features = torch.randn(1, 8, 12, generator=drawn())
    with torch.no_grad():
        mel, frames = model.condition(features)
        cut = sampling.pieces_of(mel.shape[1], model.sizes.folding)
        assert cut.starts == [0]
        noise = sampling.uniforms(cut, model.said.draws, drawn())
        zero = torch.zeros(1, dtype=torch.int64)
        made = model.pieces(mel, frames, zero, zero, noise)
        before = torch.nn.functional.pad(made, (1, 0))[:, :-1]
        want = model.logits(before, features)
    torch.testing.assert_close(torch.stack(seen, 1), want, atol=1e-4, rtol=1e-4)


def test_pieces_meet_without_a_seam():
    folding = sv2tts.Folding(400, 100)
    cut = sampling.pieces_of(1500, folding)
    sound = torch.sin(torch.arange(2000) / 7.0)
    same = torch.stack([sound[start : start + cut.length] for start in cut.starts])
    found = sampling.joined(same, cut, folding.overlap)
    inside = torch.ones(1500, dtype=torch.bool)
    for start in cut.starts[1:]:
        inside[start : start + folding.overlap] = False
    assert len(found) == 1500
    torch.testing.assert_close(found[inside], sound[:1500][inside])
    assert (found.abs() <= 1.5).all()


def test_emphasis_is_undone():
    x = torch.randn(2, 3000, generator=drawn())
    back = sampling.plain_again(sampling.emphasised(x, 0.97), 0.97)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)


def test_upsampling_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="does not make a hop of 200"):
        registry.build("sv2tts-wavernn", **{"wavernn.upsampling.factors": (5, 5, 7)})


@pytest.mark.parametrize("name", ["sv2tts-wavernn-test", "sv2tts-wavenet-test"])
def test_samples_are_drawn_in_full_precision_from_weights_in_half(name):
    model = registry.build(name).eval()
    features = torch.zeros(1, model.spec.rows, 2)
    whole = model(features, drawn())
    half = model.bfloat16()(features.bfloat16(), drawn())
    assert torch.isfinite(half).all()
    assert (half - whole).abs().mean() < 0.1 * whole.abs().mean()
