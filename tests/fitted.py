"""Networks for tests of the ablation harness: typed rings with some parameters, as members and as run folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from connectome_sim import files
from connectome_sim.ablation.members import Member
from connectome_sim.connectome.io import hdf5
from connectome_sim.evaluate import store
from connectome_sim.fit import SpectralStart
from connectome_sim.fit.start import spectral_start
from connectome_sim.model import Parameters, build_network
from connectome_sim.model.activation import SIGMOID
from connectome_sim.readout import Readout
from connectome_sim.records import FittedNetwork, Manifest, RunFolder, write_network
from connectome_sim.tasks import generator
from tests import typed_ring


def fitted(seed: int) -> FittedNetwork:
    """A network at a spectral start: it has a bump, and differs from seed to seed."""
    connectome, wired = typed_ring.connectome(), typed_ring.wiring()
    parameters = Parameters(typed_ring.spec(), wired, dtype=torch.float64)
    spectral_start(parameters, wired, SIGMOID, SpectralStart(jitter=0.05), generator(seed, "start"))
    neurons = connectome.neurons
    return store(
        build_network(wired, parameters),
        Readout(wired.ring_angle, wired.epg_mask),
        id=neurons.id.tolist(),
        type=neurons.type.tolist(),
        instance=neurons.instance.tolist(),
        side=neurons.side.tolist(),
        seed=seed,
        dataset="by hand",
        dataset_sha256="0" * 64,
        step=5e-3,
    )


def member(seed: int) -> Member:
    return Member(f"seed {seed}", seed, typed_ring.connectome(), fitted(seed))


def listed_anew(folder: Path) -> None:
    """Gives a folder the checksums of what it holds now, as somebody would who changed it with intent."""
    unlisted = (files.NAME, ".lock")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in unlisted)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in found
    ]
    first = (folder / files.NAME).read_text(encoding="utf-8").splitlines()[:1]
    (folder / files.NAME).write_text("\n".join([*first, *lines]) + "\n", encoding="utf-8")


def run_folder(path: Path, seed: int) -> Path:
    """A run folder with what a sweep needs of it."""
    folder = RunFolder.create(path, Manifest.start(verb="fit", dataset="by hand"))
    hdf5.write(typed_ring.connectome(), folder.connectome)
    write_network(folder.network, [fitted(seed)])
    return path
