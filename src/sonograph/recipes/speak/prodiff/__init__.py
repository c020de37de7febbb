"""How ProDiff is trained (`training`), and what its paper claims (`claims`)."""

from sonograph.recipes.speak.prodiff.claims import SCALES, claim
from sonograph.recipes.speak.prodiff.training import NEXT, Recipe, fit, pretrain, recipe_of

__all__ = ["NEXT", "SCALES", "Recipe", "claim", "fit", "pretrain", "recipe_of"]
