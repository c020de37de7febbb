"""PortaSpeech's golden cases: text side, autoencoder, post-net, losses, and what it says."""

from __future__ import annotations

import re
from typing import Any

import torch

from sonograph.losses.mel import mel_losses
from sonograph.nn.acoustic import Text
from sonograph.nn.word_maps import counts, cut_to_multiple, frame_map
from sonograph.systems.speak import portaspeech as ps

FIELDS = {  # settings of a case that its weights tell as well
    "hidden_size": "width",
    "ffn_hidden_size": "encoder_inner",
    "enc_ffn_kernel_size": "encoder_kernel",
    "enc_layers": "encoder_depth",
    "word_enc_layers": "word_depth",
    "num_heads": "num_heads",
    "dur_predictor_layers": "duration_layers",
    "dur_predictor_kernel": "duration_kernel",
    "fvae_enc_dec_hidden": "vae_width",
    "fvae_kernel_size": "vae_kernel",
    "fvae_enc_n_layers": "posterior_layers",
    "fvae_dec_n_layers": "decoder_layers",
    "latent_size": "latent",
    "prior_flow_hidden": "prior_width",
    "prior_flow_kernel_size": "prior_kernel",
    "prior_flow_n_blocks": "prior_layers",
    "post_glow_hidden": "post_width",
    "post_glow_kernel_size": "post_kernel",
    "post_glow_n_blocks": "post_steps",
    "post_glow_n_block_layers": "post_layers",
    "share_wn_layers": "post_sharing",
    "phones in dictionary": "tokens",
}


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, settings = case.about, case.about["settings"]
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    assert ps.is_published(state)
    config = ps.config_from_published(state)
    for theirs, ours in FIELDS.items():
        assert getattr(config, ours) == settings[theirs], theirs
    config = config.override(post_noise=settings["noise_scale"], compat="published")
    model = ps.build(config).eval()
    model.load_state_dict(ps.from_published(state))
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]
    again = ps.to_published(model)
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())
    given = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    answers = _trained(model, given, about, golden)
    answers |= _free(model, given, about, golden)
    return {name: _every(value, about["strides"].get(name)) for name, value in answers.items()}


def _trained(model: Any, given: dict[str, Any], about: dict, golden: Any) -> dict[str, Any]:
    """With the words of frames given: what training compares, and sampling."""
    read = model.read(text_of(given["tokens"], given["ph2word"]))
    of_frames = given["mel2word"]
    mask = (of_frames > 0)[:, None].float()
    mel = given["mel"].transpose(1, 2)
    told, attention = model.linguistic(read, of_frames)
    condition = model.vae.condition(told)
    posterior = model.vae.encode(mel, mask, condition, noise("posterior", about, golden))
    kl, through = model.vae.divergence(posterior, condition)
    smooth = model.vae.decoder(posterior.z, mask, told)
    losses = mel_losses(smooth, mel, mask, "published")
    frames = counts(of_frames, read.words.shape[1])
    around = torch.cat([smooth, told], dim=1)
    z, determinant = model.post_net(mel, mask, around)
    unit = noise("flow", about, golden)
    back, back_determinant = model.post_net.inverse(unit, mask, around)
    sampled = model.smooth(told, mask, noise("prior", about, golden))
    return {
        "phone_encoder": read.phones,
        "word_encoder": read.words,
        "linguistic": told.transpose(1, 2),
        "attention": attention,
        "word_durations": read.word_wishes,
        "posterior_mean": posterior.mean,
        "posterior_log_std": posterior.log_deviation,
        "prior_z": through,
        "kl": kl,
        "mel_vae": smooth.transpose(1, 2),
        "loss_l1": losses["l1"],
        "loss_ssim": losses["ssim"],
        "loss_wdur": ps.duration_loss(read.word_wishes, frames, given["words"]),
        "flow_z": z,
        "flow_logdet_per_element": determinant[None] / mask.sum((1, 2))[:, None] / mel.shape[1],
        "flow_nll": ps.flow_loss(z, determinant, mask, "published"),
        "flow_reverse": back,
        "flow_reverse_logdet": back_determinant,
        "sample_mel_vae": sampled.transpose(1, 2),
        "sample_mel": model.detailed(sampled, told, mask, unit).transpose(1, 2),
    }


def _free(model: Any, given: dict[str, Any], about: dict, golden: Any) -> dict[str, Any]:
    """The first text alone, with the durations that are predicted."""
    length = int((given["tokens"][0] > 0).sum())
    read = model.read(text_of(given["tokens"][:1, :length], given["ph2word"][:1, :length]))
    of_frames = frame_map(cut_to_multiple(read.word_wishes.round().long(), ps.STRIDE))
    told, _ = model.linguistic(read, of_frames)
    mask = (of_frames > 0)[:, None].float()
    t = of_frames.shape[1]
    latent = noise("free", about, golden, (1, model.config.latent, t // ps.STRIDE), 0)
    unit = noise("free", about, golden, (1, model.spec.rows, t), 1)
    mel = model.detailed(model.smooth(told, mask, latent), told, mask, unit)
    return {"free_word_durations": read.word_wishes, "free_mel": mel.transpose(1, 2)}


def text_of(tokens: torch.Tensor, words: torch.Tensor) -> Text:
    """Words of tokens, counted from 1 in a case, as ours."""
    return Text(tokens, (tokens > 0).sum(1), (words - 1).clamp(min=0))


def noise(
    part: str, about: dict, golden: Any, shape: tuple[int, ...] | None = None, number: int = 0
) -> torch.Tensor:
    """The noise that the case's rule names for a part, of the shape that it names if it does."""
    rule = about["input_rule"][part]
    name = re.findall(r"signal\('([^']+)'", rule)[number]
    if shape is None:
        found = re.search(r"\(([\d, ]+)\)", rule)
        assert found is not None
        shape = tuple(int(n) for n in found[1].split(","))
    return torch.from_numpy(golden.signal(name, shape, 1.0))


def _every(value: torch.Tensor, stride: list | None) -> Any:
    """Every k-th entry, as the case keeps it."""
    if stride is None:
        return value.numpy()
    assert list(value.shape) == stride[1]
    return value.reshape(-1)[:: stride[0]].numpy()
