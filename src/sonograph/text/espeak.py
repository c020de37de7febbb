"""Phones of other languages by espeak-ng, through the optional packages of the extra `espeak`.

espeak-ng is under the GPL, version 3: nothing of it is part of this package, it is loaded only when
it is asked for. Words are transcribed one by one, so that each keeps its place in the text; what
hangs on neighbours (French liaison) is lost by that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from sonograph.errors import missing_extra


def transcribe(words: Sequence[str], language: str) -> list[tuple[str, ...]]:
    """IPA letters of each word, stress marks before the syllable as espeak puts them.

    Raises InputError that names the extra where the packages are missing.
    """
    from sonograph.text.utterance import LANGUAGES

    voice = _voice(LANGUAGES[language])
    spoken = voice.phonemize([word.replace("-", " ") for word in words], strip=True)
    return [
        tuple(
            letter
            for letter in unicodedata.normalize("NFD", text).replace("c\u0327", "ç")
            if not letter.isspace() and letter not in "-_()"
        )
        for text in spoken
    ]


@cache
def _voice(name: str) -> Any:
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise missing_extra(
            f"{error.name or 'phonemizer'} (for alphabet 'ipa')", "espeak"
        ) from None
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    # without it the library ends the process: it looks where its maker had built it
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend(name, with_stress=True, language_switch="remove-flags")
