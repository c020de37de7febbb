"""The AudioSet ontology: 632 kinds of sound in a tree, of which 527 are classes of taggers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from sonograph.data.ontology_outline import OUTLINE

# what else our taggers call a node whose parts between commas do not say it
OTHER_NAMES = {
    "crying baby": "Baby cry, infant cry",
    "sea waves": "Waves, surf",
    "electronic percussion": "Drum machine",
    "digging": "Tools",
    "bass": "Bass guitar",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A kind of sound. level: 1 for the seven roots, by its first place in the outline."""

    name: str
    level: int
    is_class: bool  # whether taggers of AudioSet answer for it
    parents: list[Node] = dataclasses.field(default_factory=list, repr=False)
    children: list[Node] = dataclasses.field(default_factory=list, repr=False)

    def below(self) -> list[Node]:
        """Itself and all that stands under it, each once, in order."""
        found = {self.name: self}
        for child in self.children:
            found |= {node.name: node for node in child.below()}
        return list(found.values())


@functools.cache
def nodes() -> dict[str, Node]:
    """Every node by name, in the order of the outline.

    >>> len(nodes()), sum(node.is_class for node in nodes().values())
    (632, 527)
    """
    found: dict[str, Node] = {}
    path: list[Node] = []
    for line in OUTLINE.splitlines():
        told = line.lstrip(" ")
        depth, name = (len(line) - len(told)) // 2, told.removeprefix("~")
        node = found.setdefault(name, Node(name, depth + 1, not told.startswith("~")))
        path = [*path[:depth], node]
        if depth:
            path[-2].children.append(node)
            node.parents.append(path[-2])
    return found


def roots() -> list[Node]:
    """The seven nodes that stand under nothing."""
    return [node for node in nodes().values() if not node.parents]


def at_level(level: int) -> list[Node]:
    """The nodes of one level, 1 for the roots.

    >>> [node.name for node in at_level(1)][:3]
    ['Human sounds', 'Animal', 'Music']
    """
    return [node for node in nodes().values() if node.level == level]


def node_of(name: str) -> Node | None:
    """The node that a word means: its name, one of its names between commas, or ours for it.

    Case does not count, and "speech in French" is speech. None where nothing fits.

    >>> node_of("rooster").name, node_of("speech in French").name
    ('Chicken, rooster', 'Speech')
    """
    word = name.strip().lower()
    names = _words()
    if word in names:
        return names[word]
    return names.get(word.split(" in ")[0])


@functools.cache
def _words() -> dict[str, Node]:
    known = {name.lower(): node for name, node in nodes().items()}
    for name, node in nodes().items():
        for part in name.lower().split(", "):
            known.setdefault(part, node)
    return known | {word: nodes()[name] for word, name in OTHER_NAMES.items()}


def members(node: Node, labels: Sequence[str]) -> Iterator[int]:
    """Which labels of a tagger are the node or stand under it, by their place.

    >>> list(members(nodes()["Animal"], ["rain", "dog", "rooster"]))
    [1, 2]
    """
    under = {one.name for one in node.below()}
    for place, label in enumerate(labels):
        found = node_of(label)
        if found is not None and found.name in under:
            yield place
