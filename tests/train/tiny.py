"""A tiny model, objective and batches for the trainer's tests, also run as a program of its own.

python tests/train/tiny.py FOLDER '{"steps": 40, ...}' [pause in seconds a batch] [evaluate]
"""

from __future__ import annotations

import json
import sys
import time

import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sonograph.train.distributed import whole
from sonograph.train.trainer import Stopped, TrainConfig, Trainer

torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(torch.tanh(self.mix(self.norm(x))))


class Tiny(nn.Module):
    """(batch, 6) -> (batch, 1)"""

    def __init__(self, width: int = 8, dropout: float = 0.1):
        super().__init__()
        torch.manual_seed(0)
        self.enter = nn.Linear(6, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.leave = nn.Linear(width, 1)
        for block in self.blocks:
            block.drop.p = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(x)


class Numbers:
    """Batch k: 8 rows drawn from k alone, y a fixed function of x; or always batch 0."""

    def __init__(self, pause: float = 0.0, size: int = 8, only_first: bool = False):
        self.pause, self.size, self.only_first = pause, size, only_first

    def batch(self, k: int) -> dict:
        generator = torch.Generator().manual_seed(0 if self.only_first else k)
        x = torch.randn(self.size, 6, generator=generator)
        return {"x": x, "y": x[:, :1] * x[:, 1:2], "ids": [str(i) for i in range(self.size)]}

    def start_at(self, k: int):
        while True:
            time.sleep(self.pause)
            yield self.batch(k)
            k += 1


def plain(model: nn.Module, batch: dict, generator: torch.Generator) -> dict:
    return {"loss": (model(batch["x"]) - batch["y"]).square().mean()}


def noisy(model: nn.Module, batch: dict, generator: torch.Generator) -> dict:
    """Draws from the generator and, by dropout, from torch's global one."""
    noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
    loss = (model(batch["x"] + noise) - batch["y"]).square().mean()
    return {"loss": loss, "root": loss.detach().sqrt()}


def evaluate(model: nn.Module) -> dict:
    batch = Numbers(size=32).batch(10_000)
    return {"loss": plain(model, batch, torch.Generator())["loss"].item()}


def keep_gradients(trainer: Trainer, path: str) -> None:
    """Write the gradients of the first update to `path`."""

    def keep(optimizer, *_):
        named = trainer.model.named_parameters()
        gradients = {name: whole(weight.grad).clone() for name, weight in named}
        if trainer.step == 0 and trainer.runtime.main:
            save_file(gradients, path)

    register_optimizer_step_pre_hook(keep)


def main(folder: str, config: str, options: str = "{}") -> int:
    """options: pause and size of the batches, noise ("no": nothing random), evaluate,
    gradients (a file)."""
    chosen = {"pause": 0.0, "size": 8, "noise": "yes", "evaluate": "yes", "gradients": ""}
    chosen |= json.loads(options)
    trainer = Trainer(
        Tiny(dropout=0.1 if chosen["noise"] == "yes" else 0.0),
        noisy if chosen["noise"] == "yes" else plain,
        Numbers(chosen["pause"], chosen["size"]),
        folder,
        TrainConfig.from_dict(json.loads(config)),
        evaluate=evaluate if chosen["evaluate"] == "yes" else None,
    )
    if chosen["gradients"]:
        keep_gradients(trainer, chosen["gradients"])
    try:
        trainer.run()
    except Stopped as stop:
        print(stop)
        return 130
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(code)
