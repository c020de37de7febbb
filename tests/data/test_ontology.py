"""The ontology: sizes, relations, and what words mean."""

import pytest

from sonograph.data import ontology
from sonograph.systems.tag.panns.labels import LABELS


def test_sizes_as_published():
    nodes = ontology.nodes()
    assert len(nodes) == 632
    assert [node.name for node in ontology.roots()] == [
        "Human sounds",
        "Animal",
        "Music",
        "Natural sounds",
        "Sounds of things",
        "Source-ambiguous sounds",
        "Channel, environment and background",
    ]
    assert {node.name for node in nodes.values() if node.is_class} == set(LABELS)


def test_every_class_is_reached_from_a_root():
    reached = {node.name for root in ontology.roots() for node in root.below()}
    assert reached == set(ontology.nodes())
    places = {n for root in ontology.roots() for n in ontology.members(root, LABELS)}
    assert places == set(range(527))


def test_levels_and_several_parents():
    assert [len(ontology.at_level(level)) for level in range(1, 8)] == [7, 42, 286, 229, 63, 5, 0]
    growling = ontology.nodes()["Growling"]
    assert [node.name for node in growling.parents] == [
        "Dog",
        "Cat",
        "Roaring cats (lions, tigers)",
        "Canidae, dogs, wolves",
    ]
    for node in ontology.nodes().values():
        assert node.level == 1 + min((p.level for p in node.parents[:1]), default=0), node.name
        assert all(node in child.parents for child in node.children)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Dog", "Dog"),
        ("  dOG ", "Dog"),
        ("footsteps", "Walk, footsteps"),
        ("surf", "Waves, surf"),
        ("crying baby", "Baby cry, infant cry"),
        ("speech in Russian", "Speech"),
    ],
)
def test_what_words_mean(word, name):
    node = ontology.node_of(word)
    assert node is not None
    assert node.name == name


def test_labels_mean_themselves_and_nonsense_nothing():
    for label in LABELS:
        node = ontology.node_of(label)
        assert node is not None
        assert node.name == label
    assert ontology.node_of("xyzzy") is None


def test_members_of_another_tagger():
    labels = ["dog", "rain", "rooster", "xyzzy", "speech in French"]
    assert list(ontology.members(ontology.nodes()["Animal"], labels)) == [0, 2]
    assert list(ontology.members(ontology.nodes()["Human sounds"], labels)) == [4]
