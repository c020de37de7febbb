"""Phones of English words, from every source in its turn."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest

from sonograph.errors import InputError
from sonograph.text.arpabet import PHONES, from_arpabet, from_ipa, to_ipa
from sonograph.text.g2p import sounds, word_phones
from sonograph.text.letters import LETTERS, Letters, letters_to_sound, one_primary_stress
from sonograph.text.lexicon import DATA, lexicon

WORDS = {
    "hello": "HH AH0 L OW1",
    "B": "B IY1",
    "W": "D AH1 B AH0 L Y UW0",
    "B's": "B IY1 Z",
    "digium": "D IH1 JH IY0 AH0 M",
    "unmuted": "AH0 N M Y UW1 T IH0 D",
    "waldo's": "W AA1 L D OW0 Z",
    "touchtone": "T AH1 CH T OW2 N",
    "reenter": "R IY0 EH1 N T ER0",
    "voicemails": "V OY1 S M EY2 L Z",
}


@pytest.mark.parametrize("word", list(WORDS))
def test_words(word):
    assert " ".join(word_phones(word)) == WORDS[word]


@pytest.mark.parametrize(
    ("sentence", "word", "phones"),
    [
        ("press one to record your name", "record", "R IH0 K AO1 R D"),
        ("play the record", "record", "R EH1 K ER0 D"),
        ("i will read it", "read", "R IY1 D"),
        ("he has read it", "read", "R EH1 D"),
        ("they live here", "live", "L IH1 V"),
        ("a live show", "live", "L AY1 V"),
        ("lead the way", "lead", "L IY1 D"),
        ("a lead pipe", "lead", "L EH1 D"),
        ("it is in use", "use", "Y UW1 S"),
        ("use the key", "use", "Y UW1 Z"),
        ("close the door", "close", "K L OW1 Z"),
        ("so close to it", "close", "K L OW1 S"),
        ("the wind blows", "wind", "W IH1 N D"),
        ("to increase it", "increase", "IH0 N K R IY1 S"),
        ("an increase of two", "increase", "IH1 N K R IY2 S"),
        ("the apple", "the", "DH IY0"),
        ("the pear", "the", "DH AH0"),
    ],
)
def test_neighbours_decide(sentence, word, phones):
    words = sentence.split()
    assert " ".join(sounds(words)[words.index(word)]) == phones


def test_marks_have_no_phones_and_end_a_neighbourhood():
    assert sounds(["the", ",", "apple"])[:2] == [("DH", "AH0"), ()]


@pytest.mark.parametrize("word", ["blorft", "zyx", "q", "aaaa", "a" * 500, "x'y", "qwrtp", "sch"])
def test_every_word_has_phones_of_the_table(word):
    phones = word_phones(word)
    assert phones
    assert set(phones) <= set(PHONES)


@pytest.mark.parametrize(
    ("word", "phones"),
    [("blickle", "B L IH1 K AH0 L"), ("strand", "S T R AE1 N D"), ("nation", "N EY1 SH AH0 N")],
)
def test_letters_to_sound(word, phones):
    assert " ".join(letters_to_sound(word)) == phones


def test_the_network_is_the_one_that_torch_runs():
    torch = pytest.importorskip("torch")
    model = Letters.load()
    size = model.arrays["gru.weight_hh_l0"].shape[1]
    gru = torch.nn.GRU(48, size, 2, batch_first=True, bidirectional=True)
    gru.load_state_dict(
        {
            name[4:]: torch.from_numpy(values)
            for name, values in model.arrays.items()
            if name.startswith("gru.")
        }
    )
    word = "sonograph"
    ids = [LETTERS.index(letter) + 1 for letter in word]
    with torch.no_grad():
        hidden = gru(torch.from_numpy(model.arrays["embed.weight"][ids])[None])[0][0]
    expected = hidden.numpy() @ model.arrays["out.weight"].T + model.arrays["out.bias"]
    assert abs(model.scores(word) - expected).max() < 1e-4


def test_one_primary_stress():
    assert one_primary_stress(["B", "AH0"]) == ("B", "AH1")
    assert one_primary_stress(["EH2", "AH0"]) == ("EH1", "AH0")
    assert one_primary_stress(["T"]) == ("T",)


def test_ipa_there_and_back():
    phones = ("K", "AH1", "M", "P", "AH0", "N", "IY0", "CH", "ER1", "JH", "OY2", "ZH")
    assert from_ipa("".join(to_ipa(phones))) == phones
    assert from_ipa("həˈloʊ") == ("HH", "AH0", "L", "OW1")
    assert from_ipa("tɹˈeɪnɪŋ") == from_arpabet("T R EY1 N IH NG")
    with pytest.raises(InputError, match="no sound of English"):
        from_ipa("ʘ")
    with pytest.raises(InputError, match="no ARPAbet phone"):
        from_arpabet("HH AX9")


def test_all_of_the_dictionary_is_phones_and_in_order():
    found = lexicon()
    assert len(found) > 120_000
    assert found.words == sorted(found.words)
    assert set("".join(found.packed)) <= {chr(48 + at) for at in range(len(PHONES))}
    assert found.phones("abacus") == ("AE1", "B", "AH0", "K", "AH0", "S")
    assert found.phones("zzzzzz") is None
    assert "abacus" in found
    assert "zzzzzz" not in found


def test_the_data_is_small_and_its_licence_lies_beside_it():
    assert (DATA / "cmudict.txt.gz").stat().st_size < 1_200_000
    assert (DATA / "letters.safetensors").stat().st_size < 1_000_000
    assert "Carnegie Mellon University" in (DATA / "cmudict-LICENSE.txt").read_text()
    assert "cmudict-LICENSE.txt" in (DATA / "NOTICE.txt").read_text()
    assert gzip.decompress((DATA / "cmudict.txt.gz").read_bytes())[:1] == b"'"


def test_loading_is_quick_and_needs_no_torch():
    code = (
        "import sys, time\n"
        "from sonograph.text.lexicon import lexicon\n"
        "began = time.process_time(); lexicon().phones('hello')\n"
        "spent = time.process_time() - began\n"
        "from sonograph.text.utterance import utterance; utterance('Hello zorblatt.')\n"
        "print(spent, 'torch' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert min(float(spent) for spent, _ in runs) < 0.15
    assert runs[0][1] == "False"
