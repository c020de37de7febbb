"""Training of separators on what clips tell, and the measures on their cards, on made sounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.data.mixtures import Pool, SpeechInNoise, Stems, Talkers, songs
from sonograph.errors import InputError
from sonograph.nn.separator import Separator
from sonograph.outputs import Audio
from sonograph.recipes.separate.quality import measure, measure_songs
from sonograph.recipes.separate.training import (
    best_gain,
    calibrate,
    improvement,
    mixtures_of,
    pretrain,
    recipe_of,
)

RATE = 16_000
FEW = {"train.steps": 2, "train.save_every": 1, "held_out_batches": 1, "crop_s": 0.25, "batch": 2}


def sound(seed: int, seconds: float = 0.6) -> np.ndarray:
    draw = np.random.default_rng(seed)
    turn = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * draw.uniform(150, 900) * turn)
    return (0.2 * tone + 0.02 * draw.standard_normal(len(turn))).astype(np.float32)


@pytest.fixture
def clips(tmp_path) -> Clips:
    """Four talkers and four noises, ten clips each, every clip a group of its own."""
    made = []
    for number in range(80):
        path = tmp_path / f"{number}.wav"
        write(path, Audio(sound(number), RATE))
        speaker = f"voice{number % 4}" if number < 40 else None
        made.append(Clip(str(number), path, 0.6, RATE, speaker=speaker, group=str(number)))
    return Clips(made)


@pytest.fixture
def stems(tmp_path) -> Clips:
    for song in range(6):
        for k, stem in enumerate(("vocals", "drums", "mixture")):
            path = tmp_path / "songs" / f"song{song}" / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, Audio(sound(10 * song + k), RATE))
    return Clips.open(tmp_path / "songs")


def test_songs_are_told_from_their_folders(stems, tmp_path):
    assert len(stems) == 12
    assert stems.classes("stem") == ["drums", "vocals"]
    write(tmp_path / "songs" / "song3" / "vocals.wav", Audio(sound(1, 0.5), RATE))
    with pytest.raises(InputError, match="song3 differ in length"):
        Clips.open(tmp_path / "songs")


def test_what_a_separator_learns_from(clips, stems):
    plan = recipe_of("mossformer2-test")
    for preset, some, kind in (
        ("mossformer2-test", clips, Talkers),
        ("mossformer2-enhancer-test", clips, SpeechInNoise),
        ("mel-roformer-test", stems, Stems),
    ):
        separator = registry.build(preset)
        made = mixtures_of(separator, some, plan, 0)
        assert type(made) is kind
        batch = made.batch(0)
        assert batch["mixture"].shape == (2, separator.channels, separator.rate_hz)
        assert batch["sources"].shape[1] >= len(separator.stems)
    vocals = mixtures_of(registry.build("mel-roformer-test"), stems, plan, 0, learning=False)
    assert list(vocals.parts) == ["vocals", "drums"]


def test_clips_that_do_not_fit_are_said(clips, stems):
    plan = recipe_of("mossformer2-test")
    noises = clips.filter(lambda clip: clip.speaker is None)
    for preset, some, words in (
        ("mossformer2-test", noises, "name their speaker"),
        ("mossformer2-enhancer-test", noises, "learns from speech"),
        ("mel-roformer-test", clips, "no songs with a stem 'vocals'"),
    ):
        with pytest.raises(InputError, match=words):
            mixtures_of(registry.build(preset), some, plan, 0)


@pytest.mark.parametrize("preset", ["mossformer2-test", "mel-roformer-test"])
def test_a_training_leaves_a_model(preset, clips, stems, tmp_path):
    some = stems if preset.startswith("mel") else clips
    folder = tmp_path / "run"
    summary = pretrain(preset, some, folder, recipe_of(preset).override(FEW))
    assert summary.steps == 2
    assert "si_sdr_improvement" in (summary.best or {})
    model = weights.load(folder)
    assert isinstance(model, Separator)
    assert model.card["name"] == preset
    again = pretrain(preset, some, folder, recipe_of(preset).override({**FEW, "train.steps": 3}))
    assert again.steps == 3


class Half(Separator):
    """Gives back half of the mixture as its only stem."""

    rate_hz, channels, stems, window_samples = RATE, 1, ("tone",), 1000

    def forward(self, mixture):
        return mixture[:, None] / 2


class Swapped(Separator):
    """Knows the parts, and gives them in the wrong order."""

    rate_hz, channels, stems, window_samples, ordered = RATE, 1, ("a", "b"), 1000, False

    def __init__(self, sources: torch.Tensor):
        super().__init__()
        self.sources = sources

    def forward(self, mixture):
        return self.sources.flip(1) + 0.01 * mixture[:, None]


def mixture_of(seed: int) -> dict[str, torch.Tensor]:
    sources = torch.from_numpy(np.stack([sound(seed), sound(seed + 1)]))[None, :, None]
    return {"mixture": sources.sum(1), "sources": sources}


def test_measures_beside_mixture_and_oracle():
    batches = [mixture_of(seed) for seed in (1, 5, 9)]
    found = measure(Half(), batches)
    assert found["mixtures"] == 3
    assert found["si_sdr_improvement"]["mean"] == pytest.approx(0, abs=1e-6)
    assert found["model"]["si_sdr"] == pytest.approx(found["mixture"]["si_sdr"])
    assert found["model"]["snr"] > found["mixture"]["snr"] + 1  # half the other one is left
    assert found["oracle mask"]["si_sdr"] > found["mixture"]["si_sdr"] + 5
    alone = {name: value.clone() for name, value in batches[0].items()}
    alone["sources"][:, 1] = 0
    assert measure(Half(), [*batches, alone])["mixtures"] == 3
    with pytest.raises(InputError, match="a part is silent"):
        measure(Half(), [alone])
    (batch,) = batches[:1]
    known = measure(Swapped(batch["sources"]), [batch])
    assert known["si_sdr_improvement"]["mean"] > 20


def test_whole_songs_beside_mixture_and_oracle(stems):
    half = Half()
    half.stems = ("vocals",)
    found = measure_songs(half, songs(stems))
    assert len(found["songs"]) == 6
    assert found["oracle mask"]["usdr"] > found["mixture"]["usdr"] + 5
    assert found["model"]["usdr"] > found["mixture"]["usdr"] + 1
    assert found["model"]["csdr"] > found["mixture"]["csdr"] + 1


def test_improvement_of_the_best_order():
    batch = mixture_of(3)
    made = batch["sources"].flip(1)
    assert (improvement(made, batch, ordered=False) > 30).all()
    assert (improvement(made, batch, ordered=True) < 1).all()


@pytest.mark.parametrize("preset", ["mossformer2-test", "mossformer2-enhancer-test"])
def test_stems_get_the_level_and_sign_of_the_mixture(preset):
    """SI-SNR leaves both open: one gain for all makes the estimates fit their sources."""
    model = registry.build(preset).eval()
    model.rescale(-3.0)
    mixtures = [mixture_of(seed) for seed in (2, 4)]
    before = best_gain(model, mixtures)
    assert abs(before - 1) > 1e-3
    calibrate(model, mixtures)
    assert best_gain(model, mixtures) == pytest.approx(1, abs=1e-4)


def test_pools_read_what_is_beyond_their_memory(clips):
    some = list(clips)[:6]
    held, read = Pool(some, RATE), Pool(some, RATE, most_bytes=40_000)
    assert sum(isinstance(one, Clip) for one in read.sounds) == 4
    for number in range(6):
        np.testing.assert_allclose(held.cut(number, 100, 3000), read.cut(number, 100, 3000))
