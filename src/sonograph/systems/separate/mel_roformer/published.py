"""Published files of Mel-Band RoFormer and BS-RoFormer: names, sizes, the YAML beside them.

Their authors published no weights; these are files of the community, all in the names of one
re-implementation (lucidrains/BS-RoFormer) and of the code that trains with it (ZFTurbo's).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError, missing_extra
from sonograph.nn.mel_bands import HAND_MADE, hand_made_bands, mel_bands
from sonograph.systems.separate.mel_roformer.model import Config, MelRoformer, build
from sonograph.weights import rename

READS_FILE = True  # `load_published` is given the file's place: a YAML may lie beside it

# published name, our name; what stands in braces is a number. Axis 0 is time, 1 frequency.
ATTENTION, FEEDFORWARD = "layers.{}.{}.layers.{}.0.", "layers.{}.{}.layers.{}.1."
PUBLISHED_NAMES = (
    (ATTENTION + "norm.gamma", "layers.{}.{}.attention.{}.norm.gain"),
    (ATTENTION + "to_qkv.weight", "layers.{}.{}.attention.{}.qkv.weight"),
    (ATTENTION + "to_gates.{}", "layers.{}.{}.attention.{}.gates.{}"),
    (ATTENTION + "to_out.0.weight", "layers.{}.{}.attention.{}.project.weight"),
    (FEEDFORWARD + "net.0.gamma", "layers.{}.{}.feedforward.{}.norm.gain"),
    (FEEDFORWARD + "net.1.{}", "layers.{}.{}.feedforward.{}.expand.{}"),
    (FEEDFORWARD + "net.4.{}", "layers.{}.{}.feedforward.{}.contract.{}"),
    ("layers.{}.{}.norm.gamma", "layers.{}.{}.norm.gain"),
    ("final_norm.gamma", "norm.gain"),
    ("band_split.to_features.{}.0.gamma", "band {} gain"),
    ("band_split.to_features.{}.1.{}", "band {} {}"),
    ("mask_estimators.{}.to_freqs.{}.0.{}.{}", "mask {} {} {} {}"),
)
# facts, repeated under every layer: theta 10000; filter banks that some copies keep
UNUSED = (
    ATTENTION + "rotary_embed.freqs",
    "freq_indices",
    "freqs_per_band",
    "num_freqs_per_band",
    "num_bands_per_freq",
)
OTHERS = (  # parts of relatives that this system does not have
    ("learned_value_residual_mix", "value residuals"),
    ("to_value_residual_mix", "value residuals"),
    (".static_alpha", "hyper-connections"),
    (".dynamic_alpha_fn", "hyper-connections"),
    ("pope_embed", "PoPE positions"),
    (".temperature", "linear attention"),
    ("to_qkv.0.weight", "linear attention"),
)
RATES_HZ = (44_100, 48_000, 32_000, 24_000, 22_050, 16_000)
FFTS = (2048, 1024, 512, 4096, 8192)


def is_published(state: Mapping[str, Any]) -> bool:
    """Whether these are names of a Mel-Band or BS-RoFormer file."""
    bare = {_bare(name) for name in state}
    return {
        "band_split.to_features.0.0.gamma",
        "mask_estimators.0.to_freqs.0.0.0.weight",
    } <= bare


def _bare(name: str) -> str:
    """Without the prefixes of wrappers, and of the residuals of newer releases (`branch`)."""
    for prefix in ("module.", "model.", "_orig_mod."):
        name = name.removeprefix(prefix)
    return name.replace(".branch.", ".")


def _cleaned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bare names, in the old order of layers: newer Mel releases count a linear transformer first.

    Raises InputError where a file belongs to a relative with parts that are not here.
    """
    bare = {_bare(name): value for name, value in state.items()}
    for part, what in OTHERS:
        if found := next((name for name in bare if part in name), None):
            raise InputError(
                f"a relative of Mel-RoFormer with {what} ({found}): only the files without are "
                "read, those with time and frequency attention alone"
            )
    axes = {name.split(".")[2] for name in bare if name.startswith("layers.")}
    if axes == {"1", "2"}:
        turned = re.compile(r"^(layers\.\d+\.)([12])(?=\.)")
        bare = {turned.sub(lambda m: f"{m[1]}{int(m[2]) - 1}", n): v for n, v in bare.items()}
    elif axes != {"0", "1"}:
        raise InputError(
            f"a layer of parts {', '.join(sorted(axes))}: time and frequency, two of them, are read"
        )
    return bare


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> ours; weights of bands of equal size are stacked."""
    bare = _cleaned(state)
    runs = _runs_of(_sizes(bare))
    named = rename(bare, PUBLISHED_NAMES, UNUSED)
    ours = {name: value for name, value in named.items() if " " not in name}
    for r, (a, b) in enumerate(runs):
        ours[f"split.gains.{r}"] = torch.stack([named[f"band {k} gain"] for k in range(a, b)])
        weights = [named[f"band {k} weight"].T for k in range(a, b)]
        ours[f"split.project.weights.{r}"] = torch.stack(weights)
        biases = [named[f"band {k} bias"] for k in range(a, b)]
        ours[f"split.project.biases.{r}"] = torch.stack(biases)
    for s in range(_count(bare, r"mask_estimators\.(\d+)\.")):
        places = _mask_places(bare, s)
        for depth, place in enumerate(places):
            last = depth == len(places) - 1
            name = f"heads.{s}.out" if last else f"heads.{s}.hidden.{depth}"
            for r, (a, b) in enumerate(runs):
                weights = [named[f"mask {s} {k} {place} weight"].T for k in range(a, b)]
                biases = [named[f"mask {s} {k} {place} bias"] for k in range(a, b)]
                ours[f"{name}.weights.{r}"] = torch.stack(weights)
                ours[f"{name}.biases.{r}"] = torch.stack(biases)
    return ours


def _count(bare: Mapping[str, Any], pattern: str) -> int:
    found = [int(m[1]) for name in bare if (m := re.match(pattern, name))]
    return 1 + max(found)


def _sizes(bare: Mapping[str, Tensor]) -> list[int]:
    """Numbers of each band: 2 x channels x bins."""
    count = _count(bare, r"band_split\.to_features\.(\d+)\.")
    return [len(bare[f"band_split.to_features.{k}.0.gamma"]) for k in range(count)]


def _runs_of(sizes: list[int]) -> list[tuple[int, int]]:
    starts = [0] + [k for k in range(1, len(sizes)) if sizes[k] != sizes[k - 1]]
    return list(zip(starts, [*starts[1:], len(sizes)]))


def _mask_places(bare: Mapping[str, Any], stem: int) -> list[int]:
    """Where the linear layers of the first band's mask head stand: 0, 2, 4."""
    pattern = re.compile(rf"mask_estimators\.{stem}\.to_freqs\.0\.0\.(\d+)\.weight")
    return sorted(int(m[1]) for name in bare if (m := pattern.fullmatch(name)))


# --- sizes ---------------------------------------------------------------------------------------


def config_from_published(
    state: Mapping[str, Tensor], settings: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of a published file: from its shapes, and the rest from its YAML.

    No shape tells the hop, whether 0 Hz is silenced, or the names of the stems. Without a YAML the
    hop is 10 ms (441 samples: the files most in use), nothing is silenced, and the stem of a file
    with one is taken for the vocals. `settings`: what `read_settings` gave.
    """
    bare, settings = _cleaned(state), settings or {}
    told = settings.get("model", settings)
    width = len(bare["layers.0.0.layers.0.1.net.0.gamma"])
    inner = bare["layers.0.0.layers.0.0.to_qkv.weight"].shape[0] // 3
    heads = _heads(bare, inner, told)
    stems = _count(bare, r"mask_estimators\.(\d+)\.")
    places = _mask_places(bare, 0)
    windows = tuple(told.get("multi_stft_resolutions_window_sizes", Config.loss_windows))
    hidden = bare["mask_estimators.0.to_freqs.0.0.0.weight"].shape[0]
    bands = _bands(_sizes(bare), told)
    window = int(told.get("stft_win_length", bands["fft_samples"]))
    if window != bands["fft_samples"]:
        raise InputError(
            f"windows of {window} samples in an FFT of {bands['fft_samples']}: files whose window "
            "is as long as the FFT are read"
        )
    config = Config(
        **bands,
        **_names(stems, settings),
        width=width,
        depth=_count(bare, r"layers\.(\d+)\."),
        time_depth=_count(bare, r"layers\.0\.0\.layers\.(\d+)\."),
        frequency_depth=_count(bare, r"layers\.0\.1\.layers\.(\d+)\."),
        num_heads=heads,
        head_width=inner // heads,
        gates="layers.0.0.layers.0.0.to_gates.weight" in bare,
        norm="last" if "final_norm.gamma" in bare else "each",
        mask_depth=len(places) - 1,
        mask_times=hidden // width if len(places) > 1 else 4,
        hop_samples=int(told.get("stft_hop_length", bands["rate_hz"] // 100)),
        zero_dc=bool(told.get("zero_dc", False)),
        skips=bool(told.get("skip_connection", False)),
        attention_dropout=float(told.get("attn_dropout", 0.0)),
        dropout=float(told.get("ff_dropout", 0.0)),
        loss_windows=windows,
        loss_hops=(int(told.get("multi_stft_hop_size", 147)),) * len(windows),
    )
    chunk = settings.get("audio", {}).get("chunk_size", 8 * config.rate_hz)
    return config.override(window_frames=max(1, int(chunk) // config.hop_samples))


def _heads(bare: Mapping[str, Tensor], inner: int, told: Mapping[str, Any]) -> int:
    """How many heads: one gate each, or by the rotary rates that the file keeps, or told."""
    first = "layers.0.0.layers.0.0."
    if first + "to_gates.bias" in bare:
        return len(bare[first + "to_gates.bias"])
    if first + "rotary_embed.freqs" in bare:
        return inner // (2 * len(bare[first + "rotary_embed.freqs"]))
    return int(told.get("heads", 8))


def _bands(sizes: list[int], told: Mapping[str, Any]) -> dict[str, Any]:
    """Rate, channels, FFT and layout whose bands have these sizes: mel bands, or side by side."""
    rates = dict.fromkeys([int(told.get("sample_rate", RATES_HZ[0])), *RATES_HZ])
    ffts = dict.fromkeys([int(told.get("stft_n_fft", FFTS[0])), *FFTS])
    for channels in (2, 1):
        if any(size % (2 * channels) for size in sizes):
            continue
        widths = tuple(size // (2 * channels) for size in sizes)
        for fft in ffts:
            if sum(widths) < fft // 2 + 1:
                continue
            found = {"channels": channels, "fft_samples": fft, "num_bands": len(widths)}
            if sum(widths) == fft // 2 + 1:  # side by side
                rate = next(iter(rates))
                plain = widths == _widths(hand_made_bands(len(widths), fft, rate))
                other = () if plain or (widths == HAND_MADE and fft == 2048) else widths
                return found | {"bands": "hand", "rate_hz": rate, "band_bins": other}
            for rate in rates:
                try:
                    layout = mel_bands(len(widths), fft, rate)
                except InputError:
                    continue
                if widths == _widths(layout):
                    return found | {"bands": "mel", "rate_hz": rate}
    raise InputError(
        f"{len(sizes)} bands of {sizes[0]} to {max(sizes)} numbers fit no layout of mel bands or "
        "of bands side by side"
    )


def _widths(bands: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(end - start for start, end in bands)


def _names(count: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the stems: the YAML's target or instruments, else the guess told above."""
    training = settings.get("training", {})
    target, all_of = training.get("target_instrument"), training.get("instruments") or []
    if target and count == 1:
        others = [str(name) for name in all_of if name != target]
        return {"stems": (str(target),), "rest": others[0] if len(others) == 1 else "rest"}
    if len(all_of) == count:
        return {"stems": tuple(map(str, all_of)), "rest": None if count > 1 else "rest"}
    if count == 1:
        return {"stems": ("vocals",), "rest": "accompaniment"}
    return {"stems": tuple(f"stem {k + 1}" for k in range(count)), "rest": None}


def read_settings(path: Path) -> dict[str, Any]:
    """The YAML that belongs to a file; tuples are read, nothing that is named in it is ever run.

    Raises InputError for a file that is no such YAML, or asks for any other Python object.
    """
    try:
        import yaml
    except ImportError:
        raise missing_extra("pyyaml", "hub") from None

    class Plain(yaml.SafeLoader):
        """YAML's plain values, and tuples."""

    Plain.add_constructor(
        "tag:yaml.org,2002:python/tuple",
        lambda loader, node: tuple(loader.construct_sequence(node)),
    )
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=Plain)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} is not read: {said[:120]}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no named settings")
    return found


def load_published(
    state: Mapping[str, Tensor],
    path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> MelRoformer:
    """The separator of a published file.

    path: the file's, beside which a .yaml or .yml of the same stem is looked for; settings: of a
    YAML that lies elsewhere, read by `read_settings`.
    """
    if settings is None and path is not None:
        beside = (path.with_suffix(end) for end in (".yaml", ".yml"))
        settings = next((read_settings(one) for one in beside if one.is_file()), None)
    model = build(config_from_published(state, settings))
    model.load_state_dict(from_published(state))
    return model
