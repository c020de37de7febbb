"""How PortaSpeech is trained (`training`), and what its paper claims (`claims`)."""

from sonograph.recipes.speak.portaspeech.claims import SCALES, claim
from sonograph.recipes.speak.portaspeech.training import NEXT, Recipe, fit, pretrain, recipe_of

__all__ = ["NEXT", "SCALES", "Recipe", "claim", "fit", "pretrain", "recipe_of"]
