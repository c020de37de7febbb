"""TERA: a small transformer that learns speech by mending altered spectrograms.

For whoever has much speech and few labels: its frozen layers serve as features, or all of it is
fine-tuned. Liu, Li and Lee, "TERA: Self-Supervised Learning of Transformer Encoder Representation
for Speech", IEEE/ACM TASLP 2021. Stretches of time are zeroed or replaced, a band of frequencies is
zeroed, noise is added to all magnitudes, and the model reconstructs what was there (L1). Mockingjay
(Liu et al., ICASSP 2020), its parent, alters time alone; BERT gives the blocks. Unlike in SSAST
every frame is a token, and nothing is replaced by a learned one.

Published (SUPERB, base, 960 h): phones 49.17 PER, keywords 89.48, speakers 57.57, ASR 18.17 WER;
log-mel filter banks: phones 82.01, ASR 23.18.

Shapes: features (b, rows, frames) -> tokens (b, n, d), one a frame; grid (1, frames).

Ours, where the paper is silent: an utterance too short for one block of time has one all the same;
with noise as the only alteration every frame is to be reconstructed; `adapted_features`, the
speaker-adapted kind, are not fMLLR (no recognizer is at hand to estimate it) but MFCCs with deltas,
each coefficient normalised over the utterance: a diagonal affine transform, of which fMLLR is the
full one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.audio.feature_spec import Features, FeatureSpec, Frontend, log_mel_spec
from sonograph.audio.table import Table
from sonograph.errors import InputError
from sonograph.nn.alteration import TIME, TIME_FREQUENCY, Alteration, Altered, alter
from sonograph.nn.bert import BertBlock
from sonograph.nn.encoder import Embeds, Encoder, Tokens
from sonograph.nn.sinusoids import sinusoids
from sonograph.registry import About, register
from sonograph.weights import part_of, rename


def mel_features() -> FeatureSpec:
    """80 log-mel bands of speech at -25 dB RMS, each band normalised over the utterance."""
    plain = log_mel_spec(16000, 400, 160, 80, mel_scale="htk_float32", mel_norm="none", log="ln")
    level = {"level": "rms", "level_to": 10 ** (-25 / 20)}
    return plain.override({**level, "log_offset": 1e-10, "normalise": "bands"})


def fbank_features() -> FeatureSpec:
    """The fbankBase variant: 80 Kaldi bands with two orders of deltas, normalised; 240 rows."""
    kaldi = FeatureSpec(window="povey", bins=80, deltas=2, clip_mean="keep", mean=0.0, deviation=1)
    return kaldi.override(normalise="bands")


def adapted_features() -> FeatureSpec:
    """13 MFCCs with two orders of deltas, each normalised over the utterance; 39 rows.

    Our stand-in for the paper's fMLLR features: see the head of this file.
    """
    plain = log_mel_spec(16000, 400, 160, 40, mel_scale="htk", mel_norm="none", log="ln")
    mfcc = {"kind": "mfcc", "coefficients": 13, "deltas": 2, "log_offset": 1e-10}
    return plain.override({**mfcc, "normalise": "bands"})


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of the base model."""

    width: int = 768
    depth: int = 3
    num_heads: int = 12
    hidden: int = 3072  # width of the feedforward layers
    dropout: float = 0.1  # of hidden values and of attention
    frames: int = 1500  # longer utterances are split into equal parts of at most so many
    norm: Literal["post", "pre"] = "post"
    shared: Literal["none", "all"] = "none"  # "all": every layer is the same one
    alteration: Alteration = Alteration()
    error: Literal["absolute", "squared"] = "absolute"  # of what is reconstructed; paper: absolute
    features: FeatureSpec = mel_features()

    @property
    def patch(self) -> tuple[int, int]:
        """What one token sees: all rows of one frame."""
        return self.features.rows, 1


# --- model ---------------------------------------------------------------------------------------


class Tera(nn.Module, Embeds):
    """The encoder: a linear layer, sinusoidal positions, norm, BERT blocks.

    features (b, rows, frames), lengths (b,) in frames or None -> Tokens. Utterances longer than
    `config.frames` are split into equal parts that do not see each other, as published.

    >>> Tera(test())(torch.zeros(2, 80, 30)).values.shape
    torch.Size([2, 30, 64])
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.spec, self.width = config.features, config.width
        self.grid = (1, config.frames)
        self.project = nn.Linear(self.spec.rows, config.width)
        self.positions = Table(sinusoids(config.frames, config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.width, config.num_heads, config.hidden, config.dropout)
        count = config.depth if config.shared == "none" else 1
        made = [BertBlock(*sizes, order=config.norm) for _ in range(count)]
        self.blocks = nn.ModuleList(made if config.shared == "none" else made * config.depth)
        # with norms inside the residual parts, what leaves a layer has not been normalised yet
        norms = config.depth + 1 if config.norm == "pre" else 0
        self.layer_norms = nn.ModuleList(
            nn.LayerNorm(config.width, eps=1e-12) for _ in range(norms)
        )
        self.apply(initialise)

    def forward(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        return self.encode(self.patch_tokens(features, lengths))

    def patch_tokens(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        """A token a frame, before positions: what another objective may hide."""
        rows, frames = features.shape[1:]
        if rows != self.spec.rows:
            raise InputError(f"this model takes {self.spec.rows} rows of features, not {rows}")
        if not frames:
            raise InputError("there are no frames: give at least one")
        mask = None
        if lengths is not None and bool((lengths < frames).any()):
            mask = torch.arange(frames, device=features.device) < lengths.clamp(min=1)[:, None]
            features = features.masked_fill(~mask[:, None], 0.0)
        return Tokens(self.project(features.transpose(1, 2)), mask, (1, frames))

    def encode(self, tokens: Tokens) -> Tokens:
        """Positions, norm and blocks."""
        return self._layers(tokens)[-1]

    def layers(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> tuple[Tokens, ...]:
        """The input representation and what each block answers: depth + 1 of them."""
        return self._layers(self.patch_tokens(features, lengths))

    def _layers(self, tokens: Tokens) -> tuple[Tokens, ...]:
        x, mask, most = tokens.values, tokens.mask, self.config.frames
        if x.shape[1] <= most:
            states = self._states(x, mask)
        else:
            counts = [x.shape[1]] * len(x) if mask is None else mask.sum(1).tolist()
            clips = [self._split(clip[:count]) for clip, count in zip(x, counts)]
            states = [nn.utils.rnn.pad_sequence(list(layer), True) for layer in zip(*clips)]
            short = x.shape[1] - states[0].shape[1]
            states = [nn.functional.pad(state, (0, 0, 0, short)) for state in states]
        return tuple(dataclasses.replace(tokens, values=state) for state in states)

    def _split(self, x: Float[Tensor, "n d"]) -> list[Float[Tensor, "n d"]]:
        """Every layer of one utterance in equal parts, the last one perhaps shorter."""
        size = math.ceil(len(x) / math.ceil(len(x) / self.config.frames))
        parts = [self._states(part[None], None) for part in x.split(size)]
        return [torch.cat(layer, dim=1)[0] for layer in zip(*parts)]

    def _states(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None
    ) -> list[Float[Tensor, "b n d"]]:
        x = self.dropout(self.norm(x + self.positions.values[: x.shape[1]].to(x.dtype)))
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], mask))
        if self.config.norm == "pre":
            return [norm(state) for norm, state in zip(self.layer_norms, states)]
        return states

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "tera", "config": self.config.to_dict()}


def initialise(module: nn.Module) -> None:
    """BERT's start: normal of 0.02 for linear maps."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def build(config: Config) -> Tera:
    return Tera(config)


# --- objective -----------------------------------------------------------------------------------


class Reconstruct(nn.Module):
    """From a frame's representation to its features: linear, GELU, norm, linear."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b outputs"]:
        return self.output(self.norm(nn.functional.gelu(self.dense(x))))


class Pretraining(nn.Module, Embeds):
    """Reconstruction of altered features by any encoder: section III of the paper.

    An encoder whose tokens span several frames predicts all frames of a column at once, from all
    rows of the token grid together.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.policy = getattr(encoder.config, "alteration", Alteration())  # type: ignore[attr-defined]
        self.error = getattr(encoder.config, "error", "absolute")  # type: ignore[attr-defined]
        rows, columns = encoder.grid  # type: ignore[attr-defined]
        self.column_frames = max(1, round(encoder.config.frames / columns))  # type: ignore[attr-defined]
        outputs = encoder.spec.rows * self.column_frames
        self.head = Reconstruct(rows * encoder.width, encoder.width, outputs)
        self.head.apply(initialise)

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def reconstruct(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None
    ) -> Float[Tensor, "b rows frames"]:
        """What the model takes the features for."""
        tokens = self.encoder(features, lengths)
        columns = rearrange(tokens.values, "b (f t) d -> b t (f d)", f=tokens.grid[0])
        made = rearrange(self.head(columns), "b t (r k) -> b r (t k)", k=self.column_frames)
        if made.shape[2] != features.shape[2]:
            made = nn.functional.interpolate(made, features.shape[2], mode="linear")
        return made

    def loss(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        altered: Altered,
    ) -> dict[str, Tensor]:
        """Mean error over the altered positions, equation 1: absolute, or squared if asked for."""
        made = self.reconstruct(altered.features, lengths)
        error = made.float() - features.float()
        error = error.square() if self.error == "squared" else error.abs()
        error = error.masked_fill(~altered.positions, 0.0)
        return {"loss": error.sum() / altered.positions.sum().clamp(min=1)}

    def forward(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
        policy: Alteration | None = None,
    ) -> dict[str, Tensor]:
        key = int(torch.randint(2**62, (), generator=generator))
        return self.loss(features, lengths, alter(features, lengths, key, policy or self.policy))

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "pretraining", "system": "tera", "encoder": self.encoder.describe()}


# --- published weights ---------------------------------------------------------------------------


def published_features(
    waveform: Float[Tensor, "b n"], lengths: Int[Tensor, "b"], spec: FeatureSpec
) -> Features:
    """Features as the official code makes them of a padded batch; ours are a clip's own.

    There a shorter clip ends in the zeros that pad it instead of its mirror, its deltas look into
    them, and its frames are counted by proportion to the longest clip.
    """
    if spec.kind == "kaldi_fbank":  # each clip by itself, before padding
        return Frontend(spec)(waveform, lengths)
    levelled = Frontend(spec.override(normalise="fixed"))
    if spec.level != "keep":  # before padding
        levelled = Frontend(spec.override(normalise="fixed", level="keep"))
        inside = torch.arange(waveform.shape[1]) < lengths[:, None]
        rms = ((waveform * inside).square().sum(1) / lengths).sqrt()
        waveform = waveform * inside * (spec.level_to / (rms + 1e-10))[:, None]
    raw = levelled(waveform).values
    counts = [round(n * raw.shape[2] / waveform.shape[1]) for n in lengths.tolist()]
    if spec.normalise == "fixed":  # zeros beyond a clip are normalised by nothing
        return Features(raw, torch.tensor(counts))
    values = torch.zeros_like(raw)
    for row, clip, count in zip(values, raw, counts):
        deviation, mean = torch.std_mean(clip[:, :count], 1, keepdim=True)
        row[:, :count] = (clip[:, :count] - mean) / (deviation + spec.normalise_eps)
    return Features(values, torch.tensor(counts))


# published name, our name; what stands in braces is a number or a kind of weight
LAYER = "Transformer.encoder.layer.{}"
PUBLISHED_NAMES = (
    ("Transformer.input_representations.spec_transform.{}", "encoder.project.{}"),
    ("Transformer.input_representations.LayerNorm.{}", "encoder.norm.{}"),
    (f"{LAYER}.attention.self.query.{{}}", "encoder.blocks.{}.attention.query.{}"),
    (f"{LAYER}.attention.self.key.{{}}", "encoder.blocks.{}.attention.key.{}"),
    (f"{LAYER}.attention.self.value.{{}}", "encoder.blocks.{}.attention.value.{}"),
    (f"{LAYER}.attention.output.dense.{{}}", "encoder.blocks.{}.attention.project.{}"),
    (f"{LAYER}.attention.output.LayerNorm.{{}}", "encoder.blocks.{}.norm1.{}"),
    (f"{LAYER}.intermediate.dense.{{}}", "encoder.blocks.{}.feedforward.expand.{}"),
    (f"{LAYER}.output.dense.{{}}", "encoder.blocks.{}.feedforward.contract.{}"),
    (f"{LAYER}.output.LayerNorm.{{}}", "encoder.blocks.{}.norm2.{}"),
    ("Transformer.encoder.LayerNorm.{}.{}", "encoder.layer_norms.{}.{}"),
    ("SpecHead.dense.{}", "head.dense.{}"),
    ("SpecHead.LayerNorm.{}", "head.norm.{}"),
    ("SpecHead.output.{}", "head.output.{}"),
)
# in pre-norm models each norm of a layer has a second name
UNUSED = (f"{LAYER}.attention.LayerNorm.{{}}", f"{LAYER}.LayerNorm.{{}}")
HEADS = {768: 12, 384: 8}  # of the published sizes, by width
NEVER_SPLIT = 24_000  # frames: a sequence_length of 0; the official positions go no further


def _modern(name: str) -> str:
    """Weights of norms are called gamma and beta in old files."""
    start, _, last = name.rpartition(".")
    return f"{start}.{({'gamma': 'weight', 'beta': 'bias'}).get(last, last)}"


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official TERA or Mockingjay file."""
    return "Transformer.input_representations.spec_transform.weight" in names


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and `head.*` where the file has it."""
    return rename({_modern(n): v for n, v in state.items()}, PUBLISHED_NAMES, UNUSED)


def config_from_published(
    state: Mapping[str, Tensor], settings: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of an official file: shapes of the weights, and what the file says.

    settings: the published groups `transformer`, `task` and `audio`; without them the number of
    heads is told from the width and the features from their height.
    """
    settings, state = settings or {}, {_modern(n): v for n, v in state.items()}
    first = state["Transformer.input_representations.spec_transform.weight"]
    width, rows = first.shape
    layers = [n.split(".")[3] for n in state if n.startswith("Transformer.encoder.layer.")]
    said, task = settings.get("transformer", {}), settings.get("task", {})
    heads = int(said.get("num_attention_heads", HEADS.get(width, 0)))
    if (act := said.get("hidden_act", "gelu")) != "gelu":
        raise InputError(f"a TERA file with {act!r} layers: only gelu is known")
    if not heads:
        raise InputError(
            f"a file of width {width} without its configuration does not tell its heads: give the "
            "official file as it was saved, with Config or Upstream_Config"
        )
    return Config(
        width=width,
        depth=1 + max(map(int, layers)),
        num_heads=heads,
        hidden=len(state["Transformer.encoder.layer.0.intermediate.dense.bias"]),
        dropout=float(said.get("hidden_dropout_prob", 0.1)),
        frames=int(task.get("sequence_length", 1500)) or NEVER_SPLIT,
        norm="pre" if "Transformer.encoder.LayerNorm.0.weight" in state else "post",
        shared="all" if said.get("share_layer") else "none",
        alteration=_alteration(task),
        error="squared" if task.get("loss") == "MSE" else "absolute",
        features=_features(rows, settings.get("audio"), int(said.get("input_dim", -1))),
    )


def _alteration(task: Mapping[str, Any]) -> Alteration:
    """The policy of a file's settings."""
    usual = Alteration()
    return Alteration(
        time_share=float(task.get("mask_proportion", usual.time_share)),
        block_frames=int(task.get("mask_consecutive_max", usual.block_frames)),
        frequency_share=float(task.get("mask_frequency", usual.frequency_share)),
        noise_chance=float(task.get("noise_proportion", usual.noise_chance)),
    )


def _features(rows: int, audio: Mapping[str, Any] | None, input_dim: int) -> FeatureSpec:
    """The front-end of a file: by its settings, else by its height.

    A file of features that were made elsewhere (fMLLR) says their number and no front-end: it is
    given `adapted_features`, of as many rows.
    """
    if audio is None and input_dim == rows:
        plain = adapted_features()
        if plain.rows == rows:
            return plain
        return plain.override(coefficients=rows, deltas=0, bins=max(rows, plain.bins))
    audio = audio or {}
    asked = audio.get("input", {})
    if "kaldi" in audio or (not asked and rows == 240):
        found = fbank_features()
    elif asked.get("feat_type", "mel") == "mel" and asked.get("log", True):
        found = _mel_of(rows, audio, asked)
    else:
        kind = asked["feat_type"] if asked.get("log", True) else f"{asked['feat_type']} without log"
        raise InputError(f"features of kind {kind!r} are not offered: log-mel and kaldi")
    if found.rows != rows:
        raise InputError(f"a file with {rows} rows of features is none of the published kinds")
    return found


def _mel_of(rows: int, audio: Mapping[str, Any], asked: Mapping[str, Any]) -> FeatureSpec:
    """Log-mel by a file's settings: windows in milliseconds, FFT bins, bands, deltas, level."""
    usual = mel_features()
    bins = int(audio.get("n_mels", usual.bins))
    per_ms = usual.rate_hz / 1000
    return usual.override(
        bins=bins,
        deltas=int(asked.get("delta", max(0, rows // bins - 1))),
        window_samples=round(audio.get("win_ms", 25) * per_ms),
        hop_samples=round(audio.get("hop_ms", 10) * per_ms),
        fft_samples=2 * (int(audio.get("n_freq", 201)) - 1),
        level_to=10 ** (audio.get("target_level", -25) / 20),
        normalise="bands" if asked.get("cmvn", True) else "fixed",
    )


READS_NOTES = True  # the configuration lies beside the weights


def load_published(state: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None) -> Tera:
    """The encoder of an official file; `notes` is what lies beside its weights."""
    groups = [(notes or {}).get(name) for name in ("Upstream_Config", "Config")]
    settings = [group for group in groups if isinstance(group, dict) and "transformer" in group]
    encoder = Tera(config_from_published(state, settings[0] if settings else None))
    encoder.load_state_dict(part_of(from_published(state), "encoder."))
    return encoder


EXPORTS = True  # torch.export takes the encoder, for clips that fill their batch


# --- presets -------------------------------------------------------------------------------------


@register("tera-test", system="tera", note="for tests: under a million parameters")
def test() -> Config:
    return Config(width=64, depth=2, num_heads=4, hidden=128, frames=100)


@register("tera-mini", system="tera", note="the claim's size")
def mini() -> Config:
    return Config(width=128, depth=2, num_heads=4, hidden=512, frames=300)


@register("tera-base", system="tera", parameters=21_327_360, note="time, frequency, magnitude")
def base() -> Config:
    return Config()


@register("tera-base-100h", system="tera", parameters=21_327_360, note="100 h, dropout 0.3")
def base_100h() -> Config:
    return Config(dropout=0.3)


@register("tera-base-tf", system="tera", parameters=21_327_360, note="time and frequency")
def base_time_frequency() -> Config:
    return Config(alteration=TIME_FREQUENCY)


@register("tera-base-fbank", system="tera", parameters=21_450_240, note="Kaldi fbank and deltas")
def base_fbank() -> Config:
    return Config(dropout=0.3, alteration=TIME_FREQUENCY, features=fbank_features())


@register("tera-base-adapted", system="tera", note="normalised MFCCs, ours for the paper's fMLLR")
def base_adapted() -> Config:
    return Config(features=adapted_features())


@register("tera-medium", system="tera", parameters=42_590_976, note="6 layers")
def medium() -> Config:
    return Config(depth=6)


@register("tera-large", system="tera", parameters=85_118_208, note="12 layers")
def large() -> Config:
    return Config(depth=12)


@register("tera-slim", system="tera", parameters=14_238_336, note="12 narrow layers")
def slim() -> Config:
    return Config(width=384, depth=12, num_heads=8, hidden=768, dropout=0.3, frames=15_000)


@register("tera-mockingjay", system="tera", parameters=21_327_360, note="time alone")
def mockingjay() -> Config:
    return Config(alteration=TIME)


@register("tera-mockingjay-large", system="tera", parameters=85_118_208, note="time alone")
def mockingjay_large() -> Config:
    return Config(depth=12, alteration=TIME)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A small transformer that learns speech by mending altered spectrograms.",
    use=(
        "Much speech, few labels: pre-train on the speech, then probe the frozen layers (their "
        "weighted sum, `nn.layers.WeightedLayers`) or fine-tune.",
        "A vector every 10 ms: phones, tones and speakers rather than scenes.",
        "Published TERA or Mockingjay weights at hand: `sonograph.load` opens the official .ckpt "
        "files without running code.",
    ),
    avoid=(
        "Words are to be written down with little effort: wav2vec 2.0 and HuBERT are far ahead "
        "(18.17 word errors against 6.4 on SUPERB).",
        "What matters is the level or the timbre of the whole recording: every band is normalised "
        "over the utterance, so a steady sound leaves little.",
        "Long sounds at little cost: attention runs over every frame of 10 ms.",
    ),
    paper="Andy T. Liu, Shang-Wen Li, Hung-yi Lee, IEEE/ACM TASLP 2021",
    figures=(
        "SUPERB (base, 960 h): phones 49.17 % errors, ASR 18.17 % word errors",
        "SUPERB: keywords 89.48 %, speakers 57.57 %, intents 58.42 %, emotions 56.27 %",
        "log-mel filter banks in the same table: phones 82.01 %, ASR 23.18 % errors",
        "three axes are better than any one of them; small models are the better frozen features, "
        "large ones the better start for fine-tuning",
    ),
    code_licence="Apache-2.0 (some files of the toolkit CC-BY-NC)",
    weights_licence="published with the toolkit, which names no other licence for them; trained on "
    "LibriSpeech (CC BY 4.0)",
    deviations=(
        "Noise is drawn for each utterance; the official code draws once for a batch. "
        '`compat="published"` of `Alteration` draws as it does, and leaves out the last frame and '
        "the highest row as it does.",
        "An utterance too short for a block of time has one all the same.",
        "With noise alone (an arm of the claim) every frame is reconstructed and noise is always "
        "added: the official loss would have no positions.",
        "Features are a clip's own. The official front-end lets the zeros of a padded batch into "
        "the last frames of shorter clips; `published_features` does so too.",
        "fMLLR features take a recognizer that is not here: `tera-base-adapted` has normalised "
        "MFCCs with deltas instead, and is no published size; official files of such features "
        "load, and are given MFCCs of as many rows.",
        "Presets `tera-test` and `tera-mini` are ours.",
    ),
    faults=(
        "The toolkit cannot be imported without torchaudio and its whole list of upstreams.",
        "Lengths are told from sums of features that are not zero.",
        "Old files keep a pickled scheduler of the toolkit beside the weights: such a file is "
        "refused here, since it asks for code; saved again without it, it loads.",
        "The last frame and the highest row are never altered.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("tera",),
    checks=("tests/parity/test_tera_transformers.py",),
)
