"""Universal separation: learning from anchors of weak labels, and what they are worth.

    python -m sonograph.recipes.separate.universal.training FOLDER --esc path/to/ESC-10

trains `universal-mini` on the sounds that the bundled tagger knows; started again it goes on.
"""

from sonograph.recipes.separate.universal.claims import SCALES, Scale, claim
from sonograph.recipes.separate.universal.training import (
    Recipe,
    fit,
    pretrain,
    recipe_of,
    train,
    with_tagger,
)

__all__ = [
    "SCALES",
    "Recipe",
    "Scale",
    "claim",
    "fit",
    "pretrain",
    "recipe_of",
    "train",
    "with_tagger",
]
