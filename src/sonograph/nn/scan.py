"""The selective scan of state-space models: exact, linear in length, in plain PyTorch.

    h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t        y_t = C_t . h_t

Mamba (Gu and Dao 2023), equation 2 with the simplified step delta B for the input, as in its code.
Every channel e has a state of n numbers with decays of their own, A (e, n) < 0.

What is fast, and why (384 or 1536 channels of 16 states, one thread of an EPYC with 1 MB of
second-level cache; `benchmarks/scan.py` times the result):

- Time outermost, states next, channels innermost, (steps, b, n, e): every elementwise pass then
  runs over long contiguous rows. With states innermost the same loop takes 1.7 to 2.2 times as
  long, since rows of 16 are too short to vectorise over.
- A plain loop over time inside blocks that stay in the processor's cache: decays and inputs of a
  block are made in a few passes, the loop is one fused multiply-add of (b, n, e) numbers a step,
  in place, and one batched product reads the block out. 1.0 to 1.2 ns a token, channel and state;
  with the loop handed over in one call, not from Python, a tenth to a sixth less.
- All of it at once, as parallel scans do, takes 8 to 10 times as long with a loop inside chunks, 20
  to 27 times with log2(steps) rounds (Hillis-Steele): the states of the whole sequence go through
  main memory several times, and a processor gains nothing from more independent work.
- Memory for blocks is taken once, and sums over channels are a product and a sum, not a
  matrix-vector product, which is five times as slow here: together this halved the backward pass.
- exp2 with log2(e) folded into A: PyTorch's exp takes three times as long as its exp2.

An accelerator has the opposite problem, too little work a step. There a block is cut into chunks
that advance together, their end states are chained, and what each chunk inherits is added at the
end by its decays' running product. Only products of decays are formed, all at most 1; exp(-sum)
would overflow.

The backward pass keeps delta, u, B, C and one state a block (with 384 channels an eighth of these,
with 1536 half), and makes the states of a block again when it comes to it. Making these
first states again as well would save that, for one more pass over the sequence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Order = Literal["forward", "backward"]
CACHE = 400_000  # numbers of a block's decays (as many of its states) that a core's cache holds
AT_ONCE = 1 << 26  # of an accelerator's block
MOST_TOKENS = 1 << 13  # of an exported scan of open length


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How the work is cut; nothing but speed and memory depends on it."""

    steps: int  # that follow one another in a chunk
    chunks: int = 1  # that advance together in a block
    clips: int = 1  # of the batch, at once


def blocks_for(batch: int, length: int, channels: int, states: int, device: str) -> Blocks:
    """The cut that is fastest on this kind of device."""
    size = channels * states
    if device == "cpu":
        clips = min(batch, max(1, 32_768 // size))
        return Blocks(max(1, min(length, CACHE // (clips * size))), 1, clips)
    clips = min(batch, max(1, AT_ONCE // (256 * size)))
    tokens = min(length, max(1, AT_ONCE // (clips * size)))
    steps = max(1, math.isqrt(tokens))
    return Blocks(steps, -(-tokens // steps), clips)


def selective_scan(
    u: Float[Tensor, "b l e"],
    delta: Float[Tensor, "b l e"],
    A: Float[Tensor, "e n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    order: Order = "forward",
    blocks: Blocks | None = None,
) -> Float[Tensor, "b l e"]:
    """y of the recurrence above, in float32 (float64 for float64), also under autocast.

    order "backward" runs from the last token to the first: what flipping all inputs and the
    output would give. A token with delta 0 leaves the state as it is, so a batch is padded by
    delta 0. Without `blocks` the cut fits the device. Gradients of all five inputs, once.
    """
    kind = torch.float64 if u.dtype == torch.float64 else torch.float32
    with torch.autocast(u.device.type, enabled=False):
        u, delta, A, B, C = (x.to(kind) for x in (u, delta, A, B, C))
        batch, length, channels = u.shape
        if torch.compiler.is_exporting():  # nothing in place, no blocks by size
            return doubled_scan(u, delta, A, B, C, order)
        if blocks is None:
            blocks = blocks_for(batch, length, channels, A.shape[1], u.device.type)
        if blocks.chunks > 1 and (rest := -length % blocks.steps):  # delta 0: passed over
            u, delta, B, C = (F.pad(x, (0, 0, 0, rest)) for x in (u, delta, B, C))
        y: Tensor = Scan.apply(u, delta, A, B, C, order, blocks)  # type: ignore[no-untyped-call]
        return y[:, :length]


def doubled_scan(
    u: Float[Tensor, "b l e"],
    delta: Float[Tensor, "b l e"],
    A: Float[Tensor, "e n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    order: Order = "forward",
) -> Float[Tensor, "b l e"]:
    """The same in about log2 l steps over all tokens at once, each of which looks twice as far back
    (Hillis and Steele 1986): l log l work and whole states in memory, but a graph that is short and
    the same for every length. For export; up to MOST_TOKENS where the length is open.
    """
    length = u.shape[1]
    h = (delta * u)[..., None] * B[:, :, None]
    decay = (delta[..., None] * A).exp()
    reach, most = 1, length if type(length) is int else MOST_TOKENS
    while reach < most:
        h = h + decay * _earlier(h, reach, order, 0.0)
        decay = decay * _earlier(decay, reach, order, 1.0)
        reach *= 2
    return (h * C[:, :, None]).sum(3)


def _earlier(
    x: Float[Tensor, "b l e n"], count: int, order: Order, value: float
) -> Float[Tensor, "b l e n"]:
    """What lies `count` tokens before in this order; `value` where there is none."""
    length = x.shape[1]
    if order == "forward":
        return F.pad(x, (0, 0, 0, 0, count, 0), value=value)[:, :length]
    return F.pad(x, (0, 0, 0, 0, 0, count), value=value)[:, count:]


def sequential_scan(
    u: Float[Tensor, "b l e"],
    delta: Float[Tensor, "b l e"],
    A: Float[Tensor, "e n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
) -> Float[Tensor, "b l e"]:
    """The recurrence token by token as it is written: the reference that tests compare with."""
    h = u.new_zeros(u.shape[0], *A.shape)
    y = []
    for t in range(u.shape[1]):
        decay = (delta[:, t, :, None] * A).exp()
        h = decay * h + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        y.append((h * C[:, t, None]).sum(2))
    return torch.stack(y, 1)


# --- the work ------------------------------------------------------------------------------------


class Scan(torch.autograd.Function):
    """The scan with its adjoint: the same recurrence against the order of time."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        order: Order,
        blocks: Blocks,
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        rates, x, y = _rates(A), delta * u, torch.empty_like(u)
        room, starts = Room(2), list[Tensor]()
        for clips in _pieces(len(u), blocks.clips):
            state = rates.new_zeros(len(u[clips]), *rates.shape)
            for place in _blocks(u.shape[1], blocks, order):
                cut = Cut(clips, place, blocks.steps)
                a, h = room.of(cut, rates)
                cut.decays(delta, rates, a)
                cut.outer(x, B, h)
                if keep:
                    starts.append(state)
                state = advance(a, h, state, order)
                cut.put(y, _read(cut.of(C), h.whole))
        ctx.save_for_backward(u, delta, A, B, C, *starts)
        ctx.order, ctx.blocks = order, blocks
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """With g_t = C_t dy_t + v_{t+1} and v_t = a_t g_t, both of the size of h:

        dC = h . dy;  d(delta u) = B . g;  dB = g . delta u;  d(delta A) = v h_{t-1}
        """
        u, delta, A, B, C, *starts = ctx.saved_tensors
        order, blocks, rates = ctx.order, ctx.blocks, _rates(A)
        against: Order = "backward" if order == "forward" else "forward"
        x, base, room = delta * u, A.t().contiguous(), Room(4)
        dx, ddelta = torch.empty_like(u), torch.empty_like(u)
        dA, dB, dC = torch.zeros_like(base), torch.empty_like(B), torch.empty_like(C)
        places = list(_blocks(u.shape[1], blocks, order))
        for piece, clips in enumerate(_pieces(len(u), blocks.clips)):
            coming = rates.new_zeros(len(u[clips]), *rates.shape)
            for index in reversed(range(len(places))):
                cut, start = (
                    Cut(clips, places[index], blocks.steps),
                    starts[piece * len(places) + index],
                )
                a, h, g, v = room.of(cut, rates)
                cut.decays(delta, rates, a)
                cut.outer(x, B, h)
                advance(a, h, start, order)
                if cut.chunks > 1:  # then the decays have become products
                    cut.decays(delta, rates, a)
                cut.put(dC, torch.mul(h.whole, cut.wide(dy), out=g.whole).sum(4))
                cut.outer(dy, C, g)
                torch.mul(a.whole, g.whole, out=v.whole)
                before, coming = coming, advance(a, v, coming, against)
                _shifted(Tensor.add_, g.whole, v.whole, before, against)
                cut.put(dx, _read(cut.of(B), g.whole))
                cut.put(dB, torch.mul(g.whole, cut.wide(x), out=a.whole).sum(4))
                _shifted(Tensor.mul_, v.whole, h.whole, start, order)
                dA += torch.mul(v.whole, cut.wide(delta), out=a.whole).sum((0, 1, 2))
                cut.put(ddelta, v.whole.mul_(base).sum(3))
        ddelta.addcmul_(dx, u)
        return dx.mul_(delta), ddelta, dA.t(), dB, dC, None, None


class Numbers:
    """A number for each step, chunk, clip, state and channel of a block; `rows` are its steps."""

    def __init__(self, like: Tensor, shape: tuple[int, ...]):
        self.whole = like.new_empty(shape)
        self.rows = self.whole.unbind(0)


class Room:
    """Memory for blocks, taken once and used for all blocks of a shape: new pages cost time."""

    def __init__(self, count: int):
        self.count, self.known = count, dict[tuple[int, ...], list[Numbers]]()

    def of(self, cut: Cut, rates: Tensor) -> list[Numbers]:
        shape = (*cut.shape, *rates.shape)
        if shape not in self.known:
            self.known[shape] = [Numbers(rates, shape) for _ in range(self.count)]
        return self.known[shape]


@dataclasses.dataclass(frozen=True)
class Cut:
    """Some clips of one block; its tensors are (steps, chunks, clips, ...)."""

    clips: slice
    place: slice
    most: int  # steps of a chunk

    @property
    def shape(self) -> tuple[int, int, int]:
        length = self.place.stop - self.place.start
        steps = min(self.most, length)
        return steps, length // steps, self.clips.stop - self.clips.start

    @property
    def chunks(self) -> int:
        return self.shape[1]

    def of(self, x: Tensor) -> Tensor:
        """(b, l, k) -> its part, a view as (steps, chunks, clips, k)."""
        return x[self.clips, self.place].unflatten(1, (self.chunks, -1)).permute(2, 1, 0, 3)

    def wide(self, x: Tensor) -> Tensor:
        """The same for all states: (steps, chunks, clips, 1, k)."""
        return self.of(x)[..., None, :]

    def put(self, x: Tensor, values: Tensor) -> None:
        self.of(x).copy_(values)

    def decays(self, delta: Tensor, rates: Tensor, out: Numbers) -> None:
        torch.mul(self.wide(delta), rates, out=out.whole).exp2_()

    def outer(self, x: Tensor, B: Tensor, out: Numbers) -> None:
        """What each token adds to the state."""
        torch.mul(self.wide(x), self.of(B)[..., None], out=out.whole)


def advance(a: Numbers, s: Numbers, before: Tensor, order: Order) -> Tensor:
    """Make the inputs s of a block its states, in place; answer a copy of the last.

    a: decays, which become running products where there are several chunks; before: (clips, n, e).
    """
    decays, states, chunks = a.rows, s.rows, range(s.whole.shape[1])
    if order == "backward":
        decays, states, chunks = decays[::-1], states[::-1], chunks[::-1]
    if len(chunks) == 1 and s.whole.device.type == "cpu":
        # one call for all steps: on a CPU a list is worked off one after the other, so that each
        # step finds the state before it made
        torch._foreach_addcmul_(states, decays, (before[None], *states[:-1]))
        return states[-1][0].clone()
    if len(chunks) == 1:
        h = before[None]
        for decay, state in zip(decays, states):
            h = state.addcmul_(decay, h)
        return h[0].clone()
    for k in range(1, len(states)):
        states[k].addcmul_(decays[k], states[k - 1])
        decays[k].mul_(decays[k - 1])
    inherited, h = torch.empty_like(states[0]), before
    for chunk in chunks:
        inherited[chunk] = h
        h = torch.addcmul(states[-1][chunk], decays[-1][chunk], h)
    s.whole.addcmul_(a.whole, inherited)
    return h


def _shifted(
    act: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, first: Tensor, order: Order
) -> None:
    """x_t becomes `act` of x_t and the y that came before it in this order."""
    if order == "forward":
        act(x[1:], y[:-1])
        act(x[0, 1:], y[-1, :-1])
        act(x[0, 0], first)
    else:
        act(x[:-1], y[1:])
        act(x[-1, :-1], y[0, 1:])
        act(x[-1, -1], first)


def _read(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over states: (..., n), (..., n, e) -> (..., e)."""
    return (weights[..., None, :] @ states)[..., 0, :]


def _rates(A: Tensor) -> Tensor:
    """(n, e), for powers of two."""
    return (A * math.log2(math.e)).t().contiguous()


def _pieces(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _blocks(length: int, blocks: Blocks, order: Order) -> Iterator[slice]:
    """Where each block lies, in the order of the scan."""
    places = list(_pieces(length, blocks.steps * blocks.chunks))
    yield from places if order == "forward" else reversed(places)
