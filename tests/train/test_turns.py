"""Learning in turns: equal to a plain loop with two optimisers, resumable, exact after a kill."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sonograph import weights
from sonograph.errors import InputError
from sonograph.train.trainer import TrainConfig, Trainer

CONFIG = TrainConfig(
    steps=6, schedule="constant", lr=1e-2, betas=(0.8, 0.99), decay_on="all", save_every=0
)
TURNS = ("judge.", "maker.")


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.maker = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
        self.judge = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


def turns(model, batch, generator=None):
    made = model.maker(batch["noise"])
    wrong, right = model.judge(made.detach()), model.judge(batch["real"])
    yield {"loss": (1 - right).square().mean() + wrong.square().mean()}
    if model.judge[0].weight.requires_grad and generator is not None:
        raise AssertionError("the judge's turn is over")
    fooled = (1 - model.judge(made)).square().mean()
    yield {"loss": fooled + 0.1 * made.square().mean(), "fooled": fooled}


class Pairs:
    def batch(self, k):
        draw = torch.Generator().manual_seed(k)
        return {
            "noise": torch.randn(4, 3, generator=draw),
            "real": torch.randn(4, 2, generator=draw),
        }

    def start_at(self, k):
        self.first = k
        return self

    def __iter__(self):
        k = self.first
        while True:
            yield self.batch(k)
            k += 1


def trained(folder, config=CONFIG, objective=turns):
    model = Pair()
    Trainer(model, objective, Pairs(), folder, config, turns=TURNS).run()
    return weights.read_tensors(folder / "last.safetensors")


def test_equal_to_two_optimisers_in_a_plain_loop(tmp_path):
    model = Pair()
    optimizers = [
        torch.optim.AdamW(part.parameters(), 1e-2, (0.8, 0.99), weight_decay=0.01, fused=True)
        for part in (model.judge, model.maker)
    ]
    for k in range(6):
        losses = turns(model, Pairs().batch(k))
        for optimizer in optimizers:
            optimizer.zero_grad()
            next(losses)["loss"].backward()
            optimizer.step()
    got = trained(tmp_path)
    assert all(torch.equal(value, got[name]) for name, value in model.state_dict().items())


def test_resumed_equals_uninterrupted(tmp_path):
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", CONFIG.override(steps=3))
    again = trained(tmp_path / "cut")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_all_weights_want_gradients_again_and_both_losses_are_logged(tmp_path):
    model = Pair()
    trainer = Trainer(model, turns, Pairs(), tmp_path, CONFIG, turns=TURNS)
    trainer.run()
    assert all(p.requires_grad for p in model.parameters())
    assert {"loss", "fooled", "judge.loss"} <= trainer.last.keys()


def test_nan_in_the_second_turn_keeps_the_last_whole_state(tmp_path):
    def broken(model, batch, generator):
        losses = turns(model, batch, generator)
        yield next(losses)
        yield {"loss": next(losses)["loss"] * (float("nan") if batch["bad"] else 1)}

    class Bad(Pairs):
        def batch(self, k):
            return super().batch(k) | {"bad": k == 3}

    trainer = Trainer(Pair(), broken, Bad(), tmp_path, CONFIG.override(save_every=2), turns=TURNS)
    with pytest.raises(InputError, match=r"step 4: the loss is nan.*the state after step 2 is"):
        trainer.run()
    assert all(p.requires_grad for p in trainer.model.parameters())


def test_turns_take_whole_batches(tmp_path):
    with pytest.raises(InputError, match="accumulate=1"):
        Trainer(Pair(), turns, Pairs(), tmp_path, CONFIG.override(accumulate=2), turns=TURNS)
