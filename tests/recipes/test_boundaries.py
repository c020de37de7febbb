"""Boundaries of made speech, whose phones are tones of known lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import records
from sonograph.audio.io import Audio, write
from sonograph.data.clips import Clip, Clips
from sonograph.data.phones import Phones
from sonograph.errors import InputError
from sonograph.metrics.boundaries import error_of
from sonograph.progress import silent
from sonograph.recipes.speak import boundaries, boundary_picture
from sonograph.recipes.speak.boundaries import Scale

HOP_S = 0.016
PITCHES = {"pau": 0.0, "a": 300.0, "o": 700.0, "s": 2500.0}
PLAN = Scale(seeds=3, aligner_updates=2, listener_updates=2, teacher_updates=2, width=8)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(clips, labels by id): tones of whole frames, 20 ms of each at their loudest."""
    folder, draw = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    clips, labels = [], {}
    for k in range(40):
        names = [*draw.choice(["a", "o", "s"], 4), "pau", *draw.choice(["a", "o", "s"], 3)]
        frames = draw.integers(3, 9, len(names))
        time = np.arange(256) / 16000
        sound = np.concatenate(
            [
                np.tile(0.3 * np.sin(2 * np.pi * PITCHES[n] * time), count)
                for n, count in zip(names, frames)
            ]
        )
        write(folder / f"{k}.wav", Audio(sound.astype(np.float32)[None], 16000))
        clips.append(Clip(f"t{k}", folder / f"{k}.wav", len(sound) / 16000, 16000, text="tones"))
        labels[f"t{k}"] = Phones(tuple(names), np.cumsum(frames) * HOP_S)
    return Clips(clips), labels


@pytest.fixture
def corpus(made, tmp_path):
    clips, labels = made
    return boundaries.labelled(clips, tmp_path, 12.0, lambda clip: labels[clip.id])


def shifted(corpus, by_s):
    """The same corpus, every boundary labelled so much later."""
    ends = {name: values + by_s for name, values in corpus.ends_s.items()}
    return boundaries.Labelled(corpus.speech, ends, corpus.symbols)


def test_labels_are_tokens_and_lie_within_the_trimmed_sound(made, corpus):
    _, labels = made
    assert corpus.symbols == ("a", "o", "pau", "s")
    item = corpus.speech.items[0]
    assert [corpus.symbols[k - 1] for k in item.ids] == list(labels[item.id].names)
    assert len(corpus.ends_s[item.id]) == len(item.ids) - 1
    assert corpus.durations_s(0).sum() == pytest.approx(item.frames * HOP_S)
    moved = labels[item.id].ends_s[:-1] - corpus.ends_s[item.id]
    assert np.allclose(moved, item.start_s)


@pytest.mark.parametrize("by_ms", [-40.0, 0.0, 8.0, 100.0])
def test_a_shift_of_the_labels_is_exactly_the_error(corpus, by_ms):
    rows = [3, 0, 7]
    truth = {row: boundaries.by_labels(corpus, row) for row in rows}
    texts = {tuple(corpus.speech.items[row].ids): row for row in rows}

    def knows(batch):
        said = torch.zeros_like(batch.text.ids)
        for k, (ids, count) in enumerate(zip(batch.text.ids, batch.text.lengths.tolist())):
            said[k, :count] = torch.from_numpy(truth[texts[tuple(ids[:count].tolist())]])
        return said

    moved = shifted(corpus, -by_ms / 1000)
    offsets = boundaries.offsets_of(moved, rows, knows, batch=2)
    assert [len(one) + 1 for one in offsets] == [len(truth[row]) for row in rows]
    assert np.concatenate(offsets) == pytest.approx(by_ms, abs=1e-6)


def test_what_hears_nothing_divides_the_clip(corpus):
    batch = corpus.speech.batch([0, 1])
    equal = boundaries.equal_parts(batch)
    assert torch.equal(equal.sum(1), batch.lengths)
    for row, count in zip(equal, batch.text.lengths.tolist()):
        assert row[:count].max() - row[:count].min() <= 1
        assert row[count:].sum() == 0
    means = boundaries.mean_lengths(corpus, range(len(corpus.speech)))
    by_hand = [
        d for row, item in enumerate(corpus.speech.items)
        for d, k in zip(corpus.durations_s(row), item.ids) if k == 1
    ]  # fmt: skip
    assert means[1] == pytest.approx(np.mean(by_hand))
    said = boundaries.by_means(means)(batch)
    assert torch.equal(said.sum(1), batch.lengths)


def test_neighbouring_pauses_are_one():
    found = boundaries.joined(Phones(("pau", "pau", "a", "pau", "pau"), np.arange(1.0, 6.0)))
    assert found.names == ("pau", "a", "pau")
    assert found.ends_s.tolist() == [2, 3, 5]


def test_sources_learn_and_are_reported(corpus, tmp_path):
    found = boundaries.reported(corpus, PLAN, tmp_path, lambda title: silent)
    for name, heard in found.items():
        assert len(heard) == PLAN.seeds, name
        assert all(len(one.offsets) == len(one.at_pause) for one in heard)
    assert error_of(found[boundaries.ROUNDED][0].offsets).mean_ms <= 8
    made = boundaries.records_of(found, PLAN, corpus)
    assert [name for name, _ in made] == [
        "claim-boundaries", "claim-boundaries-forced", "claim-boundaries-attention"
    ]  # fmt: skip
    again = boundaries.reported(corpus, PLAN, tmp_path, lambda title: silent)
    for name, heard in found.items():
        assert np.array_equal(heard[0].offsets, again[name][0].offsets)
    for _, record in made:
        records.check(records.stamped(record, 1.0), "here")
        assert "2 updates" in record.rule
    pytest.importorskip("matplotlib")
    boundary_picture.of_run(corpus, PLAN, tmp_path, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_needs_a_run(tmp_path):
    with pytest.raises(InputError, match="has no run: `sonograph claim fastspeech"):
        boundary_picture.main([str(tmp_path / "x.png"), "--run", str(tmp_path)])


@pytest.mark.parametrize(
    ("near", "means_ms", "verdict"),
    [((0.7, 0.72, 0.74), 200.0, "shown"), ((0.3, 0.31, 0.32), 200.0, "not shown"),
     ((0.4, 0.5, 0.6), 200.0, "inconclusive"), ((0.7, 0.72, 0.74), 1.0, "not shown")],
)  # fmt: skip
def test_the_rule(corpus, near, means_ms, verdict):
    def heard(share, far_ms):
        offsets = np.where(np.arange(1000) < 1000 * share, 5.0, far_ms)
        return boundaries.Heard(offsets, np.arange(1000) % 7 == 0)

    found = {boundaries.ALIGNER: [heard(share, 60.0) for share in near]}
    for name in (boundaries.MEANS, boundaries.EQUAL, boundaries.ROUNDED):
        found[name] = [heard(0.0, means_ms + k) for k in range(3)]
    (file, record), *rest = boundaries.records_of(found, PLAN, corpus)
    assert (file, rest, record.verdict) == ("claim-boundaries", [], verdict)
    assert record.details["not measured"] == [boundaries.ATTENTION]


def test_too_few_clips_are_told(made, tmp_path):
    clips, labels = made
    few = boundaries.labelled(clips[:2], tmp_path, 12.0, lambda clip: labels[clip.id])
    with pytest.raises(InputError, match="2 labelled clips leave"):
        boundaries.parts_of(few, 0)
