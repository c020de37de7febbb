from __future__ import annotations

import pytest
import torch

from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.recipes import long_range


def value_of(tokens: list[str]) -> tuple[int, list[str]]:
    """A ListOps expression by reading it, and what follows it."""
    head, rest = tokens[0], tokens[1:]
    if head not in long_range.OPERATORS:
        return int(head), rest
    values = []
    while rest[0] != "]":
        value, rest = value_of(rest)
        values.append(value)
    middle = sorted(values)
    half = len(middle) // 2
    answers = {
        "[MIN": min(values),
        "[MAX": max(values),
        "[SM": sum(values) % 10,
        "[MED": int(middle[half] if len(middle) % 2 else (middle[half - 1] + middle[half]) / 2),
    }
    return answers[head], rest[1:]


def test_lists_come_to_their_class():
    made = long_range.listops(30, seed=1, shortest=20, longest=120)
    assert made.features.shape == (30, 1, 120)
    assert int(made.lengths.min()) >= 20
    for row, length, target in zip(made.features[:, 0], made.lengths, made.targets):
        tokens = [long_range.LISTOPS[int(n)] for n in row[:length]]
        value, rest = value_of(tokens)
        assert (value, rest) == (int(target), [])
        assert not row[length:].any()
    again = long_range.listops(30, seed=1, shortest=20, longest=120)
    assert torch.equal(again.features, made.features)


def test_lists_that_cannot_be():
    with pytest.raises(InputError, match="hardly any list has 50 to 51 tokens"):
        long_range.listops(1, shortest=50, longest=51, most_parts=2, deepest=2)


def test_pathfinder_pictures():
    made = long_range.pathfinder(20, seed=2, side=32)
    assert made.features.shape == (20, 1, 1024)
    assert (made.features.min(), made.features.max()) == (-1, 1)
    assert made.targets.sum() == 10
    lit = (made.features > 0).float().mean((1, 2))
    assert ((lit > 0.02) & (lit < 0.3)).all()
    assert torch.equal(long_range.pathfinder(20, seed=2, side=32).features, made.features)
    assert not torch.equal(long_range.pathfinder(20, seed=3, side=32).features, made.features)


def test_digits():
    pytest.importorskip("sklearn")
    made = long_range.digits(16)
    assert made.features.shape == (1797, 1, 256)
    assert (made.features.min(), made.features.max()) == (-1, 1)
    assert made.classes == tuple("0123456789")
    # a nought is dark within
    noughts = made.features[made.targets == 0].view(-1, 16, 16).mean(0)
    assert noughts[7:9, 7:9].max() < noughts[7:9, 3:5].max() - 0.5


@pytest.fixture
def clips(tmp_path) -> Clips:
    made = []
    for number, hz in enumerate((200.0, 6000.0)):
        wave = 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(16_000) / 16_000)
        path = tmp_path / f"{number}.wav"
        write(path, Audio(wave[None].numpy(), 16_000))
        labels = {"pitch": ("low", "high")[number]}
        text = ("zwei", "два")[number]
        clip = Clip(str(number), path, 1.0, 16_000, labels=labels, text=text, file_frames=16_000)
        made.append(clip)
    return Clips(made)


def test_pictures_of_sounds(clips):
    made = long_range.pictures(clips, "pitch", side=32)
    assert made.features.shape == (2, 1, 1024)
    for number, target in enumerate(made.targets):
        rows = made.features[number].view(32, 32).mean(1)
        top = int(rows.argmax())
        assert (top > 16) == (made.classes[int(target)] == "low")  # low bands are below
    assert made.features.min() >= -1
    assert made.features.max() <= 1


def test_texts_are_bytes(clips):
    made = long_range.texts(clips, "pitch", longest=8)
    said = [bytes(int(n) for n in row[0, :k]) for row, k in zip(made.features, made.lengths)]
    assert [text.decode() for text in said] == ["zwei", "два"]
    assert [made.classes[int(t)] for t in made.targets] == ["low", "high"]


def cifar_files(folder, per_file: int = 3) -> torch.Tensor:
    """Files in the layout of the binary version, of colours drawn by chance."""
    draw = torch.Generator().manual_seed(0)
    made = []
    for name in (*long_range.CIFAR_TRAIN, *long_range.CIFAR_TEST):
        rows = torch.randint(256, (per_file, 3073), generator=draw, dtype=torch.uint8)
        rows[:, 0] %= 10
        (folder / name).write_bytes(rows.numpy().tobytes())
        made.append(rows)
    return torch.stack(made)


def test_cifar_in_grey(tmp_path):
    rows = cifar_files(tmp_path)
    train, test = long_range.cifar(tmp_path)
    assert train.features.shape == (15, 1, 1024)
    assert test.features.shape == (3, 1, 1024)
    assert train.classes[int(train.targets[4])] == long_range.CIFAR[int(rows[1, 1, 0])]
    red, green, blue = rows[1, 1, 1:].float().view(3, 1024)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue).round() / 255
    torch.testing.assert_close(train.features[4, 0], (grey - 0.5) / 0.5, atol=1e-2, rtol=0)
    assert ((train.features + 1) * 127.5 % 1).min() < 1e-3  # whole levels


def test_files_that_are_not_cifar(tmp_path):
    with pytest.raises(
        InputError, match=r"has no data_batch_1\.bin: give the folder of the binary"
    ):
        long_range.cifar(tmp_path)
    cifar_files(tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(b"1" * 3072)
    with pytest.raises(InputError, match=r"data_batch_2\.bin is not of CIFAR-10"):
        long_range.cifar(tmp_path)
