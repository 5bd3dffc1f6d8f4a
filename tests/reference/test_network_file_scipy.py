"""``network.h5`` alone, read with h5py and simulated with NumPy and SciPy, against this package's own simulation."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import expit

from connectome_sim import tasks
from connectome_sim.evaluate import restore
from connectome_sim.model import Drive
from connectome_sim.records import read_network, write_network
from connectome_sim.solve import SolveOptions, simulate
from tests.rings import stored_ring

DURATION, HOLD = 2.0, 0.05  # s
TOLERANCE = 1e-6  # rad, stated: RK4 at 1 ms with a time constant of 20 ms has a local error of about (1/20)^5 / 120


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "network.h5"
    write_network(path, [stored_ring()])
    return path


def scipy_heading(path: Path, omega: np.ndarray, hold: float, start: int) -> np.ndarray:
    """Decoded heading at the end of every hold, from what the file says and nothing else."""
    with h5py.File(path, "r") as file:
        assert file.attrs["activation"] == "sigmoid"
        member = file["members/000"]
        w, b = member["weights"][()], member["bias"][()]
        tau, k = member["time_constant"][()], member["velocity_input"][()]
        rates = member["initial_states"][start]
        epg = np.array([name == b"EPG" for name in file["neurons/type"][()]])
        compass = np.exp(1j * file["neurons/ring_angle"][()][epg])
    headings = [np.angle(rates[epg] @ compass)]
    for value in omega:  # a restart at each jump of the input, where the right-hand side is not smooth
        solution = solve_ivp(
            lambda _, r, v=value: (-r + expit(w @ r + b + k * v)) / tau,
            (0, hold),
            rates,
            "DOP853",
            rtol=1e-10,
            atol=1e-12,
        )
        rates = solution.y[:, -1]
        headings.append(np.angle(rates[epg] @ compass))
    return np.unwrap(headings)


def test_scipy_and_this_package_decode_the_same_heading(network_file: Path) -> None:
    walk = tasks.walking(tasks.generator(5, "held_out"), n_trials=1, duration=DURATION, time_step=HOLD)
    omega = walk.angular_velocity[:, 0].numpy()
    assert np.abs(np.cumsum(omega) * HOLD).max() > 0.2  # it turns at all
    wanted = scipy_heading(network_file, omega, HOLD, start=3)

    (stored,) = read_network(network_file)
    network, readout = restore(stored)
    initial = torch.as_tensor(stored.initial_states[3:4])
    drive = Drive(HOLD, walk.angular_velocity)
    result = simulate(network, initial, drive, SolveOptions(method="rk4", step=1e-3), observe=readout.heading)
    ours = np.unwrap(result.observed[:, 0].numpy())

    assert stored.initial_headings[3] == pytest.approx(wanted[0], abs=1e-12)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE)


def test_positive_omega_increases_the_heading_decoded_as_the_contract_says(network_file: Path) -> None:
    omega = np.full(8, np.deg2rad(60))
    heading = scipy_heading(network_file, omega, HOLD, start=0)
    # the velocity input of tests/rings.py is calibrated to unit gain here; the first 0.2 s are the transient
    gain = (heading[-1] - heading[4]) / (np.deg2rad(60) * 4 * HOLD)
    assert gain == pytest.approx(1.0, abs=2e-3)
