"""The golden case of the learned aligner: prior, attention, losses, hard alignments."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.nn import aligner
from sonograph.nn.monotonic import search, to_hard
from tests.golden.patches import named_signal


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    ours = aligner.from_published(
        {name: torch.as_tensor(value) for name, value in golden.published_state(case).items()}
    )
    model = aligner.Aligner(
        settings["n_text_channels"],
        ours["query.0.weight"].shape[1],
        settings["n_att_channels"],
        settings["temperature factor"],
        compat="published",
    ).eval()
    model.load_state_dict(ours)
    assert sum(p.numel() for p in model.parameters()) == case.about["parameters"]

    inputs = {name: torch.as_tensor(value) for name, value in case.inputs.items()}
    text, mel, tokens, frames = (inputs[k] for k in ("text", "mel", "phones", "frames"))
    size = (mel.shape[2], text.shape[2])
    prior = aligner.beta_binomial_prior(frames, tokens, settings["prior scaling"], size)
    found = {"prior": prior}
    blank = float(settings["blank_logprob"])
    for ending, given in (("", prior), ("_no_prior", None)):
        out = model(text, mel, tokens, frames, given)
        found[f"attention{ending}"] = out.soft[:, None]
        found[f"log_probability{ending}"] = out.scores[:, None]
        found[f"ctc{ending}"] = aligner.forward_sum_loss(out.scores, tokens, frames, blank)[None]
        if given is not None:
            durations = model.align(out, tokens, frames).frames
            hard = to_hard(durations, size[0])
            found |= {"durations": durations, "hard": hard}
            found["binarization"] = aligner.binarisation_loss(hard, out.soft)[None]
    given_durations = search(_given(case, golden, size, tokens, frames).log(), frames, tokens)
    found["durations_of_given"] = given_durations.frames
    found["hard_of_given"] = to_hard(given_durations.frames, size[0])
    return {name: value.numpy() for name, value in found.items()}


def _given(case: Any, golden: Any, size: tuple[int, int], tokens: Any, frames: Any) -> Any:
    """The matrix that the case's rule names: exp of a signal, rows normalised."""
    values = named_signal(case.about["input_rule"]["given"], golden).exp()
    return values / values.sum(2, keepdim=True)
