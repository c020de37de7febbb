from __future__ import annotations

from typing import Any

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.systems.separate import mossformer2
from sonograph.systems.separate.mossformer2 import (
    Config,
    Learned,
    MossFormer2,
    Net,
    Pretraining,
    Spectral,
    published,
)
from sonograph.systems.separate.mossformer2.model import LEVEL, spectral_part
from sonograph.systems.separate.mossformer2.objective import phase_sensitive

TINY = Net(width=8, depth=2, recurrent_width=6, query_width=32, group_frames=16)


def talkers(**changes: Any) -> MossFormer2:
    torch.manual_seed(0)
    return mossformer2.build(Config(front=Learned(filters=12), net=TINY).override(**changes)).eval()


def enhancer(**changes: Any) -> MossFormer2:
    torch.manual_seed(0)
    front = Spectral(fft_samples=128, hop_samples=32, bands=8)
    config = Config(rate_hz=8000, front=front, net=TINY.override(recurrence="plain"))
    return mossformer2.build(config.override(changes)).eval()


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


# --- model ---------------------------------------------------------------------------------------


def test_says_what_it_separates():
    assert talkers().stems == ("talker one", "talker two")
    assert not talkers().ordered
    assert len(talkers(front=Learned(talkers=3, filters=12)).stems) == 3
    assert (enhancer().stems, enhancer().ordered, enhancer().rest) == (("speech",), True, "noise")


@torch.no_grad()
def test_a_loud_mixture_is_separated_as_a_quiet_one_and_answered_as_loud():
    for model in (talkers(), enhancer(), talkers(front=Learned(filters=12, answer="direct"))):
        mixture = noise(1, 1, 3000)
        quiet, loud = model(mixture), model(30 * mixture)
        torch.testing.assert_close(loud, 30 * quiet, atol=1e-4, rtol=1e-3)


def test_the_level_is_that_of_two_passes():
    """All samples to -25 dB first, then those that are louder than the average."""
    x = noise(2, 4000) * torch.tensor([[1.0], [0.01]]) * torch.linspace(0, 1, 4000)
    want = x * LEVEL / x.square().mean(1, keepdim=True).sqrt()
    for row in range(2):
        power = want[row].square()
        want[row] *= LEVEL / power[power > power.mean()].mean().sqrt()
    torch.testing.assert_close(x * talkers().scale(x), want)
    assert float(talkers().scale(torch.zeros(1, 9))) == 1
    assert float(talkers(level="keep").scale(x)[0]) == 1


@torch.no_grad()
def test_all_samples_are_answered_unless_as_published():
    mixture = noise(1, 1, 16 + 8 * 20 + 5)
    assert (talkers()(mixture)[..., -5:] != 0).any()
    as_published = talkers(compat="network")(mixture)
    assert (as_published[..., -5:] == 0).all()
    assert (as_published[..., -6] != 0).all()
    whole = noise(1, 1, 16 + 8 * 20)
    assert torch.equal(talkers()(whole), talkers(compat="network")(whole))


@torch.no_grad()
def test_the_published_tools_levels():
    mixture = noise(2, 1, 2000) * torch.tensor([1.0, 5.0])[:, None, None]
    made = talkers(compat="tool")(mixture)
    level = mixture.square().mean(2)[:, None].expand(2, 2, 1)
    torch.testing.assert_close(made.square().mean(3), level)
    plain = talkers()(mixture).square().mean(3)
    assert float((plain / level - 1).abs().max()) > 0.1


@torch.no_grad()
def test_a_mask_of_ones_gives_the_mixture_back():
    for answer in ("magnitude", "complex"):
        for n in (1, 50, 128, 1001):
            model = enhancer(**{"front.answer": answer})
            part = spectral_part(model)
            part.masks = lambda x: torch.ones(1, 1, 1)  # type: ignore[method-assign]
            mixture = noise(1, 1, n)
            torch.testing.assert_close(model(mixture)[:, 0], mixture, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_a_mask_that_nobody_asks_for_costs_nothing_and_changes_nothing():
    one, two = (enhancer(**{"front.spare": spare}) for spare in (0, 1))
    state = {n: v[: one.state_dict()[n].shape[0]] if v.ndim else v
             for n, v in two.state_dict().items()}  # fmt: skip
    one.load_state_dict(state)
    torch.testing.assert_close(one(noise(1, 1, 900)), two(noise(1, 1, 900)))


def test_rotary_rates_survive_half_precision(tmp_path):
    model = talkers()
    assert not model.inside.net.frequencies.rates.requires_grad
    weights.save_folder(tmp_path, model, {}, dtype="float16")
    loaded: Any = weights.load(tmp_path)
    assert torch.equal(loaded.inside.net.frequencies.rates, model.inside.net.frequencies.rates)
    rates = model.half().inside.net.frequencies.rates
    assert torch.equal(rates, loaded.inside.net.frequencies.rates)


def test_wrong_mixtures_and_settings_are_named():
    with pytest.raises(InputError, match="mixtures of"):
        talkers()(noise(1, 2, 100))
    with pytest.raises(InputError, match="half"):
        Learned(filter_samples=7)
    with pytest.raises(InputError, match="talkers"):
        Learned(talkers=1)
    with pytest.raises(InputError, match="overlap"):
        Spectral(fft_samples=64, hop_samples=64)
    with pytest.raises(InputError, match="turned"):
        Net(query_width=16)
    with pytest.raises(InputError, match="even"):
        Net(width=7)
    with pytest.raises(InputError, match="separates talkers"):
        spectral_part(talkers())


def test_a_configuration_comes_back_from_json():
    for preset in registry.presets("mossformer2*"):
        config = preset.make()
        assert type(config).from_json(config.to_json()) == config


# --- objective -----------------------------------------------------------------------------------


def test_the_order_of_talkers_does_not_matter_and_more_sources_are_noise():
    model = Pretraining(talkers())
    sources = noise(2, 3, 1, 1000)
    batch = {"mixture": sources.sum(1), "sources": sources}
    swapped = batch | {"sources": sources[:, [1, 0, 2]]}
    torch.testing.assert_close(model(batch)["loss"], model(swapped)["loss"])


def test_the_phase_sensitive_loss_is_the_formula():
    part = spectral_part(enhancer())
    clean = noise(2, 1000)
    noisy = clean + 0.05 * torch.randn(2, 1000)
    padding = part.padding(1000)
    y, s = (part.spectrum(torch.nn.functional.pad(x, padding)) for x in (noisy, clean))
    target = (s.abs() * (s.angle() - y.angle()).cos() / y.abs()).clamp(0, 1)
    weight = y.abs() / y.abs().mean((1, 2), keepdim=True)
    masks = part.masks(torch.nn.functional.pad(noisy, padding))
    want = (weight * (masks - target) ** 2).mean()
    torch.testing.assert_close(phase_sensitive(part, noisy, clean)["loss"], want)
    part.masks = lambda x: target  # type: ignore[method-assign]
    assert float(phase_sensitive(part, noisy, clean)["loss"]) < 1e-10


@pytest.mark.parametrize("objective", ["phase_sensitive", "waveform"])
@pytest.mark.parametrize("answer", ["magnitude", "complex"])
def test_every_enhancer_learns(objective, answer):
    model = Pretraining(enhancer(**{"front.objective": objective, "front.answer": answer}).train())
    sources = noise(2, 2, 1, 1500)
    batch = {"mixture": sources.sum(1), "sources": sources}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


# --- published weights ---------------------------------------------------------------------------


def published_of(model: MossFormer2, layout: str) -> dict[str, torch.Tensor]:
    """The weights of a model under their published names and shapes."""
    heads = {
        "clearvoice": ("model.enc.conv1d.weight", "model.dec.weight", "model.mask_net."),
        "standalone": ("encoder.conv1d.weight", "decoder.weight", "masknet."),
        "enhancer": ("", "", "model.mossformer."),
    }[layout]
    deep = "dual_mdl.0." if layout == "standalone" else "mdl."
    inner = "intra_mdl.mdl." if layout == "standalone" else "intra_mdl."
    stack = f"{deep}{inner}{'flashT' if layout == 'standalone' else 'mossformerM'}."
    last = f"{deep}{inner}{'norm.norm' if layout == 'standalone' else 'norm'}."
    found = {}
    rules = [(ours, theirs) for theirs, ours in published.MASK_NET]
    for name, value in model.state_dict().items():
        if name == "inside.encoder.weight":
            found[heads[0]] = value[:, None]
        elif name == "inside.decoder.weight":
            found[heads[1]] = value.T[:, None]
        elif name.endswith("frequencies.rates"):
            for layer in range(model.config.net.depth):
                place = f"{heads[2]}{stack}layers.{layer}.rotary_pos_emb.freqs"
                found[place] = value
        else:
            short = name.removeprefix("inside.net.")
            (theirs,) = weights.rename({short: value}, rules)
            theirs = theirs.replace("stack_norm.", last).replace("stack.", stack)
            theirs = theirs.replace("intra_norm.", f"{deep}intra_norm.")
            found[heads[2] + theirs] = _as_published(theirs, value)
    return found


def _as_published(name: str, value: torch.Tensor) -> torch.Tensor:
    if name.endswith("sequential.1.conv.weight"):
        return value[:, None]
    if name.endswith("gated_fsmn.fsmn.conv1.weight"):
        return value[:, None, :, None]
    if ".conv.conv" in name or name.endswith(("conv1.0.weight", "conv2.weight")):
        return value[..., None]
    pointwise = ("conv1d_encoder", "conv1d_out", "conv1_decoder", "output.0", "output_gate.0")
    return value[..., None] if value.ndim == 2 and any(p in name for p in pointwise) else value


def fresh(model: MossFormer2) -> MossFormer2:
    """Every weight of its own, norms and slopes too."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=draw))
    return model


@pytest.mark.parametrize("recurrence", ["dilated", "none"])
def test_a_file_of_clearvoice_loads_with_whatever_stands_before_its_names(tmp_path, recurrence):
    net = TINY.override(recurrence=recurrence, group_frames=256)
    model = fresh(talkers(rate_hz=16000, net=net))
    state = published_of(model, "clearvoice")
    for prefix in ("", "module."):
        torch.save({"model": {prefix + n: v for n, v in state.items()}}, tmp_path / "best.pt")
        (tmp_path / "last_best_checkpoint").write_text("best.pt\n")
        for place in (tmp_path, tmp_path / "best.pt"):
            loaded: Any = weights.load(place)
            assert (loaded.rate_hz, loaded.config.level) == (16000, "loud")
            mixture = noise(1, 1, 1000)
            with torch.no_grad():
                torch.testing.assert_close(loaded(mixture), model(mixture))


def test_the_three_standalone_files_load_from_their_folder(tmp_path):
    for name, answer in (("mossformer2-librimix-2spk", "mask"), ("MossFormer2-WHAMR", "direct")):
        folder = tmp_path / name
        folder.mkdir()
        front = Learned(filters=12, answer=answer)  # type: ignore[arg-type]
        model = fresh(talkers(front=front, net=TINY.override(group_frames=256), level="keep"))
        state = published_of(model, "standalone")
        for part in ("encoder", "decoder", "masknet"):
            torch.save(weights.part_of(state, f"{part}."), folder / f"{part}.ckpt")
        loaded: Any = weights.load(folder)
        assert loaded.rate_hz == 8000
        assert loaded.config.front.answer == answer
        with torch.no_grad():
            torch.testing.assert_close(loaded(noise(1, 1, 900)), model(noise(1, 1, 900)))
        with pytest.raises(InputError, match="folder that holds all three"):
            weights.load(folder / "masknet.ckpt")


def test_the_enhancers_file_loads():
    net = TINY.override(recurrence="plain")
    config = Config(rate_hz=48000, front=Spectral(), net=net)
    state = published_of(fresh(mossformer2.build(config)), "enhancer")
    assert published.is_published(state)
    loaded = mossformer2.load_published(state)
    assert (loaded.rate_hz, loaded.stems) == (48000, ("speech",))
    for name, value in mossformer2.from_published(state).items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_other_variants_are_told_apart():
    state = published_of(talkers(), "clearvoice")
    more = state | {"model.visual.conv.weight": torch.zeros(1)}
    with pytest.raises(InputError, match="no rule knows"):
        mossformer2.load_published(more)
    front = Spectral(fft_samples=128, hop_samples=32, bands=8)
    other = mossformer2.build(Config(front=front, net=TINY.override(recurrence="plain")))
    with pytest.raises(InputError, match="SE_48K makes 961 of 180"):
        mossformer2.load_published(published_of(other, "enhancer"))
    place = next(name for name in state if name.endswith("rotary_pos_emb.freqs"))
    with pytest.raises(InputError, match="rotary"):
        mossformer2.load_published(state | {place: 2 * state[place]})
    assert not published.is_published({"encoder.conv1d.weight": torch.zeros(1)})
