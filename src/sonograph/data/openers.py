"""What lies in each fetched corpus: one function a corpus, from its unpacked folder to clips.

Every function gets the folder that holds the package's own tree (`usr/...`) and returns clips whose
tasks, groups and texts follow from file names and the tables that come with the sounds. They run
once, when a corpus is prepared; afterwards `clips.jsonl` is read.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from sonograph.audio.io import info
from sonograph.data import soundfont
from sonograph.data.clips import Clip
from sonograph.errors import InputError

# Debian's asterisk prompts: language -> (folder, speaker); one woman reads English and Spanish
ASTERISK_VOICES = {
    "en": ("en_US_f_Allison", "allison"),
    "es": ("es_MX_f_Allison", "allison"),
    "fr": ("fr_CA_f_June", "june"),
    "it": ("it_IT_m_Carlo", "carlo"),
    "ru": ("ru_RU_f_IvrvoiceRU", "ivrvoice"),
}
# Festival's Russian voice: one reader; wav/x.wav is labelled in lab/x.lab
FESTVOX_RU = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
FESTVOX_TEXTS = "etc/txt.done.data"
FESTVOX_KEPT = ("wav/*.wav", "lab/*.lab", FESTVOX_TEXTS)
BRACKETS = "[(<"  # a transcript that begins so describes a sound: `[ascending tones]`
MINETEST_EFFECTS = (  # the first pattern in a name; words as in ufoai's folders
    ("_footstep", "footsteps"),
    ("door|gate|chest", "doors"),
    ("_dig_|_dig$|_dug", "digging"),
    ("_place_", "placing"),
    ("break", "breaking"),
    ("cool|extinguish", "hissing"),
    ("^fire|furnace|smoke", "fire"),
    ("^tnt", "explosions"),
    ("^env_sounds_water", "water"),
    ("^env_sounds_lava", "lava"),
    ("^carts", "carts"),
)
LEAST_OF_FAMILY = 12  # clips of a class of `instrument`
PROMPTS = (  # the first pattern that a prompt's id matches; what matches none goes by its words
    (r"digits/(h-)?(\d+[A-Za-z]?|hundreds?|thousands?|[mb]illions?)", "number"),
    (r"digits/(day-\d|mon-\d+|today|tomorrow|yesterday)", "date"),
    (r"letters/([a-z]|zed)", "letter"),
    (r"letters/.*", "sign"),
    (r"phonetic/\w_p", "spelling"),
)
TONES = {"": "1", "1": "neutral", "2": "2", "3": "3", "4": "4"}  # as typed on a Zhuyin keyboard


def asterisk(folder: Path) -> list[Clip]:
    """Telephone prompts; tasks `language`, `prompt`, `digit`, `number`, `letter`, `spelling`.

    A digit is one of 0-9 by prompt id, a number any whole number, a letter one of a-z, a spelling
    the word of the radio alphabet. Silence and beeps have no text. Every prompt is a group.

    `prompt` is the kind of what is said, of prompts with text: a number (cardinal or ordinal), a
    date (a day, a month, today), a letter of the alphabet, the name of a sign (comma, star), a
    spelling (a word of the radio alphabet), a phrase (another prompt of one or two words) or a
    sentence (another of three or more). The words between numbers ("o'clock", "A.M.") are none.
    """
    clips = []
    for language, (voice, speaker) in ASTERISK_VOICES.items():
        root = folder / "usr/share/asterisk/sounds" / voice
        if not root.is_dir():
            continue
        table = folder / f"usr/share/doc/asterisk-core-sounds-{language}"
        texts = _prompts(table / f"core-sounds-{language}.txt.gz")
        for path in _sounds(root):
            name = path.relative_to(root).with_suffix("").as_posix()
            labels = _prompt_labels(name)
            text = texts.get(name)
            if text:
                labels["language"] = language
                labels |= _kind_of_prompt(name, text)
            clips.append(
                dataclasses.replace(
                    measure(path),
                    id=name,
                    labels=labels,
                    text=text,
                    language=language,
                    speaker=speaker,
                    group=f"asterisk/{language}/{name}",
                )
            )
    return clips


def _prompts(path: Path) -> dict[str, str]:
    """Texts by prompt id, for those that are speech; the signs of asides are taken off."""
    if not path.is_file():
        raise InputError(f"{path.name} with the texts is missing: run `sonograph data get` again")
    texts = {}
    for line in gzip.decompress(path.read_bytes()).decode("utf-8-sig").splitlines():
        name, colon, text = line.partition(":")
        text = text.strip()
        if colon and text and not line.startswith(";") and text[0] not in BRACKETS:
            speech = re.sub(r"\[\W*\]|\s*\([^)]*\)\W*$", " ", text)  # "dot [.]", "... (aside)"
            texts[name.strip()] = " ".join(re.sub(r"[\[\]()]", " ", speech).split())
    return texts


def _prompt_labels(name: str) -> dict[str, str]:
    place, _, word = name.partition("/")
    if place == "digits" and word.isdigit():
        return {"number": word} | ({"digit": word} if len(word) == 1 else {})
    if place == "letters" and re.fullmatch("[a-z]", word):
        return {"letter": word}
    if place == "phonetic" and re.fullmatch("[a-z]_p", word):
        return {"spelling": word[0]}
    return {}


def _kind_of_prompt(name: str, text: str) -> dict[str, str]:
    for pattern, kind in PROMPTS:
        if re.fullmatch(pattern, name):
            return {"prompt": kind}
    if name.startswith(("digits/", "letters/", "phonetic/")):
        return {}
    return {"prompt": "sentence" if len(text.split()) > 2 else "phrase"}


def festvox(folder: Path) -> list[Clip]:
    """Sentences read by one speaker, every sentence a group; `data/phones.py` reads their phones.

    Lines of the table of texts are `( id "text" )`; a plus, which marks the stressed vowel that
    follows, is taken out.
    """
    root = folder / FESTVOX_RU
    table = root / FESTVOX_TEXTS
    if not table.is_file():
        raise InputError(f"{table.name} with the texts is missing: run `sonograph data get` again")
    found = re.findall(r'^\( (\S+) "(.*)" \)$', table.read_text(encoding="utf-8"), re.MULTILINE)
    texts = {name: text.replace("+", "") for name, text in found}
    return [
        dataclasses.replace(
            measure(path),
            id=path.stem,
            text=texts.get(path.stem),
            language="ru",
            speaker="msu_ru_nsh",
            group=f"festvox/{path.stem}",
        )
        for path in _sounds(root / "wav")
    ]


def asterisk_music(folder: Path) -> list[Clip]:
    """Whole tracks of music for waiting callers; each is a group."""
    root = folder / "usr/share/asterisk/moh"
    return [
        dataclasses.replace(
            measure(path), id=path.stem, labels={"kind": "music"}, group=f"moh/{path.stem}"
        )
        for path in _sounds(root)
    ]


def gcin_voice(folder: Path) -> list[Clip]:
    """Mandarin syllables of two speakers; tasks `syllable` (without tone), `tone`, `voice`, `word`.

    The folder is the syllable in Zhuyin with its tone as typed: none = 1, "1" = neutral. A group is
    one syllable with tone, so both speakers' clips of it stay on the same side.
    """
    clips = []
    for path in _sounds(folder / "usr/share/gcin-voice/ogg"):
        word, speaker = path.parent.name, path.stem
        syllable = word.rstrip("12345")
        clips.append(
            dataclasses.replace(
                measure(path),
                id=f"{word}/{speaker}",
                labels={
                    "syllable": syllable,
                    "tone": TONES[word[len(syllable) :]],
                    "word": word,
                    "voice": f"gcin-{speaker}",
                },
                text=word,
                language="zh",
                speaker=f"gcin-{speaker}",
                group=f"gcin/{word}",
            )
        )
    return clips


def frets_on_fire(folder: Path) -> list[Clip]:
    """Songs as two sample-aligned stems: `guitar` and `rest`; their sum, halved, is the mix."""
    clips = []
    for path in _sounds(folder / "usr/share/games/fretsonfire/data/songs"):
        song, stem = path.parent.name, {"guitar": "guitar", "song": "rest"}[path.stem]
        clips.append(
            dataclasses.replace(
                measure(path),
                id=f"{song}/{stem}".replace(" ", "_"),
                labels={"stem": stem, "kind": "music"},
                group=f"frets/{song}",
            )
        )
    return clips


def sonic_pi(folder: Path) -> list[Clip]:
    """Drum, bass, guitar, ambience and glitch samples; the name before `_` is the class."""
    return [
        dataclasses.replace(
            measure(path),
            id=path.stem,
            labels={"sample": path.stem.partition("_")[0]},
            group=f"sonic-pi/{_without_number(path.stem)}",
        )
        for path in _sounds(folder / "usr/share/sonic-pi/samples")
    ]


def ufoai(folder: Path) -> list[Clip]:
    """Game effects; the folder is the class of task `effect`, numbered takes of one are a group."""
    clips = []
    for path in _sounds(folder / "sound"):
        inside = path.relative_to(folder / "sound")
        name = inside.with_suffix("").as_posix()
        labels = {"effect": inside.parts[0]} if len(inside.parts) > 1 else {}
        clips.append(
            dataclasses.replace(
                measure(path), id=name, labels=labels, group=f"ufoai/{_without_number(name)}"
            )
        )
    return clips


def minetest(folder: Path) -> list[Clip]:
    """Game effects; tasks `effect` and `footstep` (the surface).

    Names look like `default_wood_footstep.2`: numbered takes of one name are a group. The
    class is found in the name by `MINETEST_EFFECTS`.
    """
    clips = []
    for path in _sounds(folder / "usr/share/games/minetest"):
        name = re.sub(r"\.\d+$", "", path.stem)
        surface = re.fullmatch(r"default_([a-z]+)_footstep", name)
        effect = next((known for part, known in MINETEST_EFFECTS if re.search(part, name)), None)
        labels = {"effect": effect} if effect else {}
        if surface:
            labels["footstep"] = surface[1]
        clips.append(
            dataclasses.replace(
                measure(path), id=path.stem, labels=labels, group=f"minetest/{name}"
            )
        )
    return clips


def sound_fonts(folder: Path) -> list[Clip]:
    """Notes of the instruments of a General MIDI bank; task `instrument` is the family.

    A clip is one recorded sample, up to 1.3 s: where it is shorter and has a loop, the loop repeats
    as in a player and the clip is marked synthetic. The group is the instrument (all notes, sides
    and layers of the presets that play the sample; each drum alone), so that a test asks for the
    family of an instrument not heard before, not for other notes of one heard. A sample that as
    many presets of another family play has no label, nor have families of fewer than 12 clips.
    """
    clips = []
    for path in sorted(folder.rglob("*.sf2")):
        found = [
            (note, sample)
            for index, sample in enumerate(soundfont.read_soundfont(path).samples)
            if (note := soundfont.note_path(path, index, sample)).is_file()
        ]
        families = [sample.family for _, sample in found]
        names = soundfont.instruments([sample for _, sample in found])
        for (note, sample), family, name in zip(found, families, names):
            labels = {"instrument": family} if families.count(family) >= LEAST_OF_FAMILY else {}
            clips.append(
                dataclasses.replace(
                    measure(note),
                    id=note.stem,
                    labels={task: label for task, label in labels.items() if label},
                    group=f"{path.stem}/{name}",
                    synthetic=sample.sustained,
                )
            )
    return clips


def no_clips(folder: Path) -> list[Clip]:
    """A corpus of files that are no recordings of clips: tables of series."""
    return []


def measure(path: Path) -> Clip:
    """A bare clip of a whole file: its length, rate and channels as its header says.

    Raises InputError for a file that is unreadable or holds no samples.
    """
    about = info(path)
    if about.frames < 1:
        raise InputError(f"{path} holds no samples: remove it, or list the sounds in a CSV")
    return Clip(
        id=path.name,
        path=path,
        duration_s=about.frames / about.rate_hz,
        rate_hz=about.rate_hz,
        channels=about.channels,
        file_frames=about.frames,
    )


def without_copies(clips: list[Clip]) -> list[Clip]:
    """The same clips, those with byte-equal files put into one group, so that no copy can leak."""
    first: dict[bytes, str] = {}
    joined: dict[str, str] = {}
    for clip in clips:
        key = hashlib.blake2b(clip.path.read_bytes(), digest_size=16).digest()
        known = first.setdefault(key, clip.group)
        if known != clip.group:
            joined[clip.group] = known
    return [
        dataclasses.replace(clip, group=_last(joined, clip.group)) if clip.group in joined else clip
        for clip in clips
    ]


def _last(joined: dict[str, str], name: str) -> str:
    seen = {name}
    while (following := joined.get(name)) is not None and following not in seen:
        name = following
        seen.add(name)
    return name


def _without_number(name: str) -> str:
    return re.sub(r"[_.-]?\d+[a-z]?$", "", name) or name


def _sounds(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise InputError(f"{root.name} is missing: run `sonograph data get` again")
    suffixes = {".ogg", ".flac", ".wav"}
    return iter(sorted(path for path in root.rglob("*") if path.suffix.lower() in suffixes))
