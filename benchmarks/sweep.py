"""Cost of an added ablation case: side by side with our kernel, as one batch of matrices, and through torchdiffeq.

All sides simulate the same cases (every cell type, and every side of it, silenced) from the same states with the same
method (Heun) and step: ours with cases side by side on the cores; PyTorch with all cases in one batched product of
their matrices; torchdiffeq one case after another. Accuracy is the largest difference of a decoded heading from ours,
where there is a bump.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from connectome_sim import circular, tasks
from connectome_sim.ablation.perturbations import perturbed
from connectome_sim.ablation.sets import CellTypes, Unilateral
from connectome_sim.connectome import statistics as wiring_statistics
from connectome_sim.connectome.anatomy import CIRCUITS, head_direction_circuit
from connectome_sim.evaluate import FULL
from connectome_sim.evaluate.trace import Runner
from connectome_sim.fit import SpectralStart
from connectome_sim.fit.start import spectral_start
from connectome_sim.model import Drive, Parameters, ParameterSpec, Wiring, build_network
from connectome_sim.model.activation import SIGMOID
from connectome_sim.readout import Readout
from connectome_sim.solve import SolveOptions, simulate
from connectome_sim.solve.threads import side_by_side

CIRCUIT = {"hemibrain_core": "core", "hemibrain_core_er": "core_er"}
MIN_VECTOR_LENGTH = FULL.bump_min_vector_length


def networks(name: str):
    """The intact network of a drawn circuit at a spectral start, its decoder, and a network for each case."""
    circuit = head_direction_circuit(
        wiring_statistics.draw(wiring_statistics.load(name), 0), classes=CIRCUITS[CIRCUIT[name]]
    )
    wiring = Wiring.from_connectome(circuit, dtype=torch.float64)
    parameters = Parameters(ParameterSpec(), wiring, dtype=torch.float64)
    spectral_start(parameters, wiring, SIGMOID, SpectralStart(), tasks.generator(0, "start"))
    intact = build_network(wiring, parameters).detach()
    cases = [*CellTypes().cases(circuit), *Unilateral().cases(circuit)]
    resting = np.zeros(circuit.n_neurons)
    changed = [perturbed(intact, circuit.neurons, case.perturbations, resting=resting)[0] for case in cases]
    return intact, Readout(wiring.ring_angle, wiring.epg_mask), [intact, *changed]


def heun_in_one_batch(networks, initial: torch.Tensor, drive: Drive, step: float) -> torch.Tensor:
    """Last rates [case, trial, neuron] of networks with the same velocity input and activation, in float64."""
    weights = torch.stack([network.weights for network in networks]).mT.contiguous()
    bias = torch.stack([network.bias for network in networks])[:, None]
    blend = step / torch.stack([network.time_constant for network in networks])[:, None]
    rates = initial.expand(len(networks), *initial.shape).contiguous()
    substeps = round(drive.time_step / step)
    for omega in drive.angular_velocity:
        external = bias + omega[:, None] * networks[0].velocity_input
        for _ in range(substeps):
            first = blend * (torch.sigmoid(torch.baddbmm(external, rates, weights)) - rates)
            ahead = rates + first
            second = blend * (torch.sigmoid(torch.baddbmm(external, ahead, weights)) - ahead)
            rates = rates + (first + second) / 2
    return rates


def measure(name: str, options: argparse.Namespace) -> list[dict[str, object]]:
    intact, readout, members = networks(name)
    ours = SolveOptions(method="heun", step=options.step)
    theirs = SolveOptions(backend="reference", method="heun2", step=options.step)
    initial = Runner(intact, readout, FULL, ours).settle(circular.evenly_spaced(options.trials))
    walk = tasks.walking(
        tasks.generator(0, "held_out"), n_trials=options.trials, duration=options.seconds, time_step=0.01
    )
    drive = Drive(0.01, walk.angular_velocity)

    def observe(rates: torch.Tensor) -> torch.Tensor:
        return torch.stack([readout.heading(rates), readout.vector_length(rates)])[:, -1:].movedim(0, 1)

    def solved(network, solve: SolveOptions) -> torch.Tensor:
        return simulate(network, initial, drive, solve, observe=observe).observed[-1]

    def together(number: int) -> tuple[torch.Tensor, ...]:
        return side_by_side([lambda n=n: solved(n, ours) for n in members[:number]], threads=options.threads)

    def one_by_one(number: int) -> tuple[torch.Tensor, ...]:
        return tuple(solved(network, theirs) for network in members[:number])

    def in_one_batch(number: int) -> tuple[torch.Tensor, ...]:
        rates = heun_in_one_batch(members[:number], initial, drive, options.step)
        return tuple(observe(rates[k][None])[0] for k in range(number))

    sides = {"ours": together, "one batch": in_one_batch, "torchdiffeq": one_by_one}
    together(1)  # compiles
    results = []
    for number in sorted({1, 2, 4, 8, len(members)} & set(range(len(members) + 1))):
        times: dict[str, list[float]] = {side: [] for side in sides}
        found = {}
        for _ in range(options.repeats):
            for side, run in sides.items():
                start = time.perf_counter()
                found[side] = run(number)
                times[side].append(time.perf_counter() - start)
        ms = {side: 1e3 * statistics.median(measured) / number for side, measured in times.items()}
        away = [
            circular.distance(a[0].numpy(), b[0].numpy())[(a[1] >= MIN_VECTOR_LENGTH).numpy()].max(initial=0.0)
            for side in ("one batch", "torchdiffeq")
            for a, b in zip(found["ours"], found[side], strict=True)
        ]
        results.append(
            {
                "circuit": name,
                "neurons": intact.n_neurons,
                "cases": number,
                "ms_per_case": ms["ours"],
                "ms_per_case_one_batch": ms["one batch"],
                "ms_per_case_torchdiffeq": ms["torchdiffeq"],
                "one_batch_ratio": ms["one batch"] / ms["ours"],
                "torchdiffeq_ratio": ms["torchdiffeq"] / ms["ours"],
                "largest_difference_rad": float(max(away)),
            }
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--circuits", nargs="*", choices=CIRCUIT, default=list(CIRCUIT))
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.0, help="simulated per case")
    parser.add_argument("--step", type=float, default=2e-3, help="solver step, s")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.trials} trials of {options.seconds:g} s, Heun, step {options.step:g} s, {options.threads} threads")
    results = []
    for name in options.circuits:
        for row in measure(name, options):
            results.append(row)
            print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
