"""Losses of separation: SI-SNR, permutation-invariant training, mixtures of mixtures."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

PairLoss = Callable[[Tensor, Tensor], Tensor]  # (..., n), (..., n) -> (...)


def si_snr(
    made: Float[Tensor, "*batch n"], wanted: Float[Tensor, "*batch n"], epsilon: float = 1e-8
) -> Float[Tensor, "*batch"]:
    """Scale-invariant signal-to-noise ratio in dB of zero-mean signals; higher is better.

    Le Roux et al. 2019 (SDR, half-baked or well done?), equation 3, after removing means.

    >>> si_snr(torch.tensor([2.0, -2.0, 0.0]), torch.tensor([1.0, -1.0, 0.0])) > 60
    tensor(True)
    """
    made = made - made.mean(-1, keepdim=True)
    wanted = wanted - wanted.mean(-1, keepdim=True)
    scale = (made * wanted).sum(-1, keepdim=True) / (
        wanted.square().sum(-1, keepdim=True) + epsilon
    )
    target = scale * wanted
    noise = (made - target).square().sum(-1)
    return 10 * torch.log10(target.square().sum(-1) / (noise + epsilon) + epsilon)


def negative_si_snr(made: Tensor, wanted: Tensor) -> Tensor:
    """-`si_snr`, as a loss of one estimate."""
    return -si_snr(made, wanted)


def permutation_invariant(
    made: Float[Tensor, "b s n"],
    wanted: Float[Tensor, "b s n"],
    loss: PairLoss = negative_si_snr,
) -> tuple[Float[Tensor, "b"], Int[Tensor, "b s"]]:
    """Each clip's least mean loss over the orders of its estimates, and that order.

    order[b, i] is the estimate that belongs to wanted source i. Yu et al. 2017 (PIT). All s! orders
    are compared, from one table of s^2 losses.

    >>> one, two = torch.tensor([[[1.0, -1, 0], [0, 1, -1]]]).unbind(1)
    >>> permutation_invariant(torch.stack([two, one], 1), torch.stack([one, two], 1))[1]
    tensor([[1, 0]])
    """
    sources = wanted.shape[1]
    table = loss(made[:, :, None], wanted[:, None])  # (b, estimate, source)
    orders = torch.tensor(list(itertools.permutations(range(sources))), device=made.device)
    places = torch.arange(sources, device=made.device)
    least, which = table[:, orders, places].mean(-1).min(-1)
    return least, orders[which]


def in_order(
    made: Float[Tensor, "b s *rest"], order: Int[Tensor, "b s"]
) -> Float[Tensor, "b s *rest"]:
    """Estimates brought into the order that `permutation_invariant` found."""
    return torch.stack([clip[row] for clip, row in zip(made, order)])


def mixture_invariant(
    made: Float[Tensor, "b s n"],
    mixtures: Float[Tensor, "b 2 n"],
    loss: PairLoss = negative_si_snr,
) -> Float[Tensor, "b"]:
    """Each clip's least mean loss over the ways to share s estimates among two mixtures.

    For training without clean sources: the model hears the sum of two mixtures, and its estimates,
    each given to one of the two, have to add up to them. Wisdom et al. 2020 (MixIT), equation 1.
    """
    sources = made.shape[1]
    shares = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sources)))
    first = shares.to(made)  # (2^s, s): what the first mixture gets
    sums = torch.stack([first @ made, (1 - first) @ made], dim=2)  # (b, 2^s, 2, n)
    return loss(sums, mixtures[:, None]).mean(-1).min(-1).values
