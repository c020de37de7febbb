"""MossFormer2: people who talk at once pulled apart, or speech out of noise.

For whoever has one microphone and several talkers, or one talker and noise. Zhao, Ma, Ni, Zhang,
Wang, Nguyen, Zhou, Yip, Ng and Ma, "MossFormer2: Combining Transformer and RNN-Free Recurrent
Network for Enhanced Time-Domain Monaural Speech Separation", ICASSP 2024. MossFormer (ICASSP 2023)
is the same without the recurrent blocks: `Net(recurrence="none")`. The enhancer is its sibling
SE_48K of ClearerVoice-Studio, published as code and weights only.

    samples -> learned filters, ReLU ----------------------------- x masks -> filters -> talkers
                     |-> mask network: norm, positions,                 |
                         [gated attention, recurrent block] x depth,    |
                         gated masks ------------------------------------
    samples -> STFT ------------------------------------------- x mask -> inverse STFT -> speech
       |-> log mel energies and their differences -> mask network --|

    net         the mask network and its sizes
    model       configuration, both ends, level, separator
    objective   permutation-invariant SI-SNR; the enhancer's masks or waveforms
    published   checkpoints of clearvoice and of the standalone repository

Shape legend: b clips, n samples, t frames, d width of the mask network.

Published (SI-SDR improvement): WSJ0-2mix 24.1 dB, WSJ0-3mix 22.2, Libri2Mix 21.7, WHAM! 18.1,
WHAMR! 17.0; MossFormer 22.8 on WSJ0-2mix. SE_48K: VoiceBank-DEMAND PESQ 3.16.

Ours, where the paper is silent: the weight of the enhancer's mask loss is the noisy magnitude over
its mean in the clip; an enhancer for two cores (16 kHz, a complex mask that turns phases too,
-SI-SNR with a distance of spectra) beside the published magnitude mask and its loss, which stay
settings.
"""

from __future__ import annotations

from sonograph.registry import About, register
from sonograph.systems.separate.mossformer2.model import (
    Config,
    Learned,
    MossFormer2,
    Spectral,
    build,
)
from sonograph.systems.separate.mossformer2.net import MaskNet, Net
from sonograph.systems.separate.mossformer2.objective import Pretraining
from sonograph.systems.separate.mossformer2.published import (
    READS_NOTES,
    from_published,
    is_published,
    load_published,
)

__all__ = [
    "ABOUT", "READS_NOTES", "Config", "Learned", "MaskNet", "MossFormer2", "Net", "Pretraining",
    "Spectral", "build", "from_published", "is_published", "load_published",
]  # fmt: skip


# --- presets -------------------------------------------------------------------------------------


@register("mossformer2-test", system="mossformer2", note="for tests: under a million parameters")
def test() -> Config:
    net = Net(width=32, depth=2, recurrent_width=32, query_width=32, group_frames=64)
    return Config(front=Learned(filters=32), net=net, window_s=4.0)


@register("mossformer2-enhancer-test", system="mossformer2", note="for tests: the enhancer")
def enhancer_test() -> Config:
    net = Net(width=32, depth=2, recurrence="plain", recurrent_width=32, query_width=32)
    front = Spectral(fft_samples=512, hop_samples=256, bands=20, spare=0, objective="waveform")
    return Config(rate_hz=16000, front=front, net=net)


@register("mossformer2-talkers", system="mossformer2", note="two talkers, for two cores")
def talkers() -> Config:
    net = Net(width=96, depth=5, recurrent_width=64, query_width=64, group_frames=128, dropout=0.0)
    return Config(front=Learned(filters=192, filter_samples=32), net=net)


@register("mossformer2-enhancer", system="mossformer2", note="16 kHz, for two cores")
def enhancer() -> Config:
    net = Net(
        width=128,
        depth=5,
        recurrence="plain",
        recurrent_width=96,
        query_width=64,
        group_frames=128,
        dropout=0.0,
    )
    front = Spectral(
        fft_samples=512,
        hop_samples=160,
        window="hann",
        answer="complex",
        spare=0,
        objective="waveform",
    )
    return Config(rate_hz=16000, front=front, net=net)


@register("mossformer2-l", system="mossformer2", parameters=55_735_410, note="two talkers, 8 kHz")
def large() -> Config:
    return Config()


@register("mossformer2-s", system="mossformer2", parameters=37_755_382, note="two talkers, 8 kHz")
def small() -> Config:
    return Config(front=Learned(filters=384), net=Net(width=384, depth=25))


@register("mossformer2-3-talkers", system="mossformer2", parameters=55_998_066, note="8 kHz")
def three() -> Config:
    return Config(front=Learned(talkers=3))


@register("mossformer2-ss-16k", system="mossformer2", parameters=55_735_410, note="16 kHz")
def ss_16k() -> Config:
    return Config(rate_hz=16000)


@register(
    "mossformer2-whamr", system="mossformer2", parameters=55_735_410, note="in noise and rooms"
)
def whamr() -> Config:
    return Config(front=Learned(answer="direct"))


@register("mossformer2-se-48k", system="mossformer2", parameters=55_262_170, note="enhancer")
def se_48k() -> Config:
    return Config(rate_hz=48000, front=Spectral(), net=Net(recurrence="plain"))


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Talkers pulled apart by gated attention with recurrent memory; and speech out of "
    "noise.",
    use=(
        "Two or three people who talk at once in one microphone.",
        "Speech in noise: the enhancer.",
        "Published weights at hand: clearvoice's SS and SE_48K files and the three files of the "
        "standalone repository load by their folder.",
    ),
    avoid=(
        "Talkers whose number is not known, or who take turns: it always answers with as many as "
        "it was trained for.",
        "Music and effects: Mel-RoFormer for stems, USS for whatever can be named.",
        "Live use: a window is heard as a whole, from both sides.",
    ),
    paper="S. Zhao, Y. Ma, C. Ni, C. Zhang, H. Wang, T. H. Nguyen, K. Zhou, J. Q. Yip, D. Ng, "
    "B. Ma, ICASSP 2024",
    figures=(
        "WSJ0-2mix 24.1 dB SI-SDR improvement, MossFormer without the recurrent block 22.8",
        "WSJ0-3mix 22.2 dB, Libri2Mix 21.7 dB, WHAM! 18.1 dB, WHAMR! 17.0 dB",
        "large 55.7 M, small 37.8 M weights",
        "SE_48K: VoiceBank-DEMAND PESQ 3.16, SI-SDR 19.38 dB",
    ),
    code_licence="MIT (standalone repository); Apache-2.0 (ClearerVoice-Studio)",
    weights_licence="those of the repositories; trained on WSJ0, LibriMix, WHAMR and others, whose "
    "terms are their own",
    deviations=(
        'Talkers keep their levels. `compat="tool"` brings each to the mixture\'s, as the '
        "published tool does, and with it loses who was louder.",
        "All samples are answered: zeros fill the last frame, and frames of the enhancer reach "
        'over both ends. `compat="network"` loses up to half a frame at the end, as published.',
        "Long sounds are put together in windows that overlap, talkers in the order that fits the "
        "window before (infer/separate.py).",
        "The enhancer hears no dither (published: noise of 1 step of 16 bits, anew in every run).",
        "Level: what is louder than average is brought to -25 dB in one pass, where the published "
        "tool takes two to the same end; the answer is brought back.",
        "The weight of the enhancer's mask loss is normalised by its mean: no more is published.",
        "`mossformer2-talkers`, `-enhancer` and the `-test` presets are ours, with other sizes, "
        "no dropout, and (enhancer) a complex mask learned by -SI-SNR and a distance of spectra.",
        "Adam of the paper at 15e-5 for 200 epochs is a matter of the recipe: ours are short, with "
        "AdamW and a cosine.",
    ),
    faults=(
        "Windows of a long sound are laid side by side without looking which talker is which.",
        "The last samples of a long sound are lost where they do not fill the grid of windows.",
        "Silence in, not a number out: the level is divided by that of no samples.",
        "squeeze() drops axes of length 1: single clips and single frames fail or change shape.",
        "The enhancer's wrapper unpacks two values from a list of one; it computes a second mask "
        "that nobody uses.",
    ),
    verbs=("separate", "enhance", "train"),
    golden=("mossformer2",),
    checks=("tests/parity/test_mossformer2_torch.py",),
    picture="Recordings that nobody learned from: speech in noise through the bundled enhancer, "
    "and two talkers through the bundled separator",
)
