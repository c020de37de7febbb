"""What every model that speaks has to pass, on its `-test` preset."""

from __future__ import annotations

import time

import pytest
import torch

from sonograph import registry, weights
from sonograph.infer.speak import Manner, Voice, acoustic_of
from sonograph.nn.acoustic import Acoustic, Controls, SpeechBatch, Text
from sonograph.text.tokens import ALPHABETS
from sonograph.train.trainer import TrainConfig, Trainer
from tests.contract.cases import SMALL

SPEAKERS = [
    p
    for p in SMALL
    if registry.system(p.system).task == "speak"
    and isinstance(registry.build(p.name, device="meta"), Acoustic)
]


@pytest.fixture(params=SPEAKERS, ids=lambda preset: preset.name)
def preset(request) -> registry.Preset:
    return request.param


@pytest.fixture
def acoustic(preset) -> Acoustic:
    return acoustic_of(registry.build(preset.name))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text_of(acoustic: Acoustic, lengths: tuple[int, ...] = (9, 14), seed: int = 0) -> Text:
    """Tokens at random, three to a word."""
    longest, size = max(lengths), ALPHABETS[acoustic.alphabet].size
    ids = torch.randint(1, size, (len(lengths), longest), generator=drawn(seed))
    words = torch.arange(longest).expand(len(lengths), -1) // 3
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    last = words[torch.arange(len(lengths)), torch.tensor(lengths) - 1][:, None]
    return Text(ids * mask, torch.tensor(lengths), torch.where(mask, words, last))


def batch_of(acoustic: Acoustic, seed: int = 0) -> SpeechBatch:
    """Noise as recordings, four frames a token."""
    text = text_of(acoustic, (9, 14), seed)
    durations = torch.where(text.mask, 4, 0)
    lengths = durations.sum(1)
    frames = int(lengths.max())
    inside = torch.arange(frames) < lengths[:, None]
    noise = torch.randn((2, acoustic.spec.rows, frames), generator=drawn(seed)) - 5
    pitch = torch.where(inside, 120 + 40 * torch.rand((2, frames), generator=drawn(seed)), 0)
    pitch[:, ::5] = 0
    energy = torch.where(inside, 1 + torch.rand((2, frames), generator=drawn(seed)), 0)
    return SpeechBatch(text, noise * inside[:, None], lengths, durations, pitch, energy)


def test_small_and_built_at_once(preset):
    began = time.process_time()
    model = registry.build(preset.name)
    assert time.process_time() - began < 1
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_durations_sum_up_to_the_length(acoustic):
    text = text_of(acoustic)
    with torch.inference_mode():
        said = acoustic.speak(text, generator=drawn())
    assert said.features.shape[:2] == (2, acoustic.spec.rows)
    assert torch.equal(said.durations.sum(1), said.lengths)
    assert (said.durations >= 0).all()
    assert (said.durations * ~text.mask == 0).all()
    assert said.features.shape[2] == int(said.lengths.max())
    assert torch.isfinite(said.features).all()


def test_a_text_alone_is_the_text_in_a_batch(acoustic):
    """What is drawn at random does not depend on the other texts."""
    both = text_of(acoustic)
    n = int(both.lengths[0])
    alone = Text(both.ids[:1, :n], both.lengths[:1], both.words[:1, :n])
    with torch.inference_mode():
        one, two = (acoustic.speak(text, generator=drawn()) for text in (alone, both))
    assert torch.equal(one.durations[0], two.durations[0, :n])
    t = int(one.lengths[0])
    torch.testing.assert_close(one.features[0, :, :t], two.features[0, :, :t], atol=1e-4, rtol=1e-4)


def test_the_same_seed_says_the_same(preset, acoustic):
    text, other = text_of(acoustic), acoustic_of(registry.build(preset.name, seed=1))
    with torch.inference_mode():
        first, again = (acoustic.speak(text, generator=drawn()) for _ in range(2))
        third = other.speak(text, generator=drawn())
    assert torch.equal(first.features, again.features)
    assert third.features.shape != first.features.shape or not torch.equal(
        first.features, third.features
    )


def test_pace_shortens(acoustic):
    if not getattr(acoustic, "paced", True):
        pytest.skip("its rhythm comes with its sound: there is no pace to set")
    text = text_of(acoustic, (30,))
    with torch.inference_mode():
        slow, fast = (
            acoustic.speak(text, Controls(pace=torch.full((1, 30), pace)), drawn())
            for pace in (0.25, 0.5)
        )
    assert int(slow.lengths[0]) == pytest.approx(2 * int(fast.lengths[0]), abs=2 + 0.1 * 30)


# Update numbers at which an objective of stages learns different things: its first, one of the
# middle (all of the first stage of PortaSpeech, soft attention of an aligner over), its last
UPDATES = (0, 10_000, 2**31)


def test_every_weight_of_the_objective_learns(preset, acoustic):
    """With given durations or found ones, at some update: a gradient that is finite and not 0."""
    torch.manual_seed(0)  # of an aligner
    model = registry.module(preset.system).Pretraining(acoustic).train()
    for weight in model.parameters():
        if not weight.any():  # what begins at 0 hides what lies behind it
            torch.nn.init.normal_(weight, std=0.05)
    has_aligner = getattr(model, "aligner", None) is not None
    reached: set[str] = set()
    for seed, update in enumerate(UPDATES):
        for finds in {False, has_aligner}:
            if hasattr(model, "updates"):
                model.updates.fill_(update)
            batch = batch_of(acoustic, seed)
            batch = batch._replace(durations=None) if finds else batch
            model.zero_grad()
            found = model(batch, drawn(seed))
            assert torch.isfinite(found["loss"]), found
            found["loss"].backward()
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    assert torch.isfinite(weight.grad).all(), name
                    if weight.grad.any():
                        reached.add(name)
    wanted = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert wanted <= reached, sorted(wanted - reached)


class Noise:
    """Batch k, a function of k alone."""

    def __init__(self, acoustic: Acoustic):
        self.acoustic, self.first = acoustic, 0

    def start_at(self, k: int) -> Noise:
        self.first = k
        return self

    def __iter__(self):
        k = self.first
        while True:
            yield batch_of(self.acoustic, k)
            k += 1


def test_resumed_in_the_middle_equals_uninterrupted(preset, tmp_path):
    def train(name: str, steps: int) -> dict[str, torch.Tensor]:
        acoustic = registry.build(preset.name)
        torch.manual_seed(0)  # of an aligner
        model = registry.module(preset.system).Pretraining(acoustic)
        config = TrainConfig(steps=steps, schedule="constant", save_every=0, lr=1e-3)
        Trainer(
            model,
            lambda learner, batch, generator: learner(batch, generator),
            Noise(acoustic),
            tmp_path / name,
            config,
        ).run()
        return weights.read_tensors(tmp_path / name / "last.safetensors")

    whole = train("whole", 4)
    train("cut", 2)
    resumed = train("cut", 4)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_saved_and_loaded_to_equal_bits(preset, acoustic, tmp_path):
    for kind, model in (
        ("acoustic", acoustic),
        ("objective", registry.module(preset.system).Pretraining(acoustic)),
    ):
        weights.save_folder(tmp_path / kind, model, {"name": "saved"})
        loaded = weights.load(tmp_path / kind)
        assert loaded.describe() == model.describe()
        state = loaded.state_dict()
        assert all(torch.equal(value, state[n]) for n, value in model.state_dict().items())
        assert acoustic_of(loaded).spec == acoustic.spec


def test_it_says_a_sentence_through_a_vocoder(acoustic):
    """Any text, any alphabet of its own; every word has its time, in order, inside the sound."""
    if acoustic.alphabet not in ALPHABETS:
        pytest.skip(f"no text is written in {acoustic.alphabet}")
    vocoder = registry.build("istftnet-test", **{"features": acoustic.spec})
    said = list(Voice(acoustic, vocoder).say("Hello there. It costs $5!", Manner(pace=2.0)))
    assert [one.text for one in said] == ["Hello there.", "It costs $5!"]
    words = [word for one in said for word in one.words]
    assert [word.word for word in words] == ["Hello", "there", "It", "costs", "$5", "$5"]
    at = 0.0
    for word in words:
        assert at <= word.start_s + 1e-9 <= word.end_s + 1e-9
        at = word.start_s
    assert words[-1].end_s <= said[-1].end_s + 1e-9
    assert said[1].start_s == pytest.approx(said[0].audio.duration_s)
