"""How SpecTTTra is trained (`training`), and what its paper claims (`claims`)."""

from sonograph.recipes.tag.spectttra.claims import SCALES, claim
from sonograph.recipes.tag.spectttra.training import Recipe, pretrain, published, recipe_of

__all__ = ["SCALES", "Recipe", "claim", "pretrain", "published", "recipe_of"]
