from __future__ import annotations

import pytest
import torch

from sonograph import registry, weights
from sonograph.nn.heads import Classifier, Network, NormedLinear, made_head
from sonograph.serve.models import without_weights
from sonograph.train.adapt import adapt


def test_heads_of_each_kind():
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    normed, linear, network = (made_head(kind, 8, 5) for kind in ("normed", "linear", "network"))
    assert isinstance(normed, NormedLinear)
    torch.testing.assert_close(normed(7 * x + 1), normed(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(linear(2 * x), 2 * linear(x) - linear.bias)
    assert isinstance(network, Network)
    want = (x @ network.hidden.weight.T + network.hidden.bias).clamp(min=0)
    torch.testing.assert_close(network(x), want @ network.project.weight.T + network.project.bias)


@pytest.mark.parametrize("kind", ["normed", "linear", "network"])
@pytest.mark.parametrize("method", [None, "lora"])
def test_a_classifier_keeps_its_head(kind, method, tmp_path):
    torch.manual_seed(0)
    model = Classifier(registry.build("ssast-test"), ["a", "b"], head=kind).eval()
    if method is None:
        weights.save_folder(tmp_path, model, {"name": "saved"})
    else:
        adapt(model, method)
        weights.save_adapted(tmp_path, model, {"name": "saved"})
    x = torch.randn(1, 128, model.encoder.config.frames)
    loaded = weights.load(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model.eval()(x))
    described = weights.read_json(tmp_path / weights.CONFIG)["model"]
    assert type(without_weights(described).head) is type(model.head)
