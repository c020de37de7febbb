"""SV2TTS: speech in the voice of anybody, from seconds of a recording.

For whoever wants one model that speaks in many voices, also in those it was not trained on, or
needs a vector that says who speaks. Jia, Zhang, Weiss, Wang, Shen, Ren, Chen, Nguyen, Pang, Lopez
Moreno and Wu, "Transfer Learning from Speaker Verification to Multispeaker Text-To-Speech
Synthesis", NeurIPS 2018: three networks that are trained apart.

    recording -> speaker encoder (GE2E) -> vector
    text, vector -> synthesizer (Tacotron 2) -> mel -> vocoder (WaveNet) -> sound

Voices are copied with consent only: ask the person whose recording `like` is given, and say of
speech made so that it is made.

Shape legend: b texts or clips, n tokens or samples, t frames, d numbers of a speaker's vector.

Published: naturalness MOS of unseen speakers 4.20 (VCTK) and 4.12 (LibriSpeech), similarity 3.28
and 3.03; equal error rate of synthetic speech 16.6, 10.1 and 5.1 % as the encoder was trained on
1.2k, 8.4k and 18k speakers.

There is no official code. Three builds are here: the paper's sizes as far as it tells them;
CorentinJ/Real-Time-Voice-Cloning (RTVC), which has a Tacotron 1 and 2 hybrid and a WaveRNN; and
NVIDIA/tacotron2 for the synthesizer. Ours, where the paper is silent: all sizes of the WaveNet but
its thirty layers; floor and bounds of the encoder's log-mel.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, log_mel_spec
from sonograph.audio.speech_features import voice_spec
from sonograph.registry import About, register
from sonograph.systems.speak.sv2tts.hybrid import Hybrid as HybridModel
from sonograph.systems.speak.sv2tts.objective import Pretraining, Sounding, Speaking, Telling
from sonograph.systems.speak.sv2tts.published import (
    config_from_published,
    from_published,
    is_published,
)
from sonograph.systems.speak.sv2tts.sizes import (
    Config,
    Encoder,
    Folding,
    Hybrid,
    Samples,
    Tacotron2,
    Upsampling,
    WaveNet,
    WaveRNN,
    ge2e_spec,
    paper_encoder_spec,
    rtvc_spec,
)
from sonograph.systems.speak.sv2tts.speaker import (
    SpeakerEncoder,
    fictitious,
    mean_speaker,
    published_encoder,
)
from sonograph.systems.speak.sv2tts.speaking import Synthesizer
from sonograph.systems.speak.sv2tts.tacotron2 import Tacotron2 as Tacotron2Model
from sonograph.systems.speak.sv2tts.wavenet import WaveNet as WaveNetModel
from sonograph.systems.speak.sv2tts.wavernn import WaveRNN as WaveRNNModel

__all__ = [
    "ABOUT",
    "Config",
    "Encoder",
    "Folding",
    "Hybrid",
    "Pretraining",
    "Samples",
    "Sounding",
    "SpeakerEncoder",
    "Speaking",
    "Synthesizer",
    "Tacotron2",
    "Telling",
    "Upsampling",
    "WaveNet",
    "WaveRNN",
    "build",
    "config_from_published",
    "fictitious",
    "from_published",
    "is_published",
    "load_published",
    "mean_speaker",
    "published_encoder",
]

PARTS = {
    "encoder": SpeakerEncoder,
    "tacotron2": Tacotron2Model,
    "hybrid": HybridModel,
    "wavernn": WaveRNNModel,
    "wavenet": WaveNetModel,
}


def build(config: Config) -> nn.Module:
    """The part that a configuration names."""
    return PARTS[config.part](config)


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """The part that a published file holds; a synthesizer begins with a fictitious speaker."""
    model = build(config_from_published(state))
    ours = from_published(state)
    if "voice" in model.state_dict():
        ours["voice"] = model.state_dict()["voice"]
    model.load_state_dict(ours)
    return model


# --- presets -------------------------------------------------------------------------------------


@register("sv2tts", system="sv2tts", parameters=30_343_809, note="Tacotron 2 told who speaks")
def sv2tts() -> Config:
    return tacotron2().override(tacotron2=Tacotron2(256, loss="mse and l1"))


@register("sv2tts-tacotron2", system="sv2tts", parameters=28_193_153, note="NVIDIA's, one voice")
def tacotron2() -> Config:
    return Config(tokens=148, alphabet="nvidia")


@register("sv2tts-rtvc", system="sv2tts", parameters=30_870_177, note="RTVC's synthesizer")
def rtvc() -> Config:
    return Config("hybrid", rtvc_spec(), "rtvc", 66)


@register("sv2tts-encoder", system="sv2tts", parameters=1_423_616, note="RTVC's and Resemblyzer's")
def encoder() -> Config:
    return Config("encoder", ge2e_spec())


@register(
    "sv2tts-encoder-paper",
    system="sv2tts",
    parameters=4_663_296,
    note="768 cells projected to 256, log-mel",
)
def encoder_paper() -> Config:
    sizes = Encoder(width=768, projection=256, norm_eps=0.0, partial_frames=80)
    return Config("encoder", paper_encoder_spec(), encoder=sizes)


@register("sv2tts-wavernn", system="sv2tts", parameters=4_480_935, note="RTVC's vocoder")
def wavernn() -> Config:
    return Config("wavernn", rtvc_spec())


@register("sv2tts-wavenet", system="sv2tts", note="the paper's vocoder; widths are ours")
def wavenet() -> Config:
    return Config("wavenet", rtvc_spec())


@register("sv2tts-mini", system="sv2tts", note="for minutes of speech, told who speaks")
def mini() -> Config:
    return tacotron2_mini().override({"tacotron2.speaker": 256})


@register("sv2tts-tacotron2-mini", system="sv2tts", note="for minutes of speech, one voice")
def tacotron2_mini() -> Config:
    small = Tacotron2(
        width=128,
        prenet=64,
        attention=64,
        filters=16,
        postnet=128,
        attention_lstm=256,
        decoder_lstm=256,
        loss="mse and l1",
    )
    return Config(features=voice_spec(), tacotron2=small)


@register("sv2tts-encoder-mini", system="sv2tts", note="a speaker encoder for hours of speech")
def encoder_mini() -> Config:
    return Config("encoder", paper_encoder_spec(), encoder=Encoder(64, 2, 0, 64))


@register("sv2tts-test", system="sv2tts", note="for tests: under a million parameters")
def test() -> Config:
    small = Tacotron2(
        speaker=16,
        width=32,
        prenet=16,
        attention=16,
        filters=4,
        filter_kernel=7,
        postnet=16,
        most_frames=60,
        kernel=3,
        convolutions=2,
        attention_lstm=32,
        decoder_lstm=32,
        postnet_kernel=3,
        postnet_layers=3,
        loss="mse and l1",
    )
    return Config(features=voice_spec(), tacotron2=small)


@register("sv2tts-rtvc-test", system="sv2tts")
def rtvc_test() -> Config:
    small = Hybrid(
        speaker=16,
        width=32,
        prenet=16,
        attention=16,
        filters=4,
        filter_kernel=7,
        postnet=24,
        most_frames=60,
        encoder=16,
        bank=3,
        highways=2,
        decoder=32,
        postnet_bank=3,
        most_at_once=4,
    )
    return Config("hybrid", voice_spec(), "rtvc", 66, hybrid=small)


@register("sv2tts-encoder-test", system="sv2tts")
def encoder_test() -> Config:
    return Config("encoder", ge2e_spec(), encoder=Encoder(32, 2, 0, 16))


def _tiny_spec() -> FeatureSpec:
    plain = log_mel_spec(2000, 64, 16, 8, log="db", log_floor=1e-4)
    return plain.override(power=1.0, preemphasis=0.97, mean=-30.0, deviation=12.5)


@register("sv2tts-wavernn-test", system="sv2tts")
def wavernn_test() -> Config:
    tiny = WaveRNN(24, 24, upsampling=Upsampling((4, 4), 16, 2, 2, 16), samples=Samples(bits=6),
                   folding=Folding(400, 50))  # fmt: skip
    return Config("wavernn", _tiny_spec(), wavernn=tiny)


@register("sv2tts-wavenet-test", system="sv2tts")
def wavenet_test() -> Config:
    tiny = WaveNet(4, 2, 8, 16, 16, upsampling=Upsampling((4, 4), 16, 2, 2, 16),
                   samples=Samples("logistics", mixtures=3, least_log_scale=-7.0),
                   folding=Folding(400, 50))  # fmt: skip
    return Config("wavenet", _tiny_spec(), wavenet=tiny)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Speech in anybody's voice from seconds of a recording; a vector that says who speaks.",
    use=(
        "One model is to speak in many voices, told which by a recording.",
        "A vector is wanted that says who speaks: to compare, group or check voices "
        "(`published_encoder().embed(recording)`).",
        "Files of Real-Time-Voice-Cloning, Resemblyzer or NVIDIA's Tacotron 2 are to be read, "
        "without the packages they were made with.",
    ),
    avoid=(
        "The person has not agreed: voices are copied with consent only, and speech made so is to "
        "be told as made. Nothing here can check it.",
        "One known voice, or words that must not be skipped or said twice: FastSpeech is faster, "
        "and neither loses its way nor stops too early.",
        "Sound at once from the paper's vocoders: they say one sample after another. HiFi-GAN and "
        "iSTFTNet fit mels of other recipes in one pass.",
    ),
    paper="Ye Jia, Yu Zhang, Ron Weiss, Quan Wang, Jonathan Shen, Fei Ren, Zhifeng Chen, Patrick "
    "Nguyen, Ruoming Pang, Ignacio Lopez Moreno, Yonghui Wu, NeurIPS 2018",
    figures=(
        "MOS of unseen speakers: 4.20 (VCTK), 4.12 (LibriSpeech); seen: 4.07, 3.89",
        "similarity MOS of unseen speakers: 3.28 (VCTK), 3.03 (LibriSpeech); seen: 4.22, 3.28",
        "encoders of 1.2k, 8.4k, 18k speakers: similarity 2.23, 2.54, 3.03; EER 16.6, 10.1, 5.1 %",
    ),
    code_licence="no official code; Real-Time-Voice-Cloning is MIT, Resemblyzer Apache-2.0, "
    "NVIDIA/tacotron2 BSD-3",
    weights_licence="of the community checkpoints: MIT (RTVC), Apache-2.0 (Resemblyzer), BSD-3",
    deviations=(
        "Silence is found by energy (30 dB below the loudest 30 ms), not by WebRTC's detector; "
        "smoothing and spreading of its decisions are the published ones.",
        "Padding changes nothing: convolutions, GRUs, attention and post-nets are masked, losses "
        "are means over real frames. `compat=published` does as RTVC and NVIDIA do.",
        "Pre-net dropout, always on, is drawn for each text from a stream of its own, so that one "
        "seed says one thing, alone or in a batch.",
        "Each text of a batch stops by itself, after ten frames at the earliest; RTVC waits for "
        "all.",
        "RTVC's mel is not cut at its upper end, its recordings are not scaled to their peak "
        "first, and its vocoder's fade over the last 20 frames is left out.",
        "Where pieces of a long sound meet, the later one's first half of the overlap is run-up "
        "and power is constant over the second half.",
        "The paper's WaveNet: 3 cycles of 10 dilations, width 64, gates 128, 10 logistics, RTVC's "
        "upsampling: our choice.",
        "An utterance of which nothing is left after a ReLU is the vector 0, not NaN.",
        "RTVC counts its step as a parameter of the WaveRNN (4,480,936); here it is none.",
        "The mini and test presets are ours. Of NVIDIA's 148 symbols letters are written, not "
        "ARPAbet.",
    ),
    faults=(
        "RTVC: padded tokens get an attention energy of 0, so that they are read; its CBHGs look "
        "past a text's end.",
        "RTVC: gaps and long pauses in short texts, since a stop is only asked of a whole batch.",
        "RTVC and Resemblyzer: features by positional arguments that newer librosa refuses; a "
        "detector that has to be compiled; files as pickles with the optimiser's state.",
        "NVIDIA: texts have to come sorted by falling length; convolutions of the encoder and the "
        "post-net see padding.",
    ),
    verbs=("speak", "vocode", "train"),
    golden=(
        "SV2TTS GE2E speaker encoder",
        "SV2TTS synthesizer (Tacotron with speaker vector)",
        "SV2TTS vocoder (WaveRNN)",
        "Tacotron 2",
    ),
    checks=("tests/parity/test_sv2tts_resemblyzer.py",),
)
