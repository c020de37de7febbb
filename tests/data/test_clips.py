"""Clips: splits that cannot leak, folds, labels, and the way through lhotse and JSONL."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError

PARTS = ("train", "valid", "test")


def clip(number: int, **more) -> Clip:
    given = {"path": Path(f"{number}.wav"), "duration_s": 1.0, "rate_hz": 8000} | more
    return Clip(id=str(number), **given)


@st.composite
def sets(draw):
    """Clips whose files, groups and speakers overlap in any way."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 8),
                st.sampled_from(["", *"abcdefgh"]),
                st.sampled_from([None, *"xyz"]),
            ),
            max_size=30,
        )
    )
    return Clips(
        [
            clip(k, path=Path(f"{file}"), group=group, speaker=speaker, labels={"t": str(k % 3)})
            for k, (file, group, speaker) in enumerate(rows)
        ]
    )


@given(sets(), st.integers(0, 5), st.sampled_from(["group", "speaker"]))
def test_a_split_parts_the_set_and_never_tears_a_file_group_or_speaker(clips, seed, by):
    parts = [clips.split(name, by=by, seed=seed) for name in PARTS]
    assert Counter(c.id for part in parts for c in part) == Counter(c.id for c in clips)
    _never_torn(parts, by)


@given(sets().filter(len), st.integers(0, 5), st.sampled_from(["group", "speaker"]))
def test_folds_never_tear_either(clips, seed, by):
    pairs = clips.folds("t", count=3, by=by, seed=seed)
    tests = [test for _, test in pairs]
    assert Counter(c.id for test in tests for c in test) == Counter(c.id for c in clips)
    _never_torn(tests, by)
    for train, test in pairs:
        assert len(train) + len(test) == len(clips)


def _never_torn(parts, by):
    for what in ("path", "group", *(["speaker"] if by == "speaker" else [])):
        seen = [{getattr(c, what) for c in part} - {"", None} for part in parts]
        for k, names in enumerate(seen):
            for other in seen[k + 1 :]:
                assert not names & other, what


def test_a_clip_keeps_its_part_whatever_else_is_in_the_set_and_wherever_it_lies():
    clips = Clips([clip(k, group=f"song {k}") for k in range(200)])
    moved = Clips([dataclasses.replace(c, path=Path("/elsewhere") / c.path) for c in clips[50:]])
    for name in PARTS:
        here = {c.id for c in clips.split(name)}
        assert {c.id for c in moved.split(name)} == {i for i in here if int(i) >= 50}


def test_fractions_are_met_and_seeds_differ():
    clips = Clips([clip(k, group=f"song {k}") for k in range(4000)])
    shares = [len(clips.split(name)) / 4000 for name in PARTS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    half = clips.split("test", fractions=(0.5, 0.0, 0.5))
    assert len(half) / 4000 == pytest.approx(0.5, abs=0.03)
    assert not len(clips.split("valid", fractions=(0.5, 0.0, 0.5)))
    ids = [{c.id for c in clips.split("test", seed=seed)} for seed in (0, 1)]
    assert ids[0] != ids[1]
    with pytest.raises(InputError, match="sum to 1"):
        clips.split("train", fractions=(0.5, 0.5, 0.5))


def test_published_splits_and_folds_come_before_the_hash():
    listed = Clips([clip(k, split=["train", "test"][k % 2]) for k in range(10)])
    assert [len(listed.split(name)) for name in PARTS] == [5, 0, 5]
    folded = Clips([clip(k, split=f"fold{k % 5 + 1}", labels={"t": "a"}) for k in range(10)])
    assert [len(folded.split(name)) for name in (*PARTS, "fold2")] == [6, 2, 2, 2]
    pairs = folded.folds("t")
    assert [{c.split for c in test} for _, test in pairs] == [{f"fold{k}"} for k in range(1, 6)]
    with pytest.raises(InputError, match="fold5"):
        folded.split("fold6")


def test_folds_balance_classes():
    clips = Clips(
        [clip(k, group=f"g{k // 2}", labels={"t": "abc"[k // 2 % 3]}) for k in range(120)]
    )
    for _, test in clips.folds("t"):
        assert Counter(c.labels["t"] for c in test) == {"a": 8, "b": 8, "c": 8}


def test_labels_tasks_and_classes(noises):
    assert noises.tasks() == {"half": 12, "parity": 12}
    assert noises.classes("half") == ["high", "low"]
    assert len(noises.filter(lambda c: c.labels["half"] == "low")) == 6
    part = Clips([*noises[:2], dataclasses.replace(noises[2], labels={})])
    assert len(part.labelled("half")) == 2
    with pytest.raises(InputError, match="parity"):
        noises.labelled("party")
    with pytest.raises(InputError, match="no labels"):
        Clips([clip(1)]).classes("half")
    with pytest.raises(InputError, match="id 'n0'"):
        noises + noises


def test_through_lhotse_and_back_nothing_is_lost(noises, write_sound):
    rich = Clip(
        id="ü",
        path=write_sound("stereo.wav", 2.0, channels=2),
        start_s=0.5,
        duration_s=1.0,
        rate_hz=8000,
        channels=2,
        file_frames=16_000,
        labels={"a": "b"},
        text="Grüß Gott",
        language="de",
        speaker="s",
        group="g",
        split="test",
        licence="CC0",
        source="here",
        synthetic=True,
    )
    clips = Clips([*noises, rich])
    cuts = clips.to_cuts()
    assert list(Clips.from_cuts(cuts)) == list(clips)
    assert cuts["ü"].load_audio().shape == (2, 8000)
    assert cuts["ü"].supervisions[0].text == "Grüß Gott"


def test_saved_clips_open_again_even_after_the_folder_moved(noises, tmp_path):
    from lhotse import CutSet

    noises.save(tmp_path / "noise/clips.jsonl")
    assert list(Clips.open(tmp_path / "noise/clips.jsonl")) == list(noises)
    first = json.loads((tmp_path / "noise/clips.jsonl").read_text().splitlines()[0])
    assert first["recording"]["sources"][0]["source"] == "0.wav"
    assert len(CutSet.from_file(tmp_path / "noise/clips.jsonl")) == 12
    (tmp_path / "noise").rename(tmp_path / "moved")
    moved = Clips.open(tmp_path / "moved")
    assert moved[3].path == tmp_path / "moved/3.wav"
    assert len(moved[3].read()) == 3200


def test_saving_is_all_or_nothing(noises, tmp_path):
    noises.save(tmp_path / "clips.jsonl")
    before = (tmp_path / "clips.jsonl").read_bytes()
    broken = Clips([*noises[:3], dataclasses.replace(noises[3], labels={"x": object()})])
    with pytest.raises(TypeError):
        broken.save(tmp_path / "clips.jsonl")
    assert (tmp_path / "clips.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".clips*"))
