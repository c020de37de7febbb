"""Convolution blocks over clips of different lengths: nothing beyond a clip's end is ever seen.

Maps are (b, channels, time) or (b, channels, time, frequency); `lengths` are (b,) valid steps in
time, or None when all are. Every block zeroes what lies beyond before it convolves, so that a clip
alone and the same clip padded give the same; `after` says what a length becomes.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, max_pool1d

Lengths = Int[Tensor, "b"] | None
Count = TypeVar("Count", int, Tensor)
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


def inside(x: Float[Tensor, "b c t *f"], lengths: Int[Tensor, "b"]) -> Bool[Tensor, "b 1 t *one"]:
    """True where a step belongs to its clip."""
    valid = torch.arange(x.shape[2], device=x.device) < lengths[:, None]
    return valid.reshape(len(x), 1, x.shape[2], *[1] * (x.ndim - 3))


def within(x: Float[Tensor, "b c t *f"], lengths: Lengths) -> Float[Tensor, "b c t *f"]:
    """The map with zeros beyond each clip's end.

    >>> within(torch.ones(1, 1, 3), torch.tensor([2])).flatten().tolist()
    [1.0, 1.0, 0.0]
    """
    return x if lengths is None else torch.where(inside(x, lengths), x, 0)


def normalised(
    norm: BatchNorm, x: Float[Tensor, "b c t *f"], lengths: Lengths
) -> Float[Tensor, "b c t *f"]:
    """Batch normalisation whose statistics, in training, are those of valid steps alone.

    Without lengths, and in evaluation, it is `norm(x)`.
    """
    if lengths is None or not norm.training:
        return norm(x)
    valid = inside(x, lengths)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    own = torch.where(valid, x, 0).float()
    count = (valid.sum() * (x.shape[3] if x.ndim == 4 else 1)).clamp(min=1)
    mean = own.sum(axes) / count
    shape = [1, -1, *[1] * (x.ndim - 2)]
    apart = torch.where(valid, own - mean.reshape(shape), 0)
    variance = apart.square().sum(axes) / count
    _remember(norm, mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return apart * scale.reshape(shape) + norm.bias.reshape(shape)


@torch.no_grad()
def _remember(norm: BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics as torch does."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
    norm.num_batches_tracked += 1


def initialise(module: nn.Module) -> None:
    """Xavier uniform for convolutions and linear maps, zero biases (official code of PANNs)."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class ConvBlock(nn.Module):
    """One or two convolutions, each with batch norm and ReLU, then average pooling.

    (b, channels_in, t, f) -> (b, channels, t // pool[0], f // pool[1]). PANNs, table 1.

    >>> ConvBlock(1, 8, (2, 2))(torch.zeros(3, 1, 10, 64), None).shape
    torch.Size([3, 8, 5, 32])
    """

    def __init__(
        self, channels_in: int, channels: int, pool: tuple[int, int], kernel: int = 3, num: int = 2
    ):
        super().__init__()
        self.pool, self.num = pool, num
        around = kernel // 2
        self.conv1 = nn.Conv2d(channels_in, channels, kernel, padding=around, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        if num == 2:
            self.conv2 = nn.Conv2d(channels, channels, kernel, padding=around, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)

    def forward(
        self, x: Float[Tensor, "b c t f"], lengths: Lengths = None
    ) -> Float[Tensor, "b d u g"]:
        x = normalised(self.bn1, self.conv1(within(x, lengths)), lengths).relu_()
        if self.num == 2:
            x = normalised(self.bn2, self.conv2(within(x, lengths)), lengths).relu_()
        return x if self.pool == (1, 1) else avg_pool2d(x, self.pool)

    def after(self, length: Count) -> Count:
        return length // self.pool[0]


def mean_and_max(x: Float[Tensor, "b d t"], lengths: Lengths) -> Float[Tensor, "b d"]:
    """The sum of mean and maximum over each clip's own steps."""
    if lengths is None:
        return x.mean(2) + x.amax(2)
    most = torch.where(inside(x, lengths), x, -torch.inf).amax(2)
    mean = within(x, lengths).sum(2) / lengths.clamp(min=1)[:, None]
    return mean + torch.where(lengths[:, None] > 0, most, 0)


def smoothed(x: Float[Tensor, "b d t"], lengths: Lengths) -> Float[Tensor, "b d t"]:
    """The same over three neighbouring steps, for maps that are nowhere negative."""
    x = within(x, lengths)
    return max_pool1d(x, 3, 1, 1) + avg_pool1d(x, 3, 1, 1)


class AttentionTagging(nn.Module):
    """Attention over time for each label: (b, d, t) -> probabilities of clip and steps.

    sum over t of softmax(clamp(att(x), -10, 10)) sigmoid(cla(x)): Kong et al. 2019, PANNs' Att.
    `idle_norm` is in published files and never used; it is frozen.
    """

    def __init__(self, width: int, labels: int):
        super().__init__()
        self.attend = nn.Conv1d(width, labels, 1)
        self.classify = nn.Conv1d(width, labels, 1)
        self.idle_norm = nn.BatchNorm1d(labels).requires_grad_(False)

    def forward(
        self, x: Float[Tensor, "b d t"], lengths: Lengths
    ) -> tuple[Float[Tensor, "b labels"], Float[Tensor, "b t labels"]]:
        """(probability of each label in the clip, logits of each step)."""
        weight = self.attend(x).clamp(-10, 10)
        if lengths is not None:
            weight = torch.where(inside(weight, lengths), weight, -torch.inf)
        logits = self.classify(x)
        return (weight.softmax(2) * logits.sigmoid()).sum(2), logits.transpose(1, 2)
