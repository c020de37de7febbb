"""Markup: what it says, and that nothing else comes in by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonograph.errors import InputError
from sonograph.text.ssml import MOST_CHARACTERS, Segment, is_ssml, read_ssml, say_as
from sonograph.text.utterance import utterance


def inside(text: str) -> list[Segment]:
    return read_ssml(f"<speak>{text}</speak>")


def test_plain_text_is_one_segment():
    assert inside("Hello &amp; good-bye, &#65;.") == [Segment("Hello & good-bye, A.")]
    assert inside("") == []


def test_breaks():
    breaks = 'a<break time="500ms"/>b<break time="1.5s"/><break strength="weak"/>c<break/>'
    assert inside(breaks) == [
        Segment("a"), Segment("b", 0.5), Segment("c", 1.7), Segment("", 0.4),
    ]  # fmt: skip


def test_paragraphs_and_sentences_pause():
    found = inside("<p><s>One.</s><s>Two.</s></p> <p>Three.</p>")
    assert [(segment.text.strip(), segment.pause_s) for segment in found] == [
        ("One.", 0.0), ("Two.", 0.3), ("Three.", 0.6),
    ]  # fmt: skip


def test_factors_multiply():
    (outer, inner, after) = inside(
        '<prosody rate="50%" pitch="+12st" volume="+6dB">a'
        '<prosody rate="fast">b</prosody>c</prosody>'
    )
    assert (outer.pace, outer.pitch) == (0.5, 2.0)
    assert outer.energy == pytest.approx(1.995, abs=1e-3)
    assert inner.pace == 0.625
    assert after.pace == 0.5
    strong = inside('<emphasis level="strong">now</emphasis>')[0]
    assert strong.pace < 1 < strong.pitch < strong.energy
    assert inside('<prosody rate="1.2" pitch="-10%" volume="soft">a</prosody>')[0] == Segment(
        "a", 0.0, 1.2, 0.9, 0.6
    )


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ('<say-as interpret-as="characters">SOS 1</say-as>', "S O S one"),
        ('<say-as interpret-as="digits">10-12</say-as>', "one zero one two"),
        ('<say-as interpret-as="cardinal">1,204</say-as>', "one thousand two hundred four"),
        ('<say-as interpret-as="ordinal">21</say-as>', "twenty first"),
        ('<say-as interpret-as="date" format="dmy">3/4/2024</say-as>',
         "the third of april twenty twenty four"),
        ('<say-as interpret-as="date">3/4/24</say-as>', "march fourth twenty twenty four"),
        ('<say-as interpret-as="date" format="my">3/2024</say-as>', "march twenty twenty four"),
        ('<say-as interpret-as="time">9:05</say-as>', "nine oh five"),
        ('<say-as interpret-as="fraction">3/4</say-as>', "three quarters"),
        ('<sub alias="World Wide Web Consortium">W3C</sub>', "World Wide Web Consortium"),
    ],
)  # fmt: skip
def test_said_as(markup, text):
    assert [segment.text for segment in inside(markup)] == [text]
    utterance(inside(markup))


def test_phones():
    arpabet = inside('<phoneme alphabet="x-arpabet" ph="t ah0 m aa1 t ow">tomato</phoneme>')[0]
    ipa = inside('<phoneme alphabet="ipa" ph="təˈmɑtoʊ">tomato</phoneme>')[0]
    assert arpabet == ipa == Segment("tomato", phones=("T", "AH0", "M", "AA1", "T", "OW0"))
    assert utterance([arpabet]).words[1].written == "tomato"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<speak>a", "line 1, column .* no XML"),
        ("no markup", "no XML"),
        ("<p>a</p>", "put <speak> around"),
        ("<speak>\n<braek/></speak>", "line 2, column 1 .*Did you mean 'break'"),
        ("<speak><p class='x'>a</p></speak>", "unknown attribute 'class'"),
        ("<speak><break time='1h'/></speak>", "a break of '1h'"),
        ("<speak><break time='11s'/></speak>", "a break of '11s'"),
        ("<speak><break strength='loud'/></speak>", "unknown strength"),
        ("<speak><break>a</break></speak>", "inside <break>"),
        ("<speak><prosody rate='0'>a</prosody></speak>", "factor from 0.2 to 5"),
        ("<speak><prosody rate='quick'>a</prosody></speak>", "the rate 'quick'"),
        ("<speak><prosody pitch='200Hz'>a</prosody></speak>", "the pitch '200Hz'"),
        ("<speak><prosody volume='11'>a</prosody></speak>", "the volume '11'"),
        ("<speak><say-as>a</say-as></speak>", "without 'interpret-as'"),
        ("<speak><say-as interpret-as='song'>a</say-as></speak>", "unknown interpret-as 'song'"),
        ("<speak><say-as interpret-as='date'>13/1/2024</say-as></speak>", "no date"),
        ("<speak><say-as interpret-as='cardinal'>x</say-as></speak>", "no cardinal"),
        ("<speak><sub>a</sub></speak>", "without 'alias'"),
        ("<speak><sub alias='b'><p/></sub></speak>", "inside <sub>"),
        ("<speak><phoneme ph='ʘ'>a</phoneme></speak>", "no sound of English"),
        ("<speak><phoneme alphabet='x-sampa' ph='a'>a</phoneme></speak>", "unknown alphabet"),
        ("<speak>" + "<p>" * 40 + "</p>" * 40 + "</speak>", "nested more than"),
        ("<!DOCTYPE speak [<!ENTITY a 'b'>]><speak>&a;</speak>", "document type"),
        ("<!DOCTYPE speak SYSTEM 'file:///etc/passwd'><speak>a</speak>", "document type"),
        ("<speak>&unknown;</speak>", "no XML"),
    ],
)
def test_faults_are_one_line(text, words):
    with pytest.raises(InputError, match=words) as error:
        read_ssml(text)
    assert len(str(error.value).splitlines()) == 1


def test_half_a_character_is_no_fault_of_the_reader():
    assert inside("a\ud800") == [Segment("a?")]


def test_the_size_is_limited():
    with pytest.raises(InputError, match="at most"):
        read_ssml("<speak>" + "a" * MOST_CHARACTERS + "</speak>")


def test_markup_is_known_by_its_beginning():
    assert is_ssml(" <speak>a</speak>")
    assert is_ssml('<?xml version="1.0"?>\n<speak version="1.1">a</speak>')
    assert not is_ssml("2 < 3")
    assert not is_ssml("<speaker>")


@given(st.text(st.sampled_from("<>/='\" abspeakbreak&;!\n"), max_size=60))
def test_anything_is_segments_or_an_input_error(text):
    for given_text in (text, f"<speak>{text}</speak>"):
        message = ""
        try:
            assert all(isinstance(segment, Segment) for segment in read_ssml(given_text))
        except InputError as error:
            message = str(error)
        assert len(message.splitlines()) < 2


def test_say_as_passes_on_what_is_free_text():
    assert say_as("half past two", "time") == "half past two"
    with pytest.raises(InputError, match="no time"):
        say_as("25:00", "time")
