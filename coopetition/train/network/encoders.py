"""The residual convolutional encoder of images, trained with the transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Linear, lecun_normal_

CHANNELS = (16, 32, 32, 64)  # of the four groups of two blocks (arXiv 2205.05055)
BLOCKS = 2
CHANNELS_PER_NORM = 8


class Convolution(nn.Module):
    """A square convolution without bias, of every member at once (as groups of one convolution)."""

    def __init__(self, members: int, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.zeros(members, outputs, inputs, size, size))

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights."""
        lecun_normal_(self.weight, math.prod(self.weight.shape[2:]), generators)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, M·inputs, h, w)`` to ``(N, M·outputs, h/stride, w/stride)``."""
        members, size = self.weight.shape[0], self.weight.shape[-1]
        return F.conv2d(
            x, self.weight.flatten(0, 1), stride=self.stride, padding=size // 2, groups=members
        )


class ChannelNorm(nn.Module):
    """Group normalisation: every image and group of eight channels has mean 0 and variance 1.

    The papers normalise over the batch, which couples its sequences and needs running averages.
    """

    def __init__(self, members: int, channels: int) -> None:
        super().__init__()
        self.groups = members * channels // CHANNELS_PER_NORM
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, M·channels, h, w)``."""
        return F.group_norm(x, self.groups, self.weight.flatten(), self.bias.flatten())


class ResidualBlock(nn.Module):
    """relu(norm(conv) twice + the input, projected where the shape changes)."""

    def __init__(self, members: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(members, inputs, outputs, 3, stride)
        self.first_norm = ChannelNorm(members, outputs)
        self.second = Convolution(members, outputs, outputs, 3, 1)
        self.second_norm = ChannelNorm(members, outputs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = Convolution(members, inputs, outputs, 1, stride) if changes else None

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal convolutions."""
        for part in (self.first, self.second, self.shortcut):
            if part is not None:
                part.initialise(generators)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, M·inputs, h, w)`` to ``(N, M·outputs, h/stride, w/stride)``."""
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResidualEncoder(nn.Module):
    """Square grey images to vectors: a residual network, the mean over pixels, a linear map.

    He et al. (2016), "Deep residual learning"; sizes as in arXiv 2205.05055.
    """

    def __init__(self, members: int, pixels: int, width: int) -> None:
        super().__init__()
        self.side = math.isqrt(pixels)
        if self.side**2 != pixels:
            raise ValueError(
                f"network.input_dim = {pixels}: the ResNet encoder reads square images; give "
                f"a square number of pixels, such as {self.side**2}"
            )
        self.first = Convolution(members, 1, CHANNELS[0], 3, 1)
        self.first_norm = ChannelNorm(members, CHANNELS[0])
        self.residual = nn.ModuleList()
        inputs = CHANNELS[0]
        for group, channels in enumerate(CHANNELS):
            for block in range(BLOCKS):
                stride = 2 if group and not block else 1
                self.residual.append(ResidualBlock(members, inputs, channels, stride))
                inputs = channels
        self.output = Linear(members, inputs, width)

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights, biases 0, normalisations the identity."""
        self.first.initialise(generators)
        for block in self.residual:
            cast(ResidualBlock, block).initialise(generators)
        self.output.initialise(generators)

    def forward(self, examples: Tensor) -> Tensor:
        """Map images ``(M, B, L, pixels)`` to vectors ``(M, B, L, width)``."""
        members, batch, count, _ = examples.shape
        x = examples.reshape(members, batch * count, self.side, self.side).transpose(0, 1)
        x = F.relu(self.first_norm(self.first(x)))
        for block in self.residual:
            x = block(x)
        means = x.mean((-2, -1)).view(batch * count, members, -1).transpose(0, 1)
        out: Tensor = self.output(means)
        return out.view(members, batch, count, -1)
