from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import average_precision_score, confusion_matrix

from sonograph import registry
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.infer.evaluate import evaluate
from sonograph.nn.heads import Classifier
from sonograph.train.finetune import examples_of, frames_of

LABELS = ("a", "b", "c")


@pytest.fixture
def clips(tmp_path):
    rows = ["path,label"]
    for k in range(12):
        sound = np.random.default_rng(k).uniform(-0.5, 0.5, 4000 + 900 * k)
        soundfile.write(tmp_path / f"{k}.wav", sound, 16_000)
        rows.append(f"{k}.wav,{LABELS[k % 3]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return Clips.open(tmp_path / "table.csv")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier(registry.build("ssast-test"), LABELS).eval()


def test_every_number_is_that_of_the_known_library(model, clips):
    found = evaluate(model, clips, "class")
    frames = frames_of(clips, model.encoder)
    examples = examples_of(clips, "class", model.spec, frames, LABELS)
    with torch.inference_mode():
        scores = model(examples.features, examples.lengths).softmax(1).numpy()
    truth, answers = examples.targets.numpy(), scores.argmax(1)
    assert found.confusion == confusion_matrix(truth, answers, labels=range(3)).tolist()
    assert found.accuracy.mean == pytest.approx((truth == answers).mean())
    for k, score in enumerate(found.classes):
        assert score.clips == 4
        assert score.recall == pytest.approx((answers[truth == k] == k).mean())
        expected = average_precision_score(truth == k, scores[:, k])
        assert score.average_precision == pytest.approx(expected)
    averages = [score.average_precision for score in found.classes]
    assert found.mean_average_precision == pytest.approx(np.mean(averages))
    mistakes = found.confusions()
    assert sum(count for _, _, count in mistakes) == (truth != answers).sum()


def test_a_class_without_clips_has_no_numbers(model, clips):
    found = evaluate(model, clips.filter(lambda clip: clip.labels["class"] != "b"), "class")
    assert found.classes[1].clips == 0
    assert found.classes[1].recall is None
    assert found.classes[1].average_precision is None
    assert found.to_json()["clips"] == 8


def test_a_label_the_model_does_not_know_is_named(clips):
    model = Classifier(registry.build("ssast-test"), ["a", "bb", "c"])
    with pytest.raises(InputError, match=r"no label 'b': it knows a, bb, c.* Did you mean 'bb'"):
        evaluate(model, clips, "class")


def test_frames_are_those_of_the_longest_clip_within_reach(clips):
    encoder = registry.build("ssast-test")
    spec = encoder.spec
    assert frames_of(clips, encoder) == spec.frames(4000 + 900 * 11)
    assert frames_of(clips[:1], encoder) == spec.frames(4000)
    shorter = registry.build("ssast-test", frames=32)
    assert frames_of(clips, shorter) == 32
