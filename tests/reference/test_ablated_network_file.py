"""A silenced network written to ``network.h5``, simulated with h5py, NumPy and SciPy alone: zero columns or rows."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import expit

from connectome_sim import circular
from connectome_sim.ablation.members import Member, intact
from connectome_sim.ablation.perturbations import Clamp, Input, Output, Perturbation, perturbed
from connectome_sim.ablation.probes import HeldOut
from connectome_sim.ablation.targets import Target
from connectome_sim.evaluate import restore, store
from connectome_sim.model import Drive
from connectome_sim.records import read_network, write_network
from connectome_sim.solve import SolveOptions, simulate
from connectome_sim.tasks import generator, walking
from tests.fitted import member
from tests.unit.test_ablation_probes import SHORT

OMEGA, DURATION = 1.0, 1.0  # rad/s, s
LEFT = Target(type=("PEN_a",), side="L")


@pytest.fixture(scope="module")
def one() -> Member:
    return member(0)


@pytest.mark.parametrize(
    "perturbation", [Output(target=LEFT), Input(target=LEFT), Clamp(target=LEFT)], ids=lambda p: p.name
)
def test_the_file_alone_gives_the_same_rates_and_bump(one: Member, perturbation: Perturbation, tmp_path: Path) -> None:
    subject = intact(one)
    network, _ = perturbed(subject.network, subject.neurons, [perturbation], resting=subject.resting)
    fitted, path = one.fitted, tmp_path / "network.h5"
    labels = {"id": fitted.id, "type": fitted.type, "instance": fitted.instance, "side": fitted.side}
    write_network(path, [store(network, subject.readout, **labels, seed=0, dataset="by hand", dataset_sha256="")])

    aimed = LEFT.mask(subject.neurons)
    with h5py.File(path, "r") as file:
        group = file["members/000"]
        w, b, tau, k = (group[n][()] for n in ("weights", "bias", "time_constant", "velocity_input"))
        start = group["initial_states"][3]
        epg = np.array([name == b"EPG" for name in file["neurons/type"][()]])
        angle = file["neurons/ring_angle"][()]
    assert (w[:, aimed] == 0).all() == (not isinstance(perturbation, Input))
    assert (w[aimed] == 0).all() == (not isinstance(perturbation, Output))
    alone = solve_ivp(
        lambda _, r: (-r + expit(w @ r + b + k * OMEGA)) / tau, (0, DURATION), start, "DOP853", rtol=1e-11, atol=1e-13
    ).y[:, -1]

    (stored,) = read_network(path)
    again, readout = restore(stored)
    drive = Drive(0.01, torch.full((round(DURATION / 0.01), 1), OMEGA, dtype=torch.float64))
    ours = simulate(again, torch.as_tensor(start)[None], drive, SolveOptions(method="rk4", step=1e-3)).final[0]
    np.testing.assert_allclose(ours.numpy(), alone, atol=1e-8)

    heading = np.angle(alone[epg] @ np.exp(1j * angle[epg]))
    decoded = readout.heading(ours[None]).numpy()
    assert circular.distance(decoded, np.array([heading]))[0] < 1e-7
    by_angle = [alone[epg][np.isclose(angle[epg], a)].mean() for a in circular.evenly_spaced(16)]
    assert float(readout.amplitude(ours[None])[0]) == pytest.approx(np.ptp(by_angle), abs=1e-8)


@pytest.mark.parametrize("zeros", ["columns", "rows"])
def test_zeros_put_into_the_file_by_hand_give_the_figures_of_the_sweep(one: Member, zeros: str, tmp_path: Path) -> None:
    """Cue, settling, walk, rest and constant velocity by fourth-order Runge-Kutta at 1 ms, read out by hand."""
    path, target = tmp_path / "network.h5", Target(id=("16", "17"))  # two left-hand PEN_a: the bump stays, and turns
    write_network(path, [one.fitted])
    with h5py.File(path, "r+") as file:
        group, aimed = file["members/000"], np.flatnonzero(np.isin(file["neurons/id"].asstr()[()], ["16", "17"]))
        weights, velocity = group["weights"][()], group["velocity_input"][()]
        if zeros == "columns":
            weights[:, aimed] = 0.0
        else:
            weights[aimed], velocity[aimed] = 0.0, 0.0
        group["weights"][...], group["velocity_input"][...] = weights, velocity
    with h5py.File(path, "r") as file:
        w, b, tau, k = (file["members/000"][n][()] for n in ("weights", "bias", "time_constant", "velocity_input"))
        epg, angle = file["neurons/type"].asstr()[()] == "EPG", file["neurons/ring_angle"][()]
    compass = np.where(epg, np.exp(1j * np.where(epg, angle, 0.0)), 0.0)

    def after(r: np.ndarray, omega: np.ndarray, current: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Rates at the end and unwrapped headings, for velocities [10 ms, trial]."""
        headings, h = [np.angle(r @ compass)], 1e-3

        def slope(r: np.ndarray, at: np.ndarray) -> np.ndarray:
            return (-r + expit(r @ w.T + b + np.outer(at, k) + current)) / tau

        for at in omega:
            for _ in range(10):
                k1 = slope(r, at)
                k2 = slope(r + h / 2 * k1, at)
                k3 = slope(r + h / 2 * k2, at)
                r = r + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(r + h * k3, at))
            headings.append(np.angle(r @ compass))
        return r, np.unwrap(np.array(headings), axis=0)

    def settled(cues: np.ndarray) -> np.ndarray:
        cue = np.where(epg, 5.0 * np.exp(4.0 * (np.cos(np.where(epg, angle, 0) - cues[:, None]) - 1)), 0.0)
        still = np.zeros((20, len(cues)))
        return after(after(np.zeros((len(cues), len(b))), still, cue)[0], still)[0]

    trial = walking(generator(1000, "held_out"), n_trials=4, duration=0.5, time_step=0.01)
    omega, true = trial.angular_velocity.numpy(), trial.displacement().numpy()
    start = settled(circular.evenly_spaced(4))
    rest, resting = after(start, np.zeros_like(omega))
    _, walked = after(start, omega)
    wrong = np.angle(np.exp(1j * (walked[-1] - walked[0] - true[-1])))
    constant = np.deg2rad(60.0) * np.array([1.0, 1.0, -1.0, -1.0])
    spread = circular.evenly_spaced(2) + 2 * np.pi / 16 * np.arange(2) / 2
    _, turned = after(np.tile(settled(spread), (2, 1)), np.tile(constant, (30, 1)))
    profile = np.stack([rest[:, epg & np.isclose(angle, a)].mean(axis=1) for a in circular.evenly_spaced(16)], axis=1)
    alone = {
        "bump_amplitude": np.median(np.ptp(profile, axis=1)),
        "rest_drift_deg": np.median(np.rad2deg(np.abs(resting[-1] - resting[0]))),
        "rest_rotation_deg_per_s": np.rad2deg((resting[-1] - resting[0]).mean()) / 0.5,
        "walking_error_deg": np.median(np.rad2deg(np.abs(wrong))),
        "integration_gain": np.mean((turned[-1] - turned[10]) / (constant * 0.2)),
    }
    silenced = Output(target=target) if zeros == "columns" else Input(target=target)
    probes = HeldOut(protocol=SHORT, step=1e-3, method="rk4", precision="float64")
    ours = probes.score(intact(one), [silenced]).measures
    assert {name: ours[name] for name in alone} == pytest.approx(alone, rel=1e-8, abs=1e-8)
