from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.hiding import Hiding
from sonograph.systems.represent import self_pretraining as system
from sonograph.systems.represent.self_pretraining import Config, Pretraining, build

SMALL = Config(width=24, depth=2, num_heads=2, states=8, frames=64)
VARIANTS = {
    "full": SMALL,
    "learned": dataclasses.replace(SMALL, positions="learned"),
    "sinusoids": dataclasses.replace(SMALL, positions="sinusoids", order="post"),
    "windows": dataclasses.replace(SMALL, positions="rotary", window=16),
    "past": dataclasses.replace(SMALL, sees="past", window=16),
    "batch norm": dataclasses.replace(SMALL, norm="batch"),
    "s4d": dataclasses.replace(SMALL, mixer="space", discretise="zoh", source="ones", sees="past"),
    "s4": dataclasses.replace(SMALL, mixer="space", groups=2, norm="batch", start="legs"),
    "s4 post": dataclasses.replace(SMALL, mixer="space", groups=2, order="post", dropout=0.1),
    "nplr": dataclasses.replace(SMALL, mixer="space", form="nplr", groups=4),
    "nplr past": dataclasses.replace(SMALL, mixer="space", form="nplr", sees="past"),
    "mamba": dataclasses.replace(SMALL, mixer="mamba", states=4),
    "mamba past": dataclasses.replace(SMALL, mixer="mamba", states=4, sees="past"),
    "tokens": dataclasses.replace(SMALL, vocabulary=11, positions="sinusoids"),
    "frames": dataclasses.replace(SMALL, features=FeatureSpec(bins=12)),
}


def inputs(config: Config, batch: int = 2, n: int = 50) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    if config.vocabulary:
        return torch.randint(config.vocabulary, (batch, 1, n), generator=draw).float()
    return torch.rand((batch, config.features.rows, n), generator=draw) * 2 - 1


@pytest.fixture(params=VARIANTS)
def config(request) -> Config:
    return VARIANTS[request.param]


# --- every variant


@torch.no_grad()
def test_padding_changes_nothing(config):
    torch.manual_seed(0)
    encoder, x = build(config).eval(), inputs(config)
    both = encoder(x, torch.tensor([50, 19]))
    alone = encoder(x[1:, :, :19])
    assert both.grid == (1, 50)
    torch.testing.assert_close(both.values[1, :19], alone.values[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.pool()[1], alone.pool()[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_comes_later_is_seen_or_not(config):
    torch.manual_seed(0)
    encoder, x = build(config).eval(), inputs(config, 1)
    other = x.clone()
    other[..., 40] = 1 - other[..., 40] if not config.vocabulary else (other[..., 40] + 1) % 11
    moved = (encoder(other).values - encoder(x).values).abs().amax(2)[0] > 1e-6
    assert moved[40]
    assert bool(moved[:40].any()) == (config.sees == "both")


def test_every_weight_learns(config):
    torch.manual_seed(0)
    model = Pretraining(build(config)).train()
    lengths = torch.tensor([50, 30])
    valid = torch.arange(50) < lengths[:, None]
    seed = next(  # of an odd number of places: the signs of errors cannot cancel out
        seed
        for seed in range(100)
        if model.draw_mask(valid, torch.Generator().manual_seed(seed)).sum() % 2
    )
    parts = model(inputs(config), lengths, torch.Generator().manual_seed(seed))
    parts["loss"].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.abs().max() > 0, name


def test_built_again_from_its_description(config, tmp_path):
    model = Pretraining(build(config)).eval()
    weights.save_folder(tmp_path, model, {"name": "saved"})
    loaded, x = weights.load(tmp_path), inputs(config)
    with torch.no_grad():
        assert torch.equal(loaded.encoder(x).values, model.encoder(x).values)


# --- sizes


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("image", 100_544),
        ("pathfinder", 398_592),
        ("pathx", 398_592),
        ("pathx-256", 1_586_432),
        ("listops", 18_915_328),
        ("text", 18_915_328),
        ("retrieval", 793_344),
        ("speech", 398_592),
    ],
)
def test_published_sizes_of_blocks_and_norms(name, blocks):
    model = registry.build(f"self-pretraining-{name}", device="meta")
    parts = [*model.layers.parameters(), *model.norm.parameters()]
    assert sum(p.numel() for p in parts) == blocks


# --- objective


def test_hidden_places_are_one_vector_and_nothing_else_is():
    """What the flag's column of the official input map adds up to."""
    torch.manual_seed(0)
    model, x = Pretraining(build(SMALL)).eval(), inputs(SMALL)
    hidden = torch.arange(50).expand(2, -1) % 3 == 0
    flag = torch.randn(24)
    with torch.no_grad():
        model.hidden.copy_(flag + model.encoder.project.bias)
        clips = Hiding(model.encoder, x, None)
        assert clips.tokens is not None
        shown = torch.stack([x[:, 0] * ~hidden, hidden.float()], -1)
        two_columns = torch.cat([model.encoder.project.weight, flag[:, None]], 1)
        tokens = shown @ two_columns.T + model.encoder.project.bias
        want = model.encoder.encode(dataclasses.replace(clips.tokens, values=tokens)).values
        torch.testing.assert_close(clips.encode(hidden, model.hidden), want)
        other = x.clone()
        other[:, 0][hidden] = 5.0
        unseen = Hiding(model.encoder, other, None).encode(hidden, model.hidden)
        torch.testing.assert_close(unseen, want)


def test_the_loss_is_of_hidden_places_alone(monkeypatch):
    model, x = Pretraining(build(SMALL)).eval(), inputs(SMALL)
    hidden = torch.arange(50).expand(2, -1) < 10
    monkeypatch.setattr(model, "draw_mask", lambda valid, generator: hidden)
    clips = Hiding(model.encoder, x, None)
    made = model.predict(clips, hidden)[..., 0]
    want = (made - x[:, 0])[:, :10].abs().mean()
    torch.testing.assert_close(model(x, None, torch.Generator())["loss"], want)


def test_masks_hide_the_share_they_say():
    valid = torch.arange(4000) < torch.tensor([[4000], [1000], [1]])
    draw = torch.Generator().manual_seed(0)
    half = Pretraining(build(SMALL)).draw_mask(valid, draw)
    assert abs(float(half[0].float().mean()) - 0.5) < 0.03
    assert abs(float(half[1, :1000].float().mean()) - 0.5) < 0.05
    assert half[2, 0]
    assert not half[~valid].any()
    config = dataclasses.replace(SMALL, mask_share=0.15, mask_span=5)
    spans = Pretraining(build(config)).draw_mask(valid, draw)[0].view(-1, 5)
    assert (spans.all(1) == spans.any(1)).all()
    assert abs(float(spans.float().mean()) - 0.15) < 0.04


def test_levels_and_ids_are_classes():
    config = dataclasses.replace(SMALL, objective="level")
    model = Pretraining(build(config))
    x = torch.tensor([[[-1.0, 0.0, 1.0, 3.0]]])
    assert model.targets(Hiding(model.encoder, x, None)).tolist() == [[0, 128, 255, 255]]
    assert model.decode.out_features == 256
    tokens = VARIANTS["tokens"]
    model, ids = Pretraining(build(tokens)), inputs(tokens)
    assert model.targets(Hiding(model.encoder, ids, None)).tolist() == ids[:, 0].long().tolist()
    assert model(ids, None, torch.Generator())["accuracy"] <= 1


def test_what_follows_is_told_from_the_past():
    past = dataclasses.replace(SMALL, mixer="space", sees="past", objective="next value")
    torch.manual_seed(0)
    model, x = Pretraining(build(past)).eval(), inputs(past)
    assert not hasattr(model, "hidden")
    told = model.decode(model.encoder(x).values)[:, :-1, 0]
    want = (told - x[:, 0, 1:]).abs().mean()
    torch.testing.assert_close(model(x, None, torch.Generator())["loss"], want)
    with pytest.raises(InputError, match='sees "past" alone'):
        Pretraining(build(dataclasses.replace(past, sees="both")))


def test_batch_norm_counts_a_clips_own_places():
    norm = system.TokenBatchNorm(4).train()
    x = torch.randn(2, 6, 4)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    y = norm(x, mask)
    torch.testing.assert_close(y[mask].mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * x[mask].mean(0))
    assert torch.equal(y[~mask], x[~mask])


def test_kernels_of_low_rank_have_a_length_and_one_way_to_be_discrete():
    config = VARIANTS["nplr"]
    with pytest.raises(InputError, match="65 places are more than the 64"):
        build(config)(inputs(config, n=65))
    with pytest.raises(InputError, match="bilinear and learns B"):
        build(dataclasses.replace(config, discretise="zoh"))


def test_the_published_arms_of_state_spaces_have_a_low_rank_term():
    for name in ("image-s4", "pathx-s4", "speech-s4"):
        model = registry.build(f"self-pretraining-{name}", device="meta")
        names = {n.rsplit(".", 1)[1] for n, _ in model.layers[0].named_parameters()}
        assert {"low_rank", "into", "out", "frequency", "log_decay", "log_step"} <= names
        kernel = model.layers[0].space.kernel
        assert len(kernel.out) == 2
        assert kernel.frames == model.config.frames


# --- published files


def official(model: Pretraining) -> dict[str, torch.Tensor]:
    """The official layout of a Transformer, from ours."""
    state, found = model.state_dict(), {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[:2] == ["encoder", "layers"]:
            place, rest = f"model.layers.{parts[2]}.", ".".join(parts[3:])
            if rest.startswith("attention.qkv"):
                for k, part in enumerate(value.chunk(3)):
                    found[f"{place}layer.linears.{k}.{parts[-1]}"] = part
                continue
            for ours, theirs in (
                ("attention.project", "layer.linears.3"),
                ("feedforward.expand", "layer.ff.0.0"),
                ("feedforward.contract", "layer.ff.2"),
                ("norm", "norm.norm"),
            ):
                rest = rest.replace(ours, theirs)
            found[place + rest] = value
        elif name.startswith("encoder.norm."):
            found[f"model.norm.norm.{parts[2]}"] = value
    bias = state["encoder.project.bias"]
    flag = state["hidden"].flatten() - bias
    columns = [state["encoder.project.weight"], flag[:, None]]
    found |= {"encoder.weight": torch.cat(columns, 1), "encoder.bias": bias}
    return found | {f"decoder.{n}": state[f"decode.{n}"] for n in ("weight", "bias")}


def test_official_files_load():
    model = Pretraining(build(system.image())).eval()
    state = official(model)
    assert system.is_published(state)
    loaded = system.load_published(state).eval()
    assert loaded.encoder.config == system.image()
    x = inputs(SMALL)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encoder(x).values, model.encoder(x).values)
        torch.testing.assert_close(loaded.hidden, model.hidden)
    tuned = {name: value for name, value in state.items() if "decoder" not in name}
    tuned["encoder.weight"] = tuned["encoder.weight"][:, :1]
    assert isinstance(system.load_published(tuned), system.SequenceEncoder)


def official_s4(model: Pretraining, places: int) -> dict[str, torch.Tensor]:
    """The layout in which the official trainer saves S4, from ours."""
    names = {
        "out": "C", "log_step": "log_dt", "into": "B", "low_rank": "P", "log_decay": "inv_w_real",
        "frequency": "w_imag",
    }  # fmt: skip
    found = {}
    for number, layer in enumerate(model.encoder.layers):
        place = f"model.layers.{number}."
        for ours, theirs in names.items():
            value = getattr(layer.space.kernel, ours).detach()
            value = value[None] if ours in ("into", "low_rank") else value
            found[f"{place}layer.kernel.kernel.{theirs}"] = value.clone()
        found[f"{place}layer.kernel.kernel.L"] = torch.tensor(places)
        found[f"{place}layer.D"] = layer.space.skip.detach()[None]
        found[f"{place}layer.output_linear.0.weight"] = layer.space.mix.weight.detach()[..., None]
        found[f"{place}layer.output_linear.0.bias"] = layer.space.mix.bias.detach()
        norm = layer.norm.state_dict()
        found |= {f"{place}norm.norm.{name}": value for name, value in norm.items()}
    bias = model.encoder.project.bias.detach()
    columns = [model.encoder.project.weight.detach(), (model.hidden[0, 0].detach() - bias)[:, None]]
    found |= {"encoder.0.weight": torch.cat(columns, 1), "encoder.0.bias": bias}
    decoder = model.decode.state_dict()
    return found | {f"decoder.0.output_transform.{name}": value for name, value in decoder.items()}


def s4_model() -> Pretraining:
    config = dataclasses.replace(VARIANTS["nplr"], order="post", frames=50, num_heads=4)
    torch.manual_seed(0)
    return Pretraining(build(config)).eval()


def test_official_files_of_s4_load(tmp_path):
    model, x = s4_model(), inputs(SMALL)
    state = official_s4(model, places=50)
    assert system.is_published(state)
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    loaded = weights.load(tmp_path / "last.ckpt").eval()
    assert loaded.encoder.config == model.encoder.config
    with torch.no_grad():
        want, got = model.encoder(x).values, loaded.encoder(x).values
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(loaded.hidden, model.hidden)
        torch.testing.assert_close(loaded.decode(got), model.decode(want))
    higher = {n: v.expand(2, *v.shape[1:]) if n.endswith(".P") else v for n, v in state.items()}
    with pytest.raises(InputError, match="not one of rank 2"):
        system.load_published(higher)


@torch.no_grad()
def test_a_file_of_s4_that_heard_fewer_places_is_carried_on():
    """The same C gives the same kernel, of whatever length the file has it."""
    model, x = s4_model(), inputs(SMALL)
    want = model.encoder(x).values
    for layer in model.encoder.layers:
        layer.space.kernel.reach(20)
    short = official_s4(model, places=20)
    again = Pretraining(build(dataclasses.replace(model.encoder.config, frames=50))).eval()
    system.fill(again, short)
    torch.testing.assert_close(again.encoder(x).values, want, atol=1e-4, rtol=1e-4)
    assert system.config_from_published(short).frames == 20
    again.load_state_dict(system.from_published(short))  # without what `fill` adds
    assert (again.encoder(x).values - want).abs().max() > 1e-2


@torch.no_grad()
def test_s4_for_longer_inputs(tmp_path):
    encoder, x = s4_model().encoder, inputs(SMALL)
    with pytest.raises(InputError, match=r"51 places are more than the 50 .*refit\(encoder, fr"):
        encoder(inputs(SMALL, n=51))
    longer = system.refit(encoder, 120).eval()
    torch.testing.assert_close(longer(x).values, encoder(x).values, atol=1e-4, rtol=1e-4)
    weights.save_folder(tmp_path, longer, {"name": "longer"})
    far = inputs(SMALL, n=120)
    assert torch.equal(weights.load(tmp_path)(far).values, longer(far).values)
    with pytest.raises(InputError, match="this encoder has none"):
        system.refit(build(SMALL), 120)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_fine_tuned_official_files_are_classifiers(kind, tmp_path):
    model, x = Pretraining(build(system.image())).eval(), inputs(SMALL)
    state = {n: v for n, v in official(model).items() if not n.startswith("decoder")}
    state["encoder.weight"] = state["encoder.weight"][:, :1]
    last = torch.nn.Linear(64, 10)
    hidden = torch.nn.Linear(64, 64)
    layers = {"0": hidden, "2": last} if kind == "network" else {"": last}
    for place, layer in layers.items():
        for part, value in layer.state_dict().items():
            where = f"{place}.{part}" if place else part
            state[f"decoder.0.output_transform.{where}"] = value
    torch.save(state, tmp_path / "best.ckpt")
    loaded = weights.load(tmp_path / "best.ckpt").eval()
    assert loaded.labels == tuple("0123456789")
    with torch.no_grad():
        pooled = model.encoder(x).values.mean(1)
        want = last(hidden(pooled).relu()) if kind == "network" else last(pooled)
        torch.testing.assert_close(loaded(x), want)
    weights.save_folder(tmp_path / "own", loaded, {"name": "own"})
    with torch.no_grad():
        torch.testing.assert_close(weights.load(tmp_path / "own")(x), want)


def test_heads_of_an_unknown_size_cannot_be_told():
    state = official(Pretraining(build(SMALL)))
    with pytest.raises(InputError, match="no published Transformer has 2 layers of width 24"):
        system.load_published(state)


def test_official_arrangements_that_nothing_published_has_are_refused():
    state = official(Pretraining(build(SMALL)))
    bare = {n: v for n, v in state.items() if not re.search(r"linears\.\d\.bias", n)}
    assert len(bare) < len(state)
    with pytest.raises(InputError, match="attention has no biases"):
        system.load_published(bare)
    spaces = official_s4(s4_model(), places=50)
    fed = {**spaces, "model.layers.1.layer.ff.2.bias": torch.zeros(24)}
    with pytest.raises(InputError, match="feed-forward parts between its state spaces"):
        system.load_published(fed)


# --- bad input


def test_wrong_inputs():
    encoder = build(VARIANTS["learned"])
    with pytest.raises(InputError, match="1 rows, not 3"):
        encoder(torch.zeros(1, 3, 10))
    with pytest.raises(InputError, match="65 places are more than the 64"):
        encoder(torch.zeros(1, 1, 65))
    with pytest.raises(InputError, match="not among the 11"):
        build(VARIANTS["tokens"])(torch.full((1, 1, 4), 11.0))
    with pytest.raises(InputError, match="rotary positions turn queries"):
        build(dataclasses.replace(SMALL, mixer="space", positions="rotary"))
    with pytest.raises(InputError, match="one row of features, not 12"):
        build(dataclasses.replace(VARIANTS["frames"], vocabulary=5))
    with pytest.raises(InputError, match="levels are told of one row"):
        Pretraining(build(dataclasses.replace(VARIANTS["frames"], objective="level")))
