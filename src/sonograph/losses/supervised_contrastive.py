"""Learning one place a class: all keys of a label are pulled together."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def supervised_contrastive(
    scores: Float[Tensor, "b q"],
    same: Bool[Tensor, "b q"],
    allowed: Bool[Tensor, "b q"],
    temperature: float,
) -> Float[Tensor, ""]:
    """-mean over queries of the mean over positives of log softmax(score / temperature), in nats.

    scores: cosines of queries with keys; allowed: the keys a query is compared with (not its own);
    same: those with its label, the positives. The form with the mean outside of the logarithm
    (Khosla et al. 2020, equation 2). Queries without a positive are left out; if all are, the
    loss is 0.
    """
    same = same & allowed
    told = same.any(1)
    if not bool(told.any()):
        return scores.float().sum() * 0
    votes, positive = scores.float()[told] / temperature, same[told]
    shares = votes - votes.masked_fill(~allowed[told], float("-inf")).logsumexp(1, keepdim=True)
    return -(shares.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()
