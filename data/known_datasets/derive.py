"""Derive the digests in this folder: ``python derive.py <hemibrain folder or .tar.gz> [<output folder>]``."""

from __future__ import annotations

import sys
from pathlib import Path

from connectome_sim.connectome.anatomy import CORE, EXR, circuit_class
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.identity import KnownDataset, Part, measured
from connectome_sim.connectome.io import hemibrain, known_datasets

WEAKEST = 3  # synapses: weaker connections of ring neurons are not in the tables that the digests are computed from
RELEASE = {
    "name": "hemibrain",
    "version": "v1.2",
    "citation": "Scheffer et al. 2020, A connectome and analysis of the adult Drosophila central brain, eLife 9:e57443",
    "licence": "CC-BY 4.0",
    "source": "FlyEM hemibrain v1.2, the public export of traced neurons; core counts are the same in v1.1 and v1.2.1",
}
RELEASES = ("hemibrain_v1.2", "exported-traced-adjacencies-v1.2")


def parts(dataset: Connectome) -> tuple[Part, ...]:
    """The core with every connection; ER, ExR and EL with the stronger ones, among themselves and with those before."""
    types = {str(t): circuit_class(str(t)) for t in dataset.neurons.type}

    def of(*classes: str) -> list[str]:
        return [t for t, found in types.items() if found in classes]

    with_exr = [name for name in CORE if name != "Delta7"]  # connections of Delta7 with ExR are not in the tables
    return (
        measured(dataset, name="core", types=of(*CORE)),
        measured(dataset, name="ER", types=of("ER"), partners=of(*CORE), min_count=WEAKEST),
        measured(dataset, name="ExR", types=of(*EXR), partners=of(*with_exr, "ER"), min_count=WEAKEST),
        measured(dataset, name="EL", types=of("EL"), partners=of(*CORE, "ER", *EXR), min_count=WEAKEST),
    )


def main() -> None:
    """Write one file per release."""
    dataset = hemibrain.read(Path(sys.argv[1]), own_name="derived from")
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    known_datasets.write(KnownDataset(**RELEASE, releases=RELEASES, parts=parts(dataset)), out / "hemibrain_v1.2.json")


if __name__ == "__main__":
    main()
