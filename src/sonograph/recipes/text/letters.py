"""Train the letter-to-sound model on the dictionary of the package, and say how good it is.

    python -m sonograph.recipes.text.letters         (writes text/data/letters.safetensors)

1. Align: each letter of a word stands for no, one, two or three phones, in order. Which ones is
   found by expectation and maximisation over best paths (Viterbi), starting from how often letters
   and phones stand at the same place.
2. Train: a two-layer bidirectional GRU says the chunk of each letter; cross-entropy, AdamW, one
   cycle of the learning rate, a fixed number of epochs, nothing chosen on held-out words.
3. Measure on held-out words: of all stems (a word without endings such as 's, s, ed, ing), those
   whose SHA-256 falls into the first twentieth, with all their forms, so that no form of a test
   word is learned from. Phone error rate is the edit distance over the number of true phones, with
   stress and without; word accuracy counts words without any error. True is the first
   pronunciation of the dictionary, another one that it also lists counts as an error.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path

from sonograph.progress import Line, Progress, silent
from sonograph.text.letters import LAYERS, LETTERS, WEIGHTS, Letters
from sonograph.text.lexicon import lexicon

Pairs = list[tuple[str, tuple[str, ...]]]
MOST = 3  # phones of one letter


@dataclasses.dataclass(frozen=True)
class Args:
    output: Path = WEIGHTS
    """Where the weights go."""
    epochs: int = 12
    """Passes over the words."""
    hidden: int = 128
    """Width of a GRU direction."""
    words: int = 0
    """Use only so many words (0: all), to try the command out."""


def stem(word: str) -> str:
    """A word without its endings, roughly: what its forms have in common.

    >>> {stem(word) for word in ("call", "calls", "called", "calling", "caller's")}
    {'call'}
    """
    cut = re.sub(r"'s?$", "", word)
    return re.sub(r"(?<=.{3})(s|es|ed|d|ing|er|ers|ly|y|ies|ied|e)$", "", cut) or word


def is_held_out(word: str) -> bool:
    return int(hashlib.sha256(stem(word).encode()).hexdigest()[:8], 16) < 2**32 // 20


def usable() -> Pairs:
    """Words of plain letters of the dictionary (the possessives are made by a rule)."""
    return [
        (word, phones)
        for word, phones in lexicon().items()
        if re.fullmatch("[a-z]{2,}", word) and len(phones) <= MOST * len(word)
    ]


Costs = dict[tuple[str, tuple[str, ...]], float]


def _first_costs(pairs: Pairs) -> Costs:
    """Minus log of how often a letter and one phone stand at the same relative place."""
    together: Counter[tuple[str, str]] = Counter()
    for word, phones in pairs:
        for at, letter in enumerate(word):
            centre = (at + 0.5) * len(phones) / len(word) - 0.5
            for place in range(max(0, round(centre) - 1), min(len(phones), round(centre) + 2)):
                together[letter, phones[place].rstrip("012")] += 1
    total: Counter[str] = Counter()
    for (letter, _), count in together.items():
        total[letter] += count
    return {
        (letter, (phone,)): -math.log(count / total[letter])
        for (letter, phone), count in together.items()
    }


def _cost(costs: Costs, letter: str, chunk: tuple[str, ...]) -> float:
    found = costs.get((letter, chunk))
    if found is not None:
        return found
    if not chunk:
        return 3.0
    if len(chunk) == 1:
        return 12.0
    return 6.0 + sum(costs.get((letter, (phone,)), 12.0) for phone in chunk)


def align(word: str, phones: tuple[str, ...], costs: Costs) -> list[tuple[int, int]]:
    """The best way to give each letter its phones: for each letter where they begin and end."""
    bare = tuple(phone.rstrip("012") for phone in phones)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for at, letter in enumerate(word):
        row: dict[int, tuple[float, int]] = {}
        rest = len(word) - at - 1
        for done, (cost, _) in best[-1].items():
            for size in range(min(MOST, len(bare) - done) + 1):
                if len(bare) - done - size > MOST * rest:
                    continue
                value = cost + _cost(costs, letter, bare[done : done + size])
                if done + size not in row or value < row[done + size][0]:
                    row[done + size] = (value, done)
        best.append(row)
    ends, place = [], len(bare)
    for row in reversed(best[1:]):
        ends.append((row[place][1], place))
        place = row[place][1]
    return ends[::-1]


def learn_alignment(pairs: Pairs, rounds: int = 4) -> Costs:
    costs = _first_costs(pairs)
    for _ in range(rounds):
        counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for word, phones in pairs:
            bare = tuple(phone.rstrip("012") for phone in phones)
            for letter, (start, end) in zip(word, align(word, phones, costs)):
                counts[letter, bare[start:end]] += 1
        total: Counter[str] = Counter()
        for (letter, _), count in counts.items():
            total[letter] += count
        costs = {key: -math.log(count / total[key[0]]) for key, count in counts.items()}
    return costs


def edits(given: tuple[str, ...], true: tuple[str, ...]) -> int:
    """Levenshtein distance."""
    row = list(range(len(true) + 1))
    for at, left in enumerate(given):
        last, row[0] = row[0], at + 1
        for place, right in enumerate(true):
            last, row[place + 1] = (
                row[place + 1],
                min(row[place + 1] + 1, row[place] + 1, last + (left != right)),
            )
    return row[-1]


def measure(model: Letters, pairs: Pairs) -> dict[str, float]:
    """Error rates of a model over words, in per cent."""
    wrong = wrong_bare = phones = right = right_bare = 0
    for word, true in pairs:
        given = model.phones(word)
        bare = [tuple(phone.rstrip("012") for phone in side) for side in (given, true)]
        phones += len(true)
        wrong += edits(given, true)
        wrong_bare += edits(bare[0], bare[1])
        right += given == true
        right_bare += bare[0] == bare[1]
    return {
        "words": len(pairs),
        "phone error rate %": round(100 * wrong / phones, 2),
        "phone error rate without stress %": round(100 * wrong_bare / phones, 2),
        "word accuracy %": round(100 * right / len(pairs), 2),
        "word accuracy without stress %": round(100 * right_bare / len(pairs), 2),
    }


def train(args: Args, progress: Progress = silent) -> dict[str, float]:
    """Align, train, write the weights, and measure what was written on the held-out words."""
    import torch
    from safetensors.torch import save
    from torch import nn

    from sonograph.writing import write_whole

    torch.manual_seed(0)
    pairs = usable()
    if args.words:
        pairs = pairs[:: max(1, len(pairs) // args.words)]
    learned = [pair for pair in pairs if not is_held_out(pair[0])]
    held_out = [pair for pair in pairs if is_held_out(pair[0])]
    costs = learn_alignment(learned[::4])
    chunked = []
    counts: Counter[str] = Counter()
    for word, phones in learned:
        chunks = [" ".join(phones[start:end]) for start, end in align(word, phones, costs)]
        counts.update(chunks)
        chunked.append((word, chunks))
    names = [chunk for chunk, count in counts.most_common() if count >= 15]
    number = {chunk: index for index, chunk in enumerate(names)}
    rows = [
        (
            torch.tensor([LETTERS.index(letter) + 1 for letter in word]),
            torch.tensor([number[chunk] for chunk in chunks]),
        )
        for word, chunks in chunked
        if all(chunk in number for chunk in chunks)
    ]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(len(LETTERS) + 1, 48, padding_idx=0)
            self.gru = nn.GRU(48, args.hidden, LAYERS, batch_first=True, bidirectional=True)
            self.out = nn.Linear(2 * args.hidden, len(names))

        def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            dropped = nn.functional.dropout(self.embed(ids), 0.1, self.training)
            packed = nn.utils.rnn.pack_padded_sequence(
                dropped, lengths, batch_first=True, enforce_sorted=False
            )
            values, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
            return self.out(nn.functional.dropout(values, 0.2, self.training))

    network, batch = Network(), 256
    optim = torch.optim.AdamW(network.parameters(), 4e-3, weight_decay=0.01)
    steps = args.epochs * math.ceil(len(rows) / batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, 4e-3, total_steps=steps, pct_start=0.15)
    order = torch.Generator().manual_seed(0)
    step = 0
    for _ in range(args.epochs):
        # words of a like length share a batch: shuffled, then sorted within stretches of 20 batches
        shuffled = torch.randperm(len(rows), generator=order).tolist()
        groups = [shuffled[at : at + 20 * batch] for at in range(0, len(rows), 20 * batch)]
        for group in groups:
            group.sort(key=lambda index: len(rows[index][0]))
            for at in range(0, len(group), batch):
                chosen = [rows[index] for index in group[at : at + batch]]
                ids = nn.utils.rnn.pad_sequence([ids for ids, _ in chosen], batch_first=True)
                targets = nn.utils.rnn.pad_sequence(
                    [chunks for _, chunks in chosen], batch_first=True, padding_value=-1
                )
                scores = network(ids, torch.tensor([len(ids) for ids, _ in chosen]))
                loss = nn.functional.cross_entropy(
                    scores.flatten(0, 1), targets.flatten(), ignore_index=-1
                )
                optim.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optim.step()
                schedule.step()
                step += 1
                progress(step, steps)
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    write_whole(args.output, save(state, {"chunks": "|".join(names)}))
    return measure(Letters.load(args.output), held_out) | {
        "learned words": len(rows),
        "chunks": len(names),
        "last loss": round(loss.item(), 4),
        "bytes": args.output.stat().st_size,
    }


if __name__ == "__main__":
    import tyro

    print(json.dumps(train(tyro.cli(Args), Line("letters")), indent=2))
