"""What an adaptation leaves on disk: the delta alone, of any method on any encoder."""

from __future__ import annotations

import copy
import dataclasses
import json
import re

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.nn.adaptation import Inserted, base_state
from sonograph.nn.heads import Classifier
from sonograph.train.adapt import adapt, methods_of, trainable_parameters
from sonograph.train.finetune import finetune, measure, mergeable
from tests.contract.cases import TESTED, Case
from tests.train.test_finetune import QUICK, examples

__all__ = ["examples"]
# one of each kind: presets of one kind differ in their sizes
METHODS = {type(listed.make()): name for name, listed in reversed(registry.methods().items())}
SMALL = {"rank": 2, "inner": 2, "count": 2}


def small(method: str) -> dict[str, int]:
    fields = {field.name for one in methods_of(method) for field in dataclasses.fields(one)}
    return {name: value for name, value in SMALL.items() if name in fields}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run folder with an encoder, as pre-training leaves it."""
    folder = tmp_path_factory.mktemp("base")
    weights.save_folder(folder, registry.build("ssast-test", seed=3), {"name": "base"})
    return folder


def disturb(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)


def layer_of(name: str) -> str:
    """The weight beside which, or in place of which, a method put this one."""
    return re.sub(r"(\.additions\..*|\.[01]\.(weight|bias))$", ".weight", name)


@torch.no_grad()
def answers(model, features, lengths=None):
    """Without gradients in every case: attention takes other kernels with them."""
    return model.eval()(features, lengths)


@pytest.mark.parametrize("preset", TESTED, ids=lambda preset: preset.name)
@pytest.mark.parametrize("method", METHODS.values())
def test_every_method_on_every_encoder(preset, method, tmp_path):
    """It begins as the given model, learns, and what is kept gives the same answers again."""
    case = Case(preset)
    torch.manual_seed(0)
    model = Classifier(case.build(), ["a", "b", "c"]).eval()
    features = case.features(2)
    model(features).square().mean().backward()
    unused = {name for name, weight in model.named_parameters() if weight.grad is None}
    model.zero_grad()
    before = answers(model, features)
    base = weights.base_of(str(tmp_path / "base"), model.encoder)
    if why := LACKS.get((preset.system, method)):
        with pytest.raises(InputError, match=why):
            adapt(model, method, **small(method))
        return
    adapt(model, method, **small(method))
    if model.adaptation[0].keeps_start and model.adaptation[0].changes != "encoder":
        assert torch.equal(answers(model, features), before)
    model.train()(features).square().mean().backward()
    learns = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    unreached = {name for name, weight in learns if weight.grad is None}
    assert {name for name in unreached if not unused & {name, layer_of(name)}} == set()
    disturb(model)
    after = answers(model, features)
    assert not torch.allclose(after, before)
    if model.adaptation[0].changes == "encoder":
        weights.save_folder(tmp_path / "delta", model, {})
    else:
        weights.save_folder(tmp_path / "base", case.build(), {"name": "base"})
        weights.save_adapted(tmp_path / "delta", model, {}, base)
    again = weights.load(tmp_path / "delta")
    torch.testing.assert_close(answers(again, features), after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", TESTED, ids=lambda preset: preset.name)
@pytest.mark.parametrize("method", ["adapter", "conformer", "convpass", "moa-soft", "prompt-deep"])
def test_padding_changes_nothing(preset, method):
    """A clip alone answers as in a batch that is padded to twice its length."""
    if preset.system in {system for system, name in LACKS if name in (method, "adapter")} or (
        (preset.system, method) in LACKS
    ):
        return
    case = Case(preset)
    torch.manual_seed(0)
    model = Classifier(case.build(), ["a", "b", "c"])
    adapt(model, method, **small(method))
    disturb(model)
    frames = preset.make().frames
    features = case.features(2)
    lengths = torch.tensor([frames, frames // 2])
    together = answers(model, features, lengths)[1]
    alone = answers(model, features[1:, :, : frames // 2], lengths[1:])[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


# (system, method): what the system's encoder has nothing of
LACKS = {
    **{
        (system, "zero-positions"): "no table of positions"
        for system in (
            "beats",
            "tera",
            "self_pretraining",
            "panns",
            "spectttra",
            "embedding_statistics",
        )
    },
    ("embedding_statistics", "norms"): "no normalisation layer",
    **{
        (system, method): "no attention, mixer or feed-forward parts"
        for system in ("panns", "embedding_statistics")
        for method in ("adapter", "moa-soft")
    },
    **{
        (system, "prompt-deep"): "among the tokens of transformer blocks"
        for system in ("ssamba", "self_pretraining", "panns", "embedding_statistics")
    },
    **{
        (system, "dsee"): "no attention, whose queries and values"
        for system in ("ssamba", "panns", "embedding_statistics")
    },
    **{
        (system, "prefix"): "no attention that takes them"
        for system in ("ssamba", "self_pretraining", "panns", "embedding_statistics")
    },
}


def test_only_the_delta_is_kept(examples, base, tmp_path):
    config = dataclasses.replace(QUICK, method="svfit")
    done = finetune(weights.load(base), examples, examples, tmp_path, config, base=str(base))
    assert not (tmp_path / weights.WEIGHTS).exists()
    kept = weights.read_tensors(tmp_path / weights.DELTA)
    assert sum(value.numel() for value in kept.values()) == done.trained_parameters
    loaded = weights.load(tmp_path)
    assert loaded.labels == ("low", "high")
    logits = done.model.eval()(examples.features, examples.lengths)
    assert torch.equal(loaded(examples.features, examples.lengths), logits)


def test_the_base_is_shared_and_switched_in_milliseconds(examples, base, tmp_path):
    encoder = weights.load(base)
    for name, method in (("a", "lora"), ("b", "bitfit")):
        config = dataclasses.replace(QUICK, method=method)
        start = weights.load(base)
        finetune(start, examples, None, tmp_path / name, config, base=str(base))
    models = {n: weights.load_folder(tmp_path / n, base=encoder) for n in ("a", "b")}
    shared = encoder.blocks[0].feedforward.expand.weight
    assert all(m.encoder.blocks[0].feedforward.expand.weight is shared for m in models.values())
    assert models["b"].encoder.blocks[0].norm1.bias is not encoder.blocks[0].norm1.bias
    alone = {name: weights.load(tmp_path / name) for name in models}
    for name in ("a", "b", "a"):
        assert torch.equal(models[name](examples.features), alone[name](examples.features))


@pytest.mark.parametrize(
    "method", ["lora+norms", "adapter+lora+bitfit", "svfit+prompt-deep", "prefix+conformer+svfit"]
)
def test_methods_compose(method, base, tmp_path):
    """In one model, in one file, and loaded again; the budget goes to the first with a size."""
    torch.manual_seed(0)
    model = Classifier(weights.load(base), ["a", "b"])
    kept = weights.base_of(str(base), model.encoder)
    adapt(model, method, **dict.fromkeys(small(method), 2))
    disturb(model)
    features = torch.randn(3, 128, 64)
    lengths = torch.tensor([64, 40, 16])
    expected = answers(model, features, lengths)
    weights.save_adapted(tmp_path, model, {}, kept)
    again = weights.load(tmp_path)
    torch.testing.assert_close(answers(again, features, lengths), expected, rtol=1e-5, atol=1e-6)
    names = [registry.method_name(one) for one in again.adaptation]
    assert len(names) == len(method.split("+"))


def test_positions_are_lost_in_the_adaptation_and_not_in_the_base(base, tmp_path):
    encoder = weights.load(base)
    model = Classifier(weights.load(base), ["a", "b"])
    kept = weights.base_of(str(base), model.encoder)
    adapt(model, "zero-positions+adapter", inner=2)
    weights.save_adapted(tmp_path, model, {}, kept)
    again = weights.load_folder(tmp_path, base=encoder)
    assert not again.encoder.positions.any()
    assert encoder.positions.any()
    turn = torch.randperm(8)
    features = torch.randn(1, 128, 128)
    patches = features.unfold(2, 16, 16)[:, :, turn].flatten(2)  # another order of columns
    torch.testing.assert_close(answers(again, patches), answers(again, features))
    plain = Classifier(encoder, ["a", "b"])
    assert not torch.allclose(answers(plain, patches), answers(plain, features), atol=1e-4)


def test_an_adapted_model_is_adapted_again(base, tmp_path, examples):
    first = dataclasses.replace(QUICK, method="svfit")
    finetune(weights.load(base), examples, None, tmp_path / "first", first, base=str(base))
    start = weights.load(tmp_path / "first").encoder
    second = dataclasses.replace(QUICK, method="adapter")
    place = tmp_path / "second"
    done = finetune(start, examples, examples, place, second, base=str(tmp_path / "first"))
    assert torch.equal(measure(weights.load(place), examples).scores, done.measured.scores)
    moved = weights.read_tensors(tmp_path / "first" / weights.DELTA)
    name = next(name for name in moved if name.endswith("change"))
    weights.write_tensors(tmp_path / "first" / weights.DELTA, {**moved, name: moved[name] + 1})
    with pytest.raises(InputError, match="belongs to"):
        weights.load(place)


def test_another_base_is_refused(examples, base, tmp_path):
    config = dataclasses.replace(QUICK, method="lora")
    finetune(weights.load(base), examples, None, tmp_path, config, base=str(base))
    with pytest.raises(
        InputError, match=r"belongs to .* with sha256 [0-9a-f]{12}, not to one with"
    ):
        weights.load_folder(tmp_path, base=registry.build("ssast-test", seed=4))
    described = json.loads((tmp_path / "config.json").read_text())
    described["model"]["base"]["name"] = "gone"
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="gone, which is neither bundled nor found from here"):
        weights.load_folder(tmp_path)


@pytest.mark.parametrize("where", ["", "attention.qkv", "feedforward.*|attention.*"])
def test_peft_reads_what_lora_leaves(where, base, tmp_path, examples):
    peft = pytest.importorskip("peft")
    settings = {"where": where, "rank": 3}
    config = dataclasses.replace(QUICK, method="lora", settings=settings)
    done = finetune(weights.load(base), examples, None, tmp_path, config, base=str(base))
    disturb(done.model)
    weights.save_adapted(tmp_path, done.model, {}, weights.base_of(str(base), weights.load(base)))
    plain = Classifier(weights.load(base), ["low", "high"])
    theirs = peft.PeftModel.from_pretrained(plain, str(tmp_path)).eval()
    ours = weights.load(tmp_path)
    expected = done.model.eval()(examples.features)
    torch.testing.assert_close(ours(examples.features), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(theirs(examples.features), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preset", ["ssast-test", "panns-test"])
def test_peft_reads_the_norms_that_learned(preset, tmp_path):
    """With the statistics of batch norms; under the names that peft itself writes."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    case = Case(registry.preset(preset))
    encoder = case.build()
    features, labels = case.features(2), ["a", "b"]
    model = Classifier(copy.deepcopy(encoder), labels)
    adapt(model, "norms")
    disturb(model)
    weights.save_folder(tmp_path / "base", encoder, {"name": "base"})
    base = weights.base_of(str(tmp_path / "base"), encoder)
    weights.save_adapted(tmp_path / "mine", model, {}, base)
    expected = answers(model, features)
    torch.testing.assert_close(answers(weights.load(tmp_path / "mine"), features), expected)
    plain = Classifier(copy.deepcopy(encoder), labels)
    theirs = peft.PeftModel.from_pretrained(plain, str(tmp_path / "mine"))
    torch.testing.assert_close(answers(theirs, features), expected)
    config = peft.PeftConfig.from_pretrained(str(tmp_path / "mine"))
    assert config.peft_type == "LN_TUNING"
    again = peft.get_peft_model(Classifier(copy.deepcopy(encoder), labels), config)
    again.save_pretrained(tmp_path / "theirs")
    mine, peers = (weights.read_tensors(tmp_path / n / weights.DELTA) for n in ("mine", "theirs"))
    assert {n: v.shape for n, v in mine.items()} == {n: v.shape for n, v in peers.items()}


@pytest.mark.parametrize("method", ["lora", "norms"])
def test_beside_another_adaptation_it_is_kept_under_names_of_ours(method, base, tmp_path):
    """peft would look for the layers of the base as they were."""
    first = Classifier(weights.load(base), ["a", "b"])
    adapt(first, "svfit")
    weights.save_adapted(tmp_path / "1", first, {}, weights.base_of(str(base), weights.load(base)))
    start = weights.load(tmp_path / "1").encoder
    kept = weights.base_of(str(tmp_path / "1"), start)
    model = Classifier(start, ["a", "b"])
    adapt(model, method)
    disturb(model)
    features = torch.randn(2, 128, 64)
    expected = answers(model, features)
    weights.save_adapted(tmp_path / "2", model, {}, kept)
    assert not (tmp_path / "2" / weights.PEFT).exists()
    torch.testing.assert_close(answers(weights.load(tmp_path / "2"), features), expected)


def test_a_model_without_a_name_is_kept_whole(examples, tmp_path):
    config = dataclasses.replace(QUICK, method="lora")
    done = finetune(registry.build("ssast-test"), examples, None, tmp_path, config)
    assert not any(isinstance(part, Inserted) for part in done.model.modules())
    assert mergeable(done.model)
    assert (tmp_path / weights.WEIGHTS).is_file()


def test_what_cannot_be_merged_is_kept_whole_with_its_base(tmp_path, examples):
    model = Classifier(registry.build("ssast-test"), ["low", "high"])
    adapt(model, "svfit")
    disturb(model)
    weights.save_adapted(tmp_path, model, {})
    loaded = weights.load(tmp_path)
    assert torch.equal(loaded(examples.features), model.eval()(examples.features))
    assert base_state(loaded.encoder).keys() == registry.build("ssast-test").state_dict().keys()


def test_a_frozen_encoder_stays_in_evaluation_while_what_was_inserted_learns():
    model = adapt(Classifier(registry.build("tera-test"), ["a", "b"]), "lora")
    model.train()
    assert not any(part.training for part in model.encoder.blocks[0].norm1.modules())
    assert not model.encoder.dropout.training
    layer = model.encoder.blocks[0].attention.query
    assert layer.training
    assert layer.additions["lora"].training
    assert not layer.base.training
    assert model.head.training
    model.eval()
    assert not any(part.training for part in model.modules())
    assert trainable_parameters(model) < 5000
