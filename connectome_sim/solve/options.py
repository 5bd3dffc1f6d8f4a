"""Options of a solve: which method, which step or tolerances, and the rules they must meet. Knows no implementation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from connectome_sim.errors import SolveError, StepError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork

FUSED_METHODS = ("euler", "heun", "rk4", "exponential_euler")
FIXED_METHODS = ("euler", "midpoint", "heun2", "heun3", "rk4", "explicit_adams", "implicit_adams")
ADAPTIVE_METHODS = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun", "scipy_solver")
REFERENCE_METHODS = FIXED_METHODS + ADAPTIVE_METHODS
BACKENDS = {"fused": FUSED_METHODS, "reference": REFERENCE_METHODS}

# (rtol, atol) by precision, chosen: two or three digits above what rounding alone does to a rate of order 1
DEFAULT_TOLERANCES = {torch.float32: (1e-4, 1e-5), torch.float64: (1e-7, 1e-9)}
MAX_STEP_MISMATCH = 1e-6  # relative, chosen: a step read from text may miss a fraction of the time step by rounding


@dataclass(frozen=True)
class SolveOptions:
    """How to integrate.

    Attributes:
        backend: "fused" (own stepping, fast gradient) or "reference" (torchdiffeq).
        method: fused: euler, heun, rk4, exponential_euler; reference: euler, midpoint, heun2, heun3, rk4 (the 3/8 rule
            there), explicit_adams (order 3), implicit_adams (order 4, iterated to rtol) with a fixed step, dopri5,
            dopri8, bosh3, fehlberg2, adaptive_heun, scipy_solver (LSODA, forward only unless adjoint) with error
            control (fehlberg2 estimates its error too low at loose tolerances: for comparison only).
        step: step of a fixed method, s: the drive's time step or an integer fraction of it. Adaptive methods take none.
        rtol: relative tolerance of an adaptive method and of implicit_adams; by precision if not given.
        atol: absolute tolerance of an adaptive method; by precision if not given.
        adjoint: reference only: gradient by the adjoint equation (memory for the output only) instead of
            backpropagation.
        steps_per_time_constant: the fewest steps a time constant must span for a fixed method.
        max_steps: adaptive methods: steps allowed within one step of the drive before a trial counts as stalled.

    Raises:
        SolveError: unknown backend or method, unusable tolerance, or an option that the method cannot honour.
        StepError: a fixed method without a step, or a step that is not positive.
    """

    backend: str = "fused"
    method: str = "euler"
    step: float | None = None
    rtol: float | None = None
    atol: float | None = None
    adjoint: bool = False
    steps_per_time_constant: float = 2.0
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise SolveError(f"solve, field 'backend': got {self.backend!r}, wanted one of {tuple(BACKENDS)}")
        if self.method not in BACKENDS[self.backend]:
            raise SolveError(
                f"solve, field 'method': got {self.method!r}, "
                f"wanted one of {BACKENDS[self.backend]} for backend {self.backend!r}"
            )
        if self.adjoint and self.backend == "fused":
            raise SolveError(
                "solve, field 'adjoint': the fused backend differentiates its own steps; use backend='reference' or "
                "adjoint=False"
            )
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SolveError(f"solve, field {name!r}: got {value}, wanted a positive number")
        if self.max_steps < 1:
            raise SolveError(f"solve, field 'max_steps': got {self.max_steps}, wanted at least 1")
        if not self.steps_per_time_constant >= 1:
            raise StepError(
                f"solve, field 'steps_per_time_constant': got {self.steps_per_time_constant}, wanted at least 1"
            )
        if self.adaptive and self.step is not None:
            raise SolveError(
                f"solve, field 'step': got {self.step} s for the adaptive method {self.method!r}, "
                "wanted none (it takes rtol and atol)"
            )
        if not self.adaptive and self.step is None:
            raise StepError(
                f"solve, field 'step': got none for the fixed-step method {self.method!r}, "
                "wanted a step in seconds, e.g. step=0.005"
            )
        if self.step is not None and not (math.isfinite(self.step) and self.step > 0):
            raise StepError(f"solve, field 'step': got {self.step} s, wanted a positive number of seconds")

    @property
    def adaptive(self) -> bool:
        """Whether the method chooses its own steps."""
        return self.backend == "reference" and self.method in ADAPTIVE_METHODS

    def tolerances(self, dtype: torch.dtype) -> tuple[float, float]:
        """(rtol, atol), those not given by precision."""
        rtol, atol = DEFAULT_TOLERANCES.get(dtype, DEFAULT_TOLERANCES[torch.float32])
        return self.rtol or rtol, self.atol or atol

    def check_step(self, network: RateNetwork) -> None:
        """Refuse a step that does not resolve the fastest time constant.

        Raises:
            StepError: some time constant is shorter than ``steps_per_time_constant`` steps.
        """
        if self.step is None:
            return
        fastest = float(network.time_constant.detach().min())
        if fastest < self.steps_per_time_constant * self.step * (1 - MAX_STEP_MISMATCH):
            raise StepError(
                f"solve, field 'step': got {self.step:g} s for a fastest time constant of {fastest:g} s, "
                f"wanted at most {fastest / self.steps_per_time_constant:g} s "
                f"({self.steps_per_time_constant:g} steps per time constant); "
                "use a smaller step or raise the lower bound of the time constants"
            )


def steps_per_sample(drive: Drive, step: float) -> int:
    """How many solver steps make one step of the drive.

    Raises:
        StepError: the step is not the drive's time step divided by a whole number.
    """
    ratio = drive.time_step / step
    whole = round(ratio)
    if whole < 1 or abs(ratio - whole) > MAX_STEP_MISMATCH * ratio:
        raise StepError(
            f"solve, field 'step': got {step:g} s for a drive with a time step of {drive.time_step:g} s, "
            f"wanted the time step divided by a whole number, e.g. {drive.time_step / max(1, math.ceil(ratio)):g} s"
        )
    return whole
