"""Words that are written alike and said in two ways, decided by the words beside them.

The rule looks one word to each side and knows no grammar. It takes the verb behind "to", a modal
verb, a pronoun or "please", and at the start of a sentence or behind "and", "or" where an article
or a pronoun follows ("record your name"); behind an article, a possessive, "of" or "in" it takes
the noun. Elsewhere it takes what is more frequent, which is the first in its entry below. It is
wrong where that is not enough: "They read it yesterday", "the permit holders contest", "I saw the
lead singer's lead pipe lead". Where it matters, SSML has `<phoneme>`.

>>> " ".join(phones_of("record", "to", "your"))
'R IH0 K AO1 R D'
>>> " ".join(phones_of("record", "the", "of"))
'R EH1 K ER0 D'
"""

from __future__ import annotations

from sonograph.text import listed

DETERMINERS = frozenset(
    listed(
        "the a an this that these those my your his her its our their no any every each some "
        "another"
    )
)
_BEFORE_NOUN = DETERMINERS | frozenset(
    ["of", "in", "for", "by", "with", "on", "one", "two", "three", "new", "old", "last", "first"]
)
_BEFORE_VERB = frozenset(
    listed(
        "to will would can could may might must should shall don't doesn't didn't can't "
        "cannot won't i you we they who please not let's i'll you'll we'll they'll he'll "
        "she'll i'd you'd never always also"
    )
)
_AFTER_VERB = DETERMINERS | frozenset(
    ["it", "them", "him", "us", "me", "you", "yourself", "all", "and"]
)
_LINKS = frozenset(["", *".,;:!?", "and", "or", "then", "but"])


def _entries(text: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    found = {}
    for line in text.strip().splitlines():
        word, noun, verb = (part.strip() for part in line.split("|"))
        found[word] = (tuple(noun.split()), tuple(verb.split()))
    return found


# word | as a noun or adjective | as a verb; with "*" behind the word the verb is the frequent one
_STARRED = _entries(
    """
    use* | Y UW1 S | Y UW1 Z
    uses* | Y UW1 S IH0 Z | Y UW1 Z IH0 Z
    close* | K L OW1 S | K L OW1 Z
    excuse* | IH0 K S K Y UW1 S | IH0 K S K Y UW1 Z
    refuse* | R EH1 F Y UW2 Z | R IH0 F Y UW1 Z
    live* | L AY1 V | L IH1 V
    house | HH AW1 S | HH AW1 Z
    abuse | AH0 B Y UW1 S | AH0 B Y UW1 Z
    record | R EH1 K ER0 D | R IH0 K AO1 R D
    records | R EH1 K ER0 D Z | R IH0 K AO1 R D Z
    object | AA1 B JH EH0 K T | AH0 B JH EH1 K T
    objects | AA1 B JH EH0 K T S | AH0 B JH EH1 K T S
    subject | S AH1 B JH IH0 K T | S AH0 B JH EH1 K T
    project | P R AA1 JH EH0 K T | P R AH0 JH EH1 K T
    projects | P R AA1 JH EH0 K T S | P R AH0 JH EH1 K T S
    present | P R EH1 Z AH0 N T | P R IH0 Z EH1 N T
    presents* | P R EH1 Z AH0 N T S | P R IH0 Z EH1 N T S
    permit | P ER1 M IH2 T | P ER0 M IH1 T
    permits | P ER1 M IH2 T S | P ER0 M IH1 T S
    produce* | P R OW1 D UW0 S | P R AH0 D UW1 S
    progress | P R AA1 G R EH2 S | P R AH0 G R EH1 S
    protest | P R OW1 T EH2 S T | P R AH0 T EH1 S T
    rebel | R EH1 B AH0 L | R IH0 B EH1 L
    reject* | R IY1 JH EH0 K T | R IH0 JH EH1 K T
    conduct* | K AA1 N D AH0 K T | K AH0 N D AH1 K T
    conflict | K AA1 N F L IH0 K T | K AH0 N F L IH1 K T
    content | K AA1 N T EH0 N T | K AH0 N T EH1 N T
    contest | K AA1 N T EH0 S T | K AH0 N T EH1 S T
    contract | K AA1 N T R AE2 K T | K AH0 N T R AE1 K T
    contrast | K AA1 N T R AE0 S T | K AH0 N T R AE1 S T
    convert* | K AA1 N V ER0 T | K AH0 N V ER1 T
    convict* | K AA1 N V IH0 K T | K AH0 N V IH1 K T
    decrease | D IY1 K R IY2 S | D IH0 K R IY1 S
    increase | IH1 N K R IY2 S | IH0 N K R IY1 S
    increases | IH1 N K R IY2 S IH0 Z | IH0 N K R IY1 S IH0 Z
    export | EH1 K S P AO0 R T | IH0 K S P AO1 R T
    import | IH1 M P AO2 R T | IH2 M P AO1 R T
    extract* | EH1 K S T R AE2 K T | IH0 K S T R AE1 K T
    insert* | IH1 N S ER2 T | IH0 N S ER1 T
    insult | IH1 N S AH2 L T | IH0 N S AH1 L T
    invite* | IH1 N V AY0 T | IH0 N V AY1 T
    perfect | P ER1 F IH2 K T | P ER0 F EH1 K T
    suspect* | S AH1 S P EH2 K T | S AH0 S P EH1 K T
    transport | T R AE1 N S P AO0 R T | T R AE0 N S P AO1 R T
    update | AH1 P D EY2 T | AH0 P D EY1 T
    desert | D EH1 Z ER0 T | D IH0 Z ER1 T
    attribute | AE1 T R AH0 B Y UW2 T | AH0 T R IH1 B Y UW0 T
    digest | D AY1 JH EH0 S T | D AY0 JH EH1 S T
    entrance | EH1 N T R AH0 N S | IH0 N T R AE1 N S
    separate | S EH1 P ER0 IH0 T | S EH1 P ER0 EY2 T
    estimate | EH1 S T AH0 M AH0 T | EH1 S T AH0 M EY2 T
    duplicate | D UW1 P L AH0 K AH0 T | D UW1 P L AH0 K EY2 T
    alternate | AO1 L T ER0 N AH0 T | AO1 L T ER0 N EY2 T
    moderate | M AA1 D ER0 AH0 T | M AA1 D ER0 EY2 T
    delegate | D EH1 L AH0 G AH0 T | D EH1 L AH0 G EY2 T
    advocate | AE1 D V AH0 K AH0 T | AE1 D V AH0 K EY2 T
    graduate | G R AE1 JH AH0 W AH0 T | G R AE1 JH AH0 W EY2 T
    deliberate | D IH0 L IH1 B ER0 AH0 T | D IH0 L IH1 B ER0 EY2 T
    elaborate | IH0 L AE1 B R AH0 T | IH0 L AE1 B ER0 EY2 T
    articulate | AA0 R T IH1 K Y AH0 L AH0 T | AA0 R T IH1 K Y AH0 L EY2 T
    wind | W IH1 N D | W AY1 N D
    winds | W IH1 N D Z | W AY1 N D Z
    tear | T IH1 R | T EH1 R
    tears | T IH1 R Z | T EH1 R Z
    bow | B OW1 | B AW1
    lead* | L EH1 D | L IY1 D
    read* | R EH1 D | R IY1 D
    wound | W UW1 N D | W AW1 N D
    dove | D AH1 V | D OW1 V
    sow | S AW1 | S OW1
    """
)
_VERBS = frozenset(word[:-1] for word in _STARRED if word.endswith("*"))
ENTRIES = {word.rstrip("*"): ways for word, ways in _STARRED.items()}

# Words that one neighbour decides: (behind these, in front of these) take the first way.
_FIRST_WAY = {
    "read": (
        listed("have has had having been was were is are be got already well"),
        [],
    ),
    "lead": ([], ["pipe", "pipes", "paint", "poisoning", "acid", "pencil", "weights", "free"]),
    "live": (
        ["a", "the", "go", "is", "are", "was"],
        listed("music show shows concert broadcast stream audio video performance wire recording"),
    ),
    "close": (
        listed("so very too how is are was were be been get got getting come came stay pretty"),
        ["to", "by", "enough", "friend", "friends", "relative", "call", "contact", "up"],
    ),
    "use": (["in", "of", "no", "the", "any", "much", "what's"], ["of", "case", "cases"]),
}
_SECOND_WAY = {"wound": (["was", "been", "clock"], ["up", "down", "around"])}


def phones_of(word: str, before: str = "", behind: str = "") -> tuple[str, ...] | None:
    """The phones of a homograph between two words (marks or "" at the ends); None for others."""
    if word not in ENTRIES:
        return None
    first, second = ENTRIES[word]
    if word in _FIRST_WAY:
        left, right = _FIRST_WAY[word]
        if before in _BEFORE_VERB and word != "close":
            return second
        return first if before in left or behind in right else second
    if word in _SECOND_WAY:
        left, right = _SECOND_WAY[word]
        return second if behind in right else first
    if before in _BEFORE_VERB:
        return second
    if before in _BEFORE_NOUN:
        return first
    if before in _LINKS and behind in _AFTER_VERB - {"and"}:
        return second
    return second if word in _VERBS else first
