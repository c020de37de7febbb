"""Pack the CMU Pronouncing Dictionary for the package: one pronunciation a word, compressed.

    python -m sonograph.recipes.text.dictionary path/to/cmudict.dict path/to/its/LICENSE

Kept are words of letters, apostrophes and hyphens, each with the first of its pronunciations (words
that are said in several ways are decided in `text/homographs.py`). The file is deterministic.
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

from sonograph.text.arpabet import PHONES
from sonograph.text.lexicon import DATA, code_of
from sonograph.writing import write_whole

_WORD = re.compile(r"[a-z'][a-z'-]*")


def read(path: Path) -> dict[str, tuple[str, ...]]:
    """The words of a file in the form of cmudict.dict: `word PHONE PHONE ... # remark`."""
    found: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split("#")[0].split() or [""]
        if _WORD.fullmatch(word) and re.search("[a-z]", word) and set(phones) <= set(PHONES):
            found.setdefault(word, tuple(phones))
    return found


def pack(words: dict[str, tuple[str, ...]]) -> bytes:
    """Words in order, a line each, an empty line, their pronunciations, a letter a phone."""
    ordered = sorted(words)
    lines = [*ordered, "", *("".join(map(code_of, words[word])) for word in ordered)]
    return gzip.compress("\n".join(lines).encode("ascii"), 9, mtime=0)


def main(dictionary: str, licence: str) -> None:
    words = read(Path(dictionary))
    packed = pack(words)
    write_whole(DATA / "cmudict.txt.gz", packed)
    write_whole(DATA / "cmudict-LICENSE.txt", Path(licence).read_bytes())
    print(f"{len(words)} words, {len(packed)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
