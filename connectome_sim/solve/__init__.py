"""Solving the rate equation: the one entry point, whatever the backend. Knows no parameter and no loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from connectome_sim.axes import State, Trajectory, Weights
from connectome_sim.errors import ShapeError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve import fused, reference
from connectome_sim.solve.checks import check_fit, check_samples
from connectome_sim.solve.dense import DENSE
from connectome_sim.solve.options import SolveOptions
from connectome_sim.solve.solution import Simulation, Solution, Status, solution
from connectome_sim.solve.sparse import SPARSE, is_worthwhile

__all__ = ["Simulation", "Solution", "SolveOptions", "Status", "implementation", "simulate", "solve"]


def solve(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    options: SolveOptions,
    *,
    observed: Int[Tensor, " observed"] | None = None,
    sample_every: int = 1,
) -> Solution:
    """Integrate the rate equation over a drive; differentiable in network, drive and initial state.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current, held over each of its steps.
        options: backend, method, step or tolerances.
        observed: indices of the neurons to report; all of them if None.
        sample_every: report every so many steps of the drive.

    Returns:
        Rates at the times k sample_every dt from 0, the last state of all neurons and a status per trial; a trial that
        fails does not touch the others.

    Raises:
        ShapeError: initial state or drive that does not fit the network in shape, dtype or device; a number of steps
            that is not a multiple of ``sample_every``; an observed neuron that is not there.
        StepError: a step that does not divide the drive's time step or does not resolve the fastest time constant.
        SolveError: a gradient that the method cannot give.
    """
    check_fit(network, initial, drive)
    check_samples(network, drive, observed, sample_every)
    options.check_step(network)
    times = drive.times[::sample_every]
    if options.backend == "reference":
        rates, stalled = reference.integrate(network, initial, drive, options)
        samples = rates[::sample_every]
        return solution(times, samples if observed is None else samples[..., observed], rates[-1], stalled)
    assert options.step is not None
    rates, final = fused.integrate(
        network,
        initial,
        drive,
        method=options.method,
        step=options.step,
        observed=observed,
        sample_every=sample_every,
    )
    return solution(times, rates, final)


def implementation(connections: Weights, options: SolveOptions) -> str:
    """What steps a fitted network of these connections: "numba" or "torch" (own kernels), or "torchdiffeq"."""
    if options.backend == "reference":
        return "torchdiffeq"
    return (SPARSE if is_worthwhile(connections) else DENSE).name


@torch.no_grad()
def simulate(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    options: SolveOptions,
    *,
    observe: Callable[[Trajectory], Tensor] | None = None,
    observed: Int[Tensor, " observed"] | None = None,
    chunk: int = 500,
) -> Simulation:
    """Run forward without a gradient and keep only what ``observe`` makes of the rates, in memory for ``chunk`` steps.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current.
        options: backend, method, step or tolerances.
        observe: maps rates [t, B, N] to observations [t, ...]; called once per chunk; the rates themselves if None.
        observed: indices of the neurons whose rates ``observe`` gets; all N of them if None.
        chunk: drive steps at a time. The result does not depend on it for one-step methods with a fixed step.

    Returns:
        Observations at the times k dt, k = 0 .. T, the final state and a status per trial.

    Raises:
        ShapeError, StepError, SolveError: as ``solve``; ShapeError also for a chunk below 1.
    """
    if chunk < 1:
        raise ShapeError(f"simulate, field 'chunk': got {chunk}, wanted at least 1 step")
    observe = observe or torch.clone
    state, kept = initial, []
    status = torch.zeros(initial.shape[0], dtype=torch.int32, device=initial.device)
    for first in range(0, drive.n_steps, chunk):
        result = solve(network, state, drive[first : first + chunk], options, observed=observed)
        kept.append(observe(result.rates if first == 0 else result.rates[1:]))
        status = torch.where(status == Status.OK, result.status, status)
        state = result.final
    return Simulation(times=drive.times, observed=torch.cat(kept), final=state.clone(), status=status)
