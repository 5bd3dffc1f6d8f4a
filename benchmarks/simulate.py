"""Forward simulation without a gradient: the compiled sparse kernel against dense matrix products.

Both step the same trials in one run, in turn, after a first round that is not counted. Prints the median time of one
evaluation of the equation for all trials, the ratio, by how much the two differ, and by how much both are off (distance
to the classical Runge-Kutta scheme in float64 with a quarter of the step).

Networks are random, as large and as densely connected as the circuits of the hemibrain: 152 neurons with 42 % of all
pairs connected, 409 with 19 %; ``--random 409:0.6`` takes others. With CONNECTOME_SIM_DATA set, ``--circuits`` takes
the circuits themselves. The sparse kernel steps every network here, also those that it would leave to the dense one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from connectome_sim.connectome.anatomy import CIRCUITS, head_direction_circuit
from connectome_sim.connectome.io import hemibrain
from connectome_sim.model import Drive, RateNetwork
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve import fused, sparse
from connectome_sim.solve.dense import DENSE
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.sparse import SPARSE

KERNELS = {"sparse": SPARSE, "dense": DENSE}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
DRIVE_STEP = 0.01  # s, as in the evaluation


def random_weights(n: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, n)) * (rng.random((n, n)) < share) * 2 / np.sqrt(n * share)


def circuit_weights(name: str) -> np.ndarray:
    root = os.environ.get("CONNECTOME_SIM_DATA")
    if not root:
        raise SystemExit("--circuits: set CONNECTOME_SIM_DATA to the folder that holds hemibrain_v1.2")
    circuit = head_direction_circuit(hemibrain.read(Path(root) / "hemibrain_v1.2"), classes=CIRCUITS[name])
    return 4 * Wiring.from_connectome(circuit, dtype=torch.float64).connections.numpy()


def problem(weights: np.ndarray, trials: int, seconds: float, dtype: torch.dtype):
    """A network with these weights, initial states and a drive."""
    rng = np.random.default_rng(0)
    n, steps = len(weights), max(1, round(seconds / DRIVE_STEP))
    network = RateNetwork.from_arrays(
        weights, rng.normal(size=n), rng.uniform(0.02, 0.2, size=n), rng.normal(size=n), dtype=dtype
    )
    initial = torch.as_tensor(rng.uniform(size=(trials, n)), dtype=dtype)
    return network, initial, Drive(DRIVE_STEP, torch.as_tensor(rng.normal(size=(steps, trials)), dtype=dtype))


def measure(name: str, weights: np.ndarray, dtype: str, options: argparse.Namespace) -> dict[str, object]:
    network, initial, drive = problem(weights, options.trials, options.seconds, DTYPES[dtype])

    def run(kernel: str) -> torch.Tensor:
        return fused.integrate(
            network, initial, drive, method=options.method, step=options.step, kernel=KERNELS[kernel]
        )[0]

    rates = {kernel: run(kernel).double() for kernel in KERNELS}
    times: dict[str, list[float]] = {kernel: [] for kernel in KERNELS}
    for _ in range(options.repeats):
        for kernel, measured in times.items():
            start = time.perf_counter()
            run(kernel)
            measured.append(time.perf_counter() - start)
    exact = fused.integrate(
        *problem(weights, options.trials, options.seconds, torch.float64), method="rk4", step=options.step / 4
    )[0]
    evaluations = round(drive.duration / options.step) * SCHEMES[options.method].stages
    median = {kernel: statistics.median(measured) / evaluations for kernel, measured in times.items()}
    return {
        "network": name,
        "neurons": len(weights),
        "connected": float((weights != 0).mean()),
        "dtype": dtype,
        "trials": options.trials,
        "method": options.method,
        "sparse_us": 1e6 * median["sparse"],
        "dense_us": 1e6 * median["dense"],
        "speedup": median["dense"] / median["sparse"],
        "difference": float((rates["sparse"] - rates["dense"]).abs().max()),
        "sparse_error": float((rates["sparse"] - exact).abs().max()),
        "dense_error": float((rates["dense"] - exact).abs().max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.1, help="simulated per repeat")
    parser.add_argument("--step", type=float, default=1e-3, help="solver step, s")
    parser.add_argument("--method", choices=SCHEMES, default="heun")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--random", nargs="*", default=["152:0.42", "409:0.19"], metavar="NEURONS:SHARE")
    parser.add_argument("--circuits", nargs="*", choices=CIRCUITS, default=[], help="of the hemibrain")
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sparse._SHARE = 1.0
    random = [(int(n), float(share)) for n, share in (text.split(":") for text in options.random)]
    networks = {name: circuit_weights(name) for name in options.circuits} or {
        f"{n}:{share:g}": random_weights(n, share) for n, share in random
    }
    print(f"{options.trials} trials, {options.method}, step {options.step:g} s, {options.threads} threads")
    print(
        f"{'network':>12} {'connected':>10} {'dtype':>8} {'sparse':>10} {'dense':>10} {'speedup':>8} "
        f"{'difference':>11} {'error sparse':>13} {'error dense':>12}"
    )
    results = []
    for name, weights in networks.items():
        for dtype in DTYPES:
            r = measure(name, weights, dtype, options)
            results.append(r)
            print(
                f"{name:>12} {r['connected']:10.0%} {dtype:>8} {r['sparse_us']:7.1f} us {r['dense_us']:7.1f} us "
                f"{r['speedup']:8.2f} {r['difference']:11.1e} {r['sparse_error']:13.1e} {r['dense_error']:12.1e}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
