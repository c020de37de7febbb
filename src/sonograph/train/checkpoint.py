"""What a run leaves on disk, always whole: safetensors and JSON only, no pickle.

A file or folder is written under a temporary name, flushed to the disk and renamed, so that a
process killed at any moment leaves the old one or the new one, never a half.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sonograph.errors import InputError, did_you_mean
from sonograph.train.distributed import fill, whole

PARTIAL = ".partial-"


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one line for the user."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        code = getattr(error, "errno", None)
        if code == errno.ENOSPC or "os error 28" in str(error) or "No space left" in str(error):
            raise InputError(
                f"no space left on the disk of {where}: free some and run again"
            ) from None
        if code == errno.EDQUOT or "os error 122" in str(error):
            raise InputError(f"the disk quota at {where} is used up: free some space") from None
        raise InputError(
            f"cannot write to {where} ({error}): choose a folder that you can write to"
        ) from None


def prepare_folder(folder: Path) -> None:
    """Make the run folder, see that it takes files, and clear what a killed run left unfinished."""
    with writing(folder):
        (folder / "state").mkdir(parents=True, exist_ok=True)
        trial = folder / f"{PARTIAL}trial"
        trial.write_bytes(b"sonograph")
        for place in (folder, folder / "state"):
            for left in place.glob(f"{PARTIAL}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file in one step."""
    partial = path.with_name(PARTIAL + path.name)
    with writing(path.parent):
        try:
            save_file(_apart(tensors), partial, metadata={"format": "pt"})
            _flush(partial)
            os.replace(partial, path)
            _flush(path.parent)
        finally:
            partial.unlink(missing_ok=True)


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
    for key, value in tensors.items():
        name, part = key.rsplit("|", 1)
        weight = weights[name]
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
    with writing(folder):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name, tensors in groups.items():
                save_file(_apart(tensors), partial / f"{name}.safetensors")
                _flush(partial / f"{name}.safetensors")
            (partial / "state.json").write_text(json.dumps(values, indent=1) + "\n")
            _flush(partial / "state.json")
            _flush(partial)
            os.replace(partial, final)
            _flush(folder)
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


def _flush(path: Path) -> None:
    """Ask the disk to hold a file or a folder's list of names."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
