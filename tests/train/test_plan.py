from __future__ import annotations

from pathlib import Path

import pytest

from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.train.config import TrainConfig
from sonograph.train.plan import PLAN, agree, begun, fingerprint, warmup


def test_a_run_goes_on_only_as_what_it_was_begun_for(tmp_path):
    plan = {"method": "full", "batch": 8}
    assert begun(tmp_path) == {}
    agree(tmp_path, plan)
    agree(tmp_path, plan)
    with pytest.raises(InputError, match="begun with batch = 8, not 9"):
        agree(tmp_path, {**plan, "batch": 9})
    with pytest.raises(InputError, match="begun with seed = None, not 1"):
        agree(tmp_path, {**plan, "seed": 1})
    assert begun(tmp_path) == plan


def test_a_broken_plan_is_told(tmp_path):
    (tmp_path / PLAN).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        agree(tmp_path, {"a": 1})


def test_warmup_is_shorter_than_the_run_and_stays_as_begun(tmp_path):
    assert warmup(tmp_path, TrainConfig(steps=100, warmup_steps=30)) == 30
    assert warmup(tmp_path, TrainConfig(steps=20, warmup_steps=30)) == 2
    agree(tmp_path, {"warmup_steps": 2})
    assert warmup(tmp_path, TrainConfig(steps=100, warmup_steps=30)) == 2


def test_the_fingerprint_sees_clips_and_labels():
    def clips(*labels: str) -> Clips:
        return Clips(
            [
                Clip(f"{n}", Path("a.wav"), 1.0, 8000, labels={"x": label})
                for n, label in enumerate(labels)
            ]
        )

    assert fingerprint(clips("a", "b")) == fingerprint(clips("a", "b"))
    assert fingerprint(clips("a", "b")).startswith("2 clips, ")
    assert fingerprint(clips("a", "b")) != fingerprint(clips("a", "c"))
    assert fingerprint(clips("a", "b")) != fingerprint(clips("a"))
