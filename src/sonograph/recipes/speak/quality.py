"""How good a voice is: held-out recordings, the same through the vocoder, and the text spoken.

    quality = measure(voice, spoken=clips whose text it never learned, copied=clips its vocoder
                      never heard)

All that needs a listener's model runs offline. The recogniser makes many errors of its own, so the
real recordings stand beside everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sonograph.audio.pitch import f0_hz
from sonograph.audio.speech_features import voice_spec
from sonograph.data.clips import Clip
from sonograph.infer.speak import Voice
from sonograph.infer.vocode import analyse, synthesise
from sonograph.metrics.cepstral import FLAVOUR, distortion
from sonograph.metrics.opinion import dnsmos
from sonograph.metrics.prosody import pitch_error
from sonograph.metrics.recognise import NAME, Recogniser
from sonograph.metrics.words import plain_words, word_error_rate
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent

RATE_HZ = 16000
HOP_S = 0.005  # of the frames on whose path pitch is compared


def measure(
    voice: Voice, spoken: Sequence[Clip], copied: Sequence[Clip], progress: Progress = silent
) -> dict[str, Any]:
    """{"copied": {"real": ..., "copy": ...}, "spoken": {"real": ..., "voice": ...}}, each with word
    error rate, DNSMOS, and where there is something to compare with MCD, F0 and length.
    """
    hear = Recogniser()
    total = len(spoken) + len(copied)

    def real(clip: Clip) -> Audio:
        return Audio(clip.read(RATE_HZ)[None], RATE_HZ)

    def copy(clip: Clip) -> Audio:
        blocks = list(synthesise(voice.vocoder, analyse(clip.path, voice.spec)))
        return Audio(np.concatenate(blocks, axis=1), voice.spec.rate_hz).resample(RATE_HZ)

    def say(clip: Clip) -> Audio:
        parts = [one.audio.samples for one in voice.say(clip.text or "")]
        return Audio(np.concatenate(parts, axis=1), voice.spec.rate_hz).resample(RATE_HZ)

    done = 0
    found: dict[str, Any] = {"recogniser": NAME, "distortion": FLAVOUR}
    for kind, name, clips, make in (
        ("copied", "copy", copied, copy),
        ("spoken", "voice", spoken, say),
    ):
        reals, made = [], []
        for clip in clips:
            reals.append(real(clip))
            made.append(make(clip))
            done += 1
            progress(done, total, "listening")
        texts = [spoken_words(clip.text or "") for clip in clips]
        found[kind] = {
            "clips": len(clips),
            "words": sum(len(plain_words(text)) for text in texts),
            "real": heard(texts, reals, hear),
            name: heard(texts, made, hear) | compared(made, reals),
        }
    return found


def heard(texts: Sequence[str], sounds: Sequence[Audio], recogniser: Recogniser) -> dict[str, Any]:
    """What a recogniser and a listener's model make of sounds."""
    opinions = np.array([dnsmos(sound) for sound in sounds])
    signal, background, overall = opinions.mean(0).tolist()
    return {
        "word_error_rate": word_error_rate(texts, [recogniser.hear(sound) for sound in sounds]),
        "dnsmos": {"signal": signal, "background": background, "overall": overall},
        "seconds": sum(sound.duration_s for sound in sounds),
    }


def compared(made: Sequence[Audio], reals: Sequence[Audio]) -> dict[str, Any]:
    """Distances from the recordings, on the path of dynamic time warping."""
    spec = voice_spec().override(hop_samples=round(HOP_S * RATE_HZ), center="reflect")
    decibels, cents, voicing, ratios = [], [], [], []
    for ours, theirs in zip(made, reals):
        found = distortion(ours, theirs)
        decibels.append(found.decibels)
        pitches = [f0_hz(sound.samples[0], spec) for sound in (ours, theirs)]
        last = [len(pitch) - 1 for pitch in pitches]
        error = pitch_error(pitches[0], pitches[1], np.minimum(found.path, last))
        cents.append(error.cents)
        voicing.append(error.voicing)
        ratios.append(ours.duration_s / theirs.duration_s)
    return {
        "mel_cepstral_distortion_db": float(np.mean(decibels)),
        "f0_rms_error_cents": float(np.nanmean(cents)),
        "voicing_error": float(np.mean(voicing)),
        "length_ratio": float(np.mean(ratios)),
    }


def spoken_words(text: str) -> str:
    """A text as words that are said: numbers and short forms written out."""
    from sonograph.text.utterance import utterance

    words = utterance(text).words
    return " ".join(word.said for word in words if word.kind == "word")
