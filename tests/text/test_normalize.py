"""What is said of written English, and how long that takes."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.errors import InputError
from sonograph.text.normalize import MARKS, folded, pieces

SAID = {
    "Hello, world!": "hello , world !",
    "Dr. Lee met Mrs. Fox.": "doctor lee met missus fox .",
    "He lives on Main St. in St. Louis.": "he lives on main street in saint louis .",
    "No. 5 is alive. No. It is not.": "number five is alive . no . it is not .",
    "at 5 p.m. Then we left": "at five P M . then we left",
    "Bring cups, plates, etc.": "bring cups , plates , et cetera .",
    "the U.S. army, e.g. now": "the U S army , for example now",
    "1 12 123 1,234 1234567": "one twelve one hundred twenty three one thousand two hundred thirty "
    "four one million two hundred thirty four thousand five hundred sixty seven",
    "3.14 and .5 and -2": "three point one four and point five and minus two",
    "1st 2nd 3rd 12th 20th 101st": "first second third twelfth twentieth one hundred first",
    "in 1999, 2000, 2005 and 2024": "in nineteen ninety nine , two thousand , two thousand five "
    "and twenty twenty four",
    "the 1980s and the '90s": "the nineteen eighties and the nineties",
    "March 3, 2024": "march third twenty twenty four",
    "3 March 2024": "the third of march twenty twenty four",
    "2024-03-03 or 3/4/24": "march third twenty twenty four or march fourth twenty twenty four",
    "5:30 and 9:05 and 12:00": "five thirty and nine oh five and twelve o'clock",
    "7am or 7:15 p.m.": "seven A M or seven fifteen P M .",
    "$3.50, €1, £2.01, $0.99": "three dollars and fifty cents , one euro , two pounds and one "
    "pence , ninety nine cents",
    "$2.5 million or $5k": "two point five million dollars or five thousand dollars",
    "50% of 5 km at 1 kg": "fifty percent of five kilometers at one kilogram",
    "-5°C, 60 mph, 9 m²": "minus five degrees celsius , sixty miles per hour , nine square meters",
    "call 555-1234": "call five five five one two three four",
    "+1 (555) 123-4567": "plus one five five five one two three four five six seven",
    "extension 1234, dial 500": "extension one two three four , dial five hundred",
    "1/2, 3/4, 2 1/2, 2½": "one half , three quarters , two and one half , two and one half",
    "10-12 pages": "ten to twelve pages",
    "192.168.0.1": "one nine two dot one six eight dot zero dot one",
    "www.asterisk.org.": "W W W dot asterisk dot org .",
    "https://example.com/a-b": "example dot com slash A dash B",
    "jane_doe@example.co.uk!": "jane underscore doe at example dot C O dot U K !",
    "NASA and the FBI's PCs, MP3": "nasa and the F B I's P C's , M P three",
    "STOP THE MACHINE NOW": "stop the machine now",
    "3D, x86, H.323": "three D , X eighty six , H dot three two three",
    "R&D @ 50 + 2 = 52": "R and D at fifty plus two equals fifty two",
    "press * or #": "press star or pound",
    "**bold** and _this_": "bold and this",
    "#1 in #music": "number one in hashtag music",
    "naïve café Straße Æsir": "naive cafe strasse aesir",
    "α and β": "alpha and beta",
    "it’s “so” – well…": "it's so , well ,",
    "wait...": "wait ,",
    "What?! No!!!": "what ? no !",
    "(yes) [no]": "yes , no ,",
    "re-enter the co-op": "reenter the co op",
    "World War II, Henry VIII": "world war two , henry the eighth",
    "a": "A",
    "a cat, grade A.": "a cat , grade A .",
    "I am": "i am",
    "hi 👋🏽 there ❤️": "hi there",
    "5 ≤ 7 ≠ 8": "five less than or equal to seven not equal to eight",
    "１２ ３": "twelve three",
    "٣ apples": "three apples",
    "1" * 40: " ".join(["one"] * 40),
    "007": "zero zero seven",
    "fig. 3 is 50/50, 24/7": "figure three is fifty fifty , twenty four seven",
    "5㎏": "five K G",
    ".net at AT&T": "dot net at A T and T",
    "Cafe\u0301 no\u00adise": "cafe noise",
}


@pytest.mark.parametrize("text", list(SAID))
def test_what_is_said(text):
    assert " ".join(word for piece in pieces(text) for word in piece.said) == SAID[text]


def test_pieces_know_their_place():
    text = "Pay $3.50 now..."
    assert [text[piece.start : piece.end] for piece in pieces(text)] == [
        "Pay",
        "$3.50",
        "now",
        "...",
    ]


@pytest.mark.parametrize("text", ["привет", "hello 世界", "שלום"])
def test_letters_that_english_lacks_are_named(text):
    with pytest.raises(InputError, match="cannot be said in English") as error:
        list(pieces(text))
    assert text.split()[-1][0] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text(st.sampled_from("aB1.,:/-$@# '%()é\n½²StNo"), max_size=40))
def test_any_text_is_said_in_order_or_refused(text):
    try:
        found = list(pieces(text))
    except InputError as error:
        if "cannot be said in English" not in str(error):
            raise
        return
    at = 0
    for piece in found:
        assert at <= piece.start < piece.end <= len(text)
        assert piece.said
        assert all(word and word == word.strip() for word in piece.said)
        at = piece.end
    # one mark at a time, none in front
    kinds = [piece.said[0] in MARKS for piece in found]
    assert not any(kinds[:1])
    assert not any(left and right for left, right in itertools.pairwise(kinds))


@given(st.text(max_size=30))
def test_folding_keeps_the_length(text):
    assert len(folded(text)) == len(text)


@pytest.mark.parametrize(
    "unit",
    ["word ", "a", "1", "1.", "a.", ".", "-", "a-", "a@", "www.", "1,", "$1", "3/4 ", "Dr. ", "'",
     "1:", "+1 ", "é", "a_", "?!", "( ", "1-", "St. Jan 5 ", "a.zz/", "1/", ",1111", "A.", "x'"],
)  # fmt: skip
def test_time_grows_with_the_text_alone(unit):
    def spent(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        for _ in pieces(text):
            pass
        return time.process_time() - began

    spent(1000)
    small, large = min(spent(2000) for _ in range(3)), min(spent(16000) for _ in range(2))
    # eight times the text; a quadratic rule would take sixty-four times as long
    assert large < 30 * small + 0.05
