from __future__ import annotations

import math

import pytest
import torch

from sonograph.nn import aligner, monotonic
from sonograph.nn.monotonic import to_hard


def beta_binomial(k: int, n: int, a: float, b: float) -> float:
    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return math.comb(n, k) * math.exp(log_beta(k + a, n - k + b) - log_beta(a, b))


@pytest.mark.parametrize("scaling", [1.0, 0.3])
def test_the_prior_is_the_formula(scaling):
    frames, tokens = torch.tensor([5, 3]), torch.tensor([3, 1])
    prior = aligner.beta_binomial_prior(frames, tokens, scaling)
    for i in range(1, 6):
        for k in range(3):
            want = beta_binomial(k, 2, scaling * i, scaling * (6 - i))
            assert prior[0, i - 1, k].item() == pytest.approx(want, abs=1e-6)
    assert prior[1, :3, 0].tolist() == pytest.approx([1, 1, 1])
    assert prior[1, 3:].sum() + prior[1, :, 1:].sum() == 0


def test_the_forward_sum_is_that_of_each_clip_alone():
    torch.manual_seed(0)
    scores = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    tokens, frames = torch.tensor([4, 2]), torch.tensor([7, 5])
    losses = []
    for k in range(2):
        n, t = int(tokens[k]), int(frames[k])
        padded = torch.nn.functional.pad(scores[k, :t, :n], (1, 0), value=-1.0)
        losses.append(
            torch.nn.functional.ctc_loss(
                padded.log_softmax(1), torch.arange(1, n + 1), frames[k], tokens[k]
            )
        )
    whole = aligner.forward_sum_loss(scores, tokens, frames)
    torch.testing.assert_close(whole, sum(losses) / 2)
    (want,) = torch.autograd.grad(sum(losses) / 2, scores)
    (got,) = torch.autograd.grad(whole, scores)
    torch.testing.assert_close(got, want)


def test_a_clip_that_cannot_be_aligned_counts_nothing():
    scores = torch.randn(1, 2, 4, requires_grad=True)
    loss = aligner.forward_sum_loss(scores, torch.tensor([4]), torch.tensor([2]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.abs().sum() == 0


def test_padding_changes_nothing():
    torch.manual_seed(0)
    model = aligner.Aligner(6, 5, 4)
    text, mel = torch.randn(2, 6, 7), torch.randn(2, 5, 12)
    tokens, frames = torch.tensor([7, 4]), torch.tensor([12, 9])
    prior = aligner.beta_binomial_prior(frames, tokens)
    both = model(text, mel, tokens, frames, prior)
    alone = model(
        text[1:, :, :4],
        mel[1:, :, :9],
        tokens[1:],
        frames[1:],
        aligner.beta_binomial_prior(frames[1:], tokens[1:]),
    )
    torch.testing.assert_close(both.soft[1:, :9, :4], alone.soft)
    torch.testing.assert_close(both.scores[1:, :9, :4], alone.scores)
    assert both.soft[1, :, 4:].abs().max() == 0


def test_half_precision_keeps_its_distances():
    torch.manual_seed(0)
    model = aligner.Aligner(6, 5, 4)
    text, mel = 30 + torch.randn(1, 6, 7), torch.randn(1, 5, 12)
    lengths = torch.tensor([7]), torch.tensor([12])
    whole = model(text, mel, *lengths)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(text, mel, *lengths)
        loss = aligner.forward_sum_loss(half.scores, *lengths)
    assert half.scores.dtype == torch.float32
    assert torch.isfinite(loss)
    torch.testing.assert_close(half.scores, whole.scores, rtol=0.05, atol=1e-3)
    bf16 = half.soft.log().bfloat16()
    assert monotonic.search(bf16, lengths[1], lengths[0]).frames.sum() == 12


def test_binarisation_is_nothing_for_a_hard_attention():
    hard = to_hard(torch.tensor([[2, 1]]), 3)
    assert aligner.binarisation_loss(hard, hard).item() == 0
    soft = torch.full((1, 3, 2), 0.5)
    assert aligner.binarisation_loss(hard, soft).item() == pytest.approx(math.log(2))


def test_it_learns_an_alignment_nobody_told_it():
    """Tokens of three kinds in random order and length, each sounding its own way."""
    torch.manual_seed(0)
    kinds, batch, n = torch.randn(6, 8) * 2, 16, 5
    ids = torch.stack([torch.randperm(6)[:n] for _ in range(batch)])
    durations = torch.randint(2, 7, (batch, n))
    frames, tokens = durations.sum(1), torch.full((batch,), n)
    size = int(frames.max())
    sounds = (to_hard(durations, size) @ kinds[ids]).transpose(1, 2)
    sounds = sounds + 0.1 * torch.randn_like(sounds)
    table = torch.nn.Embedding(6, 8)
    model = aligner.Aligner(8, 8, 16, temperature=0.05)
    learned = [*model.parameters(), *table.parameters()]
    optimizer = torch.optim.Adam(learned, lr=5e-3)
    prior = aligner.beta_binomial_prior(frames, tokens)
    errors = []
    for _ in range(60):
        out = model(table(ids).transpose(1, 2), sounds, tokens, frames, prior)
        found = model.align(out, tokens, frames).frames
        errors.append((found.cumsum(1) - durations.cumsum(1)).abs().float().mean().item())
        loss = aligner.forward_sum_loss(out.scores, tokens, frames)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(found.sum(1), frames)
    assert errors[-1] < 0.4  # frames that a boundary is off; by the prior alone it is 1.7
    assert errors[0] > 1


def test_published_names_have_a_place():
    published = {f"key_proj.{k}.conv.{p}": 0 for k in (0, 2) for p in ("weight", "bias")}
    published |= {f"query_proj.{k}.conv.{p}": 0 for k in (0, 2, 4) for p in ("weight", "bias")}
    assert set(aligner.from_published(published)) == set(aligner.Aligner(4).state_dict())
