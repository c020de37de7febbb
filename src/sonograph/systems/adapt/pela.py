"""PELA: a pre-trained encoder with half its weights or fewer, made by cutting off and repairing.

For whoever has to run an encoder on a small machine, and wants to fine-tune the small one as any
other. Guo, Wang, Kankanhalli, "PELA: Learning Parameter-Efficient Models with Low-Rank
Approximation", CVPR 2024. Every linear layer of the blocks becomes two thin ones by a truncated
singular value decomposition; in an intermediate pre-training the thin encoder then learns to answer
in each block as the encoder that it was made from did.

    W x + b  ->  R (L x) + b       L = sqrt(s) V^T (k, inputs), R = U sqrt(s) (outputs, k)
    k = floor(inputs outputs / (ratio (inputs + outputs)))
    loss = task + alpha FD + beta (logits) + gamma WP
    FD: mean squared difference of all tokens after each block
    WP: mean over layers of (max |R L - W| - eps)^2

Published: about 0.6 points lost with a third to two thirds of the parameters gone (abstract).

Three ways in: `adapt --method pela` with a task's labels, `sonograph compress` on any sound without
labels, and `compressed` for the cut alone. What comes out is a plain encoder of plain weights.

Ours, where nothing is published for sound: the new head of a task reads the teacher's vectors too,
where logits are compared; tokens of padding count for nothing; encoders whose linear layers lie
outside of blocks are compared after those layers.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method, Objective
from sonograph.nn.targets import fits, targets
from sonograph.nn.thin import Compression, Thin, compress, compression_of, thin_rank
from sonograph.registry import About, register_method

FEWEST = 10  # outputs: layers with fewer are kept, as in the official code
SKIP = "*norm*|*head*|*patch*|*downsample*"  # names that the official code skips in DeiT and Swin
STACKS = ("blocks", "layers")  # what lists of blocks are called in the house


# --- which layers, and how thin ------------------------------------------------------------------


def compression(encoder: nn.Module, ratio: float, where: str = "", skip: str = SKIP) -> Compression:
    """The ranks at which the chosen layers together have `ratio` times fewer weights.

    where: patterns of names (see `nn.targets.select`); "" for all linear layers of the blocks, or
    of the encoder where none lies in a block. A fused layer is one matrix. Raises InputError for a
    ratio below 1 and where no layer is left.
    """
    if not ratio >= 1:
        raise InputError(f"a ratio of {ratio:g} would make the layers larger: it is at least 1")
    linear = {
        name: layer for name, layer in encoder.named_modules() if type(layer) is nn.Linear and name
    }
    if where:
        chosen = [name for name in linear if fits(name, where)]
    else:
        stacks = tuple(f"{name}." for name in _stacks(encoder))
        chosen = [name for name in linear if name.startswith(stacks)] or list(linear)
    ranks = {
        name: rank
        for name in chosen
        if linear[name].out_features >= FEWEST
        and not (skip and fits(name, skip))
        and (rank := thin_rank(linear[name].in_features, linear[name].out_features, ratio)) >= 1
    }
    if not ranks:
        known = ", ".join(target.name for target in targets(encoder) if target.name in linear)
        raise InputError(
            f"there is no linear layer to make thin where={where or 'all blocks'} skip={skip} "
            f"ratio={ratio:g}; linear layers are: {known[:120] or 'none'}"
        )
    return Compression(float(ratio), ranks)


def compressed(encoder: Any, ratio: float = 2.0, where: str = "", skip: str = SKIP) -> Any:
    """A copy of an encoder with thin layers, as the decomposition leaves it: to be repaired."""
    small = copy.deepcopy(encoder)
    _require_dense(small)
    compress(small, compression(small, ratio, where, skip))
    return small


def _stacks(encoder: nn.Module) -> list[str]:
    """Names of the lists of blocks, outermost first; those inside of a block are left out."""
    found: list[str] = []
    for name, part in encoder.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(part, nn.ModuleList) and name.rpartition(".")[2] in STACKS and not inner:
            found.append(name)
    return found


def _require_dense(encoder: nn.Module) -> None:
    if known := compression_of(encoder):
        raise InputError(
            f"the encoder is compressed already, at ratio {known.ratio:g}: begin with the one that "
            "it was made from, or fine-tune it with --method full"
        )


# --- losses --------------------------------------------------------------------------------------


def feature_distillation(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    masks: Sequence[Bool[Tensor, "b n"] | None] | None = None,
) -> Float[Tensor, ""]:
    """L_FD: the mean over blocks of the mean squared difference; masks: the tokens that count."""
    found = []
    for place, (ours, theirs) in enumerate(zip(student, teacher, strict=True)):
        difference = (ours.float() - theirs.float()).square()
        mask = masks[place] if masks else None
        if mask is not None and mask.shape == difference.shape[:2]:
            difference = difference[mask]
        found.append(difference.mean())
    return torch.stack(found).mean()


def weight_perturbation(
    layers: Sequence[Thin], dense: Sequence[Float[Tensor, "outputs inputs"]], slack: float = 1e-3
) -> Float[Tensor, ""]:
    """L_WP: the mean over layers of (max |R L - W| - eps)^2, the largest of all entries."""
    furthest = [(thin.weight - w).abs().max() for thin, w in zip(layers, dense, strict=True)]
    return (torch.stack(furthest) - slack).square().mean()


# --- the teacher, and what is listened to --------------------------------------------------------


@contextmanager
def _recorded(
    encoder: nn.Module, places: Sequence[str]
) -> Iterator[list[tuple[Tensor, Tensor | None]]]:
    """(output, mask of its tokens) of each place, every time that it is passed in this block."""
    heard: list[tuple[Tensor, Tensor | None]] = []

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        masks = [x for x in given if isinstance(x, Tensor) and x.dtype == torch.bool]
        outputs = output if isinstance(output, tuple) else (output,)
        heard.extend((x, masks[0] if masks else None) for x in outputs if _holds_tokens(x))

    hooks = [encoder.get_submodule(name).register_forward_hook(note) for name in places]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _holds_tokens(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.ndim >= 2


def _places(encoder: nn.Module, ranks: Mapping[str, int]) -> list[str]:
    """Where student and teacher are compared: after each block, and after thin layers outside."""
    stacks = _stacks(encoder)
    blocks = [f"{name}.{k}" for name in stacks for k in range(len(encoder.get_submodule(name)))]  # type: ignore[arg-type]
    alone = [name for name in ranks if not name.startswith(tuple(f"{s}." for s in stacks))]
    return [*blocks, *alone]


class Repairing:
    """An objective beside which the thin encoder learns to answer as its teacher.

    The objective is run twice with equal draws: on the student, and without gradients on the
    teacher in the student's place, under the same head and what else stands around the encoder. So
    both see the same input once, whatever the objective hides or disturbs.
    """

    def __init__(self, method: PELA, teach: Objective):
        self.method, self.teach = method, teach
        self.teacher: Any = None
        self.around: nn.Module | None = None  # the model with the teacher in the encoder's place

    def __call__(
        self, model: Any, batch: Any, generator: torch.Generator
    ) -> Mapping[str, Tensor | float]:
        encoder = getattr(model, "encoder", model)
        if self.teacher is None:
            self.teacher = encoder.__dict__.pop("teacher", None)
            if self.teacher is None:  # it was compressed before: there is no one to learn from
                return self.teach(model, batch, generator)
            self.teacher.to(next(encoder.parameters()).device)
            self.around = _around(model, encoder, self.teacher)
        assert self.around is not None
        ranks = encoder.compression.ranks
        places = _places(encoder, ranks) if self.method.feature else []
        drawn, drawn_globally = generator.get_state(), torch.get_rng_state()
        with _recorded(encoder, places) as ours, _logits(model) as answers:
            parts = dict(self.teach(model, batch, generator))
        parts["task"] = parts["loss"]
        theirs: list[tuple[Tensor, Tensor | None]] = []
        if self.method.feature or self.method.logits:
            again = torch.Generator().set_state(drawn)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.set_rng_state(drawn_globally)
                with _recorded(self.teacher, places) as theirs, _logits(model) as wanted:
                    self.teach(self.around, batch, again)
        if self.method.feature:
            parts["features"] = feature_distillation(
                [x for x, _ in ours], [x for x, _ in theirs], [mask for _, mask in ours]
            )
            parts["loss"] = parts["loss"] + self.method.feature * parts["features"]
        if self.method.logits:
            if not answers:
                raise InputError("there are no logits to compare without labels: set logits=0")
            parts["logits"] = torch.nn.functional.mse_loss(answers[0], wanted[0])
            parts["loss"] = parts["loss"] + self.method.logits * parts["logits"]
        if self.method.perturbation:
            layers: list[Any] = [encoder.get_submodule(name) for name in ranks]
            dense = [self.teacher.get_submodule(name).weight for name in ranks]
            parts["weights"] = weight_perturbation(layers, dense, self.method.slack)
            parts["loss"] = parts["loss"] + self.method.perturbation * parts["weights"]
        return parts


@contextmanager
def _logits(model: nn.Module) -> Iterator[list[Tensor]]:
    """What the model's head answers in this block; nothing where it has none."""
    heard: list[Tensor] = []
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Module):
        yield heard
        return
    hook = head.register_forward_hook(lambda module, given, output: heard.append(output))
    try:
        yield heard
    finally:
        hook.remove()


def _around(model: nn.Module, encoder: nn.Module, teacher: nn.Module) -> nn.Module:
    """The same model, sharing all of its parts, with the teacher in the encoder's place."""
    if model is encoder:
        return teacher
    other = copy.copy(model)
    other.__dict__["_modules"] = {**model._modules, "encoder": teacher}
    return other


def _teacher_of(encoder: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """A frozen copy that takes the dense weights over, since the student will not keep them."""
    taken = {
        id(weight): weight
        for name in ranks
        for weight in encoder.get_submodule(name).parameters(recurse=False)
    }
    return copy.deepcopy(encoder, taken).eval().requires_grad_(False)


# --- the method ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PELA(Method):
    """Linear layers become thin; all weights learn, beside what the dense encoder answers.

    ratio: how many times fewer weights the chosen layers have. feature, logits, perturbation: the
    weights alpha, beta, gamma of the losses; slack: eps, below which a weight may be off.

    An encoder that was compressed at this ratio before is not decomposed again: all of it is
    fine-tuned, which is what the paper does downstream.
    """

    changes: ClassVar[Literal["head", "delta", "encoder"]] = "encoder"
    lr: ClassVar[float] = 3e-4  # larger ones undo what the decomposition kept
    keeps_start: ClassVar[bool] = False

    ratio: float = 2.0
    feature: float = 1.0
    logits: float = 0.0
    perturbation: float = 1.0
    slack: float = 1e-3
    where: str = ""
    skip: str = SKIP

    def __post_init__(self) -> None:
        if not self.ratio >= 1:
            raise InputError(f"PELA's ratio is {self.ratio:g}: it is at least 1")
        for name in ("feature", "logits", "perturbation", "slack"):
            if not getattr(self, name) >= 0:
                raise InputError(f"PELA's {name} is {getattr(self, name):g}: it is at least 0")

    def insert(self, encoder: nn.Module) -> None:
        known = compression_of(encoder)
        if known is None or known.ratio != self.ratio:
            _require_dense(encoder)
            chosen = compression(encoder, self.ratio, self.where, self.skip)
            teacher = _teacher_of(encoder, chosen.ranks)
            compress(encoder, chosen)
            if self.feature or self.logits or self.perturbation:
                # no part of the model: neither saved nor trained, and the objective takes it away
                encoder.__dict__["teacher"] = teacher
        encoder.requires_grad_(True)

    def objective(self, teach: Objective) -> Objective:
        return Repairing(self, teach)


# --- presets -------------------------------------------------------------------------------------


@register_method("pela", system="pela", note="half the weights of the blocks, repaired")
def pela() -> PELA:
    return PELA()


@register_method("pela-svd", system="pela", note="cut off and fine-tuned, without a teacher")
def pela_svd() -> PELA:
    return PELA(feature=0.0, perturbation=0.0)


@register_method("pela-deit", system="pela", note="published for DeiT: ratio 2, features alone")
def pela_deit() -> PELA:
    return PELA(perturbation=0.0)


@register_method("pela-swin", system="pela", note="published for Swin: ratio 1.5, some layers kept")
def pela_swin() -> PELA:
    return PELA(ratio=1.5, slack=0.0, skip=f"{SKIP}|attention.project")


@register_method("pela-albef", system="pela", note="published for ALBEF: ratio 3")
def pela_albef() -> PELA:
    return PELA(ratio=3.0, feature=0.1)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="An encoder with half its weights: low-rank layers, repaired beside the one they are "
    "made of.",
    use=(
        "A trained encoder is too large or too slow where it has to run, and the small one is to "
        "be fine-tuned as any other.",
        "Sound without labels is at hand: `sonograph compress` repairs on any clips.",
        "Fewer weights and fewer multiplications on any machine, without special kernels.",
    ),
    avoid=(
        "One backbone serves many tasks: a change beside it (LoRA, SVFit) keeps it shared.",
        "Narrow layers: below a width of some 200 two thin products are hardly faster than one.",
        "Encoders of convolutions: only linear layers become thin.",
    ),
    paper="Yangyang Guo, Guangzhi Wang, Mohan Kankanhalli, CVPR 2024",
    figures=(
        "a third to two thirds of the parameters gone, about 0.6 points lost (abstract)",
        "DeiT-B of 86.6 M parameters: 58.2 M at ratio 1.5, 44.1 M at 2, 29.9 M at 3 (by the rule)",
    ),
    code_licence="Apache-2.0",
    weights_licence="no weights are published",
    deviations=(
        "The weight perturbation loss is on by default, as in the paper; in the official code for "
        "DeiT its weight is 0 unless set: `pela-deit`.",
        "The objective runs once on the student and once on the teacher, with the same draws.",
        "Tokens of padding do not count in the feature loss.",
        "Where a task's head is new, logits are those of that one head on the vectors of both; "
        "published weight 0.",
        "Layers too small for a rank of one stay dense, and so do those with fewer than ten "
        "outputs, as in the official code.",
    ),
    faults=(
        "The engine for DeiT runs the student twice a step when it distils.",
        "A decomposition with full matrices, which wastes memory; fixed to a GPU.",
        "Millions of parameters are printed with a divisor ten times too large (ALBEF).",
        "Teacher and student are matched by names that agree only because both are wrapped alike.",
    ),
    verbs=("adapt", "compress", "evaluate", "embed", "tag"),
    golden=("pela",),
    checks=(),
)
