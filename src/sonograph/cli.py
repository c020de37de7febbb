"""The command line: `sonograph VERB ...`.

Only the chosen verb is imported, so that help is quick. Results go to stdout, progress and errors
to stderr. Exit codes: 0 all is well, 1 the answer is no (a check failed), 2 the input cannot be
used, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence

from sonograph.errors import InputError, did_you_mean

VERBS = {
    "demo": "all of it in under ten minutes: pre-train, adapt, measure, and a page to look at",
    "data": "what real sound there is to fetch, under which licence; fetch it",
    "models": "what can be loaded or built",
    "info": "all about one model or sound file",
    "systems": "every published system of the house and how far it works",
    "train": "pre-train a model on sound, labelled or not",
    "adapt": "teach a pre-trained model your labels",
    "methods": "the ways to adapt a model: what learns, and how much of it",
    "compress": "cut a trained encoder to half its weights or fewer, and repair it",
    "soup": "average several adapted runs into one better model",
    "evaluate": "measure a labelled model on clips it has not seen",
    "embed": "turn sounds into vectors",
    "tag": "say what is heard in a sound",
    "separate": "pull a sound apart: stems, talkers, or whatever is asked for",
    "enhance": "speech out of noise: files, or a pipe while it arrives",
    "transcribe-notes": "the melody of a sound as notes: a table, or a MIDI file",
    "speak": "say a text: to a file, or to a pipe as it is made",
    "vocode": "features to sound, or a sound through a vocoder and back",
    "forecast": "how much more data or more steps would bring",
    "phonemes": "how a text is said, word by word, as models that speak read it",
    "spectrum": "how the vectors of models spread over a set: singular values and their entropy",
    "search": "find the sounds of a folder that are like a sound",
    "serve": "all of this as a page in the browser, and as a service for programs",
    "claim": "measure what a paper claims, here and now",
    "bench": "speed and memory beside the best-known peers",
    "push": "publish a model: to a hub, or to a folder that others can read",
    "pull": "fetch a model of a hub into a folder of your own",
    "doctor": "versions, threads, extras, and a two-second self-test",
}


def usage() -> str:
    lines = [f"  {verb:<16} {words}" for verb, words in VERBS.items()]
    return "\n".join(
        [
            "Sonograph: pre-trained spectrogram and audio models that work.",
            "",
            "usage: sonograph VERB [options]      `sonograph VERB --help` tells more",
            "",
            *lines,
            "",
            "Every verb takes --json. First: `sonograph embed FILE`, `sonograph demo`.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if given[0] in ("-V", "--version"):
        from sonograph import __version__

        print(f"sonograph {__version__}")
        return 0
    verb, *rest = given
    if verb not in VERBS:
        return _fail(
            f"there is no verb {verb!r}.{did_you_mean(verb, VERBS)} See `sonograph --help`"
        )
    try:
        module = importlib.import_module(f"sonograph.verbs.{verb.replace('-', '_')}")
        return int(module.run(_parse(module.Args, verb, rest)) or 0)
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        print(f"sonograph: {stop}" if str(stop) else "sonograph: stopped", file=sys.stderr)
        return 130
    except MemoryError:
        return _fail("out of memory: use shorter sounds, a smaller --batch or a smaller model")


def _parse(kind: type, verb: str, arguments: list[str]):
    """Arguments as the verb's dataclass. Raises InputError, in one line, for what does not fit."""
    import contextlib
    import io

    import tyro

    _know_options(kind, verb, arguments)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                prog=f"sonograph {verb}",
                description=VERBS[verb][0].upper() + VERBS[verb][1:] + ".",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as leave:
        if not leave.code:  # --help
            raise
        raise InputError(f"{_unboxed(said.getvalue())} See `sonograph {verb} --help`") from None


def _unboxed(drawn: str) -> str:
    """The words of an error that tyro draws as a box or with rules, without its title."""
    frame = "\u2502\u2500\u256d\u256e\u2570\u256f| "
    lines = [line.strip(frame) for line in drawn.splitlines()[1:]]
    words, _, _ = " ".join(line for line in lines if line.strip("-")).partition("For full helptext")
    return words


def _know_options(kind: type, verb: str, arguments: list[str]) -> None:
    known = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)} | {"--help"}
    for word in arguments:
        name = word.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            raise InputError(
                f"`sonograph {verb}` has no option {name}.{did_you_mean(name, known)} "
                f"See `sonograph {verb} --help`"
            )


def _fail(message: str) -> int:
    print(f"sonograph: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
