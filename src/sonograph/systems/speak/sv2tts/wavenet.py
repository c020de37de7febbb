"""The paper's vocoder: a WaveNet of thirty dilated layers, conditioned on the mel.

Van den Oord et al. 2016, with the mixture of logistics of Shen et al. 2018 (section 2.3). The paper
gives the number of layers; widths, dilations and upsampling are ours (`sizes.WaveNet`). Unlike the
layers of `nn/wavenet.py` these look back only, two samples at a time. When it speaks, each layer
keeps the inputs it will need again, so that a sample costs one step of each (Paine et al. 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.systems.speak.sv2tts import sampling
from sonograph.systems.speak.sv2tts.sizes import Config
from sonograph.systems.speak.sv2tts.wavernn import Conditioned, Upsample


class Layer(nn.Module):
    """tanh times sigmoid of two samples and a condition; what goes on, and what is summed up.

    on: how wide what goes on is; 0 in the last layer.
    """

    def __init__(self, width: int, gate: int, skip: int, condition: int, dilation: int, on: int):
        super().__init__()
        self.dilation = dilation
        self.gate = nn.Conv1d(width, gate, 2, dilation=dilation)
        self.condition = nn.Conv1d(condition, gate, 1, bias=False)
        self.on, self.end = on, nn.Conv1d(gate // 2, on + skip, 1)

    def last(self) -> tuple[Tensor, Tensor]:
        """Weight (gate / 2, on + skip) and bias of what comes after the gate."""
        return self.end.weight[:, :, 0].T, _bias(self.end)


class WaveNet(Conditioned):
    """Causal gated layers; the condition is the upsampled mel beside what a network says of it."""

    def __init__(self, config: Config):
        sizes = config.wavenet
        super().__init__(config, sizes)
        self.upsample = Upsample(self.spec.rows, sizes.upsampling)
        self.enter = nn.Conv1d(1, sizes.width, 1)
        condition = self.spec.rows + sizes.upsampling.out
        self.layers = nn.ModuleList(
            Layer(
                sizes.width,
                sizes.gate,
                sizes.skip,
                condition,
                dilation=2 ** (k % sizes.cycle),
                on=sizes.width if k < sizes.layers - 1 else 0,
            )
            for k in range(sizes.layers)
        )
        self.between = nn.Conv1d(sizes.skip, sizes.skip, 1)
        self.leave = nn.Conv1d(sizes.skip, self.said.classes, 1)

    def logits(
        self, before: Float[Tensor, "b n"], features: Float[Tensor, "b rows t"]
    ) -> Float[Tensor, "b n c"]:
        mel, frames = self.condition(features)
        told = torch.cat([mel, frames.repeat_interleave(self.spec.hop_samples, 1)], 2)
        told = told.transpose(1, 2)
        x = self.enter(before[:, None])
        total = x.new_zeros(len(x), self.sizes.skip, x.shape[2])
        for layer in self.layers:
            assert isinstance(layer, Layer)
            y = layer.gate(F.pad(x, (layer.dilation, 0))) + layer.condition(told)
            a, b = y.chunk(2, 1)
            y = layer.end(a.tanh() * b.sigmoid())
            total = total + y[:, layer.on :]
            if layer.on:
                x = x + y[:, : layer.on]
        return self.leave(self.between(total.relu()).relu()).transpose(1, 2)

    def pieces(
        self, mel: Tensor, frames: Tensor, clip: Tensor, starts: Tensor, noise: Tensor
    ) -> Float[Tensor, "k length"]:
        rows, hop, n = self.spec.rows, self.spec.hop_samples, mel.shape[1]
        layers = [layer for layer in self.layers if isinstance(layer, Layer)]
        gates = [(one.gate.weight[:, :, 0].T, one.gate.weight[:, :, 1].T) for one in layers]
        ends = [one.last() for one in layers]
        told = torch.cat([one.condition.weight[:, :, 0] for one in layers])
        # once a frame: what all layers take from the residual network, with their biases
        fixed = F.linear(frames, told[:, rows:], torch.cat([_bias(one.gate) for one in layers]))
        of_mel, width = told[:, :rows].T.contiguous(), self.sizes.width
        k, count = len(starts), frames.shape[1]
        # what layers heard; the network heard zeros before the first sample, as when it learned
        past = [mel.new_zeros(one.dilation, k, width) for one in layers]
        x, made = mel.new_zeros(k), []
        begin, between, leave = _bias(self.enter), self.between, self.leave
        for t in range(noise.shape[1]):
            position = (starts + t).clamp(max=n - 1)
            frame = fixed[clip, sampling.frames_at(position, hop, count)]
            given = torch.addmm(frame, mel[clip, position], of_mel).chunk(len(layers), 1)
            y = torch.addmm(begin, x[:, None], self.enter.weight[:, :, 0].T)
            total = mel.new_zeros(k, self.sizes.skip)
            for place, one in enumerate(layers):
                slot = t % one.dilation
                z = torch.addmm(given[place], past[place][slot], gates[place][0])
                past[place][slot] = y
                wide, deep = torch.addmm(z, y, gates[place][1]).chunk(2, 1)
                weight, bias = ends[place]
                z = torch.addmm(bias, wide.tanh() * deep.sigmoid(), weight)
                total = total + z[:, one.on :]
                if one.on:
                    y = y + z[:, : one.on]
            z = F.linear(total.relu(), between.weight[:, :, 0], between.bias).relu()
            logits = F.linear(z, leave.weight[:, :, 0], leave.bias)
            made.append(self.said.draw(logits, noise[:, t]))
            x = made[-1].to(mel)
        return torch.stack(made, 1)


def _bias(layer: nn.Conv1d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
