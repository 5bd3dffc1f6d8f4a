"""Fits of several members: side by side in one process against one after another, on the same threads.

Members differ in their seed and share the core circuit, drawn from the shipped wiring statistics (152 neurons), with
batches of 16 trials. Either way gives the same parameters to the last bit, which is checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from connectome_sim.config import compose
from connectome_sim.connectome import statistics as wiring_statistics
from connectome_sim.fit import FitOptions, FitResult, Stage, fit
from connectome_sim.fit.linearise import Terms
from connectome_sim.model import Wiring
from connectome_sim.solve.threads import side_by_side

STAGES = {
    "adam": Stage(horizon_s=2.0, iterations=40, n_trials=16, optimizer="adam"),
    "gauss_newton": Stage(horizon_s=2.0, iterations=4, n_trials=16),
}


def member(wiring: Wiring, terms: Terms, optimizer: str, seed: int) -> FitResult:
    options = FitOptions(stages=(STAGES[optimizer],), candidates=1, validation_trials=16)
    return fit(wiring, terms=terms, options=options, seed=seed)


def measure(optimizer: str, members: int, threads: int, repeats: int) -> dict[str, object]:
    torch.set_num_threads(threads)
    wiring = Wiring.from_connectome(wiring_statistics.draw(wiring_statistics.load("hemibrain_core"), 0))
    terms = compose("fit", ["connectome=statistics"]).terms
    tasks = [partial(member, wiring, terms, optimizer, seed) for seed in range(members)]
    sides: dict[str, Callable[[], list[FitResult]]] = {
        "one_after_another": lambda: [task() for task in tasks],
        "side_by_side": lambda: list(side_by_side(tasks)),
    }
    tasks[0]()  # compiles
    times: dict[str, list[float]] = {name: [] for name in sides}
    found = {}
    for _ in range(repeats):
        for name, side in sides.items():
            start = time.perf_counter()
            found[name] = side()
            times[name].append(time.perf_counter() - start)
    equal = all(
        torch.equal(one.parameters.raw[family], raw)
        for one, other in zip(*found.values(), strict=True)
        for family, raw in other.parameters.raw.items()
    )
    seconds = {name: statistics.median(measured) for name, measured in times.items()}
    return {
        "optimizer": optimizer,
        "members": members,
        "threads": threads,
        **{f"{name}_s": value for name, value in seconds.items()},
        "speedup": seconds["one_after_another"] / seconds["side_by_side"],
        "equal": equal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    rows = []
    for optimizer in STAGES:
        row = measure(optimizer, options.members, options.threads, options.repeats)
        rows.append(row)
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
