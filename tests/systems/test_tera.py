from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import pytest
import torch

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.nn.layers import WeightedLayers
from sonograph.systems.represent import ssast, tera
from sonograph.train.adapt import adapt


def features(batch: int = 4, frames: int = 100, rows: int = 80) -> torch.Tensor:
    return torch.randn(batch, rows, frames, generator=torch.Generator().manual_seed(3))


# --- objective


def test_the_loss_is_of_altered_positions_alone():
    model = tera.Pretraining(tera.Tera(tera.test())).eval()
    x = features(2)
    positions = torch.zeros_like(x, dtype=torch.bool)
    positions[0, 10:20, 5:9] = True
    made = model.reconstruct(x, None)
    loss = model.loss(x, None, tera.Altered(x, positions))["loss"]
    torch.testing.assert_close(loss, (made - x).abs()[0, 10:20, 5:9].mean())
    nothing = model.loss(x, None, tera.Altered(x, torch.zeros_like(positions)))["loss"]
    assert nothing == 0


def test_patches_of_another_encoder_are_reconstructed():
    model = tera.Pretraining(ssast.SSAST(ssast.test()))
    assert model.column_frames == 16
    for frames in (128, 100, 16):
        assert model.reconstruct(features(2, frames, 128), None).shape == (2, 128, frames)


# --- encoder


@torch.no_grad()
def test_long_utterances_are_split_into_equal_parts():
    encoder = tera.Tera(tera.test()).eval()
    x = features(2, 250)
    whole = encoder(x, torch.tensor([250, 130]))
    parts = torch.cat([encoder(part).values for part in x.split(84, dim=2)], dim=1)
    torch.testing.assert_close(whole.values[0], parts[0], atol=1e-5, rtol=1e-5)
    short = encoder(x[1:, :, :130])
    torch.testing.assert_close(whole.values[1, :130], short.values[0], atol=1e-5, rtol=1e-5)
    assert len(encoder.layers(x)) == 3


def test_wrong_inputs():
    encoder = tera.Tera(tera.test())
    with pytest.raises(InputError, match="takes 80 rows of features, not 40"):
        encoder(features(1, 10, 40))
    with pytest.raises(InputError, match="no frames"):
        encoder(features(1, 0))


def test_a_shared_layer_is_one_layer():
    config = tera.test().override(shared="all")
    encoder = tera.Tera(config)
    assert encoder.blocks[0] is encoder.blocks[1]
    alone = sum(p.numel() for p in encoder.blocks[0].parameters())
    separate = sum(p.numel() for p in tera.Tera(tera.test()).parameters())
    assert separate - sum(p.numel() for p in encoder.parameters()) == alone


@pytest.mark.parametrize(("name", "rows"), [("fbank", 240), ("adapted", 39)])
def test_other_features(name, rows):
    spec = getattr(tera, f"{name}_features")()
    values = Frontend(spec)(torch.randn(1, 16000)).values
    assert values.shape[1] == spec.rows == rows
    torch.testing.assert_close(values.mean(2), torch.zeros(1, rows), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(2), torch.ones(1, rows), atol=1e-3, rtol=0)
    config = tera.test().override(features=spec)
    model = tera.Pretraining(tera.Tera(config))
    assert torch.isfinite(model(values, None, torch.Generator().manual_seed(0))["loss"])


# --- weighted layers


def test_layers_are_weighed():
    encoder = tera.Tera(tera.test()).eval()
    summed = WeightedLayers(encoder)
    x = features(2)
    layers = [layer.values for layer in encoder.layers(x)]
    torch.testing.assert_close(summed(x).values, sum(layers) / 3)
    with torch.no_grad():
        summed.weights[1] = 30.0
    torch.testing.assert_close(summed(x).values, layers[1])


def test_a_head_on_weighted_layers_learns_the_weights_and_loads_again(tmp_path):
    model = Classifier(WeightedLayers(tera.Tera(tera.test())), ["a", "b"]).eval()
    model(features(2)).sum().backward()
    assert model.encoder.weights.grad.abs().max() > 0
    with torch.no_grad():
        model.encoder.weights[0] = 2.0
    weights.save_folder(tmp_path, model, {"name": "sum"})
    again = weights.load(tmp_path)
    assert torch.equal(again(features(2)), model(features(2)))


def test_an_encoder_that_hides_its_layers_is_told_so():
    with pytest.raises(InputError, match="does not show its layers"):
        WeightedLayers(ssast.SSAST(ssast.test()))


# --- published files


def official(config: tera.Config) -> dict:
    """A file as the toolkit saves it, of random weights."""
    model = tera.Pretraining(tera.Tera(config))
    back = [(new, old) for old, new in tera.PUBLISHED_NAMES]
    flat = weights.rename(model.state_dict(), back)
    return {
        "Transformer": weights.part_of(flat, "Transformer."),
        "SpecHead": weights.part_of(flat, "SpecHead."),
        "Optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3}]},
        "Step": 7,
        "Upstream_Config": {
            "transformer": {"num_attention_heads": config.num_heads, "hidden_dropout_prob": 0.3},
            "task": {"sequence_length": 777, "noise_proportion": 0.0},
            "audio": {"n_mels": 80, "input": {"feat_type": "mel", "delta": 0}},
        },
    }


def test_an_official_file_loads_with_its_settings(tmp_path):
    found = official(tera.test())
    found["Args"] = argparse.Namespace(seed=1, name="tera")
    torch.save(found, tmp_path / "states-7.ckpt")
    encoder = weights.load(tmp_path / "states-7.ckpt")
    config = encoder.config
    assert (config.num_heads, config.frames, config.dropout) == (4, 777, 0.3)
    assert config.alteration.noise_chance == 0
    key = "encoder.layer.1.attention.self.key.weight"
    assert torch.equal(encoder.blocks[1].attention.key.weight, found["Transformer"][key])


def test_old_names_of_norms_and_old_settings(tmp_path):
    found = official(tera.test())
    for part in ("Transformer", "SpecHead"):
        for name in [n for n in found[part] if "LayerNorm" in n]:
            old = name.replace("weight", "gamma").replace("bias", "beta")
            found[part][old] = found[part].pop(name) + 0.5
    found["Config"] = found.pop("Upstream_Config")
    torch.save(found, tmp_path / "old.ckpt")
    encoder = weights.load(tmp_path / "old.ckpt")
    assert encoder.norm.weight[0] == 1.5
    assert encoder.blocks[0].norm2.bias[0] == 0.5


def test_norms_inside_and_shared_layers(tmp_path):
    config = tera.test().override(norm="pre", shared="all")
    found = official(config)
    for n in range(2):  # as the official modules name one norm twice
        for part in ("weight", "bias"):
            start = f"encoder.layer.{n}"
            value = found["Transformer"][f"{start}.output.LayerNorm.{part}"]
            found["Transformer"][f"{start}.LayerNorm.{part}"] = value
    found["Upstream_Config"]["transformer"]["share_layer"] = True
    torch.save(found, tmp_path / "pre.ckpt")
    encoder = weights.load(tmp_path / "pre.ckpt")
    assert (encoder.config.norm, encoder.config.shared) == ("pre", "all")
    assert torch.isfinite(encoder(features(1)).values).all()


def test_a_file_that_needs_other_classes_is_refused(tmp_path):
    found = official(tera.test())
    found["Scheduler"] = np.random.default_rng(0)
    torch.save(found, tmp_path / "code.ckpt")
    with pytest.raises(InputError, match=r"code\.ckpt .* refused: it needs numpy\S+") as error:
        weights.load(tmp_path / "code.ckpt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer": {}}, "does not tell its heads"),
        ({"transformer": {"num_attention_heads": 4, "hidden_act": "relu"}}, "only gelu is known"),
        ({"audio": {"input": {"feat_type": "wav"}}}, "'wav' are not offered"),
        ({"audio": {"input": {"feat_type": "mel", "log": False}}}, "'mel without log' are not"),
        ({"audio": {"input": {"feat_type": "mel", "delta": 2}}}, "none of the published kinds"),
    ],
)
def test_files_that_cannot_be_told(tmp_path, change, message):
    found = official(tera.test())
    found["Upstream_Config"] |= change
    torch.save(found, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match=message):
        weights.load(tmp_path / "odd.ckpt")


def test_front_ends_told_by_files():
    flat = {"Transformer." + n: v for n, v in official(tera.test())["Transformer"].items()}
    wide = "Transformer.input_representations.spec_transform.weight"
    said = {"transformer": {"num_attention_heads": 4}}
    for rows, audio, spec in (
        (80, {}, tera.mel_features()),
        (160, {}, tera.mel_features().override(deltas=1)),
        (240, {}, tera.fbank_features()),
        (240, {"kaldi": {}}, tera.fbank_features()),
        (240, {"input": {"feat_type": "mel", "delta": 2}}, tera.mel_features().override(deltas=2)),
        (
            40,
            {"n_mels": 40, "win_ms": 30, "n_freq": 257, "input": {"cmvn": False}},
            tera.mel_features().override(
                bins=40, window_samples=480, fft_samples=512, normalise="fixed"
            ),
        ),
    ):
        state = {**flat, wide: torch.zeros(64, rows)}
        found = tera.config_from_published(state, {**said, "audio": audio})
        assert found == dataclasses.replace(tera.test(), frames=1500, features=spec)


@pytest.mark.parametrize("rows", [39, 40])
def test_a_file_of_features_made_elsewhere_is_given_as_many_rows(rows):
    """fMLLR's files say how many numbers a frame has, and nothing of a front-end."""
    flat = {"Transformer." + n: v for n, v in official(tera.test())["Transformer"].items()}
    flat["Transformer.input_representations.spec_transform.weight"] = torch.zeros(64, rows)
    said = {"transformer": {"num_attention_heads": 4, "input_dim": rows}}
    found = tera.config_from_published(flat, said)
    assert (found.features.kind, found.features.rows) == ("mfcc", rows)
    with pytest.raises(InputError, match="none of the published kinds"):
        tera.config_from_published(flat, {**said, "audio": {}})


def test_a_length_of_zero_is_never_split_and_squared_errors_are_squared():
    flat = {"Transformer." + n: v for n, v in official(tera.test())["Transformer"].items()}
    said = {"transformer": {"num_attention_heads": 4}}
    never = tera.config_from_published(flat, {**said, "task": {"sequence_length": 0}})
    assert never.frames == tera.NEVER_SPLIT > 20_000
    squared = tera.config_from_published(flat, {**said, "task": {"loss": "MSE"}})
    features = torch.randn(2, 80, 30, generator=torch.Generator().manual_seed(0))
    everywhere = tera.Altered(torch.zeros_like(features), torch.ones(2, 80, 30, dtype=torch.bool))
    for config, power in ((squared, 2), (tera.test(), 1)):
        model = tera.Pretraining(tera.Tera(config)).eval()
        with torch.no_grad():
            made = model.reconstruct(everywhere.features, None)
            loss = model.loss(features, None, everywhere)["loss"]
        torch.testing.assert_close(loss, (made - features).abs().pow(power).mean())


def test_published_fbank_is_each_clips_own():
    spec = tera.fbank_features()
    waveform = torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
    both = tera.published_features(waveform, torch.tensor([6000, 4000]), spec)
    alone = tera.published_features(waveform[1:, :4000], torch.tensor([4000]), spec)
    assert both.lengths.tolist() == [spec.frames(6000), spec.frames(4000)]
    torch.testing.assert_close(both.values[1:, :, : spec.frames(4000)], alone.values)


def test_low_rank_deltas_stand_on_all_of_attention():
    encoder = adapt(tera.Tera(tera.test()), "lora", head="none", rank=2, where="attention.*")
    trained = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    for part in ("query", "key", "value", "project"):
        assert f"blocks.1.attention.{part}.additions.lora.up" in trained
    assert not any("feedforward" in name for name in trained)
