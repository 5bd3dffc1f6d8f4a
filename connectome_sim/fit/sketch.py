"""The curvature of losses from random sums of their residuals, for cheap Gauss-Newton steps. Knows no network.

The Gauss-Newton matrix J^T J is the mean of z z^T over random signs s, with z = J^T s: one reverse pass instead of a
Jacobian column for every parameter. Each trial has residuals and signs of its own and, in reverse mode, a gradient of
its own, so a pass gives one such z for each trial: a handful of passes over a batch outnumbers the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.fit.linearise import NEGATIVE, RESIDUAL_GUARD, Terms
from connectome_sim.losses import Observation
from connectome_sim.losses.coverage import Coverage
from connectome_sim.losses.entropy import Entropy
from connectome_sim.losses.linear_consistency import LinearConsistency

_BETWEEN_TRIALS = (Coverage, Entropy, LinearConsistency)  # their values depend on several trials


@dataclass(frozen=True, eq=False)
class Sketched:
    """A batch's total, its gradient, and its Gauss-Newton matrix from random sums.

    Attributes:
        total: weighted sum of the losses.
        report: mean of each loss.
        gradient: [P], float64, by the raw parameters in the order of ``trainable``.
        curvature: [P, P], float64, an unbiased estimate of J^T J.
    """

    total: float
    report: dict[str, float]
    gradient: Float[Tensor, " direction"]
    curvature: Float[Tensor, "direction direction"]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals whose half sum of squares is the total, as in ``linearise``.

    Attributes:
        of_rates: of the terms that depend on rates, one tensor each.
        of_gains: of those that depend on log-gains alone.
    """

    of_rates: tuple[Tensor, ...]
    of_gains: tuple[Tensor, ...]

    def random_sums(self, count: int, random: Generator) -> Iterator[Tensor]:
        """``count`` sums over the residuals of the rates with random signs, scalars."""
        for _ in range(count):
            yield torch.stack([(residual * _signs(residual, random)).sum() for residual in self.of_rates]).sum()


def residuals(terms: Terms, observation: Observation, rates: Tensor) -> Residuals:
    """Residuals of all terms of weight above 0, differentiable.

    Raises:
        FitError: a loss that compares trials, one with negative values or values that are not finite, or none that
            depends on the rates of this batch.
    """
    of_rates: list[Tensor] = []
    of_gains: list[Tensor] = []
    for name, term in terms.items():
        if term.weight == 0:
            continue
        if isinstance(term.loss, _BETWEEN_TRIALS):
            raise FitError(f"loss {name}: compares trials, which random sums keep apart; set optimizer sketches to 0")
        values = term.loss(observation)[term.loss.where(observation)]
        if not len(values):
            continue
        if (values < NEGATIVE).any():
            raise FitError(f"loss {name}: has negative values, which have no residual; set optimizer sketches to 0")
        if not torch.isfinite(values).all():
            raise FitError(f"loss {name}: a value is not finite; tighten the parameter bounds")
        squares = 2 * term.weight / len(values) * values
        counts = squares > RESIDUAL_GUARD**2
        residual = torch.where(counts, torch.sqrt(torch.where(counts, squares, 1.0)), 0.0)
        on_rates = torch.autograd.grad(residual.sum(), rates, retain_graph=True, allow_unused=True)[0] is not None
        (of_rates if on_rates else of_gains).append(residual)
    if not of_rates:
        raise FitError(f"none of the losses {tuple(terms)} sees the rates of this batch; add one that does, or trials")
    return Residuals(tuple(of_rates), tuple(of_gains))


def _signs(like: Tensor, random: Generator) -> Tensor:
    signs = random.integers(0, 2, size=tuple(like.shape), dtype=np.int8)
    return torch.from_numpy(2.0 * signs - 1).to(like)
