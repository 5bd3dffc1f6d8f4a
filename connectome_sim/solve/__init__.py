"""Solving the rate equation: the one entry point, whatever the backend. Knows no parameter and no loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from connectome_sim.axes import State, Trajectory
from connectome_sim.errors import ShapeError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve import fused, reference
from connectome_sim.solve.options import SolveOptions
from connectome_sim.solve.solution import Simulation, Solution, Status, marked

__all__ = ["Simulation", "Solution", "SolveOptions", "Status", "simulate", "solve"]


def solve(network: RateNetwork, initial: State, drive: Drive, options: SolveOptions) -> Solution:
    """Integrate the rate equation over a drive; differentiable in network, drive and initial state.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current, held over each of its steps.
        options: backend, method, step or tolerances.

    Returns:
        Rates at the times k dt, k = 0 .. T, and a status per trial; a trial that fails does not touch the others.

    Raises:
        ShapeError: initial state or drive that does not fit the network in shape, dtype or device.
        StepError: a step that does not divide the drive's time step or does not resolve the fastest time constant.
        SolveError: a gradient that the method cannot give.
    """
    _check(network, initial, drive)
    options.check_step(network)
    if options.backend == "reference":
        rates, stalled = reference.integrate(network, initial, drive, options)
        rates, status = marked(rates, stalled)
    else:
        assert options.step is not None
        rates, status = marked(fused.integrate(network, initial, drive, method=options.method, step=options.step))
    return Solution(times=drive.times, rates=rates, status=status)


@torch.no_grad()
def simulate(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    options: SolveOptions,
    *,
    observe: Callable[[Trajectory], Tensor] | None = None,
    chunk: int = 500,
) -> Simulation:
    """Run forward without a gradient and keep only what ``observe`` makes of the rates, in memory for ``chunk`` steps.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current.
        options: backend, method, step or tolerances.
        observe: maps rates [t, B, N] to observations [t, ...]; called once per chunk; the rates themselves if None.
        chunk: drive steps at a time. The result does not depend on it for one-step methods with a fixed step.

    Returns:
        Observations at the times k dt, k = 0 .. T, the final state and a status per trial.

    Raises:
        ShapeError, StepError, SolveError: as ``solve``; ShapeError also for a chunk below 1.
    """
    if chunk < 1:
        raise ShapeError(f"simulate, field 'chunk': got {chunk}, wanted at least 1 step")
    observe = observe or torch.clone
    state, observed = initial, []
    status = torch.zeros(initial.shape[0], dtype=torch.int32, device=initial.device)
    for first in range(0, drive.n_steps, chunk):
        solution = solve(network, state, drive[first : first + chunk], options)
        observed.append(observe(solution.rates if first == 0 else solution.rates[1:]))
        status = torch.where(status == Status.OK, solution.status, status)
        state = solution.rates[-1]
    return Simulation(times=drive.times, observed=torch.cat(observed), final=state.clone(), status=status)


def _check(network: RateNetwork, initial: State, drive: Drive) -> None:
    wanted = (drive.n_trials, network.n_neurons)
    if tuple(initial.shape) != wanted:
        raise ShapeError(
            f"initial state: got shape {tuple(initial.shape)}, "
            f"wanted {wanted} [trials of the drive, neurons of the network]"
        )
    if drive.current is not None and drive.current.shape[2] != network.n_neurons:
        raise ShapeError(f"drive, field 'current': got {drive.current.shape[2]} neurons, wanted {network.n_neurons}")
    for name, tensor in (("initial state", initial), ("drive, field 'angular_velocity'", drive.angular_velocity)):
        if tensor.dtype != network.dtype or tensor.device != network.device:
            raise ShapeError(
                f"{name}: got {tensor.dtype} on {tensor.device}, "
                f"wanted {network.dtype} on {network.device} like the network; use .to(...)"
            )
