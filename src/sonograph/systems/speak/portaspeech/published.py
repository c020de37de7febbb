"""Official weights, both ways: names of NATSpeech and ours.

A published state holds the gated layers of the post-net once for every step that shares them; ours
holds them once for each group. Steps are grouped as their weights are found equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.nn.weight_norm import normed
from sonograph.systems.speak.portaspeech.model import Config, PortaSpeech
from sonograph.weights import rename


def _encoder(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"{theirs}.pre.conv_layers.{{}}.{{}}", f"{ours}.prenet.convs.{{}}.{{}}"),
        (f"{theirs}.pre.norm_layers.{{}}.gamma", f"{ours}.prenet.norms.{{}}.weight"),
        (f"{theirs}.pre.norm_layers.{{}}.beta", f"{ours}.prenet.norms.{{}}.bias"),
        (f"{theirs}.pre.proj.{{}}", f"{ours}.prenet.project.{{}}"),
        (
            f"{theirs}.encoder.attn_layers.{{}}.emb_rel_k",
            f"{ours}.blocks.{{}}.attention.relative_keys",
        ),
        (
            f"{theirs}.encoder.attn_layers.{{}}.emb_rel_v",
            f"{ours}.blocks.{{}}.attention.relative_values",
        ),
        (
            f"{theirs}.encoder.attn_layers.{{}}.conv_q.{{}}",
            f"{ours}.blocks.{{}}.attention.query.{{}}",
        ),
        (
            f"{theirs}.encoder.attn_layers.{{}}.conv_k.{{}}",
            f"{ours}.blocks.{{}}.attention.key.{{}}",
        ),
        (
            f"{theirs}.encoder.attn_layers.{{}}.conv_v.{{}}",
            f"{ours}.blocks.{{}}.attention.value.{{}}",
        ),
        (
            f"{theirs}.encoder.attn_layers.{{}}.conv_o.{{}}",
            f"{ours}.blocks.{{}}.attention.project.{{}}",
        ),
        (f"{theirs}.encoder.norm_layers_1.{{}}.gamma", f"{ours}.blocks.{{}}.norm1.weight"),
        (f"{theirs}.encoder.norm_layers_1.{{}}.beta", f"{ours}.blocks.{{}}.norm1.bias"),
        (
            f"{theirs}.encoder.ffn_layers.{{}}.conv_1.{{}}",
            f"{ours}.blocks.{{}}.feedforward.expand.{{}}",
        ),
        (
            f"{theirs}.encoder.ffn_layers.{{}}.conv_2.{{}}",
            f"{ours}.blocks.{{}}.feedforward.contract.{{}}",
        ),
        (f"{theirs}.encoder.norm_layers_2.{{}}.gamma", f"{ours}.blocks.{{}}.norm2.weight"),
        (f"{theirs}.encoder.norm_layers_2.{{}}.beta", f"{ours}.blocks.{{}}.norm2.bias"),
        (f"{theirs}.encoder.last_ln.gamma", f"{ours}.norm.weight"),
        (f"{theirs}.encoder.last_ln.beta", f"{ours}.norm.bias"),
    )


def _wavenet(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"{theirs}.in_layers.{{}}.{{}}", f"{ours}.layers.gates.{{}}.{{}}"),
        (f"{theirs}.res_skip_layers.{{}}.{{}}", f"{ours}.layers.outputs.{{}}.{{}}"),
        (f"{theirs}.cond_layer.{{}}", f"{ours}.condition.{{}}"),
    )


# published name, our name; what stands in braces is a number or the last part of a name. Numbers of
# flows are the published ones here: see `_renumbered`
PUBLISHED_NAMES = (
    ("encoder.emb.weight", "embedding.weight"),
    *_encoder("encoder", "phone_encoder"),
    *_encoder("ph2word_encoder", "word_encoder"),
    ("dur_predictor.conv.{}.0.{}", "durations.convolutions.{}.{}"),
    ("dur_predictor.conv.{}.2.{}", "durations.norms.{}.{}"),
    ("dur_predictor.linear.0.{}", "durations.project.{}"),
    ("enc_pos_proj.{}", "attention.phone.{}"),
    ("dec_query_proj.{}", "attention.frame.{}"),
    ("dec_res_proj.{}", "attention.residual.{}"),
    ("attn.in_proj_weight", "attention.joined"),  # query, key and value as one
    ("attn.out_proj.weight", "attention.project.weight"),
    ("word_pos_proj.{}", "attention.position.{}"),
    ("fvae.g_pre_net.0.{}", "vae.condition.{}"),
    ("fvae.encoder.pre_net.0.{}", "vae.posterior.start.{}"),
    *_wavenet("fvae.encoder.nn", "vae.posterior.wavenet"),
    ("fvae.encoder.out_proj.{}", "vae.posterior.project.{}"),
    ("fvae.prior_flow.flows.{}.pre.{}", "vae.prior.couplings.{}.start.{}"),
    *_wavenet("fvae.prior_flow.flows.{}.enc", "vae.prior.couplings.{}.wavenet"),
    ("fvae.prior_flow.flows.{}.post.{}", "vae.prior.couplings.{}.end.{}"),
    ("fvae.decoder.pre_net.0.{}", "vae.decoder.start.{}"),
    *_wavenet("fvae.decoder.nn", "vae.decoder.wavenet"),
    ("fvae.decoder.out_proj.{}", "vae.decoder.project.{}"),
    ("post_flow.flows.{}.logs", "post_net.steps.{}.norm.log_scale"),
    ("post_flow.flows.{}.bias", "post_net.steps.{}.norm.shift"),
    ("post_flow.flows.{}.l", "post_net.steps.{}.mixing.lower"),
    ("post_flow.flows.{}.u", "post_net.steps.{}.mixing.upper"),
    ("post_flow.flows.{}.log_s", "post_net.steps.{}.mixing.log_diagonal"),
    ("post_flow.flows.{}.p", "post_net.steps.{}.mixing.permutation"),
    ("post_flow.flows.{}.sign_s", "post_net.steps.{}.mixing.sign"),
    ("post_flow.flows.{}.start.{}", "post_net.steps.{}.coupling.start.{}"),
    ("post_flow.flows.{}.end.{}", "post_net.steps.{}.coupling.end.{}"),
    ("post_flow.flows.{}.wn.cond_layer.{}", "post_net.steps.{}.coupling.condition.{}"),
    ("post_flow.flows.{}.wn.in_layers.{}.{}", "post_net.layers.{}.gates.{}.{}"),
    ("post_flow.flows.{}.wn.res_skip_layers.{}.{}", "post_net.layers.{}.outputs.{}.{}"),
)
# a triangle of ones and the unit matrix
UNUSED = ("post_flow.flows.{}.l_mask", "post_flow.flows.{}.eye")

# layers with weight norm; a file may have lost it
NORMED = r"(in_layers\.\d+|res_skip_layers\.\d+|cond_layer|post_flow\.flows\.\d+\.start)$"

COUPLING = re.compile(r"(vae\.prior\.couplings)\.(\d+)\.")
STEP = re.compile(r"(post_net\.steps)\.(\d+)\.(\w+)\.")
LAYERS = re.compile(r"(post_net\.layers)\.(\d+)\.")
PLACE = {"norm": 0, "mixing": 1, "coupling": 2}  # of a step's three flows


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official PortaSpeech file."""
    bare = {name.removeprefix("model.") for name in names}
    return {"encoder.emb.weight", "fvae.g_pre_net.0.weight", "enc_pos_proj.weight"} <= bare


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours; raises InputError where weights that are one network differ."""
    bare = _bare(state)
    sharing = _sharing(bare)
    found = rename(bare, PUBLISHED_NAMES, UNUSED)
    ours: dict[str, Tensor] = {}
    for name, value in found.items():
        name = COUPLING.sub(lambda m: f"{m[1]}.{int(m[2]) // 2}.", name)
        name = STEP.sub(lambda m: f"{m[1]}.{int(m[2]) // 3}.{m[3]}.", name)
        name = LAYERS.sub(lambda m: f"{m[1]}.{int(m[2]) // 3 // sharing}.", name)
        value = _reshaped(name, value)
        if name in ours and not torch.equal(ours[name], value):
            raise InputError(f"steps share {name}, but the file holds different weights for them")
        ours[name] = value
    for part, value in zip(("query", "key", "value"), ours.pop("attention.joined").chunk(3)):
        ours[f"attention.{part}.weight"] = value
    return ours


def to_published(model: PortaSpeech) -> dict[str, Tensor]:
    """The weights under their official names, repeated where official files repeat them."""
    config, state = model.config, dict(model.state_dict())
    parts = [state.pop(f"attention.{part}.weight") for part in ("query", "key", "value")]
    state["attention.joined"] = torch.cat(parts)
    numbered: dict[str, Tensor] = {}
    for name, value in state.items():
        if "attention.relative_" in name:
            value = value[None]
        name = COUPLING.sub(lambda m: f"{m[1]}.{2 * int(m[2])}.", name)
        name = STEP.sub(lambda m: f"{m[1]}.{3 * int(m[2]) + PLACE[m[3]]}.{m[3]}.", name)
        if shared := LAYERS.match(name):
            first = int(shared[2]) * config.post_sharing
            for step in range(first, min(first + config.post_sharing, config.post_steps)):
                numbered[LAYERS.sub(f"{shared[1]}.{3 * step + 2}.", name)] = value
        else:
            numbered[name] = value
    theirs = rename(numbered, [(ours, published) for published, ours in PUBLISHED_NAMES])
    for name in [name for name in theirs if name.endswith(".log_s")]:
        size = len(theirs[name])
        theirs[name.replace(".log_s", ".l_mask")] = torch.ones(size, size).tril(-1)
        theirs[name.replace(".log_s", ".eye")] = torch.eye(size)
    return theirs


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes.

    The deviation of the post-net's noise stands in no file: 0.6 for models as narrow as the small
    one, 0.8 for others.
    """
    bare = _bare(state)
    if (
        "word_encoder.emb.weight" in bare
        or "fvae.decoder.nn.res_blocks.0.blocks.0.1.weight" in bare
    ):
        raise InputError(
            "this PortaSpeech has word embeddings or plain convolutions, as in the configurations "
            "after the paper: only the NeurIPS 2021 ones are built"
        )
    tokens, width = bare["encoder.emb.weight"].shape
    inner, _, kernel = bare["encoder.encoder.ffn_layers.0.conv_1.weight"].shape
    _, reach, head = bare["encoder.encoder.attn_layers.0.emb_rel_k"].shape
    _, vae_width, vae_kernel = bare["fvae.encoder.nn.in_layers.0.weight_v"].shape
    prior = "fvae.prior_flow.flows"
    _, prior_width, prior_kernel = bare[f"{prior}.0.enc.in_layers.0.weight_v"].shape
    post = "post_flow.flows"
    _, post_width, post_kernel = bare[f"{post}.2.wn.in_layers.0.weight_v"].shape
    return Config(
        alphabet="natspeech",  # whose table lies beside the file
        tokens=tokens,
        width=width,
        encoder_inner=inner,
        encoder_kernel=kernel,
        encoder_depth=_count(bare, r"encoder\.encoder\.attn_layers\.(\d+)\."),
        num_heads=width // head,
        window=(reach - 1) // 2,
        word_depth=_count(bare, r"ph2word_encoder\.encoder\.attn_layers\.(\d+)\."),
        duration_layers=_count(bare, r"dur_predictor\.conv\.(\d+)\."),
        duration_kernel=bare["dur_predictor.conv.0.0.weight"].shape[2],
        vae_width=vae_width,
        vae_kernel=vae_kernel,
        posterior_layers=_count(bare, r"fvae\.encoder\.nn\.in_layers\.(\d+)\."),
        decoder_layers=_count(bare, r"fvae\.decoder\.nn\.in_layers\.(\d+)\."),
        latent=bare["fvae.encoder.out_proj.bias"].shape[0] // 2,
        prior_width=prior_width,
        prior_kernel=prior_kernel,
        prior_layers=_count(bare, r"fvae\.prior_flow\.flows\.0\.enc\.in_layers\.(\d+)\."),
        prior_couplings=(_count(bare, r"fvae\.prior_flow\.flows\.(\d+)\.") + 1) // 2,
        post_width=post_width,
        post_kernel=post_kernel,
        post_layers=_count(bare, r"post_flow\.flows\.2\.wn\.in_layers\.(\d+)\."),
        post_steps=_count(bare, r"post_flow\.flows\.(\d+)\.") // 3,
        post_sharing=_sharing(bare),
        post_noise=0.6 if width <= 128 else 0.8,
    )


def load_published(state: Mapping[str, Tensor]) -> PortaSpeech:
    """An official file as a model."""
    model = PortaSpeech(config_from_published(state))
    model.load_state_dict(from_published(state))
    return model


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number that stands where the pattern has its group."""
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))


def _sharing(state: Mapping[str, Tensor]) -> int:
    """How many steps, from the first on, have gated layers of equal weights."""
    name = "post_flow.flows.{}.wn.in_layers.0.weight_v"
    steps = _count(state, r"post_flow\.flows\.(\d+)\.") // 3
    first = state[name.format(2)]
    for step in range(1, steps):
        if not torch.equal(state[name.format(3 * step + 2)], first):
            return step
    return steps


def _reshaped(name: str, value: Tensor) -> Tensor:
    """The tables of relative positions have an axis for heads, which share them."""
    return value[0] if "attention.relative_" in name else value


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    bare = {name.removeprefix("model."): value for name, value in state.items()}
    return normed(bare, NORMED)
