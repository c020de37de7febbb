"""What every way of adapting a model answers, and what it puts into the model.

A `Method` is a set of values that inserts modules into a model or sets weights of it free. What it
inserts is `Inserted`: it keeps the module in whose place it stands as its `base`. So the state of
an adapted model falls into two parts, the base's own weights under their own names
(`base_state`), and what the adaptation has to keep (`delta_state`).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.errors import InputError
from sonograph.nn.targets import Target, put, submodule

Objective = Callable[[Any, Any, torch.Generator], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Method(configuration.Config):
    """How a pre-trained model learns a task. `insert` finds everything frozen, and changes that.

    size: the field that a budget of trained numbers is spent on, "" if there is none.
    changes: nothing but the head ("head": vectors of the encoder can be made once), a few numbers
        beside the encoder's ("delta"), or the encoder itself ("encoder": it is kept as a whole).
    lr: a learning rate for a few hundred updates of a small model, for who has none.
    no_decay: patterns of weights that weight decay would harm.
    keeps_start: whether the adapted model begins as the given one, to the bit.
    """

    size: ClassVar[str] = ""
    least: ClassVar[int] = 1  # of the size
    changes: ClassVar[Literal["head", "delta", "encoder"]] = "delta"
    lr: ClassVar[float] = 5e-3
    no_decay: ClassVar[tuple[str, ...]] = ()
    keeps_start: ClassVar[bool] = True
    views: ClassVar[int] = 1  # of methods that change the head alone: vectors of each clip

    def insert(self, encoder: nn.Module) -> None:
        """Change `encoder` in place. Raises InputError where it lacks what the method needs."""
        raise NotImplementedError

    def reinsert(self, encoder: nn.Module, kept: Mapping[str, Tensor]) -> None:
        """As `insert`, and to the shapes that its stages left, for `kept` to be filled in.

        kept: what `delta_state` kept, or the whole state, under the names it has in `encoder`.
        """
        self.insert(encoder)

    def fit_head(self, model: nn.Module) -> None:
        """Change the head of a classifier, before it learns."""

    def stages(self) -> int:
        """Into how many trainings, each of all its updates, learning is divided."""
        return 1

    def begin(self, model: nn.Module, stage: int) -> None:
        """Change the model before stage 1, 2 ...: a pure function of the model as it is."""

    def objective(self, teach: Objective) -> Objective:
        """The loss of a batch: what it would be without the method, or something else.

        teach(model, batch, generator) -> {"loss": .., parts}. Of methods that change the head
        alone, the batch holds vectors and the model is what has a `head`.
        """
        return teach


class Inserted(nn.Module):
    """A module that an adaptation put into a model, in the place of `base` or beside everything.

    derived: names of its state that follow from the base's weights, and need not be kept.
    """

    base: nn.Module | None
    derived: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self.base = None

    def learn(self) -> None:
        """Go into training mode, without the base."""
        self.training = True
        for name, child in self.named_children():
            if name != "base":
                child.train()

    def merged(self) -> nn.Module:
        """A plain module of equal output. Raises InputError where there is none."""
        raise InputError(
            f"{type(self).__name__} is no linear change of the weights, so it cannot be merged: "
            "keep it beside the model"
        )


class Addition(nn.Module):
    """A learned addition to the output of a layer, linear in the layer's input.

    rank: of the change of the layer's weight, as far as it is a product of two matrices.
    """

    derived: ClassVar[tuple[str, ...]] = ()
    rank: int

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        """What is added to the output of a convolution `base`, from its input."""
        raise NotImplementedError

    def thin(self) -> tuple[Float[Tensor, "r inputs"], Float[Tensor, "outputs r"]] | None:
        """(down, up) of a change up @ down that a linear layer applies at once with its others."""
        return None

    def onto(self, y: Float[Tensor, "n outputs"], x: Float[Tensor, "n inputs"]) -> None:
        """Add in place to the outputs of a linear layer what `thin` does not hold."""

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """The same as a change of the layer's weight, kernels flattened with the inputs."""
        raise NotImplementedError

    def narrow(self, outputs: Tensor | None, inputs: Tensor | None) -> None:
        """Follow a layer that keeps only these of its outputs and inputs; None: all of them."""
        raise InputError(
            f"{type(self).__name__} cannot follow a layer that loses heads: leave one of them out"
        )


WORTH = 0.9  # of the multiplications: above, a weight is not made for one pass


class Adapted(Inserted):
    """A linear or convolutional layer with additions beside it; the layer stays as it is."""

    base: nn.Module

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base
        self.additions = nn.ModuleDict()
        self.rows: dict[str, tuple[int, int] | None] = {}

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.base, nn.Linear):
            y = self.base(x)
            for addition in self.additions.values():
                y = y + addition(x, self.base)
            return y
        flat = x.reshape(-1, x.shape[-1])
        if self._as_a_weight(flat):
            return F.linear(x, self.weight, self.bias)
        y = self.base(flat)  # of nobody else, so that what is added needs no memory of its own
        self._add_thin(y, flat)
        for name, addition in self.additions.items():
            rows = self.rows[name]
            addition.onto(y if rows is None else y[:, slice(*rows)], flat)  # type: ignore[operator]
        return y.view(*x.shape[:-1], y.shape[-1])

    def _add_thin(self, y: Float[Tensor, "n outputs"], x: Float[Tensor, "n inputs"]) -> None:
        """Add all that is thin in one pass over y: what moves memory is what costs time here."""
        downs, ups = [], []
        for name, addition in self.additions.items():
            if (factors := addition.thin()) is None:  # type: ignore[operator]
                continue
            down, up = factors
            if rows := self.rows[name]:
                up = F.pad(up, (0, 0, rows[0], y.shape[1] - rows[1]))
            downs.append(down)
            ups.append(up)
        if downs:
            down, up = (
                (downs[0], ups[0]) if len(downs) == 1 else (torch.cat(downs), torch.cat(ups, 1))
            )
            add_product(y, F.linear(x, down), up)

    def _as_a_weight(self, x: Float[Tensor, "n inputs"]) -> bool:
        """Whether adding to the weight first takes clearly fewer multiplications for these inputs.

        With n inputs, a layer of i inputs and o outputs and changes of rank r: n i o + n r (i + o)
        beside it, n i o + r i o within, each once more for the gradients, and n i o for that of the
        weight. A traced model keeps one way for inputs of every length.
        """
        if torch.compiler.is_compiling():
            return False
        n, (outputs, inputs) = len(x), self.base.weight.shape  # type: ignore[union-attr, misc]
        passes, beside, within = 1, 0, 0
        addition: Any
        for name, addition in self.additions.items():
            low, high = self.rows[name] or (0, outputs)
            beside += n * addition.rank * (inputs + high - low)
            within += addition.rank * inputs * (high - low)
        plain = n * inputs * outputs
        if torch.is_grad_enabled():
            beside, within = 2 * beside, 2 * within + plain
            passes = 2
        return passes * plain + within < WORTH * (passes * plain + beside)

    @property
    def weight(self) -> Tensor:
        """The weight of the plain layer that would do the same; gradients reach the additions."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        for name, addition in self.additions.items():
            change: Tensor = addition.matrix()  # type: ignore[operator]
            if rows := self.rows[name]:
                change = F.pad(change, (0, 0, rows[0], len(weight) - rows[1]))
            weight = weight + change.view_as(weight)
        return weight

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias  # type: ignore[return-value]

    @torch.no_grad()
    def merged(self) -> nn.Module:
        plain = copy.deepcopy(self.base)
        plain.weight.copy_(self.weight)  # type: ignore[operator, union-attr]
        return plain


def add(model: nn.Module, target: Target, name: str, addition: Addition) -> None:
    """Put an addition on a layer that `targets.select` found."""
    layer = submodule(model, target.place)
    if not isinstance(layer, Adapted):
        layer = Adapted(layer)
        put(model, target.place, layer)
    key = name if target.rows is None else f"{name}_{target.name.rpartition('.')[2]}"
    if key in layer.additions:
        raise InputError(f"{target.name} carries {name} already: begin with a fresh model")
    layer.additions[key] = addition
    layer.rows[key] = target.rows


def add_product(
    y: Float[Tensor, "n outputs"], x: Float[Tensor, "n r"], up: Float[Tensor, "outputs r"]
) -> None:
    """y += x up^T, in the precision of y: in mixed precision nothing else would cast in place."""
    y.addmm_(x.to(y.dtype), up.T.to(y.dtype))


def convolved(
    x: Tensor, base: Any, down: Float[Tensor, "r inputs"], up: Float[Tensor, "outputs r"]
) -> Tensor:
    """up (down x), with x as a convolution `base` reads it."""
    kernel = down.view(len(down), *base.weight.shape[1:])
    convolve: Any = F.conv2d if isinstance(base, nn.Conv2d) else F.conv1d
    narrow = convolve(x, kernel, None, base.stride, base.padding, base.dilation)
    return convolve(narrow, up.view(*up.shape, *(1 for _ in kernel.shape[2:])))


# --- the two parts of a state --------------------------------------------------------------------


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the model without what was inserted, under the names they had before."""
    found = ((_base_name(model, key), value) for key, value in model.state_dict().items())
    return {name: value for name, value in found if name is not None}


def delta_state(model: nn.Module) -> dict[str, Tensor]:
    """What an adaptation has to keep: what learns, and what was inserted and is not derived."""
    learns = {name for name, weight in model.named_parameters() if weight.requires_grad}
    return {
        key: value
        for key, value in model.state_dict().items()
        if key in learns or (_base_name(model, key) is None and not _is_derived(model, key))
    }


def load_delta(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill in what `delta_state` kept. Raises InputError in one line for what does not fit."""
    own = model.state_dict()
    asked = set(delta_state(model))
    if missing := sorted(asked - state.keys()):
        raise InputError(f"{where} lacks weights: {', '.join(missing[:3])}")
    if unknown := sorted(state.keys() - own.keys()):
        raise InputError(f"{where} has unknown weights: {', '.join(unknown[:3])}")
    for name, value in state.items():
        if own[name].shape != value.shape:
            shapes = f"{tuple(value.shape)}, the model's is {tuple(own[name].shape)}"
            raise InputError(f"{where}: {name} has shape {shapes}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{where}: {name} holds values that are not finite")
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)


def merge(model: nn.Module) -> nn.Module:
    """Replace all that was inserted by plain modules of equal output, in place."""
    inserted = [(name, part) for name, part in model.named_modules() if isinstance(part, Inserted)]
    for name, part in reversed(inserted):  # what stands inside another one first
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, part.merged())
    return model


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of the weights: which model a delta belongs to.

    Of a model that is adapted itself, what was inserted counts as well, but for what is derived:
    its last bits may differ from one machine to the next.
    """
    digest = hashlib.sha256()
    kept = {n: v for n, v in model.state_dict().items() if not _is_derived(model, n)}
    for name, value in sorted(kept.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def shared_copy(model: nn.Module) -> nn.Module:
    """New modules around the same tensors: to adapt one model in several ways at once.

    What an adaptation then learns must not be written into the shared tensors: see `own`.
    """
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def own(model: nn.Module, names: Sequence[str]) -> None:
    """Give a shared copy its own tensors under these names."""
    for name in names:
        parent, _, last = name.rpartition(".")
        module = model.get_submodule(parent)
        if last in module._parameters:
            weight = module._parameters[last]
            assert weight is not None
            setattr(module, last, nn.Parameter(weight.detach().clone()))
        else:
            setattr(module, last, getattr(module, last).clone())


def _base_name(model: nn.Module, key: str) -> str | None:
    """The name of a weight before anything was inserted; None for what was."""
    kept, module = [], model
    for part in key.split("."):
        if isinstance(module, Inserted):
            if part != "base" or module.base is None:
                return None
            module = module.base
            continue
        kept.append(part)
        module = getattr(module, part, module)
    return ".".join(kept)


def _is_derived(model: nn.Module, key: str) -> bool:
    parent, _, last = key.rpartition(".")
    return last in getattr(model.get_submodule(parent), "derived", ())
