"""Files of the Hugging Face AST, by their old and their new names."""

from __future__ import annotations

import re

import pytest
import torch

from sonograph import weights
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.systems.adapt.ast_adapters import published
from sonograph.systems.represent import ssast

transformers = pytest.importorskip("transformers", reason="needs the `parity` extra")

OLD = (  # as the published files have them
    (r"\.layers\.", ".encoder.layer."),
    (r"\.q_proj\.", ".attention.query."),
    (r"\.k_proj\.", ".attention.key."),
    (r"\.v_proj\.", ".attention.value."),
    (r"\.o_proj\.", ".output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512,
        max_length=128, num_labels=5,
    )  # fmt: skip
    model = transformers.ASTForAudioClassification(config).eval()
    for weight in model.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("names", ["new", "old"])
def test_a_classifier_answers_the_same(theirs, names, tmp_path):
    state = dict(theirs.state_dict())
    if names == "old":
        for new, old in OLD:
            state = {re.sub(new, old, name): value for name, value in state.items()}
        assert any("encoder.layer.0.attention.attention.query.weight" in name for name in state)
    weights.write_tensors(tmp_path / "ast.safetensors", state)
    ours = weights.load(tmp_path / "ast.safetensors")
    assert isinstance(ours, Classifier)
    features = torch.randn(2, 128, ours.encoder.config.frames)
    with torch.no_grad():
        expected = theirs(input_values=_as_long(features, theirs).transpose(1, 2)).logits
        # their norms add 1e-12 to the variance, DeiT's and ours 1e-6
        assert (ours(features) - expected).norm() < 1e-4 * expected.norm()


def _as_long(features, theirs):
    """Filled up to their fixed length; frames beyond the last patch are looked at by nobody."""
    longest = theirs.config.max_length
    return torch.nn.functional.pad(features, (0, longest - features.shape[2]))


def test_an_encoder_without_a_head_loads_as_one(theirs):
    state = {n: v for n, v in theirs.state_dict().items() if not n.startswith("classifier")}
    assert isinstance(published.load_published(state), ssast.SSAST)


def test_a_file_with_an_adaptation_is_not_taken_for_a_plain_one(theirs):
    state = dict(theirs.state_dict())
    name = "encoder.layer.0.adapter_module_FFN.linear_downsample.weight"
    with pytest.raises(InputError, match="holds an adaptation of PETL_AST"):
        published.load_published({**state, name: torch.zeros(2, 128)})


def test_another_stride_is_refused(theirs):
    state = dict(theirs.state_dict())
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    state[name] = torch.zeros(1, 2 + 7 * 11, 128)
    with pytest.raises(InputError, match="another stride than 10"):
        published.load_published(state)
