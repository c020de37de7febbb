"""One process or many: the few places where the trainer has to know.

One process is the default. Under `torchrun` every process takes its slice of every batch;
gradients are averaged by DDP (`parallel="replicate"`), or weights, gradients and optimizer state
are cut into shards by FSDP2 (`parallel="shard"`). accelerate picks device and backend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sonograph.errors import InputError, missing_extra


class Step(nn.Module):
    """Runs `action(model)` inside its own forward: the one module that DDP and FSDP2 watch.

    An objective may then call whatever it likes on the model: several forwards, or parts of it.
    """

    def __init__(self, model: nn.Module, precision: str, device: str):
        super().__init__()
        self.model = model
        self.precision, self.device = precision, device

    def forward(self, action: Callable[[nn.Module], Mapping[str, Any]]) -> dict[str, Any]:
        # bfloat16 where it is safe, float32 weights.
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            return dict(action(self.model))


class Runtime:
    """Where this process runs and how it talks to the others."""

    def __init__(self, device: Literal["auto", "cpu"], parallel: Literal["replicate", "shard"]):
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs
            from accelerate.state import AcceleratorState
        except ImportError:
            raise missing_extra("accelerate", "train") from None
        # accelerate remembers the first device of the process; a later run may ask for another.
        AcceleratorState._reset_state(reset_partial_state=True)
        # An objective may leave weights out (one of two heads), which DDP has to be told.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # Where there is no accelerator, "auto" has to say so: processes would not find each other.
        cpu = device == "cpu" or not torch.accelerator.is_available()
        self.accelerator = Accelerator(cpu=cpu, kwargs_handlers=[unused])
        self.device: torch.device = self.accelerator.device
        self.rank: int = self.accelerator.process_index
        self.world: int = self.accelerator.num_processes
        if self.world != (wanted := int(os.environ.get("WORLD_SIZE", 1))):
            raise InputError(f"{wanted} processes were started, and {self.world} found each other")
        self.main = self.rank == 0
        self.sharded = parallel == "shard"
        if self.sharded and not torch.distributed.is_initialized():
            raise InputError(
                'parallel="shard" needs several processes: start with '
                '`torchrun --nproc-per-node N ...` or use parallel="replicate"'
            )

    def shard(self, model: nn.Module) -> None:
        """Cut the weights over the processes, one unit per block (FSDP2), in place."""
        if self.sharded:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            for value in model.state_dict().values():  # every process starts from the same weights
                torch.distributed.broadcast(value, src=0)
            self.mesh = init_device_mesh(self.device.type, (self.world,))
            for block in blocks(model):
                fully_shard(block, mesh=self.mesh)

    def wrap(self, step: Step) -> nn.Module:
        """The module whose forward trains: its gradients are averaged over the processes."""
        if self.sharded:
            from torch.distributed.fsdp import fully_shard

            fully_shard(step, mesh=self.mesh)
            return step
        return self.accelerator.prepare_model(step)

    @contextmanager
    def accumulating(self, wrapped: nn.Module, last: bool) -> Iterator[None]:
        """Exchange gradients only in the last part of an accumulated batch."""
        if self.sharded:
            wrapped.set_requires_gradient_sync(last)  # type: ignore[operator]
            yield
        elif last:
            yield
        else:
            with self.accelerator.no_sync(wrapped):
                yield

    def average(self, weights: Sequence[nn.Parameter]) -> None:
        """Gradients become their means over all processes, where nothing else averages them."""
        if self.world > 1:
            for weight in weights:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                torch.distributed.all_reduce(weight.grad)
                weight.grad /= self.world

    def agree(self, model: nn.Module) -> None:
        """Every process starts from the main one's weights, where nothing else sees to it."""
        if self.world > 1:
            for value in model.state_dict().values():
                torch.distributed.broadcast(value, src=0)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes."""
        return self.accelerator.reduce(values, reduction="mean") if self.world > 1 else values

    def total(self, count: int) -> int:
        """The sum of a number over all processes."""
        if self.world == 1:
            return count
        held = torch.tensor(count, device=self.device)
        return int(self.accelerator.reduce(held, reduction="sum"))

    def share(self, value: Any) -> Any:
        """The main process's value, for everybody."""
        if self.world > 1:
            box = [value]
            torch.distributed.broadcast_object_list(box, src=0, device=self.device)
            return box[0]
        return value

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


def blocks(model: nn.Module) -> list[nn.Module]:
    """Members of every `nn.ModuleList` called `blocks`: what is compiled or sharded as one unit."""
    return [
        block
        for name, part in model.named_modules()
        if isinstance(part, nn.ModuleList) and name.split(".")[-1] == "blocks"
        for block in part
    ]


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a distributed tensor, or the tensor itself; shares its memory."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]


def whole(tensor: Tensor) -> Tensor:
    """A distributed tensor put together (every process has to call it), or the tensor itself."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into `target`, of which this process may hold only a shard."""
    if hasattr(target, "device_mesh"):
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(target, DTensor)
        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    local(target).copy_(local(value))


def batch_length(batch: Any) -> int:
    """How many clips a batch holds: the first axis of its first tensor (1 where there is none)."""
    return _first_axis(batch) or 1


def _first_axis(batch: Any) -> int:
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 0
    if isinstance(batch, Mapping | list | tuple):
        parts = batch.values() if isinstance(batch, Mapping) else batch
        return next((size for part in parts if (size := _first_axis(part))), 0)
    return 0


def slice_batch(batch: Any, rank: int, world: int) -> Any:
    """Part `rank` of `world` nearly equal parts, in order; what has no clip axis stays whole."""
    size = batch_length(batch)
    if world == 1:
        return batch
    if size < world:
        raise InputError(f"a batch of {size} clips for {world} processes: use a larger batch size")
    return _cut(batch, size, size * rank // world, size * (rank + 1) // world)


def _cut(part: Any, size: int, start: int, stop: int) -> Any:
    if isinstance(part, Mapping):
        return {key: _cut(value, size, start, stop) for key, value in part.items()}
    if isinstance(part, Tensor) and part.ndim and part.shape[0] == size:
        return part[start:stop]
    named = hasattr(part, "_fields")  # a record of parts, not a list of clips
    if isinstance(part, list | tuple) and len(part) == size and not named:
        return part[start:stop]
    if isinstance(part, list | tuple):
        return _like(part, [_cut(value, size, start, stop) for value in part])
    return part


def _like(part: list | tuple, values: list) -> Any:
    """The values as a list, a tuple or a named tuple, as `part` is."""
    return type(part)(*values) if hasattr(part, "_fields") else type(part)(values)


def to_device(batch: Any, device: torch.device) -> Any:
    """Every tensor of the batch on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return _like(batch, [to_device(value, device) for value in batch])
    return batch
