"""What listeners would say, by models and standards: DNSMOS, PESQ, STOI."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sonograph.errors import InputError, missing_extra
from sonograph.outputs import Audio

RATE_HZ = 16000
WINDOW = 144_160  # samples: 9.01 s
# The network's answers to opinions on a scale of 1 to 5: highest power first (Reddy et al. 2022).
FITS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}


class Opinion(NamedTuple):
    """Predicted mean opinions of ITU-T P.835, 1 to 5."""

    signal: float
    background: float
    overall: float


def dnsmos(audio: Audio) -> Opinion:
    """DNSMOS P.835 (Reddy, Gopal and Cutler 2022), the network in the package speechmos.

    Sounds shorter than 9.01 s are repeated; of longer ones windows a second apart are averaged.
    """
    samples = audio.mono().resample(RATE_HZ).samples[0]
    if not len(samples):
        raise InputError("the sound is empty")
    samples = np.clip(samples, -1, 1)
    while len(samples) < WINDOW:
        samples = np.concatenate((samples, samples))
    starts = range(0, max(1, (len(samples) // RATE_HZ - 9) * RATE_HZ), RATE_HZ)
    pieces = [samples[s : s + WINDOW] for s in starts if s + WINDOW <= len(samples)]
    network = _network()
    raw = np.array([network.run(None, {"input_1": p[None]})[0][0] for p in pieces], np.float64)
    found = [np.polyval(FITS[name], raw[:, k]).mean() for k, name in enumerate(Opinion._fields)]
    return Opinion(*map(float, found))


@functools.cache
def _network() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("onnxruntime", "speech") from None
    home = importlib.util.find_spec("speechmos")
    if home is None or not home.submodule_search_locations:
        raise missing_extra("speechmos", "speech")
    path = Path(home.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def pesq(made: Audio, wanted: Audio) -> float:
    """Wide-band PESQ (ITU-T P.862.2) at 16 kHz, of sounds of equal timing; -0.5 to 4.64."""
    try:
        import pesq as package
    except ImportError:
        raise missing_extra("pesq", "pesq") from None
    ours, theirs = _pair(made, wanted)
    try:
        return float(package.pesq(RATE_HZ, theirs, ours, "wb"))
    except package.NoUtterancesError:
        raise InputError("PESQ finds no speech in the sound") from None


def stoi(made: Audio, wanted: Audio) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), of sounds of equal timing."""
    try:
        from pystoi import stoi as package
    except ImportError:
        raise missing_extra("pystoi", "speech") from None
    ours, theirs = _pair(made, wanted)
    return float(package(theirs, ours, RATE_HZ))


def _pair(made: Audio, wanted: Audio) -> tuple[np.ndarray, np.ndarray]:
    """Both at 16 kHz and as long as the shorter one."""
    ours, theirs = (sound.mono().resample(RATE_HZ).samples[0] for sound in (made, wanted))
    count = min(len(ours), len(theirs))
    if abs(len(ours) - len(theirs)) > RATE_HZ // 10:
        raise InputError(
            f"sounds of {len(ours) / RATE_HZ:.2f} and {len(theirs) / RATE_HZ:.2f} s do not have "
            "the same timing"
        )
    return ours[:count].copy(), theirs[:count].copy()  # PESQ writes into what it is given
