"""How the cost of a training step grows: with neurons, connections, steps and trials, one at a time.

Random circuits of seven types. Prints milliseconds of one forward and backward pass, the memory that the pass keeps,
and for every series the slope of log time over log size between its first and last row: 1 is proportional.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.model import Drive, Parameters, ParameterSpec, Wiring, build_network
from connectome_sim.solve import fused

STEP = 0.005  # s
TYPES = ("EPG", "PEN_a", "PEN_b", "PEG", "Delta7", "ER4d", "ER2")
BASE = {"neurons": 256, "share": 0.2, "steps": 200, "trials": 64}
SERIES: dict[str, tuple[float, ...]] = {
    "neurons": (128, 256, 512, 1024),
    "share": (0.05, 0.1, 0.2, 0.4),
    "steps": (100, 200, 400, 800),
    "trials": (16, 32, 64, 128, 256),
}


def random_wiring(neurons: int, share: float) -> Wiring:
    rng = np.random.default_rng(neurons)
    counts = rng.poisson(5, (neurons, neurons)) * (rng.random((neurons, neurons)) < share)
    types = [TYPES[k % len(TYPES)] for k in range(neurons)]
    return Wiring.from_connectome(
        from_matrix(
            counts,
            orientation="post_pre",
            types=types,
            sides=["L" if k % 2 else "R" for k in range(neurons)],
            ring_angles=2 * np.pi * np.arange(neurons) / neurons,
            signs={name: -1 if name in ("Delta7", "ER4d", "ER2") else 1 for name in TYPES},
        )
    )


def measure(neurons: int, share: float, steps: int, trials: int, repeats: int) -> dict[str, float]:
    wiring, rng = random_wiring(neurons, share), np.random.default_rng(0)
    parameters = Parameters(ParameterSpec(), wiring)
    initial = torch.as_tensor(rng.uniform(0, 0.5, (trials, neurons)), dtype=torch.float32)
    drive = Drive(STEP, torch.as_tensor(rng.normal(size=(steps, trials)), dtype=torch.float32))
    observed = wiring.epg_mask.nonzero().flatten()

    def run() -> None:
        network = build_network(wiring, parameters)
        rates, _ = fused.integrate(network, initial, drive, method="euler", step=STEP, observed=observed)
        torch.autograd.grad(rates.square().mean(), list(parameters.raw.values()))

    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {
        "neurons": neurons,
        "connections": int(torch.count_nonzero(wiring.connections)),
        "steps": steps,
        "trials": trials,
        "ms": 1e3 * statistics.median(times),
        "kept_MB": 4 * 2 * steps * math.ceil(trials / 16) * 16 * neurons / 1e6,  # states and activations, float32
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = []
    for varied, sizes in SERIES.items():
        rows = []
        for size in sizes:
            case = BASE | {varied: size}
            rows.append(measure(**case, repeats=options.repeats))  # type: ignore[arg-type]
            print("  ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()), flush=True)
        by = "connections" if varied == "share" else varied
        slope = math.log(rows[-1]["ms"] / rows[0]["ms"]) / math.log(rows[-1][by] / rows[0][by])
        print(f"slope over {by}: {slope:.2f}\n", flush=True)
        results += [{"varied": by, "slope": slope, **row} for row in rows]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
