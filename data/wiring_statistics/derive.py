"""Derive the wiring statistics in this folder: ``python derive.py <hemibrain folder or .tar.gz> [<output folder>]``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from connectome_sim.connectome.anatomy import CIRCUITS, head_direction_circuit
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hemibrain, wiring_statistics
from connectome_sim.connectome.statistics import WiringStatistics, measure

LICENCE = "CC-BY 4.0"
MINIMUM = 3  # synapses: weaker connections of ring neurons are left out


def derive(dataset: Connectome, circuit: str) -> WiringStatistics:
    """Wiring statistics of one of the named circuits."""
    chosen = head_direction_circuit(dataset, classes=CIRCUITS[circuit])
    counts = chosen.counts.tocoo(copy=True)
    on_ring = np.isfinite(chosen.neurons.ring_angle)
    weak = ~(on_ring[counts.row] & on_ring[counts.col]) & (counts.data < MINIMUM)
    counts.data[weak] = 0
    statistics = measure(replace(chosen, counts=counts.tocsr()))
    return replace(statistics, source={**statistics.source, "licence": LICENCE})


def main() -> None:
    """Write one file per circuit."""
    dataset = hemibrain.read(Path(sys.argv[1]))
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    for circuit in ("core", "core_er"):
        wiring_statistics.write(derive(dataset, circuit), out / f"hemibrain_{circuit}.json")


if __name__ == "__main__":
    main()
