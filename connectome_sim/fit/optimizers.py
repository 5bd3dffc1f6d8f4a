"""Ways to move parameters downhill: Adam on gradients, Gauss-Newton on residuals. Knows no losses and no network.

An optimiser is a frozen description; ``start`` gives its running state, which takes one step at a time and can be
saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from connectome_sim.errors import ConfigError, FitError
from connectome_sim.fit.directions import trainable
from connectome_sim.fit.linearise import Terms
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.sketch import Sketched
from connectome_sim.model.parameters import Parameters
from connectome_sim.tasks import Trials, generator


@dataclass(frozen=True)
class Step:
    """What one step did: the total before it, each loss's mean, and the optimiser's own numbers for the history."""

    total: float
    report: Mapping[str, float]
    numbers: Mapping[str, float]


@runtime_checkable
class Running(Protocol):
    """An optimiser at work on one set of parameters."""

    def step(self, objective: Objective, trials: Trials, terms: Terms, progress: float) -> Step:
        """Move the parameters once. ``progress`` is the share of its iterations done, 0 to 1."""
        ...

    def state(self) -> dict[str, Any]:
        """All that is needed to go on exactly."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        ...


@runtime_checkable
class Method(Protocol):
    """A frozen description of how to move parameters."""

    @property
    def redraw_every(self) -> int:
        """Iterations on one batch before the next is drawn."""
        ...

    @property
    def validate_every(self) -> int:
        """Iterations between validations."""
        ...

    def start(self, parameters: Parameters) -> Running:
        """The method on these parameters."""
        ...


def _more_than_0(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}: got {value}, wanted more than 0")


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam on the gradient through the solver, clipped, with a short warm-up and a cosine decay.

    Attributes:
        learning_rate: at its peak, in units of raw parameters (log-gains, thresholds); chosen.
        final_share: share of it at the end; chosen.
        warm_up: iterations of linear warm-up; chosen.
        gradient_clip: largest norm of the gradient; chosen.
        redraw_every: iterations on one batch before the next is drawn; chosen.
        validate_every: iterations between validations; chosen.
    """

    learning_rate: float = 0.02
    final_share: float = 0.2
    warm_up: int = 10
    gradient_clip: float = 1.0
    redraw_every: int = 1
    validate_every: int = 50

    def __post_init__(self) -> None:
        for name in ("learning_rate", "gradient_clip", "redraw_every", "validate_every"):
            _more_than_0(f"optimizer adam, {name}", getattr(self, name))
        if not 0 <= self.final_share <= 1:
            raise ConfigError(f"optimizer adam, final_share: got {self.final_share}, wanted 0 to 1")
        if self.warm_up < 0:
            raise ConfigError(f"optimizer adam, warm_up: got {self.warm_up}, wanted 0 or more")

    def start(self, parameters: Parameters) -> Running:
        """The optimiser on these parameters."""
        return _RunningAdam(self, parameters)


class _RunningAdam:
    def __init__(self, options: Adam, parameters: Parameters) -> None:
        self._options, self._parameters, self._taken = options, parameters, 0
        self._leaves = [parameters.raw[family] for family in trainable(parameters)]
        self._adam = torch.optim.Adam(self._leaves, lr=options.learning_rate, betas=(0.9, 0.98))

    def step(self, objective: Objective, trials: Trials, terms: Terms, progress: float) -> Step:
        o = self._options
        decay = o.final_share + (1 - o.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
        rate = o.learning_rate * decay * min(1.0, (self._taken + 1) / max(o.warm_up, 1))
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.zero_grad()
        value, report = objective.evaluate(self._parameters, trials, terms)
        loss = float(value.detach())
        if not math.isfinite(loss):
            raise FitError(f"the loss is {loss}; use a smaller learning rate or tighter parameter bounds")
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._leaves, o.gradient_clip)
        if not torch.isfinite(norm):
            raise FitError("the gradient is not finite; use a smaller learning rate or tighter parameter bounds")
        self._adam.step()
        self._taken += 1
        return Step(
            loss,
            {name: float(mean) for name, mean in report.items()},
            {"learning_rate": rate, "gradient_norm": float(norm)},
        )

    def state(self) -> dict[str, Any]:
        return {"adam": _copied(self._adam.state_dict()), "taken": self._taken}

    def load(self, state: Mapping[str, Any]) -> None:
        self._adam.load_state_dict(_copied(state["adam"]))
        self._taken = int(state["taken"])


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of an optimiser, which goes on writing into the tensors that it gives and takes."""
    moments = {k: {name: value.clone() for name, value in of.items()} for k, of in state["state"].items()}
    return {"state": moments, "param_groups": [dict(group) for group in state["param_groups"]]}


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """Damped Gauss-Newton (Levenberg-Marquardt) on the residuals of all losses.

    Sixty parameters and ten thousand residuals: the Jacobian costs some forty gradients and a step with it replaces
    hundreds of gradient steps, because the parameters' scales and their trade-offs are in it. One step solves
    (J^T J + damping I) d = -J^T r, with the damping raised until no raw parameter moves by more than ``largest_move``
    and the batch's total falls; where it never does, the parameters stay and the damping starts anew.

    With ``sketches``, J^T J is estimated from random sums of residuals (see ``sketch.py``), one gradient each; the
    gradient itself stays exact.

    A batch says little about what it happens not to visit, so a step that is best for it alone undoes some of what
    earlier ones had found. Close to the goal that is what limits a fit: with ``memory``, J^T J of earlier batches,
    fading, is added and keeps the directions in place that they determined. Far from it, it holds back.

    Attributes:
        damping: at the start; chosen.
        largest_move: of a raw parameter (a log-gain, a threshold) in one step; chosen.
        tries: damping is raised so many times at most; chosen.
        sketches: random sums of residuals per trial that J^T J is estimated from; 0: from the Jacobian itself; chosen.
        memory: share of the curvature of earlier batches that is kept from one iteration to the next; chosen.
        redraw_every: iterations on one batch before the next is drawn; chosen.
        validate_every: iterations between validations; chosen.
    """

    damping: float = 0.05
    largest_move: float = 0.8
    tries: int = 8
    sketches: int = 0
    memory: float = 0.0
    redraw_every: int = 3
    validate_every: int = 3

    def __post_init__(self) -> None:
        for name in ("damping", "largest_move", "tries", "redraw_every", "validate_every"):
            _more_than_0(f"optimizer gauss_newton, {name}", getattr(self, name))
        if self.sketches < 0:
            raise ConfigError(f"optimizer gauss_newton, sketches: got {self.sketches}, wanted 0 or more")
        if not 0 <= self.memory < 1:
            raise ConfigError(f"optimizer gauss_newton, memory: got {self.memory}, wanted 0 or more, below 1")

    def start(self, parameters: Parameters) -> Running:
        """The optimiser on these parameters.

        Raises:
            ConfigError: one gain per connection: thousands of parameters, whose matrix does not pay.
        """
        if not parameters.by_type:
            raise ConfigError(
                f"optimizer gauss_newton: got gains={parameters.spec.gains!r}, wanted gains of types or type pairs; "
                "use stages with optimizer adam"
            )
        return _RunningGaussNewton(self, parameters)


_FALL, _RISE, _CREEP = 1 / 3, 5.0, 1.5  # chosen
_LOWEST_DAMPING, _HIGH_DAMPING, _ANEW = 1e-2, 10.0, 1.0  # chosen


class _RunningGaussNewton:
    def __init__(self, options: GaussNewton, parameters: Parameters) -> None:
        self._options, self._parameters, self._damping = options, parameters, options.damping
        self._families = trainable(parameters)
        n = len(self._raw())
        self._earlier = torch.zeros(n, n, dtype=torch.float64)  # J^T J of earlier batches
        self._taken = 0  # steps

    def step(self, objective: Objective, trials: Trials, terms: Terms, progress: float) -> Step:
        found = self._sketched(objective, trials, terms)
        if not math.isfinite(found.total):
            raise FitError(f"the loss is {found.total}; tighten the parameter bounds")
        own, gradient = found.curvature, found.gradient
        earlier = self._earlier
        self._earlier = self._options.memory * (earlier + own)
        before = self._raw()
        moved, after = 0.0, found.total
        for _ in range(self._options.tries):
            move = self._move(own + earlier, gradient)
            self._set(before + move)
            value = self._value(objective, trials, terms)
            if value + 0.5 * float(move @ earlier @ move) < found.total:
                moved, after = float(move.abs().max()), value
                # what one batch drove up comes down fast
                fall = _FALL if self._damping < _HIGH_DAMPING else _FALL**2
                self._damping = max(self._damping * fall, _LOWEST_DAMPING)
                break
            self._set(before)
            self._damping *= _RISE
        else:
            self._damping = _ANEW
        self._taken += 1
        return Step(found.total, found.report, {"damping": self._damping, "largest_move": moved, "total_after": after})

    def _sketched(self, objective: Objective, trials: Trials, terms: Terms) -> Sketched:
        if self._options.sketches:
            random = generator(objective.seed, "sketch", self._taken)
            return objective.sketch(self._parameters, trials, terms, count=self._options.sketches, random=random)
        linear = objective.linearise(self._parameters, trials, terms)
        transposed = linear.jacobian.T
        return Sketched(linear.total, linear.report, transposed @ linear.residuals, transposed @ linear.jacobian)

    def _value(self, objective: Objective, trials: Trials, terms: Terms) -> float:
        """The batch's total where the parameters are now; infinite, hence refused, where its trials diverge."""
        try:
            with torch.no_grad():
                value, _ = objective.evaluate(self._parameters, trials, terms)
        except FitError:
            return math.inf
        return float(value)

    def _move(self, curvature: Tensor, gradient: Tensor) -> Tensor:
        """The damped step; damping is raised until the step is short enough."""
        while True:
            damped = curvature + self._damping * torch.eye(len(gradient), dtype=gradient.dtype)
            move = -torch.linalg.solve(damped, gradient)
            largest = float(move.abs().max())
            if not math.isfinite(largest):
                raise FitError("the Gauss-Newton step is not finite; tighten the parameter bounds")
            if largest <= self._options.largest_move:
                return move
            self._damping *= _CREEP

    def _raw(self) -> Tensor:
        return torch.cat([self._parameters.raw[f].detach().double() for f in self._families])

    @torch.no_grad()
    def _set(self, raw: Tensor) -> None:
        sizes = [self._parameters.raw[f].numel() for f in self._families]
        for family, piece in zip(self._families, raw.split(sizes), strict=True):
            self._parameters.raw[family].copy_(piece)

    def state(self) -> dict[str, Any]:
        return {
            "damping": self._damping,
            "earlier": self._earlier.clone(),
            "taken": self._taken,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self._damping = float(state["damping"])
        self._earlier = state["earlier"].clone()
        self._taken = int(state["taken"])


POLISH = GaussNewton(memory=0.8, redraw_every=1)
"""For the last stage: every step on a batch of its own; chosen."""
