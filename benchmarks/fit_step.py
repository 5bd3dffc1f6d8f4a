"""One training step (simulate, differentiate): this package, torchdiffeq, a plain torch loop, JAX and the floor.

Every side starts from the parameters (gains of type pairs, thresholds, time constants, velocity gains), simulates the
same trials with the same method and step, compares the population vector of the heading neurons with a target at every
step, and ends with the gradient of the parameters. Sides take turns; medians, and beside them how far each gradient is
from float64 autograd of the plain loop. Threads that wait are asleep on our side, as the command line sets it, and spin
on the others, which are several times slower otherwise; so there are two processes, of which one works at a time.

- ``torchdiffeq lookup``: ``odeint`` with a right-hand side that looks its velocity up.
- ``torchdiffeq best``: the same with inputs computed once and taken from a list, so that nothing is indexed.
- ``loop``: the plain loop over steps with autograd.
- ``jax``: the faster one of ``jax.lax.scan`` and diffrax, jitted, compile time not counted (only where installed).
- ``floor``: the dense matrix products of such a step alone: W s and its two transposes for every evaluation.

The wiring is drawn from the shipped wiring statistics: 152 neurons (core) or 409 (with ring neurons), as many
connections as in the hemibrain.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint

from connectome_sim.connectome import statistics as wiring_statistics
from connectome_sim.fit import SpectralStart, spectral_start
from connectome_sim.model import Drive, Parameters, ParameterSpec, RateNetwork, Wiring, build_network
from connectome_sim.model.activation import SIGMOID
from connectome_sim.solve import fused
from connectome_sim.tasks import generator

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None
try:
    import diffrax
except ImportError:
    diffrax = None

SIZES = ((152, 16, 400), (152, 64, 400), (152, 256, 400), (409, 32, 400), (409, 64, 800))
STEP = 0.005  # s
CIRCUIT = {152: "hemibrain_core", 409: "hemibrain_core_er"}


class Task:
    """The same trials and the same loss for every side, in one precision."""

    def __init__(self, neurons: int, batch: int, steps: int, dtype: torch.dtype) -> None:
        drawn = wiring_statistics.draw(wiring_statistics.load(CIRCUIT[neurons]), 0)
        self.wiring = Wiring.from_connectome(drawn, dtype=dtype)
        self.parameters = Parameters(ParameterSpec(), self.wiring, dtype=torch.float64)
        spectral_start(self.parameters, self.wiring, SIGMOID, SpectralStart(), generator(0, "start"))
        rng = np.random.default_rng(0)
        self.initial = torch.as_tensor(rng.uniform(0, 0.5, (batch, self.wiring.n_neurons)), dtype=dtype)
        self.omega = torch.as_tensor(rng.normal(size=(steps, batch)), dtype=dtype)
        self.observed = self.wiring.epg_mask.nonzero().flatten()
        angle = self.wiring.ring_angle[self.observed]
        self.compass = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        heading = torch.cumsum(self.omega * STEP, dim=0)
        self.target = torch.stack([torch.cos(heading), torch.sin(heading)], dim=-1)

    def network(self) -> RateNetwork:
        return build_network(self.wiring, self.parameters, SIGMOID)

    def loss(self, rates: Tensor) -> Tensor:
        """Of heading neurons [steps, batch, neuron]."""
        return (rates @ self.compass - self.target).square().mean()

    def gradient(self, loss: Tensor) -> Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(self.parameters.raw.values()))])


def ours(task: Task, method: str) -> Tensor:
    drive = Drive(STEP, task.omega)
    rates, _ = fused.integrate(task.network(), task.initial, drive, method=method, step=STEP, observed=task.observed)
    return task.gradient(task.loss(rates[1:]))


def loop(task: Task, method: str) -> Tensor:
    network, r, kept = task.network(), task.initial, []
    inputs = (task.omega[..., None] * network.velocity_input + network.bias).unbind()
    transposed, rate = network.weights.T, STEP / network.time_constant
    for x in inputs:
        first = rate * (torch.sigmoid(torch.addmm(x, r, transposed)) - r)
        if method == "heun":
            s = r + first
            first = (first + rate * (torch.sigmoid(torch.addmm(x, s, transposed)) - s)) / 2
        r = r + first
        kept.append(r[:, task.observed])
    return task.gradient(task.loss(torch.stack(kept)))


def torchdiffeq(task: Task, method: str, *, lookup: bool) -> Tensor:
    network = task.network()
    transposed = network.weights.T
    inputs = () if lookup else (task.omega[..., None] * network.velocity_input + network.bias).unbind()
    taken = iter(range(10**9))
    evaluations = 1 if method == "euler" else 2

    def right_hand_side(t: Tensor, r: Tensor) -> Tensor:
        k = next(taken) // evaluations  # both stages of a step have its velocity, also the one at its end
        x = task.omega[k][:, None] * network.velocity_input + network.bias if lookup else inputs[k]
        return (torch.sigmoid(torch.addmm(x, r, transposed)) - r) / network.time_constant

    times = torch.arange(len(task.omega) + 1, dtype=torch.float64) * STEP
    options = {"step_size": STEP, "perturb": False}
    rates = odeint(
        right_hand_side, task.initial, times, method={"euler": "euler", "heun": "heun2"}[method], options=options
    )
    return task.gradient(task.loss(rates[1:][..., task.observed]))


def floor(task: Task, method: str) -> None:
    weights = task.network().weights.detach()
    s, out, back = task.initial.clone(), torch.empty_like(task.initial), torch.empty_like(task.initial)
    gradient = torch.zeros_like(weights)
    for _ in range(len(task.omega) * (2 if method == "heun" else 1)):
        torch.mm(s, weights.T, out=out)
        torch.mm(out, weights, out=back)
        gradient.addmm_(out.T, s)


def jax_step(task: Task, method: str, *, by: str) -> Callable[[], Tensor]:
    """A jitted function of the network's arrays; from parameters to arrays it is torch on all sides."""
    observed, compass, target = (jnp.asarray(x.numpy()) for x in (task.observed, task.compass, task.target))
    omega, initial = jnp.asarray(task.omega.numpy()), jnp.asarray(task.initial.numpy())

    def scanned(derivative):
        def step(r, w):
            first = STEP * derivative(r, w)
            if method == "heun":
                first = (first + STEP * derivative(r + first, w)) / 2
            return r + first, (r + first)[:, observed]

        return jax.lax.scan(step, initial, omega)[1]

    def solved(derivative):
        def at(t, r, _):
            return derivative(r, omega[jnp.minimum((t / STEP + 1e-3).astype(int), len(omega) - 1)])

        return diffrax.diffeqsolve(
            diffrax.ODETerm(at),
            diffrax.Euler() if method == "euler" else diffrax.Heun(),
            t0=0.0,
            t1=len(omega) * STEP,
            dt0=STEP,
            y0=initial,
            saveat=diffrax.SaveAt(steps=True, fn=lambda t, r, _: r[:, observed]),
            stepsize_controller=diffrax.ConstantStepSize(),
            max_steps=len(omega),
            adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=len(omega)),
        ).ys

    def loss(weights, bias, tau, velocity):
        def derivative(r, w):
            return (jax.nn.sigmoid(r @ weights.T + bias + w[:, None] * velocity) - r) / tau

        rates = (scanned if by == "scan" else solved)(derivative)
        return ((rates @ compass - target) ** 2).mean()

    differentiated = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))

    def run() -> Tensor:
        network = task.network()
        arrays = (network.weights, network.bias, network.time_constant, network.velocity_input)
        gradients = differentiated(*(jnp.asarray(a.detach().numpy()) for a in arrays))
        back = [torch.from_numpy(np.array(g)) for g in gradients]
        found = torch.autograd.grad(arrays, list(task.parameters.raw.values()), grad_outputs=back)
        return torch.cat([g.flatten() for g in found])

    return run


def peak_mb(task: Task, method: str) -> float:
    """By how much our step raises the resident memory at its highest (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest is the present one
    before = _status("VmRSS")
    ours(task, method)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1])  # kB


TURN = 0.1  # s: a side takes steps for so long, at least one, then it is another's turn
PASSIVE = ("ours",)  # measured with idle threads asleep, as the command line sets it


def sides_of(size: tuple[int, int, int], method: str) -> dict[str, Callable[[], Tensor | None]]:
    task = Task(*size, torch.float32)
    sides: dict[str, Callable[[], Tensor | None]] = {
        "ours": lambda: ours(task, method),
        "torchdiffeq_lookup": lambda: torchdiffeq(task, method, lookup=True),
        "torchdiffeq_best": lambda: torchdiffeq(task, method, lookup=False),
        "loop": lambda: loop(task, method),
        "floor": lambda: floor(task, method),
    }
    if jax is not None:
        sides["jax_scan"] = jax_step(task, method, by="scan")
    if diffrax is not None:
        sides["diffrax"] = jax_step(task, method, by="diffrax")
    return sides


def serve(asked: Connection, size: tuple[int, int, int], method: str, threads: int) -> None:
    """Run the sides that are asked for; answer with seconds per step and the gradient. "peak" asks for memory."""
    torch.set_num_threads(threads)
    sides = sides_of(size, method)
    while (name := asked.recv()) is not None:
        if name == "peak":
            ours(Task(size[0], size[1], 2, torch.float32), method)  # compiles
            asked.send(peak_mb(Task(*size, torch.float32), method))
            continue
        gradient, steps, start = None, 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < TURN or not steps:
            gradient, steps = sides[name](), steps + 1
        asked.send((passed / steps, None if gradient is None else gradient.double().numpy()))


def worker(policy: str | None, size: tuple[int, int, int], method: str, threads: int) -> Connection:
    os.environ.pop("OMP_WAIT_POLICY", None)
    if policy is not None:
        os.environ["OMP_WAIT_POLICY"] = policy  # read when a process loads its threads
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=serve, args=(there, size, method, threads), daemon=True).start()
    return here


def measure(size: tuple[int, int, int], method: str, repeats: int, threads: int) -> dict[str, object]:
    """Sides take turns in two processes, of which one is idle while the other works, each as it runs fastest."""
    passive, active = worker("passive", size, method, threads), worker(None, size, method, threads)

    def ask(name: str) -> tuple[float, np.ndarray | None]:
        by = passive if name in PASSIVE else active
        by.send(name)
        answer: tuple[float, np.ndarray | None] = by.recv()
        time.sleep(0.02)  # threads fall asleep
        return answer

    passive.send("peak")
    peak = passive.recv()
    exact = loop(Task(*size, torch.float64), method).numpy()
    names = ["ours", "torchdiffeq_lookup", "torchdiffeq_best", "loop", "floor"]
    names += ["jax_scan"] * (jax is not None) + ["diffrax"] * (diffrax is not None)
    first = {name: ask(name)[1] for name in names}  # the round that is not counted
    errors = {
        name: float(np.linalg.norm(g - exact) / np.linalg.norm(exact)) for name, g in first.items() if g is not None
    }
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            times[name].append(ask(name)[0])
    for by in (passive, active):
        by.send(None)
    ms = {name: 1e3 * statistics.median(measured) for name, measured in times.items()}
    row: dict[str, object] = {
        "neurons": size[0],
        "batch": size[1],
        "steps": size[2],
        "method": method,
        "ms": ms["ours"],
    }
    row |= {f"ratio_{name}": ms[name] / ms["ours"] for name in names if name not in ("ours", "floor")}
    if jax is not None:
        row["ratio_jax"] = min(float(v) for k, v in row.items() if k in ("ratio_jax_scan", "ratio_diffrax"))
    row |= {"ratio_floor": ms["ours"] / ms["floor"], "gradient_error": errors["ours"]}
    row["peak_MB"] = peak
    row |= {f"gradient_error_{name}": error for name, error in errors.items() if name != "ours"}
    row["ms_fastest"] = {name: 1e3 * min(measured) for name, measured in times.items()}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="*", choices=("euler", "heun"), default=["euler", "heun"])
    parser.add_argument("--sizes", nargs="*", default=[":".join(map(str, s)) for s in SIZES], metavar="N:BATCH:STEPS")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for method in options.methods:
        for size in options.sizes:
            neurons, batch, steps = (int(part) for part in size.split(":"))
            row = measure((neurons, batch, steps), method, options.repeats, options.threads)
            rows.append(row)
            printed = {k: v for k, v in row.items() if k != "ms_fastest"}
            shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in printed.items()}
            print("  ".join(f"{name} {value}" for name, value in shown.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
