"""Mel-RoFormer: a transformer over mel bands and frames that masks one stem of a song, or several.

For musicians, karaoke and stem tools, and builders of data sets: vocals (or any stem) out of music.
Wang, Lu and Chen, "Mel-RoFormer for Vocal Separation and Vocal Melody Transcription", ISMIR 2024;
its separation first in Wang, Lu and Won, arXiv 2310.01809. Its baseline is its own trunk:
BS-RoFormer (Lu, Wang, Kong and Hung, arXiv 2309.02612), whose hand-made bands lie side by side.
Both are presets of this file; `bands` is what makes the difference.

Published (MUSDB18-HQ, vocals SDR): 12.08 dB trained on MUSDB alone, 13.29 with more data; 24 kHz
mono small 11.01, large 12.69.

Shapes: mixture (b, channels, n) -> spectrum (b, channels, t, bins) -> tokens (t, b, bands, d) ->
mask a stem -> (b, stems, channels, n).

Ours, where the papers are silent: any length (short clips are padded, and cut again), the answer as
long as the mixture, bands for any rate and FFT.
"""

from __future__ import annotations

from sonograph.registry import About, register
from sonograph.systems.separate.mel_roformer.model import (
    Config,
    MelRoformer,
    Pretraining,
    build,
)
from sonograph.systems.separate.mel_roformer.published import (
    READS_FILE,
    config_from_published,
    from_published,
    is_published,
    load_published,
    read_settings,
)

__all__ = [
    "ABOUT", "READS_FILE", "Config", "MelRoformer", "Pretraining", "build",
    "config_from_published", "from_published", "is_published", "load_published", "read_settings",
]  # fmt: skip

# --- presets -------------------------------------------------------------------------------------


@register("mel-roformer-test", system="mel_roformer", note="for tests: under a million parameters")
def test() -> Config:
    return Config(
        rate_hz=16_000, channels=1, fft_samples=512, hop_samples=256, num_bands=16, width=32,
        depth=1, num_heads=2, head_width=16, mask_depth=1, mask_times=2, window_frames=125,
        loss_windows=(1024, 512, 256), loss_hops=(256, 128, 128),
    )  # fmt: skip


@register("mel-roformer-mini", system="mel_roformer", note="32 kHz stereo, trains on two cores")
def mini() -> Config:
    return Config(
        rate_hz=32_000, stems=("guitar",), rest="rest", fft_samples=1024, hop_samples=512,
        num_bands=24, width=64, depth=2, num_heads=4, head_width=16, mask_depth=1, mask_times=2,
        window_frames=250, loss_windows=(2048, 1024, 512, 256), loss_hops=(512, 256, 256, 256),
    )  # fmt: skip


@register("mel-roformer-vocals", system="mel_roformer", parameters=228_202_788,
          note="six layers: vocal weights in use (KimberleyJensen)")  # fmt: skip
def vocals() -> Config:
    return Config()


@register("mel-roformer-vocals-12", system="mel_roformer", parameters=251_869_572,
          note="twelve layers: vocal weights in use (viperx)")  # fmt: skip
def vocals_12() -> Config:
    return vocals().override(depth=12)


@register("mel-roformer-musdb", system="mel_roformer", parameters=69_102_404,
          note="the open training recipe for MUSDB18 (ZFTurbo)")  # fmt: skip
def musdb() -> Config:
    return vocals().override(
        width=192, depth=8, hop_samples=512, zero_dc=True, dropout=0.1, attention_dropout=0.1,
        window_frames=256,
    )  # fmt: skip


@register("mel-roformer-paper", system="mel_roformer", parameters=105_427_140,
          note="44.1 kHz stereo: no gates, heads as wide as the tokens")  # fmt: skip
def paper() -> Config:
    return vocals().override(depth=12, head_width=48, gates=False, mask_depth=1)


@register("mel-roformer-paper-large", system="mel_roformer",
          note="24 kHz mono, 50.7 M: sizes by the count alone")  # fmt: skip
def paper_large() -> Config:
    return paper().override(
        rate_hz=24_000, channels=1, fft_samples=1024, hop_samples=480, num_bands=32, width=256,
        depth=24, head_width=32, window_frames=300,
    )  # fmt: skip


@register("mel-roformer-paper-small", system="mel_roformer",
          note="24 kHz mono, 9.1 M: sizes by the count alone")  # fmt: skip
def paper_small() -> Config:
    return paper_large().override(width=128, depth=12, head_width=16)


def beside(config: Config) -> Config:
    """The same with BS-RoFormer's hand-made bands, side by side."""
    return config.override(bands="hand", num_bands=62)


@register("bs-roformer-12", system="mel_roformer", parameters=93_411_084, note="its paper's")
def bs_12() -> Config:
    return beside(paper())


@register("bs-roformer-6", system="mel_roformer", parameters=72_140_556, note="its paper's")
def bs_6() -> Config:
    return beside(paper()).override(depth=6)


@register("bs-roformer-vocals", system="mel_roformer",
          note="vocal weights in use (viperx): one norm, at the end")  # fmt: skip
def bs_vocals() -> Config:
    return beside(vocals_12()).override(width=512, norm="last", mask_depth=1)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A transformer over mel bands and frames that masks stems out of music.",
    use=(
        "Vocals, or any other stem, out of a song in stereo at full band; the rest is what "
        "remains.",
        "Community weights of Mel-Band RoFormer or BS-RoFormer at hand: `sonograph.load` opens "
        "the .ckpt; the YAML that came with it is read if it lies beside it under the same name.",
        "A stem of your own: recordings of it and of anything else, and an hour of two cores for "
        "a small model.",
    ),
    avoid=(
        "Talkers who speak at once: stems have names here, talkers have not (MossFormer2).",
        "Full-size weights on a small processor: six layers at 44.1 kHz are far slower than real "
        "time on two cores.",
        "Sounds that a sentence or an example names: one model knows its own stems alone.",
    ),
    paper="Ju-Chiang Wang, Wei-Tsung Lu, Jitong Chen, ISMIR 2024 (arXiv 2409.04702); bands: Wang, "
    "Lu and Won, arXiv 2310.01809; trunk: Lu, Wang, Kong and Hung, arXiv 2309.02612",
    figures=(
        "MUSDB18-HQ vocals SDR 12.08 dB trained on MUSDB alone, 13.29 dB with more data",
        "24 kHz mono: small 11.01 dB (9.1 M), large 12.69 dB (50.7 M)",
        "notes of MIR-ST500, F1: onset 0.819, with pitch 0.798, with offset 0.625",
        "earlier paper: better than BS-RoFormer on vocals, drums and other, not on bass; "
        "BS-RoFormer with six layers: 9.80 dB, mean of four stems",
        "community, Multisong vocals: KimberleyJensen's weights 10.98 dB, viperx's 9.67 dB",
    ),
    code_licence="none published by its authors; MIT (the re-implementation in use)",
    weights_licence="none published by its authors; community files mostly undeclared, so none is "
    "bundled and yours are loaded from where they are",
    deviations=(
        "The paper's layers, gates and heads are known by their parameter counts alone: 44.1 kHz "
        "105.4 M fits without gates, heads of 48 and one hidden layer in the mask heads; 24 kHz "
        "9.1 M and 50.7 M fit 32 bands, 1024 points. The hop of those two (20 ms) is our choice.",
        "The answer is as long as the mixture; sounds shorter than half a frame are padded first.",
        "No weight of a published file tells its hop, whether 0 Hz is silenced, or the name of its "
        "stem. The YAML beside the file does; without one: 10 ms, not silenced, vocals. Files "
        "trained with a hop of 512 need their YAML. A YAML without `zero_dc` counts as no.",
        "Files with hyper-connections, value residuals, linear attention or PoPE are refused by "
        "name: no published weights use them.",
        "Hand-made bands at other rates and FFTs than 44.1 kHz and 2048 read BS-RoFormer's edges, "
        "as a curve in hertz, at equal steps.",
        "One transform of the difference of two sounds gives the spectral loss, where others "
        "transform both.",
        "Presets `-test` and `-mini` are ours; so are their loss windows.",
    ),
    faults=(
        "Re-implementations give back up to a hop less than they were given, unless asked not to.",
        "Defaults of the re-implementation changed with its releases, so that published weights no "
        "longer load without three options; value residuals are mixed the other way round in one "
        "of its two attentions.",
        "One training code cannot compute its model's own loss for a single stem.",
    ),
    verbs=("separate", "train", "transcribe-notes"),
    golden=("mel-roformer",),
    checks=("tests/parity/test_bs_roformer.py",),
    picture="The guitars of a song that nobody learned from, through the bundled separator",
)
