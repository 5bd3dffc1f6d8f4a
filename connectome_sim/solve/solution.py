"""Solution: rates on the drive's grid and what became of each trial. Knows no solver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from connectome_sim.axes import State

MAX_RATE = 1e6  # |r| beyond this is divergence (chosen: rates are relative to a neuron's maximum, so of order 1)


class Status(IntEnum):
    """What became of one trial.

    DIVERGED: a rate that is not finite or beyond ``MAX_RATE``.
    STALLED: the solver gave up: its step fell below what the floating-point type resolves, its step budget ran out, or
    its iteration did not converge.
    """

    OK = 0
    DIVERGED = 1
    STALLED = 2


@dataclass(frozen=True, eq=False)
class Solution:
    """Rates of B trials at the times of the samples.

    Attributes:
        times: of the samples, s, float64.
        rates: r of the observed neurons [time, batch, neuron], 1; the first row is the initial state. A trial that is
            not OK is NaN from its first bad time on, and no gradient passes through those entries.
        final: r of all neurons at the end [batch, neuron], NaN for a trial that is not OK.
        status: ``Status`` of each trial.
    """

    times: Float[Tensor, " time"]
    rates: Float[Tensor, "time batch observed"]
    final: State
    status: Int[Tensor, " batch"]

    @property
    def ok(self) -> Bool[Tensor, " batch"]:
        """Trials that were solved to the end."""
        return self.status == Status.OK


@dataclass(frozen=True, eq=False)
class Simulation:
    """What ``simulate`` kept of a long forward run.

    Attributes:
        times: k dt, s, float64.
        observed: the observations at those times, concatenated along the first axis.
        final: the last state, from which the run can go on.
        status: ``Status`` of each trial.
    """

    times: Float[Tensor, " time"]
    observed: Tensor
    final: State
    status: Int[Tensor, " batch"]

    @property
    def ok(self) -> Bool[Tensor, " batch"]:
        """Trials that were solved to the end."""
        return self.status == Status.OK


def solution(
    times: Float[Tensor, " time"],
    rates: Float[Tensor, "time batch observed"],
    final: State,
    stalled: Bool[Tensor, " batch"] | None = None,
) -> Solution:
    """Rates with every trial NaN from its first bad time on, and the status of each trial."""
    bad = _bad(rates)  # [time, batch]
    bad[-1] |= _bad(final)
    status = torch.zeros(rates.shape[1], dtype=torch.int32, device=rates.device)
    if not bad.any():
        return Solution(times, rates, final, status)
    status[bad.any(dim=0)] = int(Status.DIVERGED)
    if stalled is not None:
        status[stalled] = int(Status.STALLED)
    after = bad.cummax(dim=0).values
    return Solution(
        times,
        rates.masked_fill(after[..., None], float("nan")),
        final.masked_fill(after[-1, :, None], float("nan")),
        status,
    )


def _bad(rates: Float[Tensor, "*lead neuron"]) -> Bool[Tensor, "*lead"]:
    largest = rates.detach().abs().amax(dim=-1)  # NaN propagates
    return ~(largest <= MAX_RATE)
