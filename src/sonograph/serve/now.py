"""Short sounds that are answered at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonograph.serve.answers import Refused, told
from sonograph.serve.checking import check
from sonograph.serve.metrics import Metrics
from sonograph.serve.models import Models
from sonograph.serve.settings import NOW_LONGEST_S


class Now:
    """Tags and vectors of short sounds."""

    def __init__(self, models: Models, metrics: Metrics):
        self.models, self.metrics = models, metrics

    def tag(self, path: Path, name: str, model: str) -> dict[str, Any]:
        from sonograph.infer.tag import tag

        loaded: Any = self._model("tag", model)
        check(path, name, NOW_LONGEST_S)
        with told(400, {path: name}):
            return {**tag(loaded, path).to_json(), "name": name}

    def embed(self, path: Path, name: str, model: str) -> dict[str, Any]:
        import dataclasses

        from sonograph.infer.embed import embed

        loaded = self._model("embed", model)
        check(path, name, NOW_LONGEST_S)
        with told(400, {path: name}):
            return dataclasses.replace(embed(loaded, path), names=(name,)).to_json()

    def _model(self, action: str, name: str) -> Any:
        fits = self.models.fit(action)
        if not fits:
            raise Refused(422, f"no model here can {action}")
        if name and name not in fits:
            raise Refused(422, f"no such model can {action}: choose of {', '.join(fits)}")
        return self.models.get(name or fits[0])

    def close(self) -> None:
        pass
