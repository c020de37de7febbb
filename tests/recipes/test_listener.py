from __future__ import annotations

import torch

from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.recipes.speak.listener import Listener


def test_a_listener_leaves_out_repeats_and_blanks_and_looks_at_no_padding():
    torch.manual_seed(0)
    listener = Listener(5, torch.zeros(8), torch.ones(8), width=16).eval()
    features = torch.randn(2, 8, 30)
    lengths = torch.tensor([30, 11])
    alone = listener(features[1:, :, :11], torch.tensor([11]))
    torch.testing.assert_close(listener(features, lengths)[1:, :11], alone)
    scores = torch.full((1, 7, 5), -9.0)
    for frame, token in enumerate((1, 1, 0, 1, 3, 0, 2)):
        scores[0, frame, token] = 0.0
    listener.forward = lambda features, lengths: scores  # type: ignore[method-assign]
    assert listener.hear(features[:1], torch.tensor([6])) == [[1, 1, 3]]


def spoken(seed: int, count: int = 8) -> SpeechBatch:
    """Tokens 1 to 4 in a row, each a row of the features that is loud for 3 to 6 frames."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(4, generator=draw) + 1 for _ in range(count)])
    lasts = torch.randint(3, 7, (count, 4), generator=draw)
    features = 0.1 * torch.randn(count, 4, int(lasts.sum(1).max()), generator=draw)
    for row, (tokens, frames) in enumerate(zip(ids, lasts)):
        for token, end, length in zip(tokens, frames.cumsum(0), frames):
            features[row, token - 1, end - length : end] += 1
    text = Text(ids, torch.full((count,), 4), torch.arange(4).expand(count, 4))
    return SpeechBatch(text, features, lasts.sum(1), lasts)


def test_it_learns_to_hear_and_to_force_texts_onto_sounds():
    torch.manual_seed(0)
    listener = Listener(5, torch.zeros(4), torch.ones(4), width=32, depth=2, dropout=0.0)
    optimizer = torch.optim.AdamW(listener.parameters(), 1e-2)
    first = last = 0.0
    for step in range(60):
        loss = listener.loss(spoken(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or loss.item(), loss.item()
    assert last < 0.2 * first
    batch = spoken(1000)
    listener.eval()
    assert listener.hear(batch.features, batch.lengths) == batch.text.ids.tolist()
    found = listener.durations(batch).frames
    assert torch.equal(found.sum(1), batch.lengths)
    assert batch.durations is not None
    off = (found.cumsum(1) - batch.durations.cumsum(1))[:, :-1].abs().double()
    assert off.mean() <= 1.5
