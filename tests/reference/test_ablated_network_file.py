"""A silenced network written to ``network.h5``, simulated with h5py and SciPy alone: columns or rows of zeros."""

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
from connectome_sim.ablation.targets import Target
from connectome_sim.evaluate import restore, store
from connectome_sim.model import Drive
from connectome_sim.records import read_network, write_network
from connectome_sim.solve import SolveOptions, simulate
from tests.fitted import member

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
