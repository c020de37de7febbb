"""Pre-net, its dropout, CBHG and zoneout."""

from __future__ import annotations

import torch

from sonograph.nn.tacotron import AHEAD, CBHG, Drops, Prenet, both_ways, seeds_of, zoneout


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_dropped_does_not_depend_on_the_other_texts():
    net, steps = Prenet(5, 6), AHEAD + 3
    one, many = (Drops(net, 0.5, seeds_of(batch, 2, drawn())[1]).take(steps) for batch in (1, 4))
    assert torch.equal(one[0], many[0])
    assert not torch.equal(many[0], many[1])
    assert set(many.unique().tolist()) == {0.0, 2.0}
    assert abs(float((many > 0).float().mean()) - 0.5) < 0.03


def test_nothing_is_dropped_at_rate_0():
    drops = Drops(Prenet(5, 6), 0.0, seeds_of(2, 1, drawn())[0])
    assert drops.take(3) is None
    assert next(iter(drops)) is None


def test_a_prenet_keeps_what_it_is_told():
    net, x = Prenet(5, 6, bias=True), torch.randn(2, 5)
    kept = torch.ones(2, 2, 6)
    torch.testing.assert_close(net(x, kept), net(x, None))
    assert (net(x, kept * 0) == 0).all()


def test_a_text_in_a_batch_is_the_text_alone():
    torch.manual_seed(0)
    net = CBHG(6, 8, 4, (7, 6), highways=2).eval()
    x = torch.randn(2, 9, 6)
    mask = torch.arange(9) < torch.tensor([[5], [9]])
    together, alone = net(x, mask), net(x[:1, :5], None)
    torch.testing.assert_close(together[:1, :5], alone)
    assert not torch.allclose(net(x, None)[:1, :5], alone)


def test_both_ways_begins_at_the_last_token():
    lstm = torch.nn.LSTM(3, 2, batch_first=True, bidirectional=True)
    x, mask = torch.randn(2, 4, 3), torch.arange(4) < torch.tensor([[2], [4]])
    found = both_ways(lstm, x, mask)
    torch.testing.assert_close(found[:1, :2], lstm(x[:1, :2])[0])
    assert (found[0, 2:] == 0).all()


def test_zoneout_keeps_a_share_only_in_training():
    torch.manual_seed(0)
    old, new = torch.zeros(10_000), torch.ones(10_000)
    assert abs(float(zoneout(old, new, 0.1, training=True).mean()) - 0.9) < 0.02
    assert torch.equal(zoneout(old, new, 0.1, training=False), new)
