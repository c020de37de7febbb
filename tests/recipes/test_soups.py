from __future__ import annotations

import torch

from sonograph import registry, weights
from sonograph.nn.heads import Classifier
from sonograph.recipes.adapt import soups
from sonograph.train.finetune import Examples
from sonograph.train.soup import read_run


def test_members_differ_in_all_that_is_drawn_and_are_drawn_alike_again():
    drawn = [soups.member_config(0, number, 40, 16) for number in range(8)]
    assert drawn == [soups.member_config(0, number, 40, 16) for number in range(8)]
    for values in (
        {one.train.lr for one in drawn},
        {one.train.weight_decay for one in drawn},
        {one.noise for one in drawn},
        {one.train.seed for one in drawn},
    ):
        assert len(values) >= 7
    assert all(soups.LR[0] <= one.train.lr <= soups.LR[1] for one in drawn)


def test_members_start_from_one_model_and_resume_to_the_same_bits(tmp_path):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(12, 128, 32, generator=generator)
    targets = torch.arange(12) % 2
    ids = tuple(map(str, range(12)))
    train = Examples(features, torch.full((12,), 32), targets, ("a", "b"), ids)
    start = Classifier(registry.build("ssast-test"), ("a", "b"))
    kept = {name: value.clone() for name, value in start.state_dict().items()}

    def taught(name: str, updates: int) -> dict:
        config = soups.member_config(0, 0, 4, 4).override(
            {"train.steps": updates, "train.schedule": "constant"}
        )
        soups.teach(start, train, tmp_path / name, config, {})
        return dict(read_run(tmp_path / name).state)

    whole, _ = taught("whole", 4), taught("cut", 2)
    again = taught("cut", 4)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    assert all(torch.equal(value, kept[name]) for name, value in start.state_dict().items())
    assert any(not torch.equal(value, kept[name]) for name, value in whole.items())


def test_an_untrained_encoder_is_another_for_every_seed():
    encoder = registry.build("ssast-test")
    one, other = (soups._untrained(encoder, seed) for seed in (1, 2))
    again = soups._untrained(encoder, 1)
    weight = "blocks.0.attention.qkv.weight"
    states = [model.state_dict()[weight] for model in (one, other, again)]
    assert not torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    assert weights.build(encoder.describe()).config == one.config
