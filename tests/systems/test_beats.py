from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.nn.hiding import Hiding
from sonograph.outputs import Audio
from sonograph.systems.represent import beats
from sonograph.systems.represent.beats.model import frequency_major, time_major


def encoder(seed: int = 0, **changes) -> beats.BEATs:
    torch.manual_seed(seed)
    return beats.BEATs(dataclasses.replace(beats.test(), **changes)).eval()


def features(batch: int = 2, frames: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 128, frames, generator=torch.Generator().manual_seed(seed))


def tokenizer(seed: int = 0) -> beats.Tokenizer:
    torch.manual_seed(seed)
    return beats.Tokenizer(dataclasses.replace(beats.test(), form="tokenizer")).eval()


# --- order of tokens


@torch.no_grad()
def test_each_patch_becomes_the_token_of_its_row_and_column():
    model, x = encoder(), features(1)
    plain = model.patch_tokens(x)
    assert plain.grid == (8, 4)
    for row, column in ((0, 0), (3, 1), (7, 3)):
        changed = x.clone()
        changed[0, 16 * row + 5, 16 * column + 2] += 1
        differs = (model.patch_tokens(changed).values != plain.values).any(2)[0]
        assert differs.nonzero().flatten().tolist() == [row * 4 + column]


@torch.no_grad()
def test_inside_tokens_run_column_after_column():
    """The convolution reaches the neighbours in time-major order, not in the house's."""
    model = encoder(position_kernel=2)
    seen = []
    model.positions.register_forward_hook(lambda _, given, out: seen.append(out))
    plain = model.patch_tokens(features(1))
    values = plain.values.clone()
    values[0, 3 * 4 + 1] += 1  # row 3, column 1: place 1 * 8 + 3 inside
    model.encode(plain)
    model.encode(dataclasses.replace(plain, values=values))
    differs = (seen[0] != seen[1]).any(2)[0].nonzero().flatten().tolist()
    assert differs == [11, 12]
    order = torch.arange(32)[None]
    assert torch.equal(frequency_major(time_major(order, (8, 4)), (8, 4)), order)


# --- which patches are valid


@torch.no_grad()
def test_a_patch_is_valid_where_all_of_its_frames_are():
    model, x = encoder(), features(4)
    mask = model.patch_tokens(x, torch.tensor([64, 32, 31, 3])).mask
    assert mask.view(4, 8, 4)[:, 0].tolist() == [
        [True] * 4,
        [True, True, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]


def test_the_official_mask_drops_a_remainder_and_cuts_equal_runs():
    # 34,200 samples of 51,200 in 318 frames: runs of 161 samples, the 213th begins at 34,132
    assert int(beats.published_mask(torch.tensor([34_200]), 51_200, 318).sum()) == 213
    for length in (5, 6):  # runs begin at 0, 2, 4 and 6
        mask = beats.published_mask(torch.tensor([length]), 10, 4)
        assert mask.tolist() == [[True, True, True, False]]


def test_official_labels_of_padding_are_those_of_its_vectors():
    exact, x, lengths = tokenizer(), features(), torch.tensor([64, 30])
    as_official = beats.Tokenizer(exact.config.override({"compat": "published"})).eval()
    as_official.load_state_dict(exact.state_dict())
    vectors, _, labels = as_official.quantised(x, lengths)
    assert torch.equal(labels, (vectors @ exact.codebook.codes.T).argmax(2))
    assert len(labels[1].unique()) > 1
    assert set(exact.tokenize(x, lengths)[1].view(8, 4)[:, 1:].flatten().tolist()) == {0}


def test_the_wrong_number_of_bins_is_told():
    with pytest.raises(InputError, match="takes 128 bins, not 64"):
        encoder()(torch.zeros(1, 64, 32))


def test_configurations_that_say_nothing_sensible():
    with pytest.raises(InputError, match="a tagger with 0 labels"):
        beats.Config(form="tagger")
    with pytest.raises(InputError, match="mask_share is 1"):
        beats.Config(mask_share=1.0)


# --- hiding


@torch.no_grad()
def test_nothing_hidden_is_the_whole_encoder():
    model, x = encoder(), features()
    lengths = torch.tensor([64, 40])
    tokens = model.patch_tokens(x, lengths)
    whole = model.encode(tokens)
    kept = model.encode_kept(tokens, torch.zeros(2, 32, dtype=torch.bool))
    torch.testing.assert_close(kept[whole.mask], whole.values[whole.mask])


@torch.no_grad()
def test_what_is_hidden_is_never_looked_at():
    model, x = encoder(), features()
    tokens = model.patch_tokens(x)
    hidden = torch.rand(2, 32, generator=torch.Generator().manual_seed(1)) < 0.7
    changed = dataclasses.replace(
        tokens, values=torch.where(hidden[..., None], torch.randn(48), tokens.values)
    )
    kept = model.encode_kept(tokens, hidden)
    assert torch.equal(kept, model.encode_kept(changed, hidden))
    assert bool((kept[hidden] == 0).all())
    assert bool((kept[~hidden].abs().sum(1) > 0).all())


@torch.no_grad()
def test_what_is_kept_runs_as_one_shorter_sequence():
    model, tokens = encoder(), encoder().patch_tokens(features(1))
    hidden = torch.ones(1, 32, dtype=torch.bool)
    places = [9, 2, 20]  # (row, column) = (2, 1), (0, 2), (5, 0): in time-major order 20, 9, 2
    hidden[0, places] = False
    short = model.transform(tokens.values[:, [20, 9, 2]], None)
    kept = model.encode_kept(tokens, hidden)
    torch.testing.assert_close(kept[:, [20, 9, 2]], short)


def test_three_quarters_are_hidden_by_the_generator_alone():
    drawn = []
    for targets in ("random", "patches", "distilled"):
        torch.manual_seed(5)
        model = beats.Pretraining(encoder(targets=targets))
        model.predictor.register_forward_hook(lambda _, given, out: drawn.append(given[1]))
        model(features(), None, torch.Generator().manual_seed(3))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert drawn[0].sum(1).tolist() == [24, 24]


# --- labels


@torch.no_grad()
def test_random_labels_are_the_nearest_codes_of_a_normalised_projection():
    torch.manual_seed(0)
    model = beats.RandomTokenizer(256, 32, 16, 8)
    patch = torch.randn(1, 1, 256)
    x = model.projection @ patch[0, 0]
    x = model.contraction @ ((x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt())
    x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
    assert int(model.tokenize(patch)) == int((model.codes - x).norm(dim=1).argmin())
    assert list(model.parameters()) == []


def test_labels_of_a_tokenizer_do_not_depend_on_padding_or_on_asking():
    model, x = tokenizer(), features(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels = model.tokenize(x, torch.tensor([64, 37]))
    assert torch.equal(model.tokenize(x[1:, :, :37])[0], labels[1].view(8, 4)[:, :2].flatten())
    assert torch.equal(model.tokenize(x, torch.tensor([64, 37])), labels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    tokens = model(x)
    assert tokens.values.shape == (2, 32, model.width)
    torch.testing.assert_close(tokens.values, model.codebook.codes[model.tokenize(x)])


def test_a_taught_objective_keeps_its_tokenizer():
    teacher = tokenizer(seed=1)
    model = beats.Pretraining(encoder(targets="distilled")).teach(teacher).train()
    x = features()
    parts = Hiding(model.encoder, x, None)
    assert torch.equal(model.labels_of(parts), teacher.tokenize(x))
    assert not model.tokenizer.training
    model(x, None, torch.Generator().manual_seed(0))["loss"].backward()
    state = model.tokenizer.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in model.tokenizer.parameters())
    with pytest.raises(ValueError, match="no tokenizer teaches them"):
        beats.Pretraining(encoder()).teach(teacher)


def test_distillation_teaches_the_tokenizer_and_not_the_teacher():
    model = beats.Distillation(tokenizer(), encoder(seed=1)).train()
    assert not model.teacher.training
    lengths = torch.tensor([64, 40, 64, 64])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(30):
        parts = model(features(4), lengths, torch.Generator())
        optimizer.zero_grad()
        parts["loss"].backward()
        losses.append(float(parts["cosine_distance"].detach()))
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]
    assert bool(model.tokenizer.codebook.started)
    assert all(p.grad is None for p in model.teacher.parameters())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name


def test_a_tokenizer_is_saved_and_loaded_as_what_it_is(tmp_path):
    model = tokenizer()
    weights.save_folder(tmp_path, model, {"name": "mine"})
    loaded = weights.load(tmp_path)
    assert isinstance(loaded, beats.Tokenizer)
    assert torch.equal(loaded.tokenize(features()), model.tokenize(features()))


# --- official files


def official(model: torch.nn.Module, gain: str = "weight_g", direction: str = "weight_v") -> dict:
    """The weights of ours as an official file would name them."""
    table = [(new, old) for old, new in beats.PUBLISHED_NAMES if "parametrizations" not in old]
    renamed = {
        name.replace("backbone.", "encoder."): value for name, value in model.state_dict().items()
    }
    if isinstance(model, beats.BEATs):
        renamed = {f"encoder.{name}": value for name, value in renamed.items()}
    state = weights.rename(renamed, table)
    shared = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
    state[shared.format(1)] = state[shared.format(0)]
    conv = "encoder.pos_conv.0."
    state[conv + gain] = state.pop(conv + "weight_g")
    state[conv + direction] = state.pop(conv + "weight_v")
    return state


def test_a_fine_tuned_file_is_a_tagger_with_its_labels(tmp_path):
    torch.manual_seed(0)
    config = dataclasses.replace(beats.test(), form="tagger", labels=("/m/a", "/m/b", "/m/c"))
    ours = beats.build(config).eval()
    path = tmp_path / "BEATs_finetuned.pt"
    cfg = {"encoder_layers": 2, "deep_norm": True, "layer_norm_first": False, "max_distance": 64}
    names = {0: "/m/a", 1: "/m/b", 2: "/m/c"}
    torch.save({"cfg": cfg, "model": official(ours), "label_dict": names}, path)
    loaded = weights.load(path)
    assert isinstance(loaded, beats.Tagger)
    assert loaded.labels == ("/m/a", "/m/b", "/m/c")
    x, lengths = features(), torch.tensor([64, 40])
    with torch.inference_mode():
        assert torch.equal(loaded(x, lengths), ours(x, lengths))
        tokens = ours.encoder(x, lengths)
        each = ours.head(tokens.values)
        mean = torch.stack([each[b][tokens.mask[b]].mean(0) for b in range(2)])
        torch.testing.assert_close(ours(x, lengths), mean)
    noise = np.random.default_rng(0).standard_normal((1, 16_000)).astype(np.float32)
    tags = loaded.tag(Audio(0.1 * noise, 16_000))
    assert set(tags.scores) == set(loaded.labels)
    weights.save_folder(tmp_path / "again", loaded, {"name": "again"})
    assert weights.load(tmp_path / "again").labels == loaded.labels


@pytest.mark.parametrize(
    ("gain", "direction"),
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_old_and_new_names_of_weight_norm(gain, direction):
    ours = encoder(max_distance=800)
    loaded = beats.load_published(official(ours, gain, direction)).eval()
    assert isinstance(loaded, beats.BEATs)
    with torch.inference_mode():
        assert torch.equal(loaded(features()).values, ours(features()).values)


def test_a_tokenizer_file_is_a_tokenizer():
    ours = tokenizer()
    state = official(ours)
    state["quantize.embedding.cluster_size"] = torch.zeros(16)
    state["quantize.embedding.embed_avg"] = torch.zeros(16, 16)
    loaded = beats.load_published(state, {"cfg": {"max_distance": 64}}).eval()
    assert isinstance(loaded, beats.Tokenizer)
    assert torch.equal(loaded.tokenize(features()), ours.tokenize(features()))


def test_a_published_tokenizer_counts_its_codes_as_buffers():
    model = registry.build("beats-tokenizer", device="meta")
    codes = model.codebook.codes.numel()
    # the official module counts codes, their sums and the sizes of clusters as parameters
    assert sum(p.numel() for p in model.parameters()) + 2 * codes + 1024 == 91_624_560


def test_heads_and_norms_are_read_from_the_file():
    state = official(encoder())
    config = beats.config_from_published(state)
    assert (config.num_heads, config.depth, config.position_groups) == (2, 2, 4)
    assert config.arrangement == "deep"
    post = {"cfg": {"deep_norm": False, "layer_norm_first": False}}
    assert beats.config_from_published(state, post).arrangement == "post"
    pre = {"cfg": {"deep_norm": True, "layer_norm_first": True}}
    assert beats.config_from_published(state, pre).arrangement == "pre"


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"gru_rel_pos": False}, "gru_rel_pos=False"),
        ({"activation_fn": "relu"}, "only gelu is known"),
    ],
)
def test_files_of_other_architectures_are_refused(cfg, words):
    with pytest.raises(InputError, match=words):
        beats.config_from_published(official(encoder()), {"cfg": cfg})


def test_files_without_a_map_behind_the_patches_are_refused():
    state = {n: v for n, v in official(encoder()).items() if "post_extract_proj" not in n}
    assert beats.is_published(state)
    with pytest.raises(InputError, match="patches are as wide as its layers"):
        beats.load_published(state)


def test_dropout_is_the_files_and_spares_the_patches():
    """The official code has a rate of its own there, `dropout_input`, which is 0."""
    state = official(encoder())
    assert beats.config_from_published(state).dropout == 0
    config = beats.config_from_published(state, {"cfg": {"dropout": 0.4}})
    assert config.dropout == 0.4
    model = beats.build(config)
    x = torch.randn(2, 128, 64)
    with torch.no_grad():
        shown = model.train().patch_tokens(x).values
        torch.testing.assert_close(shown, model.eval().patch_tokens(x).values)
        assert not torch.equal(model.train()(x).values, model(x).values)


def test_tables_that_differ_between_layers_are_refused():
    state = official(encoder())
    name = "encoder.layers.1.self_attn.relative_attention_bias.weight"
    state[name] = state[name] + 1
    with pytest.raises(InputError, match="relative positions of layer 1 differ"):
        beats.load_published(state)


def test_what_trains_an_encoder_drops_as_the_encoder_does():
    config = dataclasses.replace(beats.test(), width=192, code_width=128, dropout=0.3)
    objective = beats.Pretraining(beats.build(config))
    taught = beats.Distillation(beats.Tokenizer(config), beats.build(config))
    for blocks in (objective.predictor.transformer.blocks, taught.estimator.blocks):
        assert all(block.attention.dropout == block.drop.p == 0.3 for block in blocks)
