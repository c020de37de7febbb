from __future__ import annotations

import torch

from sonograph.nn.convnext import ConvNeXtBlock, GlobalResponseNorm


def test_the_response_norm_is_the_formula():
    norm, x = GlobalResponseNorm(5), torch.randn(2, 7, 5)
    torch.testing.assert_close(norm(x), x)  # as it begins
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    want = torch.empty_like(x)
    for b in range(2):
        length = [sum(float(v) ** 2 for v in x[b, :, c]) ** 0.5 for c in range(5)]
        for c in range(5):
            share = length[c] / (sum(length) / 5 + 1e-6)
            want[b, :, c] = norm.gamma[c] * x[b, :, c] * share + norm.beta[c] + x[b, :, c]
    torch.testing.assert_close(norm(x), want)


def test_a_dropped_block_is_the_way_around_it():
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(4, 8, drop_path=0.5), torch.randn(64, 4, 9)
    kept = block.eval()(x) - x
    drawn = block.train()(x) - x
    around = drawn.abs().amax(dim=(1, 2)) == 0
    assert 16 < int(around.sum()) < 48
    torch.testing.assert_close(drawn[~around], 2 * kept[~around], rtol=1e-4, atol=1e-5)
