from __future__ import annotations

import pytest
import torch

from sonograph.nn.efficient_vit import EfficientViT, LinearAttention
from sonograph.systems.tag import spectttra

SMALL = {
    "kind": "efficientvit", "width": 64, "stages": [1, 2, 1, 1, 2], "head_width": 8,
    "summary": [96, 40], "frames": 32,
}  # fmt: skip


def drawn(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights that are the same wherever they are drawn; one number after the other."""
    draw, made = torch.Generator().manual_seed(0), {}
    for name, value in state.items():
        if not value.is_floating_point():
            made[name] = value
        elif value.ndim > 1:
            wave = torch.randn(value.shape, generator=draw)
            made[name] = 1.5 * wave * value[0].numel() ** -0.5
        else:
            base = 0.0 if name.endswith(("bias", "mean")) else 1.0
            made[name] = base + 0.3 * torch.rand(value.shape, generator=draw)
    return made


# of `vector` (its first four numbers) and of the logit
VECTORS = [[3.416636, -0.097864, -0.369254, -0.046229], [3.020567, 0.161844, -0.373105, -0.286673]]
LOGITS = [1.027484, 1.200113]


def pictures() -> torch.Tensor:
    return torch.randn(2, 128, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_whole_model_equals_timms():
    """Numbers of timm 1.0.31, its EfficientVit of the same sizes with these weights in order."""
    config = spectttra.test().override(SMALL)
    model = spectttra.Detector(config).eval()
    assert sum(p.numel() for p in model.parameters()) == 173_977
    model.load_state_dict(drawn(model.state_dict()))
    tokens = model.encoder(pictures())
    assert tokens.grid == (4, 1)
    vector = model.encoder.vector(tokens)
    torch.testing.assert_close(vector[:, :4], torch.tensor(VECTORS), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        model.classifier(vector)[:, 0], torch.tensor(LOGITS), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_linear_attention_is_attention_with_other_weights():
    """Written out with a matrix of all pairs of pixels, head by head."""
    torch.manual_seed(0)
    layer, x = LinearAttention(16, head_width=8).eval(), torch.randn(1, 16, 3, 5)
    near = layer.qkv(x)
    heard = []
    for maps in (near, layer.gather(near)):
        for head in maps.flatten(2)[0].split(24):  # queries, keys, values of one head
            q, k, v = head.T.split(8, 1)
            weights = q.relu() @ k.relu().T
            heard.append((weights @ v / (weights.sum(1, keepdim=True) + 1e-5)).T)
    want = layer.project(torch.cat(heard).view(1, 32, 3, 5))
    torch.testing.assert_close(layer(x), want, atol=1e-5, rtol=1e-4)
    far = x.clone()
    far[..., -1] += 1.0  # of a pixel beyond the neighbourhood
    assert (layer(far) - layer(x))[..., 0].abs().max() > 1e-6


def test_its_cost_grows_with_the_pixels():
    """Twice the pixels, twice the operations, where a matrix of pairs has four times as many."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for columns in (400, 800):
        layer = LinearAttention(16, head_width=8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(torch.zeros(1, 16, 4, columns))
        counts.append(counter.get_total_flops())
    assert counts[1] == pytest.approx(2 * counts[0], rel=1e-3)


def test_every_weight_learns():
    torch.manual_seed(0)
    model = EfficientViT(1, (4, 8, 16, 32, 64), (1, 2, 1, 1, 2), 8)
    made = model(torch.randn(2, 1, 64, 50))
    assert made.shape == (2, 64, 2, 2)
    (made * torch.randn(made.shape)).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert 0 < weight.grad.abs().max() < float("inf"), name


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match="heads of 5 do not divide a width of 16"):
        LinearAttention(16, head_width=5)
