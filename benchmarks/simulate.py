"""Forward simulation without a gradient: the compiled sparse kernel, matrix products, a torch loop, JAX.

All step the same trials in one run, in turn, after a first round that is not counted. Prints the median time of one
evaluation of the equation for all trials, the ratios to the sparse kernel, by how much it differs from the dense one,
and by how much it is off (distance to the classical Runge-Kutta scheme in float64 with a quarter of the step).

- ``dense``: this package's kernel of matrix products, in place.
- ``loop``: a plain loop in PyTorch, a new tensor for every operation.
- ``jax``: ``jax.lax.scan``, jitted, compile time not counted (only where JAX is installed).

All keep 46 neurons (as many as EPG) at every step of the drive, and no trajectory.

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
from connectome_sim.solve.problem import Kernel
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.sparse import SPARSE

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

OBSERVED = torch.arange(46)
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


def loop(network: RateNetwork, initial: torch.Tensor, drive: Drive, method: str, step: float) -> torch.Tensor:
    r, rate, transposed, kept = initial, step / network.time_constant, network.weights.T, [initial[:, OBSERVED]]
    for omega in drive.angular_velocity:
        x = omega[:, None] * network.velocity_input + network.bias
        for _ in range(round(drive.time_step / step)):
            first = rate * (torch.sigmoid(torch.addmm(x, r, transposed)) - r)
            if method == "heun":
                s = r + first
                first = (first + rate * (torch.sigmoid(torch.addmm(x, s, transposed)) - s)) / 2
            r = r + first
        kept.append(r[:, OBSERVED])
    return torch.stack(kept)


def jax_simulation(network: RateNetwork, initial: torch.Tensor, drive: Drive, method: str, step: float):
    """A jitted function without arguments."""
    jax.config.update("jax_enable_x64", initial.dtype == torch.float64)
    arrays = (network.weights, network.bias, network.time_constant, network.velocity_input)
    weights, bias, tau, velocity = (jnp.asarray(array.numpy()) for array in arrays)
    start, omega = jnp.asarray(initial.numpy()), jnp.asarray(drive.angular_velocity.numpy())
    substeps, observed = round(drive.time_step / step), jnp.asarray(OBSERVED.numpy())

    def derivative(r, w):
        return step / tau * (jax.nn.sigmoid(r @ weights.T + bias + w[:, None] * velocity) - r)

    def substep(r, w):
        first = derivative(r, w)
        return r + ((first + derivative(r + first, w)) / 2 if method == "heun" else first)

    def driven(r, w):
        r = jax.lax.fori_loop(0, substeps, lambda _, state: substep(state, w), r)
        return r, r[:, observed]

    whole = jax.jit(lambda r, w: jax.lax.scan(driven, r, w)[1])

    def run() -> torch.Tensor:
        later = np.array(whole(start, omega))
        return torch.from_numpy(np.concatenate([np.asarray(start)[None][:, :, OBSERVED.numpy()], later]))

    return run


def measure(name: str, weights: np.ndarray, dtype: str, options: argparse.Namespace) -> dict[str, object]:
    network, initial, drive = problem(weights, options.trials, options.seconds, DTYPES[dtype])
    method, step = options.method, options.step

    def fused_by(kernel: Kernel) -> torch.Tensor:
        return fused.integrate(network, initial, drive, method=method, step=step, observed=OBSERVED, kernel=kernel)[0]

    sides = {
        "sparse": lambda: fused_by(SPARSE),
        "dense": lambda: fused_by(DENSE),
        "loop": lambda: loop(network, initial, drive, method, step),
    }
    if jax is not None:
        sides["jax"] = jax_simulation(network, initial, drive, method, step)
    with torch.no_grad():
        rates = {name: side().double() for name, side in sides.items()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.repeats):
            for side, measured in times.items():
                start = time.perf_counter()
                sides[side]()
                measured.append(time.perf_counter() - start)
        finest = problem(weights, options.trials, options.seconds, torch.float64)
        exact = fused.integrate(*finest, method="rk4", step=step / 4, observed=OBSERVED)[0]
    evaluations = round(drive.duration / step) * SCHEMES[method].stages
    us = {name: 1e6 * statistics.median(measured) / evaluations for name, measured in times.items()}
    return {
        "network": name,
        "neurons": len(weights),
        "connected": float((weights != 0).mean()),
        "dtype": dtype,
        "trials": options.trials,
        "method": method,
        "us": us["sparse"],
        **{f"ratio_{side}": us[side] / us["sparse"] for side in sides if side != "sparse"},
        **{
            f"difference_{side}": float((rates["sparse"] - rates[side]).abs().max())
            for side in sides
            if side != "sparse"
        },
        "error": float((rates["sparse"] - exact).abs().max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.1, help="simulated per repeat")
    parser.add_argument("--step", type=float, default=1e-3, help="solver step, s")
    parser.add_argument("--method", choices=SCHEMES, default="heun")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
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
    results = []
    for name, weights in networks.items():
        for dtype in DTYPES:
            row = measure(name, weights, dtype, options)
            results.append(row)
            print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
