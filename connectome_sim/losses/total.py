"""The weighted sum of losses. The only place where loss values are reduced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Loss, Observation


@dataclass(frozen=True)
class WeightedLoss:
    """A loss and its weight in the total; weight 0: reported but without influence.

    Raises:
        ConfigError: a weight that is negative or not finite.
    """

    weight: float
    loss: Loss

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ConfigError(f"loss weight: got {self.weight}, wanted a finite number of zero or more")


def mean(loss: Loss, observation: Observation) -> tuple[Tensor, bool]:
    """Mean of the values that count, scalar (NaN where none does), and whether any does."""
    values, where = loss(observation), loss.where(observation)
    return values.masked_fill(~where, 0.0).sum() / where.sum(), bool(where.any())


def total(terms: Mapping[str, WeightedLoss], observation: Observation) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the means of all terms, and each term's mean (before its weight, detached).

    A term that applies to nothing in this batch (drift without a trial at rest, any loss without a valid trial) adds
    nothing to the sum and is NaN in the report.
    """
    value = observation.rates.new_zeros(())
    report: dict[str, Tensor] = {}
    for name, term in terms.items():
        with torch.set_grad_enabled(torch.is_grad_enabled() and term.weight > 0):
            reduced, applies = mean(term.loss, observation)
        report[name] = reduced.detach()
        if term.weight > 0 and applies:
            value = value + term.weight * reduced
    return value, report
