from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.metrics.cost import count_weights, macs
from sonograph.nn.adaptation import Adapted, merge
from sonograph.nn.heads import Classifier
from sonograph.nn.pruning import unpacked
from sonograph.nn.targets import layers
from sonograph.systems.adapt.dsee import (
    DSEE,
    LowRankSparse,
    greedy_sparse_part,
    head_scores,
    places_of,
    scores,
)
from sonograph.train.adapt import adapt, cost
from sonograph.train.finetune import finetune
from tests.contract.cases import TESTED, Case
from tests.train.test_deltas import answers, disturb
from tests.train.test_finetune import QUICK, examples

__all__ = ["examples"]
WITH_ATTENTION = [
    preset for preset in TESTED if preset.system not in ("ssamba", "panns", "embedding_statistics")
]
PRESETS = {preset.name: preset for preset in TESTED}
SSAST = PRESETS["ssast-test"]


def test_half_a_percent_of_a_base_transformer():
    base = registry.build("ast-base", device="meta")
    assert cost(base, (DSEE(),)) == 590_208
    assert cost(base, (DSEE(entries=0),)) == 589_824


def change(entries: int = 9, outputs: int = 10, inputs: int = 6) -> LowRankSparse:
    torch.manual_seed(0)
    places = torch.randperm(outputs * inputs)[:entries]
    made = LowRankSparse(
        torch.zeros(outputs, inputs), 2, 1.5, torch.stack([places // inputs, places % inputs])
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_()
    return made


def test_the_change_is_that_of_its_matrix():
    x, made, plain = torch.randn(2, 5, 6), change(), nn.Linear(6, 10)
    layer = Adapted(plain)
    layer.additions["dsee"], layer.rows["dsee"] = made, None
    for given in (x, x[0], x[0, 0]):
        expected = plain(given) + given @ made.matrix().T
        torch.testing.assert_close(layer(given), expected, rtol=1e-5, atol=1e-5)
    assert int((made.sparse != 0).sum()) == 9


def test_a_narrowed_change_is_part_of_the_whole():
    made = change(30)
    whole = made.matrix().detach()
    rows, columns = torch.tensor([1, 4, 5, 9]), torch.tensor([0, 3])
    made.narrow(rows, columns)
    assert torch.equal(made.matrix(), whole[rows][:, columns])
    assert 0 < len(made.values) < 8


def test_rounds_end_where_nothing_sparse_would_remain():
    torch.manual_seed(0)
    weight, start = torch.randn(21, 24, dtype=torch.float64), torch.randn(1, 24)
    most, more = (greedy_sparse_part(weight, start, rounds) for rounds in (4, 100))
    assert torch.equal(most.sparse, more.sparse)
    assert int((most.sparse != 0).sum()) > 24
    with pytest.raises(InputError, match="at least 1"):
        greedy_sparse_part(weight, start, 0)


def test_what_breaks_a_pattern_is_found_where_it_is_not_large():
    torch.manual_seed(0)
    spikes = torch.randperm(64 * 64)[:12].sort().values
    weight = torch.full((64, 64), 10.0)
    weight.view(-1)[spikes] -= 3.0
    found = {by: places_of(weight, 12, by, 1) for by in ("greedy", "largest")}
    flat = {by: (rows * 64 + columns).tolist() for by, (rows, columns) in found.items()}
    assert flat["greedy"] == spikes.tolist()
    assert not set(flat["largest"]) & set(spikes.tolist())


@pytest.mark.parametrize("by", ["greedy", "random", "largest"])
def test_as_many_places_as_asked_even_where_nothing_is_sparse(by):
    weight = torch.arange(30.0).view(5, 6) * 1e-6
    rows, columns = places_of(weight, 7, by, 2)
    flat = (rows * 6 + columns).tolist()
    assert len(set(flat)) == 7
    if by != "random":
        assert flat == list(range(23, 30))
    with pytest.raises(InputError, match="31 sparse entries do not fit"):
        places_of(weight, 31, by, 2)


def test_scores_in_numbers():
    one = torch.ones(1, 1)
    found = {
        by: float(scores(-3 * one, one, 2 * one, 4.0, by))
        for by in ("ABS", "WABS", "AB", "WAB", "W", "NABS", "NAB")
    }
    expected = {"ABS": 12, "WABS": 6, "AB": 4, "WAB": 1, "W": 3, "NABS": 1 / 12, "NAB": 1}
    assert found == pytest.approx(expected)


def test_scores_of_heads_in_numbers():
    changes = [torch.tensor([[1.0], [-2.0], [0.0], [4.0]])] * 2
    bases = [torch.full((4, 1), 10.0)] * 2
    assert head_scores(changes, bases, 2, "ABS").tolist() == [6, 8]
    assert head_scores(changes, bases, 2, "WABS").tolist() == [46, 48]
    assert head_scores(changes, bases, 2, "W").tolist() == [40, 40]
    with pytest.raises(InputError, match="heads have no score 'AB'"):
        head_scores(changes, bases, 2, "AB")


def pruned(preset, method: DSEE):
    """A model as two trainings might leave it, and features for it."""
    case = Case(preset)
    torch.manual_seed(0)
    model = adapt(Classifier(case.build(), ["a", "b", "c"]), method).eval()
    disturb(model)
    method.begin(model, 1)
    disturb(model)
    return model, case.features(2)


@pytest.mark.parametrize("preset", WITH_ATTENTION, ids=lambda preset: preset.name)
@pytest.mark.parametrize(("share", "heads"), [(0.5, 0), (0.0, 1), (0.3, 1)])
@pytest.mark.parametrize("whole", [False, True])
def test_what_is_kept_gives_the_pruned_model_again(preset, share, heads, whole, tmp_path):
    case = Case(preset)
    weights.save_folder(tmp_path / "base", case.build(), {"name": "base"})
    base = None if whole else weights.base_of(str(tmp_path / "base"), case.build())
    model, features = pruned(preset, DSEE(rank=2, prune=share, heads=heads))
    expected = answers(model, features)
    weights.save_adapted(tmp_path / "kept", model, {}, base)
    again = weights.load(tmp_path / "kept")
    assert torch.equal(answers(again, features), expected)
    if not share:
        merge(model)
        torch.testing.assert_close(answers(model, features), expected, rtol=1e-4, atol=1e-5)
        weights.save_folder(tmp_path / "merged", model, {})
        merged = weights.load(tmp_path / "merged")
        assert torch.equal(answers(merged, features), answers(model, features))


@pytest.mark.parametrize("others", ["dsee+lora", "lora+dsee", "dsee+adapter", "adapter+dsee"])
def test_beside_other_methods(others, tmp_path):
    """What they added follows the heads, and finds its place again."""
    weights.save_folder(tmp_path / "base", Case(SSAST).build(), {"name": "base"})
    base = weights.base_of(str(tmp_path / "base"), Case(SSAST).build())
    torch.manual_seed(0)
    fields = {"rank": 2, "prune": 0.3, "heads": 1} | ({"inner": 2} if "adapter" in others else {})
    model = adapt(Case(SSAST).classifier(), others, **fields)
    disturb(model)
    for method in model.adaptation:
        method.begin(model, 1)
    disturb(model)
    features = Case(SSAST).features(2)
    expected = answers(model, features)
    weights.save_adapted(tmp_path / "kept", model, {}, base)
    again = weights.load(tmp_path / "kept")
    assert torch.equal(answers(again, features), expected)


def test_what_cannot_follow_the_heads_is_named():
    model = adapt(Case(SSAST).classifier(), "dsee+svfit", rank=2, heads=1)
    with pytest.raises(InputError, match="SingularValues cannot follow a layer that loses heads"):
        model.adaptation[0].begin(model, 1)


@pytest.mark.parametrize("preset", WITH_ATTENTION, ids=lambda preset: preset.name)
def test_without_a_head_a_model_is_smaller_and_computes_less(preset):
    case = Case(preset)
    whole = adapt(case.classifier(), DSEE(rank=2))
    fewer, features = pruned(preset, DSEE(rank=2, heads=1))
    assert count_weights(fewer).total < count_weights(whole).total
    assert macs(fewer, features) < macs(whole, features)


@pytest.mark.parametrize("score", ["ABS", "WABS", "AB", "WAB", "W", "NABS", "NAB", "random"])
def test_a_share_of_each_group_is_zero(score):
    model, _ = pruned(WITH_ATTENTION[0], DSEE(rank=2, prune=0.25, score=score))
    groups: dict[str, list[torch.Tensor]] = {"changed": [], "others": []}
    for name, layer in layers(model.encoder):
        plain = layer.base if isinstance(layer, Adapted) else layer
        if not hasattr(plain, "mask"):
            assert "attention" not in name
            assert "feedforward" not in name
            continue
        mask = unpacked(plain.mask.bits, plain.weight.shape)
        assert not bool(plain.weight[~mask].any())
        if name.endswith("qkv"):
            query, key, value = mask.chunk(3)
            groups["changed"] += [query, value]
            groups["others"].append(key)
        else:
            groups["others"].append(mask)
    for masks in groups.values():
        dropped = sum(int((~mask).sum()) for mask in masks)
        assert dropped == round(0.25 * sum(mask.numel() for mask in masks))


def test_head_of_the_smallest_change_goes():
    model = adapt(Classifier(registry.build("ssast-test"), ["a", "b"]), DSEE(rank=2, heads=1))
    for block, quiet in zip(model.encoder.blocks, (1, 0)):
        for addition in block.attention.qkv.additions.values():
            with torch.no_grad():
                addition.low.up.fill_(1.0)
                addition.low.up.unflatten(0, (2, -1))[quiet] = 0.001
    model.adaptation[0].begin(model, 1)
    left = [block.attention.heads.left.tolist() for block in model.encoder.blocks]
    assert left == [[0], [1]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "rank and rounds are at least 1"),
        ({"entries": -1}, "entries at least 0"),
        ({"prune": 1.0}, r"a share lies in \[0, 1\)"),
        ({"heads": -1}, "heads are at least 0"),
        ({"heads": 1, "score": "WAB"}, "heads have no score 'WAB'"),
    ],
)
def test_settings_that_mean_nothing(settings, said):
    with pytest.raises(InputError, match=said):
        DSEE(**settings)


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        ("ssast-test", {"heads": 2}, "2 heads to remove where an attention has 2"),
        ("ssast-test", {"heads": 1, "where": "feedforward.expand"}, "no heads to remove"),
        ("ssast-test", {"rank": 4000}, "rank 4000 does not fit"),
        ("ssamba-test", {}, "no attention"),
        ("panns-test", {"where": "*"}, "is a convolution"),
    ],
)
def test_models_that_do_not_fit(preset, settings, said):
    model = Case(PRESETS[preset]).classifier()
    with pytest.raises(InputError, match=said):
        adapt(model, DSEE(**settings))


def test_without_attention_layers_can_be_named():
    encoder = Case(PRESETS["ssamba-test"]).build()
    linear = next(name for name, layer in layers(encoder) if isinstance(layer, nn.Linear))
    adapt(Classifier(encoder, ["a", "b"]), DSEE(rank=2, where=linear))


def test_trained_pruned_and_trained_again(examples, tmp_path):
    """Both trainings leave their folder, the zeros stay, and a second start finds it all done."""
    base = tmp_path / "base"
    weights.save_folder(base, registry.build("ssast-test", seed=3), {"name": "base"})
    settings = {"rank": 2, "prune": 0.4, "heads": 1}
    config = dataclasses.replace(QUICK, method="dsee", settings=settings)
    folder = tmp_path / "run"
    done = [
        finetune(weights.load(base), examples, None, folder, config, base=str(base))
        for _ in range(2)
    ]
    assert (folder / "training-1").is_dir()
    logits = [answers(one.model, examples.features) for one in done]
    assert torch.equal(*logits)
    again = weights.load(folder)
    assert torch.equal(answers(again, examples.features), logits[0])
    assert again.encoder.blocks[0].attention.num_heads == 1
    kept = weights.read_tensors(folder / weights.DELTA)
    assert not any(name.endswith("qkv.base.weight") for name in kept)
    assert kept["encoder.blocks.0.attention.qkv.base.mask.bits"].dtype == torch.uint8
    zeros = (again.encoder.blocks[0].feedforward.expand.weight == 0).float().mean()
    assert 0.2 < zeros < 0.6


@pytest.mark.parametrize("name", ["places", "mask.bits", "heads.kept"])
def test_a_damaged_adaptation_is_answered(name, tmp_path):
    weights.save_folder(tmp_path / "base", Case(SSAST).build(), {"name": "base"})
    base = weights.base_of(str(tmp_path / "base"), Case(SSAST).build())
    model, _ = pruned(SSAST, DSEE(rank=2, prune=0.3, heads=1))
    weights.save_adapted(tmp_path / "kept", model, {}, base)
    state = weights.read_tensors(tmp_path / "kept" / weights.DELTA)
    for key in state:
        if key.endswith(name):
            state[key] = state[key][..., :-1] if name == "mask.bits" else state[key] + 1000
            if name == "mask.bits":
                state[key] = state[key].clone()
    weights.write_tensors(tmp_path / "kept" / weights.DELTA, state)
    with pytest.raises(InputError, match=r"config\.json: "):
        weights.load(tmp_path / "kept")
    described = json.loads((tmp_path / "kept" / "config.json").read_text())
    assert described["model"]["methods"][0]["name"].startswith("dsee")
