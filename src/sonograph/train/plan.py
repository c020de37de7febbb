"""What a run folder was begun for, so that it never goes on as something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.train.config import TrainConfig
from sonograph.writing import write_whole

PLAN = "plan.json"


def begun(folder: Path) -> dict[str, Any]:
    """The plan of a run that was begun before; empty for a new folder."""
    path = folder / PLAN
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): choose another folder") from None


def agree(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write down the plan of a new run; of a run that exists, see that it is the same.

    Raises InputError naming what differs.
    """
    now = json.loads(json.dumps(plan))
    if not (then := begun(folder)):
        write_whole(folder / PLAN, (json.dumps(now, indent=2, ensure_ascii=False) + "\n").encode())
        return
    for name in sorted(now.keys() | then.keys()):
        if then.get(name) != now.get(name):
            raise InputError(
                f"{folder} was begun with {name} = {then.get(name)}, not {now.get(name)}: "
                "go on with the same, or choose another folder with -o"
            )


def warmup(folder: Path, config: TrainConfig) -> int:
    """Steps of warm-up: as the run was begun, else the recipe's, if the run is longer than that.

    A run that ended before its warm-up would never see its learning rate.
    """
    if "warmup_steps" in (plan := begun(folder)):
        return plan["warmup_steps"]
    return config.warmup_steps if config.warmup_steps < config.steps else config.steps // 10


def fingerprint(clips: Clips) -> str:
    """A short word for which clips these are."""
    text = "\n".join(f"{clip.id} {sorted(clip.labels.items())}" for clip in clips)
    return f"{len(clips)} clips, {hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
