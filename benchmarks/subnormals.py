"""Kernels that take subnormal numbers for zero, against the same kernels that compute with them.

Core circuit of the hemibrain (152 neurons), on a batch of a fit's trials: at the parameters of a shipped member, where
silent neurons have rates and gradients down to the smallest numbers there are, and at start parameters, where none
has. Both sides are the same code, compiled twice in this process, and take turns on one thread. CPU time of the thread,
which other processes lengthen little, beside wall time; medians. Beside them how far the two sides' results lie apart,
relative to the largest entry. What a subnormal number costs differs between processors, so one product is measured
first. Needs the dataset, as ``load_ensemble`` does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from connectome_sim import load_ensemble
from connectome_sim.build.ensembles import Ensemble
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.options import Stage
from connectome_sim.fit.start import spectral_start
from connectome_sim.losses import total
from connectome_sim.model import Activation, Drive, Parameters, Wiring
from connectome_sim.solve import solve, sparse_kernel, tangent_kernel
from connectome_sim.tasks import generator

KERNELS: dict[str, tuple[ModuleType, str]] = {
    "forward": (sparse_kernel, "forward"),
    "reverse": (sparse_kernel, "reverse"),
    "tangent": (tangent_kernel, "integrate"),
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
SKETCHES = 3  # as in the last stages of the core's fit


@dataclass
class Timed:
    """A compiled kernel and the time that its calls took, in all."""

    kernel: Any
    cpu_s: float = 0.0
    wall_s: float = 0.0
    signatures: tuple[Any, ...] = ("compiled",)  # nothing to announce

    def __call__(self, *arguments: object) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        self.kernel(*arguments)
        self.cpu_s += time.thread_time() - cpu
        self.wall_s += time.perf_counter() - wall


@njit
def _nothing():
    return 0


@njit
def _left(before):
    pass


def computing(kernel: Any) -> Any:
    """The same code, compiled once more with the floating-point mode left as it is."""
    code = kernel.py_func
    names = {**code.__globals__, "flush_subnormals": _nothing, "restore": _left}
    options = {
        name: kernel.targetoptions[name]
        for name in ("nogil", "error_model", "fastmath")
        if name in kernel.targetoptions
    }
    return njit(**options)(FunctionType(code.__code__, names, code.__name__))


@dataclass
class Side:
    kernels: dict[str, Any]
    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def run(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Results of the work on this side's kernels, whose times are noted."""
        timed = {name: Timed(kernel) for name, kernel in self.kernels.items()}
        for name, (module, function) in KERNELS.items():
            setattr(module, function, timed[name])
        found = work()
        for name, kernel in timed.items():
            self.times.setdefault(name, []).append((kernel.cpu_s, kernel.wall_s))
        return found


def sides() -> dict[str, Side]:
    kernels = {name: getattr(module, function) for name, (module, function) in KERNELS.items()}
    return {
        "flushed": Side(kernels),
        "computed": Side({name: computing(kernel) for name, kernel in kernels.items()}),
    }


@njit(fastmath={"contract"})
def _products(one, other, into, rounds):
    for _ in range(rounds):
        for i in range(len(one)):
            into[i] = one[i] * other[i]


def cost_of_a_subnormal(dtype: str, repeats: int) -> float:
    """CPU time of products that are subnormal over that of products that are not, in vectors."""
    tiny, n, rounds = np.finfo(dtype).tiny, 1024, 2000
    into, factor = np.zeros(n, dtype), np.full(n, 0.3, dtype)
    ordinary, subnormal = np.full(n, 1, dtype), np.full(n, tiny, dtype)
    _products(ordinary, factor, into, 1)  # compiles
    seconds: dict[str, list[float]] = {"ordinary": [], "subnormal": []}
    for _ in range(repeats):
        for name, one in (("ordinary", ordinary), ("subnormal", subnormal)):
            start = time.thread_time()
            _products(one, factor, into, rounds)
            seconds[name].append(time.thread_time() - start)
    return statistics.median(seconds["subnormal"]) / statistics.median(seconds["ordinary"])


def at(which: str, ensemble: Ensemble, member: int, dtype: torch.dtype) -> tuple[Objective, Parameters]:
    config = ensemble.config_of(member)
    wiring = Wiring.from_connectome(ensemble.connectome, dtype=dtype)
    activation = Activation.named(config.activation)
    parameters = ensemble[member].parameters
    if which == "start":
        parameters = Parameters(config.parameters, wiring, dtype=torch.float64)
        spectral_start(parameters, wiring, activation, config.start, generator(config.seed, "start"))
    objective = Objective(
        wiring=wiring,
        activation=activation,
        solve=config.solve,
        terms=config.terms,
        options=config.fit,
        seed=config.seed,
        log_gains_start=torch.log(parameters.values("gain")).detach().clone(),
    )
    return objective, parameters


def subnormal_share(objective: Objective, parameters: Parameters, stage: Stage) -> float:
    """Share of the gradients by the input of a neuron at a step of a trial that would be subnormal in float32.

    Of the objective's total, of those that are not zero; computed in float64, where hardly any is.
    """
    trials, terms = objective.trials(0, stage), objective.stage_terms(stage)
    network, observed = objective.network(parameters).detach(), objective.wiring.epg_mask.nonzero().flatten()
    state = objective._silent(trials)
    *before, last = objective._phases(trials)
    for drive in before:
        state = solve(network, state, drive, objective.solve).final
    current = state.new_zeros(last.n_steps, *state.shape, requires_grad=True)
    driven = Drive(last.time_step, last.angular_velocity, current)
    every = objective.options.sample_every
    rates = solve(network, state, driven, objective.solve, observed=observed, sample_every=every).rates
    log_gains = torch.log(parameters.values("gain")).detach()
    valid = torch.ones(trials.n_trials, dtype=torch.bool)
    value, _ = total(terms, objective._observation(rates, log_gains, trials, valid))
    size = torch.autograd.grad(value, current)[0].abs()
    size = size[size > 0]
    return float((size < torch.finfo(torch.float32).tiny).double().mean())


def work_of(
    objective: Objective, parameters: Parameters, stage: Stage, linearised: int
) -> Callable[[], dict[str, Tensor]]:
    """One step's gradient with random sums, and the Jacobian of fewer trials."""
    trials, terms = objective.trials(0, stage), objective.stage_terms(stage)
    few = objective.trials(0, replace(stage, n_trials=linearised))

    def work() -> dict[str, Tensor]:
        with torch.no_grad():
            rates, _ = objective._simulated(objective.network(parameters), trials)
        sketched = objective.sketch(parameters, trials, terms, count=SKETCHES, random=generator(0, "sketch"))
        tangents = objective._sensitivities(parameters, few).tangents
        return {"forward": rates, "reverse": sketched.gradient, "tangent": tangents}

    return work


def measure(both: dict[str, Side], work: Callable[[], dict[str, Tensor]], repeats: int) -> list[dict[str, object]]:
    found = {name: side.run(work) for name, side in both.items()}  # compiles, and is not counted
    for side in both.values():
        side.times.clear()
    for turn in range(repeats):
        for side in list(both.values())[:: 1 if turn % 2 else -1]:  # neither is always the first
            side.run(work)
    return [row(kernel, both, [results[kernel] for results in found.values()]) for kernel in KERNELS]


def row(kernel: str, both: dict[str, Side], results: Sequence[Tensor]) -> dict[str, object]:
    numbers: dict[str, float] = {}
    for of, clock in enumerate(("cpu", "wall")):
        for name, side in both.items():
            numbers[f"{clock}_s_{name}"] = statistics.median(times[of] for times in side.times[kernel])
    one, other = results
    return {
        "kernel": kernel,
        **numbers,
        "cpu_ratio": numbers["cpu_s_computed"] / numbers["cpu_s_flushed"],
        "difference": float((one - other).abs().max() / other.abs().max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--member", type=int, default=0, help="of hemibrain_core")
    parser.add_argument("--horizon", type=float, default=4.0, help="length of the trials, s")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--linearised", type=int, default=4, help="trials with forward derivatives")
    parser.add_argument("--dtypes", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ensemble, both = load_ensemble("hemibrain_core"), sides()
    stage = Stage(horizon_s=options.horizon, iterations=1, n_trials=options.trials)
    rows = []
    for dtype in options.dtypes:
        cost = cost_of_a_subnormal(dtype, options.repeats)
        print(f"{dtype}: a subnormal product takes {cost:.3g} times as long as another one", flush=True)
        for which in ("fitted", "start"):
            exact = at(which, ensemble, options.member, torch.float64)
            share = subnormal_share(*exact, replace(stage, n_trials=8))
            work = work_of(*at(which, ensemble, options.member, DTYPES[dtype]), stage, options.linearised)
            for measured in measure(both, work, options.repeats):
                rows.append(
                    {
                        "dtype": dtype,
                        "parameters": which,
                        "cost_of_a_subnormal": cost,
                        "subnormal_share": share,
                        **measured,
                    }
                )
                shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in rows[-1].items()}
                print("  ".join(f"{name} {value}" for name, value in shown.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
