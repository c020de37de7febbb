"""Official checkpoints: clearvoice's .pt files, and the standalone encoder, decoder and masknet.

Nothing but the names of a file tells what it is: a rate, and whether the talkers' code is masked or
made (WHAMR), stand in no weight. `notes["checkpoint_name"]`, the file's or folder's name, tells
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.nn.rotary import rotary_rates
from sonograph.systems.separate.mossformer2.model import (
    Config,
    Learned,
    MossFormer2,
    Spectral,
    build,
)
from sonograph.systems.separate.mossformer2.net import Net
from sonograph.weights import rename

READS_NOTES = True

CONV_FEEDFORWARD = (  # below a feed-forward's name, ours
    ("mdl.0.g", "norm.gain"),
    ("mdl.0.{}", "norm.{}"),
    ("mdl.1.{}", "project.{}"),
    ("mdl.3.sequential.1.conv.weight", "conv.weight"),
)
ATTENTION = (
    *(
        (f"{theirs}.{a}", f"{ours}.{b}")
        for theirs, ours in (("to_hidden", "hidden"), ("to_qk", "shared"), ("to_out", "out"))
        for a, b in CONV_FEEDFORWARD
    ),
    ("qk_offset_scale.{}", "{}"),
)
RECURRENT = (
    ("conv1.0.{}", "enter.{}"),
    ("conv1.1.weight", "prelu.weight"),
    ("norm1.{}", "norm1.{}"),
    *((f"gated_fsmn.{u}.{a}", f"{u}.{b}") for u in ("to_u", "to_v") for a, b in CONV_FEEDFORWARD),
    ("gated_fsmn.fsmn.linear.{}", "fsmn.expand.{}"),
    ("gated_fsmn.fsmn.project.weight", "fsmn.project.weight"),
    ("gated_fsmn.fsmn.conv1.weight", "fsmn.memory.weight"),
    *(
        (f"gated_fsmn.fsmn.conv.{theirs.format(layer + 1)}", f"fsmn.memory.layers.{layer}.{ours}")
        for layer in range(4)
        for theirs, ours in (
            ("conv{}.weight", "weight"),
            ("norm{}.weight", "gain"),
            ("norm{}.bias", "bias"),
            ("prelu{}.weight", "slope"),
        )
    ),
    ("norm2.{}", "norm2.{}"),
    ("conv2.{}", "leave.{}"),
)
# published name below the mask network (the path of its stack cut to "stack"), ours there
MASK_NET = (
    ("norm.{}", "norm.{}"),
    ("conv1d_encoder.weight", "enter.weight"),
    ("pos_enc.scale", "position_scale"),
    *((f"stack.layers.{{}}.{a}", f"attention.{{}}.{b}") for a, b in ATTENTION),
    *((f"stack.fsmn.{{}}.{a}", f"recurrent.{{}}.{b}") for a, b in RECURRENT),
    ("stack_norm.{}", "norm_frames.{}"),
    ("intra_norm.{}", "norm_clip.{}"),
    ("prelu.weight", "prelu.weight"),
    ("conv1d_out.{}", "split.{}"),
    ("output.0.{}", "value.{}"),
    ("output_gate.0.{}", "gate.{}"),
    ("conv1_decoder.weight", "leave.weight"),
)
PUBLISHED_NAMES = (
    ("encoder.weight", "inside.encoder.weight"),
    ("decoder.weight", "inside.decoder.weight"),
    *((f"net.{a}", f"inside.net.{b}") for a, b in MASK_NET),
)
# facts, not weights: they follow from the sizes
FACTS = ("net.pos_enc.inv_freq", "net.stack.layers.{}.rotary_pos_emb.freqs")
# what stands before a weight's place in the network, and what takes its place
PATHS = (
    ("module.", ""),
    ("model.", ""),
    ("mask_net.", "net."),
    ("masknet.", "net."),
    ("mossformer.", "net."),
    ("enc.conv1d.", "encoder."),
    ("encoder.conv1d.", "encoder."),
    ("dec.", "decoder."),
    ("net.mdl.intra_mdl.mossformerM.", "net.stack."),
    ("net.mdl.intra_mdl.norm.", "net.stack_norm."),
    ("net.mdl.intra_norm.", "net.intra_norm."),
    ("net.dual_mdl.0.intra_mdl.mdl.flashT.", "net.stack."),
    ("net.dual_mdl.0.intra_mdl.mdl.norm.norm.", "net.stack_norm."),
    ("net.dual_mdl.0.intra_norm.", "net.intra_norm."),
)


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by their place in the network, whichever tool wrote them."""
    found = {}
    for name, value in state.items():
        for old, new in PATHS:
            if name.startswith(old):
                name = new + name[len(old) :]
        found[name] = value
    return found


def is_published(state: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of the MossFormer family, of a variant that we have or not."""
    return any("intra_mdl.mossformerM." in name or ".mdl.flashT." in name for name in state)


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours. Raises InputError for other variants of the family."""
    bare = _bare(state)
    if not any(name.startswith("net.stack.") for name in bare):
        raise InputError(
            "these are weights of the MossFormer family, but of no separator or enhancer that is "
            f"built (such as {next(iter(state))}): MossFormer2 of SS, SE_48K and the standalone "
            "files is read; of the latter give the folder that holds all three"
        )
    ours = {
        name: _reshaped(name, value)
        for name, value in rename(bare, PUBLISHED_NAMES, unused=FACTS).items()
    }
    turned = next((v for n, v in bare.items() if n.endswith("rotary_pos_emb.freqs")), None)
    facts = rotary_rates(32 if turned is None else 2 * len(turned))
    for name, value in bare.items():
        if name.endswith("rotary_pos_emb.freqs") and not torch.allclose(value.float(), facts):
            raise InputError(f"{name} holds other rotary frequencies than 10000^(-2j/d)")
    return ours | {"inside.net.frequencies.rates": facts}


def _reshaped(name: str, value: Tensor) -> Tensor:
    """Convolutions one sample wide as matrices, those of single channels without their axis."""
    if name == "inside.encoder.weight":
        return value[:, 0]
    if name == "inside.decoder.weight":
        return value[:, 0].T.contiguous()
    if name.endswith((".conv.weight", ".memory.weight")):
        return value.reshape(value.shape[0], -1)
    return value[..., 0] if value.ndim > 2 else value


def net_of(ours: Mapping[str, Tensor]) -> Net:
    """The sizes of a mask network; groups of 256 and the dropout stand in no weight."""
    net = "inside.net."
    blocks = {name.split(".")[3] for name in ours if name.startswith(f"{net}attention.")}
    first = f"{net}recurrent.0."
    plain, dilated = (ours.get(f"{first}fsmn.memory.{n}weight") for n in ("", "layers.0."))
    memory = plain if plain is not None else dilated
    hidden, width = ours[f"{net}attention.0.hidden.project.weight"].shape
    sizes = Net(
        width=width,
        depth=len(blocks),
        query_width=ours[f"{net}attention.0.gamma"].shape[1],
        turned=2 * len(ours[f"{net}frequencies.rates"]),
        expansion=hidden // width,
        conv_frames=ours[f"{net}attention.0.hidden.conv.weight"].shape[1],
    )
    if memory is None:
        return sizes.override(recurrence="none")
    return sizes.override(
        recurrence="dilated" if plain is None else "plain",
        recurrent_width=memory.shape[0],
        memory_frames=(memory.shape[-1] + 1) // 2,
    )


def config_from_published(state: Mapping[str, Tensor], name: str = "") -> Config:
    """The configuration that shapes tell, and what a file's `name` adds: see above.

    Raises InputError for a spectral network that is not SE_48K's.
    """
    ours, name = from_published(state), name.lower()
    net, last = net_of(ours), ours["inside.net.leave.weight"]
    split = ours["inside.net.split.weight"].shape[0] // net.width
    if "inside.encoder.weight" in ours:
        filters, size = ours["inside.encoder.weight"].shape
        answer = "direct" if "whamr" in name else "mask"
        standalone = not any("mossformerM" in key for key in state)
        return Config(
            rate_hz=8000 if "8k" in name or (standalone and "16k" not in name) else 16000,
            front=Learned(split, filters, size, answer),  # type: ignore[arg-type]
            net=net,
            level="keep" if standalone else "loud",
        )
    rows = ours["inside.net.norm.weight"].shape[0]
    if (rows, last.shape[0]) != (180, 961):
        raise InputError(
            f"this network makes {last.shape[0]} numbers of {rows} a frame; MossFormer2_SE_48K "
            "makes 961 of 180, and other networks on spectra (such as SR_48K) are not built"
        )
    return Config(rate_hz=48000, front=Spectral(spare=split - 1), net=net, window_s=4.0)


def load_published(
    state: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None
) -> MossFormer2:
    """An official checkpoint as a model; `notes["checkpoint_name"]` is its file's or folder's."""
    name = str((notes or {}).get("checkpoint_name", ""))
    model = build(config_from_published(state, name))
    model.load_state_dict(from_published(state))
    return model
