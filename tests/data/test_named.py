from __future__ import annotations

import dataclasses

import pytest

from sonograph.data.clips import Clips
from sonograph.data.named import held_out, measured_part, open_data, task_of
from sonograph.errors import InputError


def test_several_folders_may_hold_files_of_one_name(write_sound, tmp_path):
    for folder in ("a", "b"):
        write_sound(f"{folder}/1.wav")
    clips = open_data([str(tmp_path / "a"), str(tmp_path / "b")])
    assert len({clip.id for clip in clips}) == 2
    assert [clip.id for clip in open_data([str(tmp_path / "a")])] == ["1.wav"]


def test_a_name_comes_before_a_folder(tmp_path, write_sound, monkeypatch):
    write_sound("mini/x/1.wav")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"of mini is not in .*: run `sonograph data get mini`"):
        open_data(["mini"], tmp_path / "nowhere")
    assert len(open_data(["./mini"])) == 1


def test_what_is_neither_suggests():
    with pytest.raises(InputError, match=r"Did you mean 'minetest'"):
        open_data(["minetst"])
    with pytest.raises(InputError, match="no data is given"):
        open_data([])


def test_the_task_is_chosen_only_where_there_is_no_doubt(noises):
    assert task_of(noises, "half") == "half"
    assert task_of(noises, "", "parity") == "parity"
    with pytest.raises(InputError, match=r"choose --task: half \(12 clips\), parity"):
        task_of(noises, "")
    only = Clips([dataclasses.replace(c, labels={"half": c.labels["half"]}) for c in noises])
    assert task_of(only, "", "parity") == "half"
    with pytest.raises(InputError, match="Did you mean 'half'"):
        task_of(noises, "hlf")
    with pytest.raises(InputError, match="no clip has a label"):
        task_of(Clips([dataclasses.replace(clip, labels={}) for clip in noises]), "")


def divided(clips: Clips, parts: str) -> Clips:
    """The clips with published splits: t(rain), v(alid), T(est)."""
    word = {"t": "train", "v": "valid", "T": "test"}
    return Clips([dataclasses.replace(c, split=word[p]) for c, p in zip(clips, parts)])


def test_all_that_is_not_held_out_is_learned_from(noises):
    clips = divided(noises, "ttttvTttttvT")
    train, test = held_out(clips, "half", "test")
    assert [clip.id for clip in test] == ["n5", "n11"]
    assert len(train) == 10
    train, valid = held_out(clips, "half", "valid")
    assert [clip.id for clip in valid] == ["n4", "n10"]
    train, test = held_out(clips, "half", "none")
    assert (len(train), len(test)) == (12, 0)


def test_a_group_is_never_on_both_sides(noises):
    for part in ("test", "valid"):
        train, test = held_out(noises, "parity", part)
        assert len(train) + len(test) == 12
        assert not {clip.group for clip in train} & {clip.group for clip in test}


def test_a_class_only_in_the_held_out_part_is_named(noises):
    with pytest.raises(InputError, match="half 'high' occurs only in the held-out part 'test'"):
        held_out(divided(noises, "ttttttTTTTTT"), "half", "test")


def test_a_class_that_fell_on_one_side_by_chance_is_learned(noises):
    """All of its recordings are taken out of the held-out part, and `measured_part` agrees."""

    def grouped(name: str) -> Clips:
        """n0 and n1 are rare and of one group, whose name decides where a split puts them."""
        rare = [dataclasses.replace(c, labels={"x": "rare"}, group=name) for c in noises[:2]]
        return Clips([*rare, *(dataclasses.replace(c, labels={"x": "usual"}) for c in noises[2:])])

    name = next(
        f"group {n}"
        for n in range(1000)
        if {"n0", "n1"} <= {clip.id for clip in grouped(f"group {n}").split("test")}
    )
    clips = grouped(name)
    train, test = held_out(clips, "x", "test")
    assert {"n0", "n1"} <= {clip.id for clip in train}
    assert len(train) + len(test) == 12
    assert [clip.id for clip in measured_part(clips, "x", "test")] == [clip.id for clip in test]
