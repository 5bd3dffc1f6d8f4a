"""Reference backend: torchdiffeq on stretches of constant drive. The only place that knows torchdiffeq.

Within a stretch in which neither velocity nor current changes, the equation does not depend on time, so no solver ever
meets a jump: every stretch is integrated on its own, from its start to its end. Time is counted in solver steps (fixed
methods) or drive steps (adaptive methods), so that all grid points are whole numbers and exact in any precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torchdiffeq
from jaxtyping import Bool
from torch import Tensor

from connectome_sim.axes import State, Trajectory
from connectome_sim.errors import SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve.options import SolveOptions, steps_per_sample
from connectome_sim.solve.solution import MAX_RATE

# torchdiffeq's default, 12, is unstable unless a time constant spans hundreds of steps. 4 gives the three-step
# formulas: explicit of order 3, stable up to h/tau = 0.54, and implicit of order 4 (Hairer & Wanner II, section V.1).
ADAMS_MAX_ORDER = 4
ADAMS_MAX_ITERATIONS = 50  # chosen: torchdiffeq's default, 4, does not reach the tolerance at h/tau = 0.1


class _SolverGaveUpError(Exception):
    """torchdiffeq stopped: step underflow, step budget, non-finite state, or an iteration that did not converge."""


class _DivergedError(_SolverGaveUpError):
    """A state beyond ``MAX_RATE``: what comes after it is not worth the ever smaller steps it would take."""


def integrate(
    network: RateNetwork, initial: State, drive: Drive, options: SolveOptions
) -> tuple[Trajectory, Bool[Tensor, " batch"]]:
    """Rates [T + 1, B, N] on the drive's grid, and which trials the solver gave up on (NaN from there on).

    Trials share the steps of an adaptive method, chosen for the worst of them. Where it fails on a batch, the trials
    are integrated one at a time, so that only the culprit is lost, from the stretch on in which it failed. A lost trial
    takes no part in what follows.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current.
        options: method, step or tolerances, adjoint.

    Raises:
        StepError: a fixed step that does not divide the drive's time step.
        SolveError: a gradient asked of ``scipy_solver`` without adjoint.
    """
    differentiable = _tensors_with_gradient(network, initial, drive)
    if options.method == "scipy_solver" and not options.adjoint and differentiable:
        raise SolveError(
            "solve, field 'method': scipy_solver cannot be backpropagated through; use adjoint=True, another method, "
            "or torch.no_grad()"
        )
    state, rates = initial, [initial[None]]
    active = torch.arange(initial.shape[0], device=initial.device)
    stalled = torch.zeros(initial.shape[0], dtype=torch.bool, device=initial.device)
    for first, last in _constant_stretches(drive):
        piece, gave_up = _advance(network, state, drive.trials(active), (first, last), options)
        stalled[active[gave_up]] = True
        full = piece.new_full((last - first, *initial.shape), float("nan")).index_copy(1, active, piece)
        rates.append(full)
        good = piece[-1].detach().abs().amax(dim=1) <= MAX_RATE  # False for NaN
        state, active = piece[-1][good], active[good]
        if len(active) == 0:
            rates.append(full.new_full((drive.n_steps - last, *initial.shape), float("nan")))
            break
    return torch.cat(rates), stalled


def _tensors_with_gradient(network: RateNetwork, initial: State, drive: Drive) -> bool:
    tensors = (
        network.weights,
        network.bias,
        network.time_constant,
        network.velocity_input,
        initial,
        drive.angular_velocity,
        drive.current,
    )
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _constant_stretches(drive: Drive) -> Iterator[tuple[int, int]]:
    """Ranges of steps (first, last exclusive) without a change of the drive; single steps if it needs a gradient."""
    changes = torch.ones(drive.n_steps, dtype=torch.bool)
    omega, current = drive.angular_velocity, drive.current
    if not omega.requires_grad and not (current is not None and current.requires_grad):
        changes[1:] = (omega[1:] != omega[:-1]).any(dim=1).cpu()
        if current is not None and current.stride(0) != 0:  # stride 0: one current broadcast over all steps
            changes[1:] |= (current[1:] != current[:-1]).flatten(1).any(dim=1).cpu()
    bounds = [*changes.nonzero().flatten().tolist(), drive.n_steps]
    return zip(bounds[:-1], bounds[1:], strict=True)


def _advance(
    network: RateNetwork, state: State, drive: Drive, stretch: tuple[int, int], options: SolveOptions
) -> tuple[Trajectory, Bool[Tensor, " batch"]]:
    """Rates after each drive step of a stretch [last - first, B, N], and the trials the solver gave up on."""
    first, last = stretch
    external = network.bias + drive.angular_velocity[first, :, None] * network.velocity_input
    if drive.current is not None:
        external = external + drive.current[first]
    gave_up = torch.zeros(state.shape[0], dtype=torch.bool, device=state.device)
    try:
        return _odeint(network, state, external, last - first, drive, options), gave_up
    except _SolverGaveUpError as failure:
        if state.shape[0] == 1:
            lost = state.new_full((last - first, *state.shape), float("nan"))
            return lost, gave_up if isinstance(failure, _DivergedError) else ~gave_up
    alone = [
        _advance(network, state[b : b + 1], drive.trials(slice(b, b + 1)), stretch, options)
        for b in range(state.shape[0])
    ]
    return torch.cat([piece for piece, _ in alone], dim=1), torch.cat([flag for _, flag in alone])


def _odeint(
    network: RateNetwork, state: State, external: State, n_steps: int, drive: Drive, options: SolveOptions
) -> Trajectory:
    """One call of torchdiffeq under constant input."""
    rtol, atol = options.tolerances(state.dtype)
    settings: dict[str, Any]
    if options.adaptive:
        unit, per_sample, settings = drive.time_step, 1, {}
        if options.method != "scipy_solver":
            # the solvers land on every output time: some of their interpolants are far less accurate than their steps
            landings = torch.arange(1, n_steps + 1, dtype=torch.float64, device=state.device)
            settings = {"norm": _worst_trial, "max_num_steps": options.max_steps, "step_t": landings}
    else:
        assert options.step is not None
        per_sample = steps_per_sample(drive, options.step)
        unit, settings = drive.time_step / per_sample, {"step_size": 1}
        if options.method in ("explicit_adams", "implicit_adams"):
            settings["max_order"] = ADAMS_MAX_ORDER
        if options.method == "implicit_adams":
            settings["max_iters"] = ADAMS_MAX_ITERATIONS
    times = torch.arange(n_steps + 1, dtype=state.dtype, device=state.device) * per_sample
    weights, blend = network.weights, unit / network.time_constant

    def derivative(_: Tensor, rates: Tensor) -> Tensor:
        return blend * (network.activation.value(rates @ weights.T + external) - rates)

    def refuse_divergence(_: Tensor, rates: Tensor, __: Tensor) -> None:
        if not bool((rates.abs() <= MAX_RATE).all()):
            raise _DivergedError

    if options.adaptive and options.method != "scipy_solver":
        derivative.callback_accept_step = refuse_divergence  # type: ignore[attr-defined]  # torchdiffeq's way to ask
    solver: Callable[..., Any] = torchdiffeq.odeint
    extra: dict[str, Any] = {}
    if options.adjoint:
        solver, extra = torchdiffeq.odeint_adjoint, {"adjoint_params": (weights, external, blend)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # "did not converge" is a failure, not a warning
            rates: Tensor = solver(
                derivative, state, times, rtol=rtol, atol=atol, method=options.method, options=settings, **extra
            )
    except (AssertionError, UserWarning) as failure:
        raise _SolverGaveUpError(str(failure)) from failure
    if rates.shape[0] != n_steps + 1:  # SciPy returns what it reached
        raise _SolverGaveUpError(f"stopped after {rates.shape[0]} of {n_steps + 1} times")
    if options.adaptive:  # trials share the steps, so one that diverged has spoiled the others
        refuse_divergence(times, rates, times)
    return rates[1:]


def _worst_trial(error: Tensor) -> Tensor:
    """Root mean square over the neurons, of the worst trial: accuracy does not depend on who else is in the batch."""
    return error.pow(2).mean(dim=-1).sqrt().max()
