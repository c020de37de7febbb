"""A first-in-first-out memory of labelled keys."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

EMPTY = -1  # the label of a place that holds no key yet


class Memory(nn.Module):
    """The last `size` keys with their labels and the numbers of the clips they are of.

    All of it is buffers, so that it is saved with the weights and a run goes on with the memory
    that it had. Queue of MoCo (He et al. 2020), with labels.

    >>> memory = Memory(4, 2)
    >>> memory.add(torch.eye(2), torch.tensor([0, 1]), torch.tensor([7, 8]))
    >>> memory.filled.tolist()
    [True, True, False, False]
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.keys: Tensor
        self.labels: Tensor
        self.ids: Tensor
        self.next: Tensor
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size,), EMPTY))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))  # the oldest place

    @property
    def filled(self) -> Bool[Tensor, "q"]:
        """Which places hold a key."""
        return self.labels != EMPTY

    @torch.no_grad()
    def add(
        self, keys: Float[Tensor, "b p"], labels: Int[Tensor, "b"], ids: Int[Tensor, "b"]
    ) -> None:
        """Put keys in the place of the oldest. Of more than fit, the last are kept.

        In a distributed run every process keeps the keys of all, in the order of their ranks.
        """
        keys, labels, ids = (_of_all(part.detach()) for part in (keys, labels, ids))
        size = len(self.keys)
        skipped = max(0, len(keys) - size)
        count = len(keys) - skipped
        places = (self.next + skipped + torch.arange(count, device=self.next.device)) % size
        self.keys[places] = keys[skipped:].to(self.keys.dtype)
        self.labels[places] = labels[skipped:]
        self.ids[places] = ids[skipped:]
        self.next.copy_((self.next + len(keys)) % size)


def _of_all(part: Tensor) -> Tensor:
    """A tensor of every process, one behind the other; their lengths may differ."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return part
    count = torch.tensor([len(part)], device=part.device)
    counts = [torch.zeros_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    most = max(int(one) for one in counts)
    padded = part.new_zeros(most, *part.shape[1:])
    padded[: len(part)] = part
    parts = [torch.zeros_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    return torch.cat([one[: int(size)] for one, size in zip(parts, counts)])
