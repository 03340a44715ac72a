"""Where a token stands in its sequence: sinusoidal tables and rotations of queries and keys."""

from __future__ import annotations

import torch
from torch import Tensor


def angles(length: int, width: int, time_scale: float) -> Tensor:
    """Angle of each position in each pair of coordinates.

    θ[p, j] = p / time_scale^(2j / width)                                                       (1)

    Parameters
    ----------
    length
        Number of positions.
    width
        Number of coordinates, even; there are ``width // 2`` pairs.
    time_scale
        Longest wavelength / 2π, in tokens.

    Returns
    -------
    Tensor
        Float32, shape ``(length, width // 2)``.

    Examples
    --------
    >>> angles(3, 4, 100.0)[:, 1].tolist() == torch.tensor([0.0, 0.1, 0.2]).tolist()
    True
    """
    pair = torch.arange(width // 2, dtype=torch.float64)
    position = torch.arange(length, dtype=torch.float64)
    theta = position[:, None] / time_scale ** (2 * pair / width)
    return theta.to(torch.float32)


def sinusoidal_table(length: int, width: int, time_scale: float) -> Tensor:
    """Sinusoidal embeddings: sin θ[p, j] at coordinate 2j, cos θ[p, j] at 2j + 1.

    Parameters are those of `angles`.

    Returns
    -------
    Tensor
        Float32, shape ``(length, width)``.

    References
    ----------
    Vaswani et al. (2017), "Attention is all you need", §3.5.
    """
    theta = angles(length, width, time_scale)
    return torch.stack((theta.sin(), theta.cos()), dim=-1).flatten(-2)


class Rotation(torch.nn.Module):
    """Rotary positions: each pair of coordinates of a query or key is turned by θ[p, j].

    Parameters
    ----------
    length, width, time_scale
        As for `angles`; ``width`` is that of one head.

    References
    ----------
    Su et al. (2021), "RoFormer", arXiv 2104.09864.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, width: int, time_scale: float) -> None:
        super().__init__()
        theta = angles(length, width, time_scale)
        self.register_buffer("cos", theta.cos(), persistent=False)
        self.register_buffer("sin", theta.sin(), persistent=False)

    def forward(self, vectors: Tensor, first: int = 0) -> Tensor:
        """Turn ``vectors``, ``(…, tokens, width)``, whose first token stands at `first`."""
        last = first + vectors.shape[-2]
        cos, sin = self.cos[first:last], self.sin[first:last]
        even, odd = vectors[..., 0::2], vectors[..., 1::2]
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
        return turned.flatten(-2)
