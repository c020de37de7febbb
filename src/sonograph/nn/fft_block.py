"""Feed-forward Transformer blocks: attention, then convolutions where others have linear layers.

Ren et al. 2019 (FastSpeech), figure 1b. Neighbouring tokens say more about each other in speech
than in text, so that the inner layer looks at several at once.

Shapes: x (b, n, width), mask (b, n) true where there is a token; what lies beyond is 0 again after
every part, so that convolutions see there what they see past the end of a single text.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.nn.attention import Attention

Activation = Literal["gelu", "relu"]


class PostNormFFT(nn.Module):
    """The paper's block: residual parts are normalised after the sum. Also xcmyz's and ming024's.

    kernels: of the two convolutions, width -> hidden -> width with a ReLU between them.
    compat: "published" lets the second one see what the first says beyond a text's end.

    >>> import torch
    >>> PostNormFFT(8, 2, 32)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        kernels: tuple[int, int] = (9, 1),
        dropout: float = 0.1,
        compat: Literal["none", "published"] = "none",
    ):
        super().__init__()
        self.compat = compat
        self.attention = Attention(width, num_heads)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Conv1d(width, hidden, kernels[0], padding=kernels[0] // 2)
        self.contract = nn.Conv1d(hidden, width, kernels[1], padding=kernels[1] // 2)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        x = masked(self.norm1(x + self.dropout(self.attention(x, mask))), mask)
        hidden = self.expand(x.transpose(1, 2)).relu()
        wide = self.contract.kernel_size[0] > 1
        if mask is not None and wide and self.compat == "none":
            hidden = hidden.masked_fill(~mask[:, None], 0.0)
        out = self.contract(hidden).transpose(1, 2)
        return masked(self.norm2(x + self.dropout(out)), mask)


class PreNormFFT(nn.Module):
    """NATSpeech's block, of ProDiff too: parts are normalised before, attention has no biases.

    The inner convolution is divided by the root of its kernel; the second layer is linear.
    compat: "published" lets that convolution see beyond a text's end what the norm makes of zeros.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        kernel: int = 9,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        compat: Literal["none", "published"] = "none",
    ):
        super().__init__()
        self.activation, self.compat = activation, compat
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads)
        self.attention.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention.project = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Conv1d(width, 4 * width, kernel, padding=kernel // 2)
        self.contract = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        x = masked(x + self.dropout(self.attention(self.norm1(x), mask)), mask)
        # a norm makes its bias of the zeros beyond the end: they have to be zeros again
        inner = masked(self.norm2(x), None if self.compat == "published" else mask)
        hidden = self.expand(inner.transpose(1, 2)).transpose(1, 2)
        hidden = hidden * self.expand.kernel_size[0] ** -0.5
        hidden = nn.functional.gelu(hidden) if self.activation == "gelu" else hidden.relu()
        return masked(x + self.dropout(self.contract(self.dropout(hidden))), mask)


def masked(x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """Zeros where there is no token."""
    return x if mask is None else x.masked_fill(~mask[:, :, None], 0.0)
