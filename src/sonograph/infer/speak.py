"""Text to sound, sentence by sentence: an acoustic model and a vocoder that fits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.infer.vocode import synthesise, vocoder_of
from sonograph.nn.acoustic import Acoustic, Controls, Text
from sonograph.nn.phase_search import NAME as GRIFFIN_LIM
from sonograph.nn.phase_search import PhaseSearch
from sonograph.nn.vocoder import Vocoder
from sonograph.outputs import Audio, Said, SpokenWord
from sonograph.text.sentences import sentences
from sonograph.text.ssml import Segment, is_ssml, read_ssml
from sonograph.text.utterance import NothingToSay, Utterance, utterance

BUNDLED_VOCODER = "voice-vocoder"  # for voices that name none
GAP_S = 0.15  # of silence between sentences, beside what the model says itself
BETWEEN = (0.25, 4.0)  # factors of pace, pitch and energy that are taken
LONGEST_S = 60.0  # of one sentence; the model has lost its way beyond


@dataclasses.dataclass(frozen=True)
class Manner:
    """How all of a text is said: factors of speed (2 is twice as fast), pitch and energy."""

    pace: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0

    def __post_init__(self) -> None:
        low, high = BETWEEN
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not low <= value <= high:
                raise InputError(f"{field.name} is {value}: give {low} to {high}, 1 is as it is")


def acoustic_of(model: nn.Module) -> Acoustic:
    """The acoustic model inside a model: itself or what an objective trains."""
    inner: Any = getattr(model, "acoustic", model)
    if not isinstance(inner, Acoustic):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} does not speak: `sonograph models` "
            "lists what does"
        )
    return inner.eval()


class Voice:
    """An acoustic model with a vocoder: `for said in voice.say("Good morning."): ...`

    Raises InputError where the vocoder needs other features, naming what differs.
    """

    def __init__(self, acoustic: nn.Module, vocoder: nn.Module):
        self.acoustic: Acoustic = acoustic_of(acoustic)
        self.vocoder: Vocoder = vocoder_of(vocoder)
        self.spec = self.acoustic.spec
        self.spec.require_equal(self.vocoder.spec, "the voice", "the vocoder")

    def imitate(self, recording: Audio) -> None:
        """Speak like a recording from now on. Raises InputError for a model that cannot."""
        like = getattr(self.acoustic, "like", None)
        if like is None:
            raise InputError(
                "this voice cannot imitate another: take a model that is told who speaks (sv2tts)"
            )
        like(recording)

    def say(
        self,
        text: str | Iterable[str],
        manner: Manner | None = None,
        language: str = "en",
        seed: int = 0,
    ) -> Iterator[Said]:
        """Sentences with their sound as soon as each is made, in bounded memory.

        text: plain, SSML (`<speak>...`), or lines as they come in. What cannot be said in a
        sentence (emoji alone) is passed over; InputError if nothing is left.
        """
        manner, generator = manner or Manner(), torch.Generator().manual_seed(seed)
        at_s, count = 0.0, 0
        for segments, offset in _sentences(text):
            try:
                spoken = utterance(segments, language, self.acoustic.alphabet)
            except NothingToSay:
                continue
            said = self._said(spoken, manner, at_s, offset, generator)
            yield said
            count += 1
            at_s = said.end_s
        if not count:
            raise NothingToSay("there is nothing to say: give words, numbers or letters")

    def _said(
        self,
        spoken: Utterance,
        manner: Manner,
        at_s: float,
        offset: int,
        generator: torch.Generator,
    ) -> Said:
        hop_s = 1 / self.spec.frame_rate_hz
        features, durations = self._features(spoken, manner, generator)
        pauses = [round(word.pause_s / hop_s) for word in spoken.words]
        features, spans = _paused(features, durations, spoken, pauses, self.silence)
        gap = round(GAP_S / hop_s) if at_s else 0
        quiet = self.silence[:, None].expand(-1, gap)
        blocks = synthesise(self.vocoder, [torch.cat((quiet, features), dim=1)], generator)
        audio = Audio(np.concatenate(list(blocks), axis=1), self.spec.rate_hz)
        words = tuple(
            SpokenWord(
                word.written,
                offset + word.start,
                offset + word.end,
                at_s + (gap + begin) * hop_s,
                at_s + (gap + end) * hop_s,
            )
            for word, (begin, end) in zip(spoken.words, spans)
            if word.kind == "word"
        )
        return Said(spoken.text.strip(), audio, at_s, words)

    @torch.inference_mode()
    def _features(
        self, spoken: Utterance, manner: Manner, generator: torch.Generator
    ) -> tuple[Tensor, list[int]]:
        """Features (rows, t) of one utterance, and the frames of each of its words."""
        ids, words = spoken.encode()
        text = Text(torch.tensor([ids]), torch.tensor([len(ids)]), torch.tensor([words]))

        def factors(name: str) -> Tensor | None:
            own = [getattr(spoken.words[w], name) * getattr(manner, name) for w in words]
            return None if set(own) == {1.0} else torch.tensor([own])

        controls = Controls(factors("pace"), factors("pitch"), factors("energy"))
        found = self.acoustic.speak(text, controls, generator)
        frames = int(found.lengths[0])
        if frames > LONGEST_S * self.spec.frame_rate_hz:
            raise InputError(
                f"a sentence came out {frames / self.spec.frame_rate_hz:.0f} s long: the model has "
                "lost its way; write it as shorter sentences"
            )
        total = torch.zeros(len(spoken.words), dtype=torch.int64)
        total.index_add_(0, text.words[0], found.durations[0, : len(ids)])
        return found.features[0, :, :frames], total.tolist()

    @property
    def silence(self) -> Tensor:
        """A frame (rows,) of no sound at all."""
        spec = self.spec
        unit = {"ln": 1.0, "log10": 1 / np.log(10), "db": 20 / (spec.power * np.log(10))}
        quiet = (np.log(spec.log_floor) * unit[spec.log] - spec.mean) / spec.deviation
        return torch.full((spec.rows,), float(quiet))


def open_voice(model: str = "voice", vocoder: str | None = None) -> Voice:
    """The voice of a name, folder or hub id, with the vocoder that is given or that it names.

    vocoder: may be `griffin-lim`, which is not trained and hears any log-mel.
    """
    from sonograph.weights import load

    acoustic: Any = load(model)
    name = vocoder or getattr(acoustic, "card", {}).get("vocoder") or BUNDLED_VOCODER
    if name == GRIFFIN_LIM:
        return Voice(acoustic, PhaseSearch(acoustic_of(acoustic).spec))
    return Voice(acoustic, load(name))


def speak(
    text: str,
    model: str = "voice",
    vocoder: str | None = None,
    manner: Manner | None = None,
    language: str = "en",
    seed: int = 0,
) -> Audio:
    """A text, plain or SSML, as sound. For word timings and long texts see `Voice.say`.

    >>> speak("Good morning.").rate_hz
    16000
    """
    voice = open_voice(model, vocoder)
    said = [one.audio.samples for one in voice.say(text, manner, language, seed)]
    return Audio(np.concatenate(said, axis=1), voice.spec.rate_hz)


def _paused(
    features: Tensor, frames: Sequence[int], spoken: Utterance, pauses: Sequence[int], quiet: Tensor
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Features with silence in front of the words that want it, and where each word lies then."""
    parts: list[Tensor] = []
    spans: list[tuple[int, int]] = []
    begin = at = 0
    for count, pause in zip(frames, pauses, strict=True):
        if pause:
            parts.append(quiet[:, None].expand(-1, pause))
            at += pause
        parts.append(features[:, begin : begin + count])
        spans.append((at, at + count))
        begin, at = begin + count, at + count
    return torch.cat(parts, dim=1), spans


def _sentences(text: str | Iterable[str]) -> Iterator[tuple[list[Segment], int]]:
    """Each sentence as segments, and where in the text (or the text of the markup) it begins."""
    if not isinstance(text, str) or not is_ssml(text):
        for sentence in sentences(text):
            yield [Segment(sentence.text)], sentence.start
        return
    held: list[Segment] = []
    start = at = 0
    for segment in read_ssml(text):
        pieces = list(sentences(segment.text)) if not segment.phones else []
        bounds = [piece.start for piece in pieces[1:]] + [len(segment.text)]
        begin = 0
        for number, bound in enumerate(bounds):
            part = segment.text[begin:bound]
            pause = segment.pause_s if number == 0 else 0.0
            held.append(dataclasses.replace(segment, text=part, pause_s=pause))
            if number < len(bounds) - 1 or part.rstrip().endswith((".", "!", "?")):
                yield held, start
                held, start = [], at + bound
            begin = bound
        at += len(segment.text)
    if held:
        yield held, start
