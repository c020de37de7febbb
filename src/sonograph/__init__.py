"""Sonograph: pre-trained spectrogram and audio models that work.

    import sonograph as sound

    sound.models("ssast*")
    vectors = sound.load("ssast-mini").embed(["a.wav", "b.wav"]).values
    sound.load("runs/mine").tag("dog.wav").top(3)
    sound.speak("Good morning.").write("hello.wav")
    sound.enhance("noisy.wav").write("clear.wav")

Every name below is loaded when it is first used, so that `import sonograph` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "load": "sonograph.weights",
    "build": "sonograph.registry",
    "models": "sonograph.registry",
    "claim": "sonograph.recipes",
    "Audio": "sonograph.outputs",
    "read": "sonograph.audio.io",
    "write": "sonograph.audio.io",
    "info": "sonograph.audio.io",
    "adapt": "sonograph.train.adapt",
    "separate": "sonograph.infer.separate",
    "enhance": "sonograph.infer.separate",
    "speak": "sonograph.infer.speak",
    "open_voice": "sonograph.infer.speak",
    "push": "sonograph.hub",
    "pull": "sonograph.hub",
    "SonographEmbedder": "sonograph.estimators",
    "SonographClassifier": "sonograph.estimators",
    "export": "sonograph.exports.writing",
    "InputError": "sonograph.errors",
}
__all__ = [*_HOMES, "__version__", "systems"]

if TYPE_CHECKING:
    from sonograph.audio.io import info as info
    from sonograph.audio.io import read as read
    from sonograph.audio.io import write as write
    from sonograph.errors import InputError as InputError
    from sonograph.estimators import SonographClassifier as SonographClassifier
    from sonograph.estimators import SonographEmbedder as SonographEmbedder
    from sonograph.exports.writing import export as export
    from sonograph.hub import pull as pull
    from sonograph.hub import push as push
    from sonograph.infer.separate import enhance as enhance
    from sonograph.infer.separate import separate as separate
    from sonograph.infer.speak import open_voice as open_voice
    from sonograph.infer.speak import speak as speak
    from sonograph.outputs import Audio as Audio
    from sonograph.recipes import claim as claim
    from sonograph.registry import build as build
    from sonograph.registry import models as models
    from sonograph.registry import systems as systems
    from sonograph.train.adapt import adapt as adapt
    from sonograph.weights import load as load
else:
    from sonograph import systems  # a package that can be called: cheap, and the same at any time


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sonograph' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
