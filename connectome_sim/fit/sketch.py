"""The curvature of losses from random sums of their residuals, for cheap Gauss-Newton steps. Knows no network.

The Gauss-Newton matrix J^T J is the mean of z z^T over random signs s, with z = J^T s: one reverse pass instead of a
Jacobian column for every parameter. Each trial has residuals and signs of its own and, in reverse mode, a gradient of
its own, so a pass gives one such z for each trial: a handful of passes over a batch outnumbers the parameters. Trials
that a loss compares with each other share residuals and give one z together. A loss with negative values enters as one
residual, that of its mean, as in ``linearise``, and costs a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.fit.linearise import NEGATIVE, RESIDUAL_GUARD, Terms
from connectome_sim.losses import Observation
from connectome_sim.losses.coverage import Coverage
from connectome_sim.losses.entropy import Entropy
from connectome_sim.losses.linear_consistency import LinearConsistency


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
        of_batch: of those whose mean is one residual of the whole batch, scalars.
        of_gains: of those that depend on log-gains alone.
        group: number of the group of each trial [B]: no residual of ``of_rates`` depends on two groups.
    """

    of_rates: tuple[Tensor, ...]
    of_batch: tuple[Tensor, ...]
    of_gains: tuple[Tensor, ...]
    group: Int[Tensor, " batch"]

    def by_group(self, rows: Float[Tensor, "batch direction"]) -> Float[Tensor, "group direction"]:
        """Sums over the trials of each group."""
        return rows.new_zeros(int(self.group.max()) + 1, rows.shape[1]).index_add(0, self.group, rows)

    def random_sums(self, count: int, random: Generator) -> Iterator[Tensor]:
        """``count`` sums over the residuals of the rates with random signs, scalars."""
        for _ in range(count if self.of_rates else 0):
            yield torch.stack([(residual * _signs(residual, random)).sum() for residual in self.of_rates]).sum()


def residuals(terms: Terms, observation: Observation, rates: Tensor) -> Residuals:
    """Residuals of all terms of weight above 0, differentiable.

    Raises:
        FitError: a loss whose every value depends on all trials, a mean that is negative, values that are not finite,
            or no loss that depends on the rates of this batch.
    """
    of_rates: list[Tensor] = []
    of_batch: list[Tensor] = []
    of_gains: list[Tensor] = []
    for name, term in terms.items():
        if term.weight == 0:
            continue
        if isinstance(term.loss, Coverage):
            raise FitError(
                f"loss {name}: compares all trials, which random sums keep apart; set optimizer sketches to 0"
            )
        values = term.loss(observation)[term.loss.where(observation)]
        if not len(values):
            continue
        whole = isinstance(term.loss, Entropy) or bool((values < NEGATIVE).any())
        if whole:
            values = values.mean(dim=0, keepdim=True)
            if (values < NEGATIVE).any():
                raise FitError(f"loss {name}: got a mean of {float(values[0]):g}, which has no residual; use adam")
        if not torch.isfinite(values).all():
            raise FitError(f"loss {name}: a value is not finite; tighten the parameter bounds")
        squares = 2 * term.weight / len(values) * values
        counts = squares > RESIDUAL_GUARD**2
        residual = torch.where(counts, torch.sqrt(torch.where(counts, squares, 1.0)), 0.0)
        on_rates = torch.autograd.grad(residual.sum(), rates, retain_graph=True, allow_unused=True)[0] is not None
        if whole and on_rates:
            of_batch.append(residual[0])
        else:
            (of_rates if on_rates else of_gains).append(residual)
    if not of_rates and not of_batch:
        raise FitError(f"none of the losses {tuple(terms)} sees the rates of this batch; add one that does, or trials")
    compares = any(isinstance(term.loss, LinearConsistency) and term.weight > 0 for term in terms.values())
    return Residuals(tuple(of_rates), tuple(of_batch), tuple(of_gains), groups(observation, paired=compares))


def groups(observation: Observation, *, paired: bool) -> Int[Tensor, " batch"]:
    """Number of the group of each trial, from 0: every trial its own, or together with those it is compared with."""
    label = torch.arange(observation.rates.shape[1])
    for pairs in (observation.scaled_pairs, observation.equal_pairs) if paired else ():
        assert pairs is not None  # the loss has asked for them
        for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
            label[label == label[first]] = label[second].clone()
    return torch.unique(label, return_inverse=True)[1]


def _signs(like: Tensor, random: Generator) -> Tensor:
    signs = random.integers(0, 2, size=tuple(like.shape), dtype=np.int8)
    return torch.from_numpy(2.0 * signs - 1).to(like)
