"""What kind of model one is, seen from outside."""

from __future__ import annotations

from typing import Any

from torch import nn

from sonograph.errors import InputError
from sonograph.exports.ports import Surface


def surface_of(model: nn.Module) -> Surface:
    """What goes in and out of any model of the house. InputError for what answers nothing."""
    from sonograph.infer.embed import encoder_of
    from sonograph.nn.acoustic import Acoustic
    from sonograph.nn.heads import Tagging
    from sonograph.nn.notes import Transcriber
    from sonograph.nn.separator import Separator
    from sonograph.nn.vocoder import Vocoder
    from sonograph.systems.speak.sv2tts.speaker import SpeakerEncoder

    inner = _inside(model)
    if isinstance(inner, Transcriber):
        from sonograph.exports.listening import transcriber_surface

        return transcriber_surface(inner)
    if isinstance(inner, Separator):
        from sonograph.exports.separating import separator_surface

        if not inner.stems:
            raise InputError(
                f"{name_of(model)} has to be asked for something first: export what `asked` gives"
            )
        return separator_surface(inner)
    if isinstance(inner, Vocoder):
        from sonograph.exports.vocoding import vocoder_surface

        return vocoder_surface(inner)
    if isinstance(inner, Acoustic):
        from sonograph.exports.speaking import voice_surface

        return voice_surface(inner)
    from sonograph.exports import listening

    if isinstance(inner, SpeakerEncoder):
        return listening.speaker_surface(inner)
    if isinstance(inner, Tagging):
        return listening.tagger_surface(inner)
    return listening.encoder_surface(encoder_of(inner))


def name_of(model: Any) -> str:
    return getattr(model, "name", "") or type(model).__name__


def _inside(model: Any) -> Any:
    """What an objective trains."""
    for part in ("transcriber", "separator", "vocoder", "acoustic", "speaker"):
        inner = getattr(model, part, None)
        if isinstance(inner, nn.Module) and hasattr(inner, "describe"):
            return inner
    return model
