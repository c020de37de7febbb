"""How PortaSpeech is trained (`training`), and what its paper claims (`claims`)."""

from sonograph.recipes.speak.portaspeech.claims import SCALES, claim
from sonograph.recipes.speak.portaspeech.training import Recipe, fit, recipe_of, train

__all__ = ["SCALES", "Recipe", "claim", "fit", "recipe_of", "train"]
