from __future__ import annotations

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.systems.adapt.ast_adapters import Adapter, Mixture, PrefixTuning, PromptTuning
from sonograph.systems.adapt.ast_adapters.adapters import ConformerAdapter, Convpass, quick_gelu
from sonograph.systems.adapt.ast_adapters.mixtures import (
    DenseMixture,
    NormalisedSoftMixture,
    SoftMixture,
    adapters,
)
from sonograph.systems.adapt.ast_adapters.published import from_published
from sonograph.train.adapt import adapt, cost

X = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))


def tiny() -> Classifier:
    torch.manual_seed(0)
    return Classifier(registry.build("ssast-test"), ["a", "b"])


@pytest.mark.parametrize(
    ("method", "more"),
    [
        (Adapter(12, norms="norm2|norm"), 230_544 + 18_432 + 1_536),
        (Adapter(8), 156_768),
        (Adapter(6), 119_880),
        (Adapter(12, at="both"), 2 * 230_544),
        (PromptTuning(300, "shallow"), 230_400),
        (PromptTuning(25, "deep"), 230_400),
        (PrefixTuning(24), 221_184),
    ],
)
def test_counts_of_the_published_settings(method, more):
    assert cost(registry.build("ast-base", device="meta"), (method,)) == more


@pytest.mark.parametrize("method", ["adapter", "conformer", "convpass", "moa-soft", "moa-dense"])
def test_one_step_from_the_start_every_matrix_learns(method):
    """Exactly one of a pair of maps starts at 0: after one step both have gradients."""
    model = adapt(tiny(), method)
    learn = [p for p in model.encoder.parameters() if p.requires_grad]
    features = torch.randn(4, 128, 64)
    search = torch.optim.SGD(learn, lr=0.1)
    for _ in range(2):
        search.zero_grad()
        model.train()(features).square().mean().backward()
        search.step()
    still = {
        name
        for name, p in model.encoder.named_parameters()
        if p.requires_grad and not bool(p.grad.any())
    }
    # a bias before a batch norm has no gradient; rounding may leave some or none
    assert {name for name in still if "depthwise.bias" not in name} == set()


@pytest.mark.parametrize("at", ["feedforward", "attention", "both"])
def test_where_adapters_stand(at):
    model = adapt(tiny(), "adapter", at=at)
    places = {
        n.split(".adapter.")[0] for n, _ in model.encoder.named_parameters() if ".adapter." in n
    }
    kinds = {place.rsplit(".", 1)[1] for place in places}
    assert kinds == ({"attention", "feedforward"} if at == "both" else {at})
    assert len(places) == (4 if at == "both" else 2)


@pytest.mark.parametrize("placement", ["parallel", "sequential-residual"])
def test_residual_placements_begin_as_the_given_model(placement):
    features = torch.randn(2, 128, 64)
    with torch.no_grad():
        before = tiny().eval()(features)
        model = adapt(tiny(), Adapter(placement=placement, at="both")).eval()
        assert torch.equal(model(features), before)


def test_the_conformer_sees_order_and_a_bottleneck_does_not():
    turn = torch.arange(8, -1, -1)
    for kind, sees in (("conformer", True), ("bottleneck", False)):
        module = Adapter(4, kind, kernel=3).module(16).eval()
        torch.nn.init.normal_(module.up.weight)
        same = torch.allclose(module(X)[:, turn], module(X[:, turn]), atol=1e-6)
        assert same != sees


@pytest.mark.parametrize("kind", [ConformerAdapter, Convpass])
def test_the_published_form_leaves_out_what_it_computes(kind):
    torch.manual_seed(0)
    ours, theirs = kind(16, 4, 3).eval(), kind(16, 4, 3, "published").eval()
    theirs.load_state_dict(ours.state_dict())
    for module in (ours, theirs):
        torch.nn.init.constant_(module.up.weight, 0.5)
    assert not torch.allclose(ours(X), theirs(X))
    with torch.no_grad():
        dead = theirs.norm.weight if kind is ConformerAdapter else theirs.convolve.weight
        before = theirs(X)
        dead.add_(1.0)
    assert torch.equal(theirs(X), before)


def test_the_published_convpass_bends_twice():
    """Both activations stay where the convolution between them is lost."""
    module = Convpass(16, 4, 3, "published").eval()
    torch.nn.init.normal_(module.up.weight)
    with torch.no_grad():
        expected = module.up(quick_gelu(quick_gelu(module.down(X))))
        assert torch.equal(module(X), expected)


def test_batch_statistics_are_of_the_clips_own_tokens():
    module = ConformerAdapter(16, 4, 3).train()
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    other = X.clone()
    other[1, 4:] = 100.0
    module(X, mask)
    first = module.batch_norm.running_mean.clone()
    module.batch_norm.reset_running_stats()
    module(other, mask)
    torch.testing.assert_close(module.batch_norm.running_mean, first)


def test_a_mixture_of_equal_adapters_is_one_adapter():
    torch.manual_seed(0)
    dense = DenseMixture(16, adapters(16, 4, 3))
    for adapter in dense.adapters:
        adapter.load_state_dict(dense.adapters[0].state_dict())
        torch.nn.init.ones_(adapter.up.weight)
    torch.testing.assert_close(dense(X), dense.adapters[0](X), rtol=1e-4, atol=1e-5)


def test_soft_slots_are_averages_of_the_clips_own_tokens():
    torch.manual_seed(0)
    soft = SoftMixture(16, adapters(16, 4, 2), 3)
    for adapter in soft.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    alone = soft(X[1:, :4])
    torch.testing.assert_close(soft(X, mask)[1:, :4], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compat", ["none", "published"])
def test_normalised_slots_do_not_see_how_loud_tokens_are(compat):
    """Slots hold the tokens as they are; as published, tokens of length 1."""
    torch.manual_seed(0)
    soft = NormalisedSoftMixture(16, adapters(16, 4, 2), 3, compat).eval()
    for adapter in soft.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    x = X.double()
    with torch.no_grad():
        soft.double().slots.mul_(7.0)
        first = soft(x)
        soft.slots.div_(7.0)
        torch.testing.assert_close(soft(x), first, rtol=1e-4, atol=1e-5)
        louder = torch.allclose(soft(2 * x), first, rtol=1e-4, atol=1e-5)
    assert louder == (compat == "published")


@pytest.mark.parametrize("kind", ["dense", "soft"])
def test_the_published_mixture_of_attention_is_added_twice(kind):
    """Once beside the attention, once behind the feed-forward part of the same block."""
    model = adapt(tiny(), Mixture(kind=kind, at="attention", compat="published"))
    block = model.encoder.blocks[0].eval()
    for adapter in block.attention.adapter.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    x = torch.randn(1, 5, 48)
    with torch.no_grad():
        more = block.attention.adapter(block.norm1(x))
        h = x + block.attention.base(block.norm1(x)) + more
        plain = block.feedforward.contract(
            torch.nn.functional.gelu(block.feedforward.expand(block.norm2(h)))
        )
        torch.testing.assert_close(block(x), h + plain + more)


def test_the_published_mixture_needs_a_feed_forward_part():
    with pytest.raises(InputError, match="has none"):
        adapt(
            registry.build("ssamba-test"),
            Mixture(at="attention", compat="published"),
            head="none",
        )


def test_names_of_what_the_official_code_adds():
    """Mixtures say nowhere where they stand alone; the ablation of LoRA writes capitals."""
    layer = "model.encoder.layer.0"
    other = {
        f"{layer}.attention.attention.{part}.{last}": torch.zeros(1)
        for part in ("query", "key", "value")
        for last in ("weight", "bias")
    } | {f"model.embeddings.{name}_token": torch.zeros(1, 1, 1) for name in ("cls", "distillation")}
    names = {
        "moa.slot_params": "blocks.0.attention.adapter.slots",
        "moa.scale": "blocks.0.attention.adapter.scale",
        "moa_ffn.moa.2.linear_upsample.bias": "blocks.0.feedforward.adapter.adapters.2.up.bias",
        "moa_mhsa.moa.0.adapter_conv.weight": (
            "blocks.0.attention.adapter.adapters.0.convolve.weight"
        ),
        "router.ff.weight": "blocks.0.attention.adapter.router.weight",
        "router_ffn.ff.bias": "blocks.0.feedforward.adapter.router.bias",
        "attention.attention.lora_up_K.weight": ("blocks.0.attention.qkv.additions.lora_key.up"),
        "attention.output.lora_down_O.weight": ("blocks.0.attention.project.additions.lora.down"),
    }
    state = other | {f"{layer}.{theirs}": torch.zeros(2, 3) for theirs in names}
    assert sorted(from_published(state, "MHSA").delta) == sorted(names.values())


def test_prompts_come_behind_special_tokens_and_leave_the_sequence():
    model = adapt(tiny(), "prompt-deep", count=3)
    seen = []
    for block in model.encoder.blocks:
        block.register_forward_pre_hook(lambda m, given: seen.append(given[0]))
    features = torch.randn(1, 128, 64)
    tokens = model.encoder.eval()(features)
    assert tokens.values.shape == (1, 32, 48)
    assert tokens.special.shape == (1, 2, 48)
    assert [x.shape[1] for x in seen] == [32 + 2 + 3] * 2
    for k, x in enumerate(seen):
        torch.testing.assert_close(x[0, 2:5], model.encoder.prompts.tokens[k])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Adapter(0), "at least 1"),
        (lambda: Mixture(count=0), "at least one adapter"),
        (lambda: PromptTuning(0), "at least 1"),
        (lambda: PrefixTuning(1), "at least 2"),
        (lambda: adapt(tiny(), "adapter", inner=100), "a width of 100|width 100"),
        (lambda: adapt(tiny(), "adapter", norms="nrm"), "no part of the encoder is called 'nrm'"),
        (lambda: adapt(tiny(), "adapter", at="fedforward"), "at is one of"),
    ],
)
def test_settings_that_do_not_fit(make, said):
    with pytest.raises(InputError, match=said):
        make()
