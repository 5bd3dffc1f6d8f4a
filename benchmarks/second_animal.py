"""Does the recipe of the core find a compass in another animal, and do its parameters carry over?

Both animals are cut down to the four cell types that both tables hold, and the recipe of
``+experiment=hemibrain_core`` is fitted to each. Each fit is scored on the held-out protocol: on its own animal, and
with the same cell-type parameters on the other animal's counts. A fit that is in the output folder is used again.

    python benchmarks/second_animal.py HEMIBRAIN MALE --out FOLDER [--seeds 0 1] [--json]

An animal is a folder: a hemibrain export, or the tables of the male CNS release (body-annotations.csv with
bodyId,type,instance; connectome-weights.csv with body_pre,body_post,weight; Berg et al. 2026). One fit takes five to
ten CPU minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from connectome_sim.build import circuit, measuring, run_fit, wiring
from connectome_sim.build.fitting import check_same
from connectome_sim.config import FitConfig, compose
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5, hemibrain
from connectome_sim.errors import DataError
from connectome_sim.model import Activation, Parameters, build_network
from connectome_sim.model.parameters import FAMILIES
from connectome_sim.readout import Readout
from connectome_sim.records import RunFolder, read_parameters

TYPES = ("EPG", "PEN_a", "PEN_b", "Delta7")
HELD_OUT_SEED = 1000  # that of the tables in the README
NEURONS, WEIGHTS = "body-annotations.csv", "connectome-weights.csv"
CITATION = "Berg et al. 2026, male CNS v1.0, doi 10.1016/j.cell.2026.08.015"
SHOWN = (
    "walking_error_10s_median_deg",
    "walking_error_60s_median_deg",
    "rest_drift_60s_median_deg",
    "rest_drift_60s_max_deg",
    "rest_distinct_headings",
    "linear_range_low_deg_per_s",
    "linear_range_high_deg_per_s",
    "bump_present_share",
)


def animal(folder: Path) -> Connectome:
    """The whole table of an animal, whichever of the two formats it is in."""
    return male(folder) if (folder / WEIGHTS).exists() else hemibrain.read(folder)


def male(folder: Path) -> Connectome:
    """The male CNS release: a hemibrain export but for names of files and columns, and the citation."""
    neurons, weights = (folder / NEURONS).read_bytes(), (folder / WEIGHTS).read_bytes()
    header, _, rows = weights.partition(b"\n")
    if header.strip() != b"body_pre,body_post,weight":
        raise DataError(f"{folder / WEIGHTS}: got columns {header.decode()!r}, wanted body_pre,body_post,weight")
    files = {hemibrain.NEURONS: neurons, hemibrain.CONNECTIONS: b"bodyId_pre,bodyId_post,weight\n" + rows}
    found = hemibrain.from_files(files)
    origin = replace(found.provenance, dataset="male CNS", version="v1.0", citation=CITATION)
    return replace(found, provenance=origin)


def recipe(source: Path, run: Path, seed: int, changes: list[str]) -> FitConfig:
    """The core's recipe on the four types of an animal."""
    own = [f"connectome.source={source}", f"connectome.classes=[{','.join(TYPES)}]", f"seed={seed}", f"run={run}"]
    how = [f"evaluation.seed={HELD_OUT_SEED}", "figures=false", "progress=false", "threads=1"]
    return compose("fit", ["+experiment=hemibrain_core", *own, *how, *changes])


def fitted(config: FitConfig) -> RunFolder:
    """The run folder of a fit: the one that is there, or a new one."""
    if not Path(config.run).exists():
        return run_fit(config).folder
    folder = RunFolder.open(config.run)
    check_same(folder, config)
    return folder


def carried_over(folder: RunFolder, config: FitConfig, other: FitConfig) -> Mapping[str, float]:
    """Held-out scores of the parameters of a fit on the circuit of another animal."""
    connectome = circuit(other.connectome)
    wired = wiring(other, connectome)
    parameters = Parameters(config.parameters, wired, dtype=torch.float64)
    values = read_parameters(folder.parameters)
    for family in FAMILIES:
        names = [f"{family}/{name}" for name in parameters.names(family)]
        if missing := [name for name in names if name not in values]:
            raise DataError(f"{folder.parameters}: got no {missing[0]}, which {other.connectome.source} needs")
        parameters.set_(family, torch.stack([values[name] for name in names]))
    network = build_network(wired, parameters, Activation.named(config.activation)).detach()
    stored = measuring.stored(config, connectome, network, Readout(wired.ring_angle, wired.epg_mask))
    return measuring.measure(stored, config.evaluation, config, progress=False).metrics


def compare(animals: Mapping[str, Path], seeds: list[int], out: Path, changes: list[str]) -> list[dict[str, object]]:
    """A row for each fit and each animal that it is scored on."""
    out.mkdir(parents=True, exist_ok=True)
    for name, folder in animals.items():
        hdf5.write(animal(folder), out / f"{name}.h5")
    rows = []
    for seed in seeds:
        configs = {name: recipe(out / f"{name}.h5", out / f"{name}_{seed}", seed, changes) for name in animals}
        folders = {name: fitted(config) for name, config in configs.items()}
        for on in animals:
            for scored in animals:
                own = folders[on].metrics() if on == scored else None
                found = own or carried_over(folders[on], configs[on], configs[scored])
                shown = {name: found[name] for name in SHOWN if name in found}
                rows.append({"fitted_on": on, "seed": seed, "scored_on": scored, **shown})
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("animals", type=Path, nargs="+", help="folders; the last part of each is its name")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--change", action="append", default=[], help="further key=value for the fits")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row")
    options = parser.parse_args()
    animals = {folder.resolve().name: folder for folder in options.animals}
    rows = compare(animals, options.seeds, options.out, options.change)
    if options.json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    for row in rows:
        print(f"fitted on {row['fitted_on']}, seed {row['seed']}, scored on {row['scored_on']}")
        for name in SHOWN:
            if name in row:
                print(f"  {name:32s} {row[name]:8.3g}")


if __name__ == "__main__":
    main()
