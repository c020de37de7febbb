"""The features of speech synthesis, by the name of where they come from.

They are not interchangeable: a vocoder of one that is fed with another gives noise, which is why
`FeatureSpec.require_equal` is asked wherever an acoustic model meets a vocoder.
"""

from __future__ import annotations

from sonograph.audio.feature_spec import FeatureSpec, log_mel_spec


def hifigan_spec(rate_hz: int = 22050, bins: int = 80, high_hz: float = 8000.0) -> FeatureSpec:
    """HiFi-GAN's mel: ln of magnitudes raised to 1e-5, FFT 1024, hop 256, n / 256 frames.

    Kong et al. 2020 (jik876/hifi-gan); also that of iSTFTNet, PeriodWave and BigVGAN, and but for
    the ends and the 1e-9 that of Tacotron 2 and FastSpeech 2.

    >>> hifigan_spec().frames(8192), hifigan_spec().samples(32)
    (32, 8192)
    """
    plain = log_mel_spec(rate_hz, 1024, 256, bins, high_hz=high_hz, log="ln", log_floor=1e-5)
    return plain.override(
        low_hz=0.0, mel_norm="slaney", power=1.0, power_offset=1e-9, center="hops"
    )


def tacotron2_spec() -> FeatureSpec:
    """Tacotron 2's mel (NVIDIA), of FastSpeech 2 (ming024) too: as HiFi-GAN's, frames centred."""
    return hifigan_spec().override(center="reflect", power_offset=0.0)


def natspeech_spec() -> FeatureSpec:
    """NATSpeech's mel, of PortaSpeech and ProDiff: log10, floor 1e-6, 80 to 7600 Hz, zeros outside.

    >>> natspeech_spec().frames(256)
    2
    """
    plain = log_mel_spec(22050, 1024, 256, 80, high_hz=7600.0, log="log10", log_floor=1e-6)
    return plain.override(low_hz=80.0, mel_norm="slaney", power=1.0, center="constant")


def voice_spec() -> FeatureSpec:
    """The mel of the voices trained here: HiFi-GAN's at 16 kHz, the rate of the recordings.

    >>> voice_spec().frame_rate_hz
    62.5
    """
    return hifigan_spec(16000)
