from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sonograph.data.clips import Clip
from sonograph.data.phones import phones_of, read_phones
from sonograph.errors import InputError

GOOD = "separator ;\n#\n0.34200 125 pau\n0.39200 125 k\n\n 0.422 125 ay \n"


def test_phones_of_a_clip_lie_beside_its_sound(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/ru_1.lab").write_text(GOOD)
    phones = phones_of(Clip("ru_1", tmp_path / "wav/ru_1.wav", 1.0, 16000))
    assert phones.names == ("pau", "k", "ay")
    assert np.array_equal(phones.ends_s, [0.342, 0.392, 0.422])
    with pytest.raises(InputError, match="ru_2 has no phone labels"):
        phones_of(Clip("ru_2", tmp_path / "wav/ru_2.wav", 1.0, 16000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.3 125 pau\n", "`#`"),
        ("", "`#`"),
        ("#\n", "labels no phone"),
        ("#\n0.3 125 pau\n0.2 125 k\n", "line 3: k ends before it begins"),
        ("#\n0 125 pau\n", "line 2: pau ends"),
        ("#\nnan 125 pau\n", "line 2: pau ends"),
        ("#\n0.3 125\n", "line 2: '0.3 125' is no"),
        ("#\nsoon 125 pau\n", "line 2"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, text, words):
    path = tmp_path / "x.lab"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_phones(path)
