"""`sonograph doctor`: versions, threads, extras, and a two-second self-test."""

from __future__ import annotations

import dataclasses
from typing import Any

EXTRAS = {
    "train": ("accelerate", "lhotse", "torchdata"),
    "plot": ("matplotlib", "PIL"),
    "probe": ("sklearn",),
    "g722": ("G722",),
    "hub": ("huggingface_hub",),
    "search": ("faiss",),
    "cluster": ("ray",),
    "speech": ("pocketsphinx", "onnxruntime", "speechmos", "pystoi"),
    "pesq": ("pesq",),
    "parity": ("transformers", "librosa", "kaldi_native_fbank", "peft", "panns_inference"),
}
HARMFUL = ("torchaudio", "torchvision", "torchcodec")  # break other imports beside a CPU torch


@dataclasses.dataclass(frozen=True)
class Args:
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import os
    import platform
    from importlib.metadata import version
    from importlib.util import find_spec

    import torch

    from sonograph import __version__
    from sonograph.verbs import show

    told: dict[str, Any] = {
        "sonograph": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "soundfile": version("soundfile"),
        "extras": {
            name: all(find_spec(module) is not None for module in modules)
            for name, modules in EXTRAS.items()
        },
        "harmful": [name for name in HARMFUL if find_spec(name) is not None],
        "self_test": _self_test(),
    }
    fine = told["self_test"]["passed"] and not told["harmful"]
    if args.json:
        show.as_json({**told, "fine": fine})
        return 0 if fine else 1
    for key, value in told.items():
        if key == "extras":
            missing = [name for name, there in value.items() if not there]
            value = "all there" if not missing else f"not installed: {', '.join(missing)}"
        if key == "self_test":
            value = f"{'passed' if value['passed'] else 'FAILED'} in {value['seconds']:.1f} s"
        print(f"{key:>10}  {'none' if value in (None, []) else value}")
    if told["harmful"]:
        print(f"remove what breaks imports here: pip uninstall {' '.join(told['harmful'])}")
    return 0 if fine else 1


def _self_test() -> dict[str, Any]:
    """A tone through the front-end and a tiny encoder, alone and in a padded batch."""
    import time

    import torch

    from sonograph.audio.feature_spec import Frontend
    from sonograph.registry import build

    began = time.perf_counter()
    tone = torch.sin(torch.arange(16000) * (2 * torch.pi * 440 / 16000))[None] * 0.1
    model = build("ssast-test").eval()
    with torch.inference_mode():
        frontend = Frontend(model.spec)
        alone = frontend(tone[:, :8000], torch.tensor([8000]))
        both = frontend(tone.repeat(2, 1), torch.tensor([8000, 16000]))
        one = model(alone.values, alone.lengths).pool()
        two = model(both.values[:1], both.lengths[:1]).pool()
    passed = bool(torch.isfinite(one).all()) and bool((one - two).abs().max() < 1e-5)
    return {"passed": passed, "seconds": round(time.perf_counter() - began, 2)}
