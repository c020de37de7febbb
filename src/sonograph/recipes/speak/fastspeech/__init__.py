"""How FastSpeech is trained (`training`) and taught (`teaching`), and what its paper claims
(`claims`).
"""

from sonograph.recipes.speak.fastspeech.claims import CLAIM_PARTS, SCALES, claim
from sonograph.recipes.speak.fastspeech.teaching import Taught, teach
from sonograph.recipes.speak.fastspeech.training import (
    NEXT,
    Recipe,
    configured,
    fit,
    pretrain,
    recipe_of,
    suspicions,
    train,
)

__all__ = [
    "CLAIM_PARTS",
    "NEXT",
    "SCALES",
    "Recipe",
    "Taught",
    "claim",
    "configured",
    "fit",
    "pretrain",
    "recipe_of",
    "suspicions",
    "teach",
    "train",
]
