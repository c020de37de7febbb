"""The learned aligner: which frame speaks which token, learned with the voice, without labels.

Badlani, Lancucki, Shih, Valle, Ping and Catanzaro, "One TTS Alignment To Rule Them All", ICASSP
2022, as RAD-TTS (Shih et al. 2021) has it. Keys of the text and queries of the mel are compared by
distance; the forward-sum loss asks that all monotonic paths together be likely, a beta-binomial
prior says that they lie near the diagonal, and the binarisation loss pulls the soft attention to
the hard path that durations come from.

Shapes: text (b, c, n), mel (b, bins, t) -> attention (b, t, n).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonograph.nn.monotonic import Durations, search
from sonograph.weights import rename

BLANK = -1.0  # the log score of "no token", beside which all tokens stand
SMALLEST = 1e-8  # added to the prior before its logarithm
FORBIDDEN = -1e9  # a log score that no path takes, without the NaN that -inf gives in gradients


class Aligned(NamedTuple):
    """soft (b, t, n): each frame's weights over the tokens; scores (b, t, n): their log, before
    the last softmax, what the losses take.
    """

    soft: Float[Tensor, "b t n"]
    scores: Float[Tensor, "b t n"]


class Aligner(nn.Module):
    """Soft attention of every mel frame over the tokens, by distance in a common space.

    compat: "published" takes log-probabilities over padding too and looks at what lies beyond a
    clip's end, as the official code does; otherwise padding changes nothing.

    >>> text, mel = torch.randn(1, 8, 3), torch.randn(1, 80, 9)
    >>> Aligner(8)(text, mel, torch.tensor([3]), torch.tensor([9])).soft.shape
    torch.Size([1, 9, 3])
    """

    def __init__(
        self,
        text_channels: int,
        mel_channels: int = 80,
        attention_channels: int = 80,
        temperature: float = 0.0005,
        compat: Literal["none", "published"] = "none",
    ):
        super().__init__()
        self.temperature, self.compat = temperature, compat
        self.key = nn.Sequential(
            nn.Conv1d(text_channels, 2 * text_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(2 * text_channels, attention_channels, 1),
        )
        self.query = nn.Sequential(
            nn.Conv1d(mel_channels, 2 * mel_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(2 * mel_channels, mel_channels, 1),
            nn.ReLU(),
            nn.Conv1d(mel_channels, attention_channels, 1),
        )
        for part in (self.key, self.query):
            for place, layer in enumerate(part):
                if isinstance(layer, nn.Conv1d):
                    gain = nn.init.calculate_gain("relu" if place == 0 else "linear")
                    nn.init.xavier_uniform_(layer.weight, gain)

    def forward(
        self,
        text: Float[Tensor, "b c n"],
        mel: Float[Tensor, "b bins t"],
        tokens: Int[Tensor, "b"],
        frames: Int[Tensor, "b"],
        prior: Float[Tensor, "b t n"] | None = None,
    ) -> Aligned:
        padding = ~_inside(tokens, text.shape[2])[:, None, :]
        if self.compat == "none":
            text = text.masked_fill(padding, 0.0)
            mel = mel.masked_fill(~_inside(frames, mel.shape[2])[:, None, :], 0.0)
        scores = -self.temperature * _squared_distances(self.query(mel), self.key(text))
        if prior is not None:
            over = scores if self.compat == "published" else scores.masked_fill(padding, FORBIDDEN)
            scores = over.log_softmax(2) + (prior + SMALLEST).log()
        soft = scores.masked_fill(padding, -torch.inf).softmax(2)
        return Aligned(soft, scores)

    def align(
        self, aligned: Aligned, tokens: Int[Tensor, "b"], frames: Int[Tensor, "b"]
    ) -> Durations:
        """The hard path through the soft attention: its durations, and its mean log weight."""
        return search(aligned.soft.detach().log(), frames, tokens)


def _squared_distances(
    query: Float[Tensor, "b c t"], key: Float[Tensor, "b c n"]
) -> Float[Tensor, "b t n"]:
    """|q|^2 + |k|^2 - 2 q.k: no (b, c, t, n) in memory. Never in half precision, where large
    squares would cancel to nothing.
    """
    if query.dtype != torch.float64:
        query, key = query.float(), key.float()
    with torch.autocast(query.device.type, enabled=False):
        squares = query.square().sum(1)[:, :, None] + key.square().sum(1)[:, None, :]
        return torch.baddbmm(squares, query.transpose(1, 2), key, alpha=-2)


def beta_binomial_prior(
    frames: Int[Tensor, "b"],
    tokens: Int[Tensor, "b"],
    scaling: float = 1.0,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "b t n"]:
    """How likely frame i of M speaks token k of P before anything is heard: a wide diagonal.

    BetaBinomial(P - 1, w i, w (M + 1 - i)) at k, i from 1; 0 outside a clip. `scaling` w makes it
    narrower as it grows. `size` (frames, tokens) of the result, by default the batch's largest.

    >>> beta_binomial_prior(torch.tensor([2]), torch.tensor([2]))[0].tolist()
    [[0.6666666865348816, 0.3333333432674408], [0.3333333432674408, 0.6666666865348816]]
    """
    t, n = size or (int(frames.max()), int(tokens.max()))
    device = frames.device
    i = torch.arange(1, t + 1, device=device, dtype=torch.float64)[None, :, None]
    k = torch.arange(n, device=device, dtype=torch.float64)[None, None, :]
    length = frames.double()[:, None, None]
    trials = tokens.double()[:, None, None] - 1
    inside = (i <= length) & (k <= trials)
    i, k = torch.minimum(i, length), torch.minimum(k, trials)
    alpha, beta = scaling * i, scaling * (length + 1 - i)
    ways = _log_beta(k + 1, trials - k + 1) + (trials + 1).log()  # -log of the binomial
    log_mass = _log_beta(k + alpha, trials - k + beta) - _log_beta(alpha, beta) - ways
    return torch.where(inside, log_mass.exp(), 0.0).float()


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def forward_sum_loss(
    scores: Float[Tensor, "b t n"],
    tokens: Int[Tensor, "b"],
    frames: Int[Tensor, "b"],
    blank: float = BLANK,
) -> Float[Tensor, ""]:
    """Minus the log-probability of all monotonic paths together, per token, mean over the clips.

    CTC whose classes are the clip's own tokens in order, with a blank of log score `blank` beside
    them in every frame; a clip that cannot be aligned counts 0. Equation 3 of the paper.
    """
    padding = ~_inside(tokens, scores.shape[2])[:, None, :]
    with_blank = nn.functional.pad(scores.masked_fill(padding, FORBIDDEN), (1, 0), value=blank)
    targets = torch.arange(1, scores.shape[2] + 1, device=scores.device).expand(len(scores), -1)
    costs = nn.functional.ctc_loss(
        with_blank.log_softmax(2).transpose(0, 1),
        targets,
        frames,
        tokens,
        reduction="none",
        zero_infinity=True,
    )
    return (costs / tokens).mean()


def binarisation_loss(
    hard: Float[Tensor, "b t n"], soft: Float[Tensor, "b t n"]
) -> Float[Tensor, ""]:
    """Minus the mean log of the soft weights on the hard path. Equation 5 of the paper."""
    kept = torch.where(hard > 0, soft, 1.0).clamp(min=1e-12)
    return -kept.log().sum() / hard.sum()


def _inside(lengths: Int[Tensor, "b"], size: int) -> Bool[Tensor, "b size"]:
    return torch.arange(size, device=lengths.device) < lengths[:, None]


# --- published weights ---------------------------------------------------------------------------

PUBLISHED_NAMES = (
    ("key_proj.{}.conv.{}", "key.{}.{}"),
    ("query_proj.{}.conv.{}", "query.{}.{}"),
)


def from_published(state: Mapping[str, Any]) -> dict[str, Any]:
    """The names of RAD-TTS's ConvAttention -> ours."""
    return rename(state, PUBLISHED_NAMES)
