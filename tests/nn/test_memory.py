"""The memory of keys and the slow copy beside brute force."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch import nn

from sonograph.nn.memory import EMPTY, Memory
from sonograph.nn.momentum import MomentumCopy


def test_the_memory_is_a_queue():
    memory, kept = Memory(10, 3), deque(maxlen=10)
    draw = torch.Generator().manual_seed(0)
    for number, count in enumerate((4, 4, 7, 1, 25, 3, 10)):
        keys = torch.randn(count, 3, generator=draw)
        labels = torch.randint(5, (count,), generator=draw)
        ids = torch.arange(count) + 100 * number
        memory.add(keys, labels, ids)
        kept.extend(zip(keys.tolist(), labels.tolist(), ids.tolist()))
        rows = zip(memory.keys.tolist(), memory.labels.tolist(), memory.ids.tolist())
        found = sorted(row for row in rows if row[1] != EMPTY)
        assert found == sorted(kept)
        assert int(memory.filled.sum()) == len(kept)


def test_what_is_oldest_goes_first():
    memory = Memory(4, 1)
    for number in range(6):
        memory.add(torch.full((1, 1), float(number)), torch.tensor([0]), torch.tensor([number]))
    assert memory.ids.tolist() == [4, 5, 2, 3]
    assert int(memory.next) == 2


def test_keys_carry_no_gradient_and_are_state():
    memory = Memory(4, 2)
    memory.add(torch.ones(2, 2, requires_grad=True), torch.tensor([0, 1]), torch.tensor([5, 6]))
    assert not memory.keys.requires_grad
    other = Memory(4, 2)
    other.load_state_dict(memory.state_dict())
    assert other.ids.tolist() == memory.ids.tolist()
    assert int(other.next) == 2


def test_the_copy_follows_as_the_formula_says():
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    slow = MomentumCopy(module, 0.9)
    expected = module[0].weight.detach().clone()
    draw = torch.Generator().manual_seed(0)
    for count in range(1, 120):
        with torch.no_grad():
            module[0].weight.add_(torch.randn(3, 3, generator=draw))
            module[1].running_mean.add_(1.0)
        slow.follow(module, count)
        kept = min(0.9, (1 + count) / (10 + count))
        expected = kept * expected + (1 - kept) * module[0].weight.detach()
        torch.testing.assert_close(slow.module[0].weight, expected)
    assert (1 + 119) / (10 + 119) > 0.9  # both branches of the rule were walked
    assert torch.equal(slow.module[1].running_mean, module[1].running_mean)


def test_the_copy_never_trains():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    slow = MomentumCopy(module, 0.9).train()
    assert not slow.training
    assert not any(part.training for part in slow.modules())
    x = torch.randn(2, 3)
    assert torch.equal(slow(x), slow(x))
    assert not slow(x.requires_grad_()).requires_grad
    assert module[0].weight.requires_grad
    assert slow.module[0].weight.data_ptr() != module[0].weight.data_ptr()


def _process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    memory, count = Memory(8, 2), rank + 2  # slices of a batch may differ in size
    ids = torch.arange(count) + 10 * rank
    memory.add(torch.full((count, 2), float(rank)), torch.full((count,), rank), ids)
    torch.save(memory.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_every_process_remembers_the_keys_of_all(tmp_path):
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert one["ids"].tolist() == [0, 1, 10, 11, 12, 0, 0, 0]
    assert one["labels"].tolist() == [0, 0, 1, 1, 1, EMPTY, EMPTY, EMPTY]
    assert one["keys"][:5, 0].tolist() == [0, 0, 1, 1, 1]
    assert int(one["next"]) == 5
