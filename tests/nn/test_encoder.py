from __future__ import annotations

import pytest
import torch

from sonograph import weights
from sonograph.nn.encoder import Tokens
from sonograph.nn.heads import Classifier
from sonograph.systems.represent import self_pretraining, ssast

VALUES = torch.tensor(
    [[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]], [[2.0, 0.0], [4.0, 1.0], [0.0, 5.0]]]
)
MASK = torch.tensor([[True, True, False], [True, True, True]])


def test_ways_to_pool():
    tokens = Tokens(VALUES, MASK, (1, 3), special=VALUES[:, :2] + 1)
    assert tokens.pool().tolist() == [[2.0, -6.0], [2.0, 2.0]]
    assert tokens.pool("largest").tolist() == [[3.0, -5.0], [4.0, 5.0]]
    assert tokens.pool("special").tolist() == [[3.0, -5.0], [4.0, 1.5]]
    whole = Tokens(VALUES, None, (1, 3))
    assert whole.pool("largest").tolist() == [[9.0, 9.0], [4.0, 5.0]]
    with pytest.raises(ValueError, match="no special tokens"):
        whole.pool("special")


@pytest.mark.parametrize("module", [self_pretraining, ssast])
def test_a_classifier_of_the_largest_loads_again(module, tmp_path):
    torch.manual_seed(0)
    encoder = module.build(module.test())
    model = Classifier(encoder, ["a", "b"], pool="largest").eval()
    features = torch.randn(2, encoder.spec.rows, 100)
    lengths = torch.tensor([100, 40])
    want = model(features, lengths)
    pooled = encoder(features, lengths).pool("largest")
    torch.testing.assert_close(want, model.head(pooled))
    weights.save_folder(tmp_path, model, {"name": "largest"})
    torch.testing.assert_close(weights.load_folder(tmp_path)(features, lengths), want)
    alone = model(features[1:, :, :40])
    torch.testing.assert_close(want[1:], alone, atol=1e-5, rtol=1e-5)
