"""The recipe of universal separation: a short training, and the parts of the claim."""

import dataclasses

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.recipes.separate import universal as recipe
from sonograph.recipes.separate.universal import claims


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    """Sixteen sounds of two classes: tones and hiss."""
    folder, random = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    time = np.arange(18000) / 16000
    for number in range(8):
        tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * time)
        hiss = 0.1 * random.standard_normal(18000)
        for name, sound in (("dog", tone), ("rain", hiss)):
            place = folder / name / f"{name}{number}.wav"
            place.parent.mkdir(exist_ok=True)
            write(place, Audio(sound[None].astype(np.float32), 16000))
    return Clips.from_folder(folder)


def test_fit_learns_and_goes_on(clips, tmp_path):
    told = recipe.fit(tmp_path, clips, 4)
    assert told["steps"] == 4
    assert told["loss_after"] < told["loss_before"]
    again = recipe.fit(tmp_path, clips, 4)  # has nothing left to do
    assert again["loss_after"] == told["loss_after"]
    model = weights.load(tmp_path)
    assert "dog" in model.classes
    assert model.card["classes"] == list(model.classes)


def test_a_tagger_goes_where_a_query_net_is():
    tagger = weights.load(weights.BUNDLED_TAGGER)
    model = recipe.with_tagger(registry.build("universal-mini"), tagger)
    state = model.query.tagger.state_dict()
    assert all(torch.equal(state[name], value) for name, value in tagger.state_dict().items())
    with pytest.raises(InputError, match=r"the tagger (lacks|has)"):
        recipe.with_tagger(registry.build("universal-test"), tagger)


def test_recipes_of_presets():
    assert recipe.recipe_of("universal-resunet30").train.optimizer == "amsgrad"
    assert recipe.recipe_of("universal-mini").train.steps == 1500


def test_an_oracle_gains_and_the_mixture_does_not():
    random = np.random.default_rng(0)
    sources = {("a", "b"): random.standard_normal((2, 2, 1, 4000)).astype(np.float32)}
    untouched = claims.by_class(sources, lambda _, mixture, __: mixture)
    assert untouched["a"]["si_sdr"] == pytest.approx(0)
    assert untouched["a"]["sdr"] == pytest.approx(0)
    perfect = claims.by_class(sources, lambda _, __, parts: parts[:, 0] + 1e-3 * parts[:, 1])
    assert perfect["a"]["si_sdr"] > 50
    assert claims.by_class(sources, lambda *_: _[1], lambda first, second: False) == {}


def test_weak_clips_say_what_they_hold_and_not_where(clips):
    events = Clips([dataclasses.replace(c, labels={"sound": c.labels["class"]}) for c in clips])
    plan = dataclasses.replace(claims.Scale(), weak_clips=4)
    weak = claims.weak_clips(events, clips.filter(lambda c: "rain" in c.id), plan, 0)
    assert [set(pair) for pair in weak.labels] == [{"dog", "rain"}] * 4
    assert weak.pool.lengths.tolist() == [32000] * 4
    for row in weak.places:
        first, second = sorted(row.values())
        assert first <= 12000 <= 16000 <= second <= 28000  # one in each half, half a second long
    found = [claims.Anchor(0, "dog", weak.places[0]["dog"] + 3000), claims.Anchor(1, "dog", None)]
    assert claims.hit_share(weak, found, 8000) == 0.5


def test_the_classes_of_the_claim_are_in_the_ontology():
    from sonograph.data import ontology

    names = {name for table in claims.CLASSES.values() for name in table.values()}
    assert len(names) == 8
    assert all(ontology.node_of(name) is not None for name in names)
