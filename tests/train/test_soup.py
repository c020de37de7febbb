from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.systems.adapt import soups
from sonograph.train.finetune import Examples, Finetune, finetune
from sonograph.train.soup import (
    Brewing,
    accuracy,
    brew,
    inputs_of,
    logits_of,
    read_run,
    require_one_start,
)
from sonograph.train.trainer import TrainConfig

LABELS = ("low", "high")


def made_examples(count: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 2
    features = torch.randn(count, 128, 32, generator=generator) + 0.3 * targets[:, None, None]
    ids = tuple(f"e{n}" for n in range(count))
    return Examples(features, torch.full((count,), 32), targets, LABELS, ids)


def save(folder: Path, seed: int, spread: float = 0.02, **card) -> str:
    """A classifier near a common start, as a run folder."""
    torch.manual_seed(0)
    model = Classifier(registry.build("ssast-test", seed=0), LABELS)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += spread * torch.randn_like(weight)
    weights.save_folder(folder, model, {"from": "ssast-mini", "task": "level", **card})
    return str(folder)


@pytest.fixture
def folders(tmp_path) -> list[str]:
    return [save(tmp_path / f"run{seed}", seed) for seed in range(1, 5)]


@pytest.fixture(scope="module")
def choose() -> Examples:
    return made_examples(40, 0)


@pytest.fixture(scope="module")
def check() -> Examples:
    return made_examples(24, 1)


@pytest.mark.parametrize("recipe", ["greedy", "uniform", "learned"])
def test_a_soup_loads_and_answers_as_it_was_measured(folders, choose, check, tmp_path, recipe):
    made = brew([read_run(one) for one in folders], Brewing(recipe), choose, check)
    weights.save_folder(tmp_path / "soup", made.model, {"name": "soup"})
    loaded = weights.load(tmp_path / "soup")
    assert accuracy(logits_of(loaded, choose), choose) == made.chosen["soup"]
    assert accuracy(logits_of(loaded, check), check) == made.measured["soup"]
    assert sum(one.share for one in made.ingredients) == pytest.approx(1)
    alone = {one.run: one for one in made.ingredients}
    assert made.chosen["best"] == max(one.alone for one in made.ingredients)
    assert alone[made.best].barrier is None
    for name in folders:
        found = weights.load(name)
        assert alone[name].alone == accuracy(logits_of(found, choose), choose)
        assert alone[name].measured == accuracy(logits_of(found, check), check)
    together = torch.stack([logits_of(weights.load(name), check) for name in folders]).mean(0)
    assert made.measured["ensemble"] == accuracy(together, check)


def test_a_greedy_soup_is_never_worse_where_it_was_chosen(folders, choose):
    made = brew([read_run(one) for one in folders], Brewing("greedy"), choose)
    assert made.chosen["soup"] >= made.chosen["best"]
    assert made.measured == {}
    for one in made.ingredients:
        assert (one.share > 0) == (one.run == made.best or (one.brought or 0) > 0)


def test_a_uniform_soup_is_the_mean_and_tells_what_leaving_one_out_costs(folders, choose):
    runs = [read_run(one) for one in folders]
    made = brew(runs, Brewing("uniform"), choose)
    want = soups.uniform([run.state for run in runs])
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, want[name])
    for number, one in enumerate(made.ingredients):
        model = weights.build(runs[0].described).eval()
        rest = [run.state for k, run in enumerate(runs) if k != number]
        model.load_state_dict(soups.uniform(rest))
        assert one.tried == accuracy(logits_of(model, choose), choose)
        assert one.brought == pytest.approx(made.chosen["soup"] - one.tried)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_interpolation_goes_from_the_first_run_to_the_second(folders, choose, share):
    runs = [read_run(one) for one in folders[:2]]
    made = brew(runs, Brewing("interpolate", share), choose)
    first, second = (run.state for run in runs)
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, (1 - share) * first[name] + share * second[name])
    curve = dict(made.curve)
    assert curve[0.0] == made.ingredients[0].alone
    assert curve[1.0] == made.ingredients[1].alone


def test_runs_of_far_basins_raise_a_warning(tmp_path):
    choose = made_examples(60, 0)
    config = Finetune(batch=16, train=TrainConfig(steps=25, lr=3e-3, save_every=0))
    finetune(registry.build("ssast-test"), choose, None, tmp_path, config)
    runs = [read_run(tmp_path)]
    near = brew([runs[0], dataclasses.replace(runs[0], name="again")], Brewing("uniform"), choose)
    assert near.warnings == ()
    assert near.chosen["soup"] > 0.9
    swapped = dict(runs[0].state)  # the same function but for the head, which is turned round
    swapped |= {name: -swapped[name] for name in soups.HEAD}
    far = brew([runs[0], dataclasses.replace(runs[0], state=swapped, name="x")], Brewing(), choose)
    assert far.warnings == ()  # half-way between right and wrong is no hill
    turned = dict(runs[0].state)  # the same function: two signs, one behind the other
    flip = ("encoder.norm.weight", "encoder.norm.bias")
    turned |= {name: -turned[name] for name in flip}
    turned |= {"head.norm.weight": -turned["head.norm.weight"]}
    apart = dataclasses.replace(runs[0], state=turned, name="y")
    hill = brew([runs[0], apart], Brewing("uniform"), choose)
    assert hill.ingredients[0].alone == pytest.approx(hill.ingredients[1].alone, abs=0.02)
    assert len(hill.warnings) == 1
    assert "not of one basin" in hill.warnings[0]


def with_(run, **described):
    return dataclasses.replace(run, described={**run.described, **described})


def test_what_does_not_belong_together_is_refused(tmp_path, choose):
    first = read_run(save(tmp_path / "a", 1))
    other = read_run(save(tmp_path / "b", 2))
    cases = [
        ([first], "at least two runs, not 1"),
        ([first, first], "given twice"),
        ([first, read_run(save(tmp_path / "c", 3, **{"from": "ast-mini"}))], "tuned from ast-mini"),
        (
            [
                first,
                dataclasses.replace(other, described={**other.described, "labels": ["a", "b"]}),
            ],
            r"other labels than .*\(a\)",
        ),
        (
            [
                first,
                dataclasses.replace(
                    other,
                    described=Classifier(registry.build("ssast-demo"), LABELS).describe(),
                ),
            ],
            "another shape",
        ),
    ]
    for runs, message in cases:
        with pytest.raises(InputError, match=message):
            require_one_start(runs, "greedy")
    with pytest.raises(InputError, match="two runs, the start and the tuned one, not 3"):
        require_one_start([first, other, other], "interpolate")
    with pytest.raises(InputError, match="no held-out clip"):
        brew([first, other], Brewing(), choose.take([]))
    with pytest.raises(InputError, match="several labels at once"):
        require_one_start([with_(first, answer="several"), other], "greedy")


def test_untrained_starts_of_other_seeds_are_other_bases(tmp_path):
    def run(name: str, seed: int):
        card = {"from": "ssast-demo", "finetune": {"train": {"seed": seed}}}
        return read_run(save(tmp_path / name, 1, **card))

    require_one_start([run("a", 0), run("b", 0)], "greedy")
    with pytest.raises(InputError, match="tuned from ssast-demo of seed 1"):
        require_one_start([run("a", 0), run("c", 1)], "greedy")


def test_a_run_tuned_from_the_first_may_be_interpolated_with_it(tmp_path):
    start = save(tmp_path / "start", 1, **{"from": "ssast-demo"})
    tuned = read_run(save(tmp_path / "tuned", 2, **{"from": start}))
    require_one_start([read_run(start), tuned], "interpolate")
    with pytest.raises(InputError, match="one start"):
        require_one_start([read_run(start), tuned], "uniform")


def test_a_file_that_does_not_fit_its_own_description_is_refused(folders, choose, tmp_path):
    good, bad = read_run(folders[0]), read_run(folders[1])
    state = {name: value[:1] if name == "head.project.bias" else value
             for name, value in bad.state.items()}  # fmt: skip
    with pytest.raises(InputError, match=r"does not fit its own config.json: .*head.project.bias"):
        brew([good, dataclasses.replace(bad, state=state)], Brewing(), choose)
    encoder = registry.build("ssast-test")
    weights.save_folder(tmp_path / "bare", encoder, {})
    with pytest.raises(InputError, match="has no labels"):
        read_run(tmp_path / "bare")
    with pytest.raises(InputError, match="no model folder"):
        read_run(tmp_path / "none")


@pytest.mark.parametrize("method", ["lora", "linear"])
def test_runs_stored_apart_from_their_base_are_put_together(tmp_path, choose, method):
    base = tmp_path / "base"
    weights.save_folder(base, registry.build("ssast-test", seed=0), {"name": "base"})
    config = Finetune(method=method, batch=8, train=TrainConfig(steps=3, save_every=0))
    encoder = weights.load(base)
    finetune(encoder, choose, None, tmp_path / "run", config, {"from": str(base)}, base=str(base))
    assert not (tmp_path / "run" / weights.WEIGHTS).exists()
    run = read_run(tmp_path / "run")
    plain = weights.build(run.described).eval()
    plain.load_state_dict(dict(run.state))
    torch.testing.assert_close(
        logits_of(plain, choose), logits_of(weights.load(tmp_path / "run"), choose),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_batch_statistics_of_a_mixture_are_measured_anew(tmp_path):
    made, labels = [], ("a", "b")
    for number in range(2):
        torch.manual_seed(0)
        model = Classifier(registry.build("panns-test", seed=0).encoder, labels)
        norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
        for part in norms:
            part.running_mean.fill_(5.0 + number)
        weights.save_folder(tmp_path / f"{number}", model, {"from": "panns-mini"})
        made.append(read_run(tmp_path / f"{number}"))
    assert norms
    heard = torch.randn(6, model.spec.rows, 64, generator=torch.Generator().manual_seed(0))
    ids = tuple("abcdef")
    clips = Examples(heard, torch.full((6,), 64), torch.arange(6) % 2, labels, ids)
    for recipe in ("uniform", "learned"):
        soup = brew(made, Brewing(recipe), clips, settling=clips).model
        with torch.no_grad():
            want = copy.deepcopy(soup)
            soups.reestimate_norms(want, inputs_of(clips))
        for part, again in zip(soup.modules(), want.modules()):
            if isinstance(part, nn.BatchNorm2d):
                torch.testing.assert_close(part.running_mean, again.running_mean)
                assert (part.running_mean - 5.5).abs().min() > 0.1


def test_no_batch_is_of_one_clip(choose):
    many = choose.take([0] * 129)
    assert [len(features) for features, _ in inputs_of(many)] == [64, 65]
    assert [len(features) for features, _ in inputs_of(choose.take([0]))] == [1]
