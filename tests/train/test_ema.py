from __future__ import annotations

import torch

from sonograph.train.ema import Ema


def test_follows_the_rule_and_copies_buffers():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    ema = Ema(model, 0.5)
    start = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight += 1
        model[1].running_mean += 3
        model[1].num_batches_tracked += 4
    ema.update(model, 1)
    torch.testing.assert_close(ema.shadow["0.weight"], start + 1 - 2 / 11)
    assert torch.equal(ema.shadow["1.running_mean"], torch.full((2,), 3.0))
    assert ema.shadow["1.num_batches_tracked"] == 4
    ema.update(model, 100)
    torch.testing.assert_close(ema.shadow["0.weight"], start + 1 - 2 / 11 * 0.5)


def test_inside_lends_the_average_and_gives_back_the_same_bits():
    model = torch.nn.Linear(3, 3)
    ema = Ema(model, 0.9)
    with torch.no_grad():
        model.weight.normal_()
    own, storage = model.weight.detach().clone(), model.weight.data_ptr()
    try:
        with ema.inside(model):
            assert torch.equal(model.weight, ema.shadow["weight"])
            assert not torch.equal(model.weight, own)
            raise RuntimeError
    except RuntimeError:
        pass
    assert torch.equal(model.weight, own)
    assert model.weight.data_ptr() == storage
