"""USS: what it can be asked, its strategy, its objective, and official files."""

import dataclasses

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.systems.separate import universal
from sonograph.systems.separate.universal.query import without_silence

TINY = {"fft_samples": 256, "hop_samples": 80, "channels": (4, 6)}
SIX = (4, 4, 6, 6, 8, 8)


@pytest.fixture(scope="module")
def model() -> universal.Universal:
    return registry.build("universal-test").eval()


def noise(samples: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(seed))


def given(condition: int = 3, **more) -> universal.Universal:
    config = universal.Config(
        rate_hz=16000, query="given", tagger=None, condition=condition, **{**TINY, **more}
    )
    torch.manual_seed(0)
    return universal.build(config).eval()


# --- what it can be asked ---


def test_a_class_asks_for_itself_and_a_node_for_what_is_under_it(model):
    assert model.classes == ("speech", "music", "noise")
    assert model.condition_of_class("Speech").tolist() == [1, 0, 0]
    assert model.condition_of_class("Human sounds").tolist() == [1, 0, 0]
    everything = model.condition_of_class("Channel, environment and background")
    assert everything.tolist() == [0, 0, 1]


def test_a_class_can_ask_with_the_tags_that_are_typical_of_it():
    model = registry.build("universal-test").eval()
    sounds = noise(16000, 3)[:, 0]
    model.learn_typical("music", sounds)
    told = model.query.tags(sounds).mean(0)
    torch.testing.assert_close(model.condition_of_class("music"), told)
    assert model.condition_of_class("speech").tolist() == [1, 0, 0]
    assert "typical" in model.state_dict()  # it is kept with the weights


def test_what_matches_nothing_says_what_is_known(model):
    with pytest.raises(InputError, match=r"no sound 'speach' is known.*'speech'.*noise"):
        model.condition_of_class("speach")
    with pytest.raises(InputError, match="Known are: speech, music, noise"):
        model.condition_of_class("Animal")  # of the ontology, but nothing here is one
    with pytest.raises(InputError, match="no sound 'dog'"):
        registry.build("universal-test", asks=("dog",))


def test_asked_shares_the_weights_and_names_the_stems(model):
    asked = model.asked({"a": model.condition_of_class("music"), "b": torch.zeros(3)})
    assert asked.stems == ("a", "b")
    assert asked.rest == "rest"
    assert (asked.rate_hz, asked.channels) == (16000, 1)
    mixture = noise(5000, 2)
    with torch.no_grad():
        made = asked(mixture)
        music = model(mixture)[:, 1]
        alone = model.net(mixture, torch.zeros(2, 3))
    assert made.shape == (2, 2, 1, 5000)
    torch.testing.assert_close(made[:, 0], music)
    torch.testing.assert_close(made[:, 1], alone)
    assert next(asked.parameters()) is next(model.parameters())
    assert not asked.training


def test_asked_for_classes_is_described_as_the_model_with_these_stems(model):
    asked = model.asked({"noise": model.condition_of_class("noise")})
    again = weights.build(asked.describe())
    assert again.stems == ("noise",)
    with pytest.raises(InputError, match="are not kept"):
        model.asked({"noise": torch.full((3,), 0.5)}).describe()


def test_conditions_of_another_model_are_refused(model):
    with pytest.raises(InputError, match=r"shape \(4,\)"):
        model.asked({"x": torch.zeros(4)})
    with pytest.raises(InputError, match="nothing is asked"):
        model.asked({})
    with pytest.raises(InputError, match="call `asked`"):
        given()(noise(100))


def test_an_example_asks_with_the_mean_of_its_segments(model):
    loud, size = noise(32000)[0, 0], model.window_samples
    with torch.no_grad():
        both = model.query(torch.stack([loud[:size], loud[size:]])).mean(0)
    torch.testing.assert_close(model.condition_of_example(loud), both)
    silence = torch.zeros(16000)
    torch.testing.assert_close(model.condition_of_example(torch.cat([loud, silence])), both)
    torch.testing.assert_close(model.condition_of_example(loud.numpy()), both)
    assert model.condition_of_example(loud[:500]).shape == (3,)  # repeated until it is heard


def test_examples_that_cannot_be_asked_with(model):
    with pytest.raises(InputError, match="silent"):
        model.condition_of_example(torch.zeros(16000))
    with pytest.raises(InputError, match="silent"):
        model.condition_of_example(torch.zeros(0))
    with pytest.raises(InputError, match="mix it down"):
        model.condition_of_example(noise(100, 2)[:, 0])
    with pytest.raises(InputError, match="no query net"):
        given().condition_of_example(noise(100)[0, 0])


def test_silent_pieces_are_left_out_beside_the_loudest():
    quiet = 0.001 * torch.ones(1600)
    told = without_silence(torch.cat([quiet, torch.zeros(1600), quiet]), 16000)
    assert told.shape == (3200,)


def test_detect_answers_for_each_segment_of_blocks(model):
    sound = noise(40000)[0, 0]
    whole = model.detect(sound)
    assert list(whole) == ["speech", "music", "noise"]
    assert whole["music"].shape == (3,)  # of a second each, the last one of half
    blocks = model.detect(iter([sound[:7], sound[7:20000], sound[20000:]]))
    assert all(torch.equal(blocks[name], whole[name]) for name in whole)
    assert not any(told.any() for told in model.detect(torch.zeros(9000)).values())
    with pytest.raises(InputError, match="no samples"):
        model.detect(torch.zeros(0))


def test_blocks_of_files_and_numpy_are_heard_too(model):
    sound = noise(24000)[0].numpy()
    whole = model.detect(sound)
    blocks = model.detect(iter([sound[:, :9000], sound[:, 9000:]]))
    assert all(torch.equal(blocks[name], whole[name]) for name in whole)
    with pytest.raises(InputError, match="mix it down"):
        model.detect(np.zeros((2, 8000), np.float32))


# --- the hierarchical strategy ---


def test_nodes_of_a_level_with_their_classes(model):
    masks = model.hierarchy(1)
    told = {name: mask.tolist() for name, mask in masks.items()}
    assert told == {
        "Human sounds": [1, 0, 0],
        "Music": [0, 1, 0],
        "Channel, environment and background": [0, 0, 1],
    }
    assert list(model.hierarchy(3)) == ["Speech"]
    with pytest.raises(InputError, match="level 6"):
        model.hierarchy(6)


def test_nodes_that_are_present(model):
    detected = {
        "speech": torch.tensor([0.1, 0.3]),
        "music": torch.tensor([0.1, 0.19]),
        "noise": torch.tensor([0.0, 0.0]),
    }
    found = model.present(detected, model.hierarchy(1))
    assert list(found) == ["Human sounds"]
    assert found["Human sounds"].tolist() == pytest.approx([0.1, 0.3])


def test_following_asks_with_the_tags_of_the_window(model):
    masks, mixture = model.hierarchy(1), noise(16000, 2)
    follow = model.following(masks, least=0.0)
    with torch.no_grad():
        made = follow(mixture)
        tags = model.query.tags(mixture[:, 0])
        wanted = model.net(mixture, tags * torch.tensor([0.0, 1.0, 0.0]))
    assert follow.stems == tuple(masks)
    torch.testing.assert_close(made[:, 1], wanted)
    with torch.no_grad():
        assert not model.following(masks, least=1.1)(mixture).any()
    with pytest.raises(InputError, match="no class names"):
        given().following({"a": torch.ones(1)})


# --- objective and configuration ---


def test_the_loss_is_the_distance_from_the_first_source(model):
    objective = universal.Pretraining(model)
    sources = torch.stack([noise(4000, 2), noise(4000, 2, seed=1)], dim=1)
    batch = {"mixture": sources.sum(1), "sources": sources}
    with torch.no_grad():
        asked = objective({**batch, "condition": torch.zeros(2, 3)})["loss"]
        made = model.net(batch["mixture"], torch.zeros(2, 3))
        heard = objective(batch)["loss"]
        told = objective({**batch, "condition": model.query(sources[:, 0, 0])})["loss"]
    torch.testing.assert_close(asked, (made - sources[:, 0]).abs().mean())
    assert heard == told
    assert heard != asked


def test_magnitudes_may_be_part_of_the_loss():
    model = given(loss="waveform+magnitude")
    sources = torch.stack([noise(4000), noise(4000, seed=1)], dim=1)
    batch = {"mixture": sources.sum(1), "sources": sources}
    with pytest.raises(InputError, match='give "condition"'):
        universal.Pretraining(model)(batch)
    found = universal.Pretraining(model)({**batch, "condition": torch.ones(1, 3)})
    torch.testing.assert_close(found["loss"], found["waveform"] + found["magnitude"])


def test_the_tagger_stays_as_it_is_and_an_adaptor_learns():
    base = registry.preset("universal-test").make()
    config = dataclasses.replace(base, query="embedding", condition=7, asks=())
    model = universal.build(config).train()
    assert not model.query.tagger.training
    assert not model.classes
    assert model.query(noise(8000)[:, 0]).shape == (1, 7)
    sources = torch.stack([noise(4000, 2), noise(4000, 2, seed=1)], dim=1)
    universal.Pretraining(model)({"mixture": sources.sum(1), "sources": sources})["loss"].backward()
    assert all(weight.grad.any() for weight in model.query.adaptor.parameters())
    assert all(weight.grad is None for weight in model.query.tagger.parameters())
    with pytest.raises(InputError, match="give an example"):
        model.condition_of_class("speech")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fft_samples": 500}, "cannot halve"),
        ({"hop_samples": 0}, "hop_samples is 0"),
        ({"query": "given"}, "has no tagger"),
        ({"rate_hz": 8000}, "give both the same"),
        ({"query": "given", "tagger": None}, "how wide"),
    ],
)
def test_configurations_that_do_not_fit(changes, words):
    base = registry.preset("universal-test").make()
    with pytest.raises(InputError, match=words):
        dataclasses.replace(base, **changes)


def test_an_open_mask_gives_the_mixture_back_but_for_its_top_bin():
    net = given().net
    time = torch.arange(4000)
    low = 0.3 * torch.sin(0.2 * time)[None, None]
    top = 0.3 * torch.cos(torch.pi * time)[None, None]  # at half the rate
    spectrum, looks = net.look(low + top)
    shut = torch.zeros(1, 3, *looks.shape[2:])
    masks = shut + torch.tensor([50.0, 9.0, 0.0])[:, None, None]
    alone, _ = net.look(low)
    torch.testing.assert_close(net.sound(masks, alone, 4000), low, atol=1e-3, rtol=0)
    turned = shut + torch.tensor([50.0, -9.0, 0.0])[:, None, None]
    torch.testing.assert_close(net.sound(turned, alone, 4000), -low, atol=1e-3, rtol=0)
    nyquist, _ = net.look(top)
    left = net.sound(masks, nyquist, 4000)
    assert left.abs().max() < 0.6 * top.abs().max()
    # a mask of nothing has no angle: what is turned by none is gone, as in the official code
    assert not net.sound(shut, spectrum, 4000).any()


def test_mini_hears_with_the_bundled_tagger():
    config = registry.preset("universal-mini").make()
    tagger = weights.load(weights.BUNDLED_TAGGER)
    assert config.tagger == tagger.config
    model = universal.build(config)
    weights.load_state(model.query.tagger, tagger.state_dict(), "the tagger")
    assert model.condition_of_class("Animal").count_nonzero() == 2  # dog and rooster
    assert set(model.hierarchy(1)) >= {"Human sounds", "Animal", "Music", "Natural sounds"}


# --- official files ---


def published(model: universal.Universal, prefix: str = "ss_model.") -> dict[str, torch.Tensor]:
    """A separator under official names, with the matrices that such files carry."""
    ours = model.net.state_dict()
    found = {}
    for old, new in universal.PUBLISHED_NAMES:
        start = new.removeprefix("net.").removesuffix("{}")
        for name, value in ours.items():
            if name.startswith(start) and "." not in name[len(start) :]:
                found[prefix + old.removesuffix("{}") + name[len(start) :]] = value
    for part in ("weight", "bias"):
        rows = ours[f"film.map.{part}"].split(model.net.unet.shift_widths)
        names = universal.published.SHIFTS
        found |= {f"{prefix}{n}.{part}": row for n, row in zip(names, rows, strict=True)}
    extra = ("stft.conv_real.weight", "istft.conv_imag.weight", "istft.ola_window")
    return found | {f"{prefix}base.{name}": torch.zeros(2) for name in extra}


def six_blocks(condition: int) -> universal.Universal:
    return given(condition, channels=SIX)


def test_names_there_and_back():
    model = six_blocks(5)
    state = published(model)
    assert universal.is_published(state)
    assert "ss_model.film.decoder_block6->conv_block2->beta2.bias" in state
    ours = universal.from_published(state)
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[name], value) for name, value in model.state_dict().items())


def test_a_file_without_its_query_net_is_asked_with_given_conditions(tmp_path):
    with torch.device("meta"):
        model = universal.build(registry.preset("universal-audiosep").make())
    empty = {name: torch.empty_like(v, device="meta") for name, v in published(model).items()}
    config = universal.config_from_published(empty)
    assert (config.query, config.condition, config.window_s) == ("given", 512, 5.0)
    plain = universal.config_from_published(
        {name.removeprefix("ss_model."): value for name, value in empty.items()}
    )
    assert plain == config


def test_files_that_do_not_fit_say_why():
    state = published(six_blocks(5))
    assert not universal.is_published({"base.bn0.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="4 channels, ResUNet30 has 32"):
        universal.load_published(state)
    lacks = {n: v for n, v in state.items() if "decoder_block2->beta1.bias" not in n}
    with pytest.raises(InputError, match=r"lacks film\.decoder_block2->beta1\.bias"):
        universal.from_published(lacks)
    with pytest.raises(InputError, match=r"base\.odd\.weight"):
        universal.from_published({**state, "ss_model.base.odd.weight": torch.zeros(1)})


def test_counts_and_kinds_of_files_with_a_query_net():
    for name in ("resunet30", "resunet30-embedding", "resunet30-adaptive"):
        with torch.device("meta"):
            wanted = registry.preset(f"universal-{name}").make()
            model = universal.build(wanted)
        state = published(model)
        tags = {"bn0.{}": "norm", "fc1.{}": "embedding"}
        base = {
            f"conv_block{n}.{part}.weight": value
            for n, block in enumerate(model.query.tagger.encoder.blocks.values(), 1)
            for part, value in (("conv1", block.conv1.weight),)
        }
        for old, new in tags.items():
            layer = getattr(model.query.tagger.encoder, new)
            base |= {old.format("weight"): layer.weight, old.format("bias"): layer.bias}
        head = model.query.tagger.head
        base |= {"fc_audioset.weight": head.weight, "fc_audioset.bias": head.bias}
        state |= {f"query_net.base.{n}": value for n, value in base.items()}
        if model.query.adaptor is not None:
            state["query_net.fc1.weight"] = model.query.adaptor.first.weight
        assert universal.config_from_published(state) == wanted, name
