"""The speaker encoder's golden cases: top state, vector, GE2E's similarities, loss and EER."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sonograph.losses.ge2e import GE2E
from sonograph.metrics.verification import equal_error_rate
from sonograph.systems.speak import sv2tts


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    eps = case.about["settings"].get("norm_eps", 1e-5)
    config = sv2tts.config_from_published(published).override({"encoder.norm_eps": eps})
    model = sv2tts.build(config).eval()
    model.load_state_dict(sv2tts.from_published(published))
    loss = GE2E()
    loss.scale.copy_(published["similarity_weight"])
    loss.offset.copy_(published["similarity_bias"])
    count = sum(p.numel() for part in (model, loss) for p in part.parameters())
    assert count == case.about["parameters"]
    features = torch.as_tensor(case.inputs["mel"]).transpose(1, 2)
    answers = {
        "lstm_top_last": model.last_state(features).numpy(),
        "embedding": model(features).numpy(),
    }
    if "embeddings" not in case.inputs:
        return answers
    judged = loss(torch.as_tensor(case.inputs["embeddings"]))
    speakers = judged.similarity.shape[2]
    own = np.arange(speakers)[:, None, None] == np.arange(speakers)
    same = np.broadcast_to(own, judged.similarity.shape)
    rate, _ = equal_error_rate(judged.similarity.numpy().ravel(), same.ravel())
    return answers | {
        "similarity": judged.similarity.numpy(),
        "loss": judged.loss[None].numpy(),
        "eer": np.array([rate]),
    }
