"""Front-ends against librosa and kaldi-native-fbank: long files and batches of short clips.

Both sides of a pair are timed alternately in one run and the medians compared; ratio = theirs /
ours, more than 1 means that we are faster. Each side runs as it comes, with its own threads.

    python -m benchmarks.features
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.timing import alternately, pair, show
from sonograph.audio.fbank import kaldi_frontend
from sonograph.audio.feature_spec import Frontend, log_mel_spec

SYSTEM = "sonograph"
RATE_HZ = 16000
BINS = 80  # kaldi-native-fbank refuses 128 at 16 kHz, where one band is empty


def main(repeats: int = 9) -> list[dict[str, Any]]:
    """Time all pairs; the rows are those of `benchmarks.timing`."""
    results = []
    for size, shape in {"10 minutes": (1, 600), "64 clips of 1 s": (64, 1)}.items():
        clips, seconds = shape
        stream = np.random.default_rng(0)
        sound = (0.1 * stream.standard_normal((clips, seconds * RATE_HZ))).astype(np.float32)
        for name, mine, peer, other in pairs(sound):
            ours_s, theirs_s = alternately(mine, other, repeats)
            goal = 3.0 if "librosa" in peer else 1.0
            results.append(pair(f"{name}, {size}", ours_s, theirs_s, peer, goal))
    return results


def pairs(sound: np.ndarray) -> list[tuple[str, Callable[[], Any], str, Callable[[], Any]]]:
    """What is compared: our name and function, the peer's name and function."""
    ours = torch.from_numpy(sound)
    fbank, log_mel = kaldi_frontend(BINS), Frontend(log_mel_spec(RATE_HZ, 512, 160, BINS))
    return [
        ("log-mel", lambda: log_mel(ours), "librosa log-mel", lambda: librosa_log_mel(sound)),
        ("fbank", lambda: fbank(ours), "librosa log-mel", lambda: librosa_log_mel(sound)),
        ("fbank", lambda: fbank(ours), "kaldi-native-fbank", lambda: native_fbank(sound)),
    ]


def librosa_log_mel(sound: np.ndarray) -> np.ndarray:
    """librosa's log-mel in decibels of a batch, with the settings of ours."""
    import librosa

    energies = librosa.feature.melspectrogram(
        y=sound, sr=RATE_HZ, n_fft=512, hop_length=160, n_mels=BINS, pad_mode="reflect"
    )
    return librosa.power_to_db(energies, top_db=None)


def native_fbank(sound: np.ndarray) -> list[np.ndarray]:
    """kaldi-native-fbank's features of each clip, as arrays."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = BINS
    clips = []
    for clip in sound:
        extractor = knf.OnlineFbank(options)
        extractor.accept_waveform(RATE_HZ, clip)
        extractor.input_finished()
        count = extractor.num_frames_ready
        clips.append(np.stack([extractor.get_frame(i) for i in range(count)]))
    return clips


if __name__ == "__main__":
    show(main())
