"""Fifty English sentences that make models skip, repeat or stumble: for claims of robustness.

Ours, under the licence of the package. Each has the kind of trouble that it makes.

>>> len(HARD_SENTENCES), kinds()["numbers"]
(50, 8)
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class HardSentence(NamedTuple):
    kind: str
    text: str


HARD_SENTENCES = tuple(
    HardSentence(kind, text)
    for kind, text in (
        ("repeated", "No no no no no, not now."),
        ("repeated", "Seven seven seven seven, then seven again."),
        ("repeated", "The cat the cat chased chased the other cat."),
        ("repeated", "Again and again and again and again and again."),
        ("repeated", "What it is is what it is, is it not?"),
        ("repeated", "He said that that that that she used was wrong."),
        ("repeated", "Very, very, very, very slowly."),
        ("repeated", "Knock knock. Who's there? Knock. Knock who? Knock knock."),
        ("spelled", "W W W."),
        ("spelled", "Please spell it: A, B, B, A, C, C, A."),
        ("spelled", "The plate reads K 9 X 9 K 9."),
        ("spelled", "I.O.U. one VCR, two TVs and a UFO."),
        ("spelled", "Is it an F, an S, or an X?"),
        ("spelled", "Gate B, then gate D, then gate T, then gate P."),
        ("numbers", "100, 1,000, 10,000, 100,000, 1,000,000."),
        ("numbers", "Call 555-0100, then 555-0101, then 555-0110."),
        ("numbers", "It was 11:11 a.m. on November 11, 2011."),
        ("numbers", "Twenty-two two-tone tutus cost $22.22."),
        ("numbers", "Pi begins 3.14159265358979."),
        ("numbers", "From 1999 to 2001 it rose by 0.5% to 12.5%."),
        ("numbers", "Room 404 is on floor 4, 4th door on the left."),
        ("numbers", "The sum of 1/2, 3/4 and 7/8 is 2 1/8."),
        ("address", "Visit https://www.example.org/a/b/c?d=e for more."),
        ("address", "Write to first.last-name_99@mail.example.com today."),
        ("address", "The server answers at 192.168.0.1 and at 10.0.0.255."),
        ("address", "Open C colon backslash temp backslash new dot txt."),
        ("one word", "Yes."),
        ("one word", "Oh!"),
        ("one word", "Why?"),
        ("one word", "Unquestionably."),
        ("one word", "A."),
        ("one word", "Zzz."),
        ("twister", "Six sleek swans swam swiftly southwards past sixty sixth street."),
        ("twister", "Which witch wished which wicked wish on whose wrist watch?"),
        ("twister", "Fresh fried fish, fish fresh fried, fried fish fresh."),
        ("twister", "The sixth sheikh's sixth sheep's hooves slipped."),
        ("twister", "Rural jurors rarely rule early in the rural year."),
        ("twister", "Red lorry, yellow lorry, red lorry, yellow lorry."),
        ("names", "Siobhan and Joaquin met Nguyen near Worcester."),
        ("names", "Zbigniew flew from Reykjavik to Phnom Penh via Oaxaca."),
        ("names", "Our zorblatt frindled the quimpish glorven."),
        ("names", "Hermione read what Goethe and Camus had read."),
        ("punctuation", "Wait... what?! No - yes; well: maybe (or maybe not)."),
        ("punctuation", "\"Stop,\" she said, \"or I'll say 'stop' again!\""),
        ("punctuation", "Apples, pears, plums, figs, dates, limes, and more limes."),
        ("punctuation", "So. It. Ends. Here."),
        ("long", "The man who owned the dog that chased the cat that caught the mouse that ate the "
         "cheese that lay on the table that stood in the house by the lake sold all of them to a "
         "friend of a friend of a man who had never owned anything at all."),
        ("long", "If you would like to hear this message again, press one, if you would like to "
         "save it, press two, if you would like to erase it, press three, if you would like to "
         "send it to somebody else, press four, and if you would like none of these, hang up."),
        ("long", "On the first day it rained, on the second day it rained, on the third day it "
         "rained, on the fourth day it rained, and on the fifth day, when nobody was looking any "
         "more, it rained again and did not stop until the river stood in the kitchen."),
        ("long", "Nobody in the whole of that long and winding and badly lit street could say "
         "with any certainty whether the sound which they had all heard at a quarter past three "
         "in the morning had been a door or a drum or a very large book falling off a shelf."),
    )
)  # fmt: skip


def kinds() -> Counter[str]:
    """How many sentences make which kind of trouble."""
    return Counter(sentence.kind for sentence in HARD_SENTENCES)
