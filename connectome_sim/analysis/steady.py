"""Steady states: the right-hand side of the rate equation, its exact Jacobian, and Newton's method on both.

Knows a network and states, no bump and no heading. All in the network's precision, float64 where a root is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.axes import State, Weights
from connectome_sim.model import RateNetwork

TOLERANCE = (
    1e-11  # chosen: largest residual of a root, in units of rate; float64 of a few hundred terms ends near 1e-14
)
ITERATIONS = 40  # chosen: Newton doubles the digits of a good start within 6
LONGEST_STEP = (
    0.2  # chosen: of the largest change of a rate in one iteration, relative to the largest rate (at least 1)
)
CHUNK = 32  # states whose Jacobians are in memory together: 32 of 400 neurons are 40 MB

Matrices = Float[Tensor, "batch row column"]


def residual(network: RateNetwork, rates: State) -> State:
    """-r + phi(W r + b), which vanishes at a steady state without input, 1."""
    return network.activation.value(network.total_input(rates)) - rates


def residual_matrix(network: RateNetwork, rates: State) -> Matrices:
    """Derivative of the residual, -1 + diag(phi'(x)) W with x = W r + b [batch, N, N], 1."""
    slope = network.activation.slope(network.total_input(rates))
    return slope[..., None] * network.weights - torch.eye(network.n_neurons, dtype=network.dtype)


def jacobian(network: RateNetwork, rates: State) -> Matrices:
    """Derivative of dr/dt, diag(1 / tau) ( -1 + diag(phi'(x)) W ) [batch, N, N], 1/s."""
    return residual_matrix(network, rates) / network.time_constant[:, None]


@dataclass(frozen=True, eq=False)
class Roots:
    """Where Newton's method ended.

    Attributes:
        rates: r, 1.
        multiplier: of the direction of a constrained root (0 without one) [batch], 1/s.
        error: largest absolute residual [batch], 1.
    """

    rates: State
    multiplier: Float[Tensor, " batch"]
    error: Float[Tensor, " batch"]

    @property
    def converged(self) -> Bool[Tensor, " batch"]:
        """Whether the residual is within ``TOLERANCE``."""
        return self.error <= TOLERANCE


def fixed_roots(network: RateNetwork, start: State) -> Roots:
    """Steady states from nearby states: Newton on the full right-hand side, with steps that are kept short.

    Args:
        network: float64.
        start: where to begin [batch, N]; each converges or not on its own.
    """
    return _newton(network, start, None, None)


def constrained_roots(network: RateNetwork, start: State, *, direction: State, normal: State) -> Roots:
    """States r at which dr/dt = lambda t and a . r = 0: the flow is along a given direction.

    With t the tangent of a slow curve and a . r = 0 the condition on the heading, this is the point of that curve at
    the heading, and lambda the speed along it.

    Args:
        network: float64.
        start: where to begin [batch, N].
        direction: t, 1 per unit of whatever parametrises the curve [batch, N].
        normal: a [batch, N].
    """
    return _newton(network, start, direction, normal)


def _newton(network: RateNetwork, start: State, direction: Weights | None, normal: Weights | None) -> Roots:
    parts = []
    for first in range(0, len(start), CHUNK):
        part = slice(first, first + CHUNK)
        border = None if direction is None or normal is None else (direction[part], normal[part])
        parts.append(_newton_chunk(network, start[part], border))
    return Roots(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


def _newton_chunk(
    network: RateNetwork, start: State, border: tuple[State, State] | None
) -> tuple[Tensor, Tensor, Tensor]:
    rates, multiplier = start.clone(), start.new_zeros(len(start))
    error = _error(network, rates, multiplier, border)
    for _ in range(ITERATIONS):
        active = ((error > TOLERANCE) & torch.isfinite(error)).nonzero()[:, 0]
        if not len(active):
            break
        mine = None if border is None else (border[0][active], border[1][active])
        step, change = _step(network, rates[active], multiplier[active], mine)
        rates[active] += step
        multiplier[active] += change
        error[active] = _error(network, rates[active], multiplier[active], mine)
    return rates, multiplier, error.nan_to_num(nan=torch.inf)


def _step(
    network: RateNetwork, rates: Tensor, multiplier: Tensor, border: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Newton's step of states and multipliers, shortened where it is long."""
    # with a border:  [ A  -tau t ] [ dr      ]     [ A-residual ]
    #                 [ a     0   ] [ dlambda ] = - [ a . r      ]
    matrix, n = residual_matrix(network, rates), rates.shape[1]
    value = _residual(network, rates, multiplier, border)
    if border is not None:
        along, normal = border[0] * network.time_constant, border[1]
        matrix = torch.nn.functional.pad(matrix, (0, 1, 0, 1))
        matrix[:, :n, n], matrix[:, n, :n] = -along, normal
    solution = torch.stack([_solved(one, -column) for one, column in zip(matrix, value, strict=True)])
    largest = solution[:, :n].abs().amax(dim=1).nan_to_num(nan=torch.inf)
    longest = LONGEST_STEP * rates.abs().amax(dim=1).clamp(min=1.0)
    solution = solution * (longest / largest.clamp(min=torch.finfo(rates.dtype).tiny)).clamp(max=1.0)[:, None]
    return solution[:, :n], solution[:, n] if border is not None else torch.zeros_like(multiplier)


def _solved(matrix: Tensor, column: Tensor) -> Tensor:
    """Solution of one linear system, NaN where the matrix is singular."""
    # by NumPy: PyTorch's batched solver has failed on several threads (invalid pivots from its LAPACK)
    try:
        return torch.from_numpy(np.linalg.solve(matrix.numpy(), column.numpy()))
    except np.linalg.LinAlgError:
        return torch.full_like(column, torch.nan)


def _residual(network: RateNetwork, rates: Tensor, multiplier: Tensor, border: tuple[Tensor, Tensor] | None) -> Tensor:
    value = residual(network, rates)
    if border is None:
        return value
    direction, normal = border
    value = value - multiplier[:, None] * direction * network.time_constant
    return torch.cat([value, (normal * rates).sum(dim=1, keepdim=True)], dim=1)


def _error(network: RateNetwork, rates: Tensor, multiplier: Tensor, border: tuple[Tensor, Tensor] | None) -> Tensor:
    return _residual(network, rates, multiplier, border).abs().amax(dim=1)
