"""Short sounds that are answered at once: tags and vectors, equal to those of the verbs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sonograph.serve.answers import Refused, told
from sonograph.serve.checking import check
from sonograph.serve.metrics import Metrics
from sonograph.serve.models import Models
from sonograph.serve.settings import NOW_LONGEST_S
from sonograph.serve.together import SharedEncoder, Together, shared_tagger


class Now:
    """Answers in the thread that asks; concurrent ones share batches."""

    def __init__(self, models: Models, metrics: Metrics):
        self.models = models
        self.together = Together(metrics)

    def tag(self, path: Path, name: str, model: str) -> dict[str, Any]:
        """What is heard in a file. Raises Refused."""
        from sonograph.infer.tag import tag

        check(path, name, NOW_LONGEST_S)
        loaded = shared_tagger(self._model("tag", model), self.together)
        with told(400, {path: name}):
            return dataclasses.replace(tag(loaded, path), name=name).to_json()

    def embed(self, path: Path, name: str, model: str) -> dict[str, Any]:
        """The vector of a file. Raises Refused."""
        from sonograph.infer.embed import embed, encoder_of

        check(path, name, NOW_LONGEST_S)
        found = self._model("embed", model)
        encoder: Any = SharedEncoder(encoder_of(found), found.name, self.together)
        with told(400, {path: name}):
            vectors = embed(encoder, path)
        return dataclasses.replace(vectors, names=(name,)).to_json()

    def close(self) -> None:
        self.together.close()

    def _model(self, action: str, name: str) -> Any:
        fits = self.models.fit(action)
        if not fits:
            raise Refused(422, f"no model here can {action}: start with --model")
        if name and name not in fits:
            raise Refused(422, f"no such model can {action}: choose of {', '.join(fits)}")
        with told(422, {}):
            return self.models.get(name or fits[0])
