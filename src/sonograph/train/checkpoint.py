"""What a run leaves on disk, always whole: safetensors and JSON only, no pickle.

A folder is made under a temporary name and renamed, as files are by `sonograph.writing`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sonograph.errors import InputError, did_you_mean
from sonograph.train.distributed import fill, whole
from sonograph.writing import PARTIAL, explained, flush, replacing


def prepare_folder(folder: Path) -> None:
    """Make the run folder, see that it takes files, and clear what a killed run left unfinished."""
    with explained(folder):
        (folder / "state").mkdir(parents=True, exist_ok=True)
        trial = folder / f"{PARTIAL}trial"
        trial.write_bytes(b"sonograph")
        for place in (folder, folder / "state"):
            for left in place.glob(f"{PARTIAL}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file in one step."""
    with explained(path.parent), replacing(path) as partial:
        _save(tensors, partial)


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error})") from None


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All weights on the CPU, whole. Under FSDP2 every process has to call it."""
    return {name: whole(value.detach()).cpu() for name, value in model.state_dict().items()}


def fill_model(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into the model by name; names and shapes have to be the model's."""
    targets = model.state_dict()
    for name in tensors:
        if name not in targets:
            raise InputError(
                f"{source} holds {name!r}, which this model has not.{did_you_mean(name, targets)}"
            )
    for name, target in targets.items():
        if name not in tensors:
            raise InputError(f"{source} lacks {name!r} of this model: it is of another model")
        if tensors[name].shape != target.shape:
            there, here = tuple(tensors[name].shape), tuple(target.shape)
            raise InputError(f"{source} holds {name!r} of shape {there}, the model's is {here}")
        fill(target, tensors[name])


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimizer state as `<weight>|<part>` -> tensor on the CPU, whole (`head.weight|exp_avg`)."""
    return {
        f"{name}|{part}": whole(value.detach()).cpu()
        for name, weight in model.named_parameters()
        if weight in optimizer.state
        for part, value in optimizer.state[weight].items()
    }


def fill_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """The reverse of `optimizer_tensors`, for an optimizer that has not made a step yet."""
    weights = dict(model.named_parameters())
    own = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    for key, value in tensors.items():
        name, part = key.rsplit("|", 1)
        weight = weights[name]
        if id(weight) not in own:  # another optimizer's, of a model that learns in turns
            continue
        if value.shape == weight.shape:
            target = torch.zeros_like(weight, memory_format=torch.preserve_format)
            fill(target, value)
        else:  # Adam's count of steps
            on_cpu = not (optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
            target = value.clone().to("cpu" if on_cpu else weight.device)
        optimizer.state[weight][part] = target


def write_state(
    folder: Path, step: int, groups: Mapping[str, Mapping[str, Tensor]], values: Mapping[str, Any]
) -> None:
    """Write `folder/state-<step>` (a safetensors file a group, `state.json`); drop the older.

    values: what JSON can hold; Python writes floats so that they are read back exactly.
    """
    final = folder / f"state-{step:09d}"
    partial = folder / f"{PARTIAL}{final.name}"
    if final.exists():  # whole, and a pure function of the step
        return
    with explained(folder):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name, tensors in groups.items():
                _save(tensors, partial / f"{name}.safetensors")
                flush(partial / f"{name}.safetensors")
            (partial / "state.json").write_text(json.dumps(values, indent=1) + "\n")
            flush(partial / "state.json")
            flush(partial)
            os.replace(partial, final)
            flush(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in folder.iterdir():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)


def newest_state(folder: Path) -> Path | None:
    """The state to go on from, if there is one."""
    return max(folder.glob("state-*"), default=None)


def read_values(state: Path) -> dict[str, Any]:
    try:
        return json.loads((state / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{state} cannot be read ({error}): delete that folder to begin again"
        ) from None


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors; what safetensors says of a disk becomes an OSError again."""
    try:
        save_file(_apart(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else 0, str(error)) from None


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors that share no memory, as safetensors demands (tied weights do share)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.contiguous()
        place = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return result
