"""What one iteration of a fit costs: Adam on our steps and on torchdiffeq, Gauss-Newton with and without sketches.

All start from the same parameters of a network with ring neurons (409 neurons, drawn from the shipped wiring
statistics, after some Adam steps) and see the same batch, whose total before and after the iteration is printed beside
the time: a step that is cheap and does nothing is no gain.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from connectome_sim.config import compose
from connectome_sim.connectome import statistics as wiring_statistics
from connectome_sim.fit import Adam, FitOptions, GaussNewton, SpectralStart, Stage
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.optimizers import Method
from connectome_sim.fit.start import spectral_start
from connectome_sim.model import Parameters, ParameterSpec, Wiring
from connectome_sim.model.activation import SIGMOID
from connectome_sim.solve import SolveOptions
from connectome_sim.tasks import generator

STEP = 0.005  # s
WARM_UP = Stage(horizon_s=0.5, iterations=1, n_trials=32, tolerance=4.0)
SOLVERS = {"fused": SolveOptions(method="euler", step=STEP), "torchdiffeq": SolveOptions("reference", "euler", STEP)}
SIDES: dict[str, tuple[Method, str]] = {
    "adam": (Adam(learning_rate=0.01, warm_up=0), "fused"),
    "adam_torchdiffeq": (Adam(learning_rate=0.01, warm_up=0), "torchdiffeq"),
    "gauss_newton": (GaussNewton(), "fused"),
    "gauss_newton_sketched": (GaussNewton(sketches=8), "fused"),
}


def problem(warm_up: int) -> tuple[Objective, Parameters]:
    drawn = wiring_statistics.draw(wiring_statistics.load("hemibrain_core_er"), 0)
    wiring = Wiring.from_connectome(drawn, dtype=torch.float32)
    parameters = Parameters(ParameterSpec(), wiring, dtype=torch.float64)
    spectral_start(parameters, wiring, SIGMOID, SpectralStart(), generator(0, "start"))
    objective = Objective(
        wiring=wiring,
        activation=SIGMOID,
        solve=SOLVERS["fused"],
        terms=compose("fit", ["connectome=statistics"]).terms,
        options=FitOptions(time_step=STEP),
        seed=0,
        log_gains_start=torch.log(parameters.values("gain")).detach().clone(),
    )
    adam = Adam(learning_rate=0.05).start(parameters)
    for batch in range(warm_up):
        adam.step(objective, objective.trials(batch, WARM_UP), objective.stage_terms(WARM_UP), 0.0)
    return objective, parameters


def measure(horizon: float, n_trials: int, repeats: int, warm_up: int) -> list[dict[str, object]]:
    objective, parameters = problem(warm_up)
    start = {family: raw.detach().clone() for family, raw in parameters.raw.items()}
    stage = Stage(horizon_s=horizon, iterations=1, n_trials=n_trials)
    trials, terms = objective.trials(0, stage), objective.stage_terms(stage)
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    totals = {}
    for turn in range(repeats + 1):  # the first is not counted
        for name, (method, solver) in SIDES.items():
            with torch.no_grad():
                for family, raw in start.items():
                    parameters.raw[family].copy_(raw)
            solving, running = replace(objective, solve=SOLVERS[solver]), method.start(parameters)
            began = time.perf_counter()
            step = running.step(solving, trials, terms, 0.0)
            if turn:
                times[name].append(time.perf_counter() - began)
            with torch.no_grad():
                totals[name] = (step.total, float(objective.evaluate(parameters, trials, terms)[0]))
    return [
        {
            "side": name,
            "horizon_s": horizon,
            "trials": n_trials,
            "s": statistics.median(measured),
            "total": totals[name][0],
            "total_after": totals[name][1],
        }
        for name, measured in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--horizon", type=float, default=2.0, help="length of the trials, s")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--warm-up", type=int, default=200, help="Adam steps from the spectral start")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure(options.horizon, options.trials, options.repeats, options.warm_up)
    for row in rows:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
