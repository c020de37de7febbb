"""PortaSpeech: counts, published names both ways, losses, stages, what it says."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.losses.mel import mel_losses
from sonograph.nn.acoustic import Controls, SpeechBatch, Text
from sonograph.nn.weight_norm import fold
from sonograph.systems.speak import portaspeech as ps
from sonograph.systems.speak.portaspeech.model import Posterior


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def voice(seed: int = 0) -> ps.PortaSpeech:
    """The test model with a post-net that does something, and durations of about three frames."""
    model = registry.build("portaspeech-test", seed=seed).eval()
    torch.manual_seed(seed)
    for step in model.post_net.steps:
        step.coupling.end.weight.data.normal_(std=0.1)
    model.durations.project.bias.data.fill_(3.0)
    return model


def text(lengths: tuple[int, ...] = (18, 7, 1), seed: int = 0) -> Text:
    draw = torch.Generator().manual_seed(seed)
    most = max(lengths)
    ids = torch.randint(1, 77, (len(lengths), most), generator=draw)
    words = (torch.arange(most) // 3).expand(len(lengths), -1)
    return Text(ids, torch.tensor(lengths), words)


def alone(many: Text, row: int) -> Text:
    n = int(many.lengths[row])
    return Text(
        many.ids[row : row + 1, :n], many.lengths[row : row + 1], many.words[row : row + 1, :n]
    )


def batch(seed: int = 0) -> SpeechBatch:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([41, 30])
    features = torch.randn(2, 80, 41, generator=draw) - 5
    features = features * (torch.arange(41) < lengths[:, None])[:, None]
    return SpeechBatch(text((12, 9)), features, lengths)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- sizes and names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "total", "speaking", "post_net"),
    [
        ("portaspeech-normal", 25_979_009, 21_739_809, 10_667_952),
        ("portaspeech-small", 8_157_489, 6_764_945, 3_579_424),
        ("portaspeech-mini", 2_573_569, 2_573_569 - 428_480, 778_320),
    ],
)
def test_counts(name: str, total: int, speaking: int, post_net: int) -> None:
    model = registry.build(name, device="meta")
    assert (count(model), ps.parameters_to_speak(model)) == (total, speaking)
    assert count(model.post_net) == post_net


def test_the_small_voice_of_the_sheet_has_eighty_phones() -> None:
    assert count(registry.build("portaspeech-mini", device="meta", tokens=80)) == 2_573_857


def test_without_sharing_the_post_net_grows() -> None:
    for name, size in (("normal", 18.34e6), ("small", 5.86e6)):
        model = registry.build(f"portaspeech-{name}", device="meta", post_sharing=1)
        assert count(model.post_net) == pytest.approx(size, rel=1e-3)


def test_published_names_go_both_ways() -> None:
    model = registry.build("portaspeech-test", post_steps=5, post_sharing=2)
    theirs = ps.to_published(model)
    assert ps.is_published(theirs)
    assert "post_flow.flows.14.wn.in_layers.0.weight_v" in theirs  # the fifth step's own
    assert theirs["encoder.encoder.attn_layers.0.emb_rel_k"].shape == (1, 9, 16)
    prefixed = {f"model.{name}": value for name, value in theirs.items()}
    again = ps.load_published(prefixed)
    given = dataclasses.asdict(model.config) | {"features": None, "post_noise": 0.6}
    read = dataclasses.asdict(again.config) | {"features": None}
    assert read | {"alphabet": "arpabet"} == given
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    plain = {  # what their `store_inverse_all` leaves
        name.replace("weight_v", "weight"): torch._weight_norm(value, theirs[name[:-1] + "g"], 0)
        if name.endswith("weight_v")
        else value
        for name, value in theirs.items()
        if not name.endswith("weight_g")
    }
    loaded, folded = fold(ps.load_published(plain)), fold(model).state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, folded[name])


def test_shared_weights_that_differ_are_refused() -> None:
    theirs = ps.to_published(registry.build("portaspeech-test"))
    name = "post_flow.flows.5.wn.in_layers.0.bias"
    theirs[name] = theirs[name] + 1
    with pytest.raises(InputError, match="steps share"):
        ps.from_published(theirs)


def test_later_configurations_are_refused_in_words() -> None:
    theirs = ps.to_published(registry.build("portaspeech-test"))
    theirs["word_encoder.emb.weight"] = torch.zeros(3, 32)
    with pytest.raises(InputError, match="NeurIPS"):
        ps.config_from_published(theirs)


@pytest.mark.parametrize("change", [{"width": 33}, {"latent": 3}, {"tokens": 1}])
def test_bad_configurations_are_refused(change: dict) -> None:
    with pytest.raises(InputError, match=r"give|least"):
        ps.Config().override(change)


# --- speaking ------------------------------------------------------------------------------------


def test_a_text_sounds_the_same_alone_and_among_others() -> None:
    model, many = voice(), text()
    together = model.speak(many, generator=seeded())
    for row in range(3):
        one = model.speak(alone(many, row), generator=seeded())
        t = int(one.lengths)
        assert t == int(together.lengths[row])
        torch.testing.assert_close(
            one.features[0], together.features[row, :, :t], atol=1e-4, rtol=0
        )
        n = one.durations.shape[1]
        assert torch.equal(one.durations[0], together.durations[row, :n])
        assert (together.features[row, :, t:] == 0).all()


def test_durations_sum_up_to_whole_fours() -> None:
    said = voice().speak(text(), generator=seeded())
    assert torch.equal(said.durations.sum(1), said.lengths)
    assert (said.lengths % 4 == 0).all()
    assert said.features.shape == (3, 80, int(said.lengths.max()))


def test_pace_shortens() -> None:
    model, one = voice(), text((18,))
    plain = int(model.speak(one, generator=seeded()).lengths)
    fast = model.speak(one, Controls(pace=torch.full((1, 18), 2.0)), seeded())
    assert abs(int(fast.lengths) - plain / 2) <= 8


def test_a_seed_is_a_reading() -> None:
    model, one = voice(), text((18,))
    first, again, other = (model.speak(one, generator=seeded(seed)).features for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_noise_begins_the_same_however_long() -> None:
    long, short = ps.noise_of(5, (2, 20, 37)), ps.noise_of(5, (1, 20, 11))
    assert torch.equal(long[:1, :, :11], short)
    assert abs(float(long[0].std()) - 1) < 0.1


def test_pitch_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="pace only"):
        voice().speak(text(), Controls(pitch=torch.ones(3, 18)))


@pytest.mark.parametrize("change", ["empty", "foreign"])
def test_bad_texts_are_refused(change: str) -> None:
    one = text((5,))
    bad = one._replace(lengths=torch.tensor([0])) if change == "empty" else None
    bad = bad or one._replace(ids=one.ids + 77)
    with pytest.raises(InputError, match="token"):
        voice().speak(bad)


def test_frames_look_at_the_phones_of_their_word() -> None:
    model, one = voice(), text((6,))
    read = model.read(one)
    _, weights = model.linguistic(read, torch.tensor([[1, 1, 2, 2]]))
    assert (weights[0, :2, 3:] == 0).all()
    assert (weights[0, 2:, :3] == 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(1, 4))


# --- learning ------------------------------------------------------------------------------------


def test_similarity_does_not_depend_on_padding() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 80, 30)
    mask = (torch.arange(30) < 20).float()[None, None]
    short = mel_losses(a[..., :20], b[..., :20], mask[..., :20])
    for name, value in mel_losses(a, b, mask).items():
        torch.testing.assert_close(value, short[name])


def test_likelihood_of_the_post_net_is_that_of_its_change_of_variables() -> None:
    """One linear step: log N(exp(s) x + m) + s is the density of N(-m exp(-s), exp(-2s))."""
    x, s = torch.randn(1, 2, 8), 0.7
    z, mask = math.exp(s) * x + 0.3, torch.ones(1, 1, 8)
    want = torch.distributions.Normal(-0.3 * math.exp(-s), math.exp(-s)).log_prob(x).mean()
    torch.testing.assert_close(ps.flow_loss(z, torch.tensor([s * 16]), mask), -want)


def test_likelihood_leaves_padding_out() -> None:
    z, mask = torch.randn(2, 4, 6), (torch.arange(6) < torch.tensor([6, 2])[:, None])[:, None]
    mask, determinant = mask.float(), torch.tensor([3.0, 1.0])
    cut = torch.cat([z[0].flatten(), z[1, :, :2].flatten()])
    want = -(torch.distributions.Normal(0, 1).log_prob(cut).sum() + 4) / (8 * 4)
    torch.testing.assert_close(ps.flow_loss(z * mask, determinant, mask), want)


def test_divergence_is_none_where_posterior_and_prior_agree() -> None:
    model = voice()
    for coupling in model.vae.prior.couplings:
        coupling.end.weight.data.zero_()
        coupling.end.bias.data.zero_()
    z = torch.randn(1, 16, 5)
    mean = log_deviation = torch.zeros(1, 16, 5)
    posterior = Posterior(z, mean, log_deviation, torch.ones(1, 1, 5))
    value, _ = model.vae.divergence(posterior, torch.randn(1, 32, 5))
    torch.testing.assert_close(value, torch.zeros(()), atol=1e-6, rtol=0)


def learned(objective: ps.Pretraining) -> set[str]:
    """Which parts get a gradient from one batch."""
    objective.zero_grad()
    objective(batch(), seeded())["loss"].backward()
    names = [n for n, p in objective.named_parameters() if p.grad is not None and p.grad.any()]
    return {".".join(name.split(".")[:2]) for name in names}


def test_stages_learn_different_parts() -> None:
    schedule = ps.Schedule(divergence_from=1, post_net_from=2, binarise_from=1)
    objective = ps.Pretraining(voice(), schedule).train()
    first = learned(objective)
    assert "acoustic.post_net" not in first
    assert {"acoustic.vae", "acoustic.attention", "acoustic.durations", "aligner.key"} <= first
    prior = objective.acoustic.vae.prior.couplings[0].start.weight
    assert prior.grad is None
    learned(objective)
    assert prior.grad is not None
    assert objective.stage == "post_net"
    assert learned(objective) == {"acoustic.post_net"}


def test_given_durations_are_taken() -> None:
    objective = ps.Pretraining(voice()).eval()
    given = batch()
    durations = torch.zeros(2, 12, dtype=torch.int64)
    durations[0, :12] = 3
    durations[0, 0] += 5
    durations[1, :9] = 3
    durations[1, 0] += 3
    parts = objective(given._replace(durations=durations), seeded())
    assert "forward_sum" not in parts
    durations[0, 0] -= 1
    with pytest.raises(InputError, match="sum up to 40"):
        objective(given._replace(durations=durations), seeded())


def test_only_updates_are_counted() -> None:
    objective = ps.Pretraining(voice()).eval()
    objective(batch(), seeded())
    assert int(objective.updates) == 0
    objective.train()
    objective(batch(), seeded())
    assert int(objective.state_dict()["updates"]) == 1


def test_shortened_keeps_proportions() -> None:
    short = ps.Schedule().shortened(1600)
    assert (short.divergence_from, short.post_net_from, short.binarise_from) == (100, 1600, 180)


@pytest.mark.parametrize("stage", ["voice", "post_net"])
def test_one_batch_is_learned(stage: str) -> None:
    schedule = ps.Schedule(divergence_from=0, post_net_from=0 if stage == "post_net" else 1000)
    objective = ps.Pretraining(registry.build("portaspeech-test"), schedule).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = objective(batch(), seeded())["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]


@torch.no_grad()
def test_a_beginning_at_the_corpus_is_whitened_by_the_post_net() -> None:
    model = registry.build("portaspeech-test").eval()
    mean, deviation = torch.linspace(-9, -2, 80), torch.linspace(0.5, 3, 80)
    ps.begin_at(model, mean, deviation)
    features = mean[None, :, None] + deviation[None, :, None] * torch.randn(2, 80, 200)
    z, _ = model.post_net(features, torch.ones(2, 1, 200), torch.randn(2, 112, 200))
    assert abs(float(z.mean())) < 0.05
    assert abs(float(z.std()) - 1) < 0.05


def test_weights_in_half_precision_say_nearly_the_same():
    model = voice()
    frames = torch.full((3, 6), 4) * (model.read(text()).word_wishes > 0)
    with torch.no_grad():
        whole = model.both(model.read(text()), frames, seeded())[1]
        model.bfloat16()
        half = model.both(model.read(text()), frames, seeded())[1]
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).norm() < 0.05 * whole.norm()
