"""Small folders of every sort, made by the package's own writers, and the reader of every kind of file in them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
import torch

from connectome_sim import files
from connectome_sim.ablation.statistics import Effect
from connectome_sim.config import compose, saved_config, to_yaml
from connectome_sim.connectome.io import hdf5
from connectome_sim.connectome.io.hdf5_tree import DIGEST
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import RunFolderError
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.sweep import SavedSweep
from connectome_sim.files import NAME
from connectome_sim.records import (
    EnsembleRecord,
    FittedNetwork,
    Manifest,
    MemberRecord,
    RunFolder,
    SweepFolder,
    atomic,
    read_network,
    read_scalars,
    write_arrays,
    write_network,
    write_parameters,
)
from connectome_sim.records.sweep_folder import slug

N = 6
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


def make(root: Path) -> None:
    """The same folders twice: ``listed`` with their checksums, ``old`` as version 0.1 left them."""
    for mode in ("listed", "old"):
        _run(root / mode / "run")
        _sweep(root / mode / "sweep")
        _ensemble(root / mode / "ensemble")
        (root / mode / "alone").mkdir()
        for name in ("network.h5", "connectome.h5"):
            shutil.copy(root / mode / "run" / name, root / mode / "alone" / name)
    for path in (root / "old").rglob(NAME):
        path.unlink()
    for path in (root / "old").rglob("*.h5"):
        with h5py.File(path, "r+") as file:
            del file.attrs[DIGEST]
    for path in (root / "old").rglob("manifest.json"):
        content = json.loads(path.read_text())
        content["format_version"] -= 1
        content.pop("notes", None)
        path.write_text(json.dumps(content, indent=2) + "\n")


def network() -> FittedNetwork:
    """Any network."""
    random = np.random.default_rng(0)
    return FittedNetwork(
        weights=random.normal(size=(N, N)),
        bias=random.normal(size=N),
        time_constant=random.uniform(0.02, 0.5, N),
        velocity_input=random.normal(size=N),
        activation="sigmoid",
        ring_angle=np.array([0.0, 1.0, 2.0, np.nan, np.nan, np.nan]),
        id=tuple(str(5813020000 + k) for k in range(N)),
        type=("EPG", "EPG", "PEN_a", "Delta7", "ER", "ER"),
        instance=tuple(f"instance {k}" for k in range(N)),
        side=("L", "R", "L", "R", "", ""),
        initial_states=random.uniform(size=(16, N)),
        initial_headings=random.uniform(-3, 3, 16),
        seed=7,
        dataset="by hand",
        dataset_sha256="ab" * 32,
    )


def _run(path: Path) -> None:
    folder = RunFolder.create(path, Manifest.start(seeds={"fit": 7}, dataset="by hand", config={"a": 1}))
    atomic.make_folder(path / ".hydra")
    atomic.write_text(path / ".hydra" / "config.yaml", to_yaml(compose("fit", ["seed=7", f"run={path}"])))
    counts = np.random.default_rng(1).integers(0, 40, (N, N))
    hdf5.write(from_matrix(counts, orientation="post_pre", types=network().type), folder.connectome)
    write_network(folder.network, [network()])
    write_parameters(folder.parameters, {f"gain/{k}": torch.tensor(0.5 + k) for k in range(12)})
    folder.write_history([{"iteration": k, "total": 1 / (k + 1), "bump": 0.25 * k} for k in range(8)])
    folder.write_metrics({"walking_error_10s_median_deg": 4.25, "bump_width_median_deg": float("nan"), "success": 1})
    random = np.random.default_rng(2)
    write_arrays(folder.evaluation, {"walking/error_deg": random.normal(size=(20, 30)), "n": np.array(3)})
    write_arrays(folder.analysis, {"ring/heading_rad": random.normal(size=50), "ring/stable": np.arange(50) % 2 == 0})
    found = {"verdict": "ring", "verdict_means": "a ring", "n_fixed_points": 4, "rate_per_s": None}
    folder.write_findings(found)
    folder.write_table("ensemble_scores", [{"seed": "1", "error": "3.5"}, {"seed": "2", "error": "4.5"}])
    for step in (10, 20):
        state = {
            "weight": torch.arange(6.0) + step,
            "history": [{"total": 0.5}],
            "best": -float("inf"),
            "n": (step, "a"),
        }
        folder.write_checkpoint(step, state)
    atomic.write_bytes(folder.figures / "weight_matrix.png", PICTURE)
    folder.finish(status="succeeded", wall_time_s=12.5)


def _sweep(path: Path) -> None:
    folder = SweepFolder.create(path, Manifest.start(verb="ablate", dataset="by hand"), config="a: 1\n")
    labels = ("case_id", "case", "group", "kind", "mode", "target", "level", "member", "seed", "status", "reason")
    rows = []
    for case, kind in (("intact", "control"), ("no EPG", "perturbation")):
        values = (f"{case} 1", case, case, kind, "transplant", "EPG", "", "seed 1", "1", "ok", "")
        rows.append(dict(zip(labels, values, strict=True)) | {"walking_error_deg": "12.5", "bump_amplitude": "0.75"})
        folder.write_arrays(case, {"rest/time_s": np.arange(40) * 0.05, "rest/kymograph": np.ones((40, 4))})
    folder.write_table("cases", list(rows[0]), rows)
    columns = [field.name for field in fields(Effect)]
    effect = {name: "0.5" for name in columns} | {"group": "no EPG", "measure": "walking_error_deg", "paired": "1"}
    folder.write_table("summary", columns, [effect | {"kind": "perturbation", "mode": "transplant", "members": "1"}])
    folder.write_table("literature", ["id", "verdict"], [{"id": "a", "verdict": "agree"}])


def _ensemble(path: Path) -> None:
    values = {"gain": np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]), "threshold": np.array([[1.0], [2.0], [3.0]])}
    EnsembleRecord(
        values=values,
        names={"gain": ("EPG<-EPG", "EPG<-PEN_a"), "threshold": ("EPG",)},
        members=tuple(MemberRecord(seed=k, succeeded=True, metrics={"error_deg": 3.5 + k}) for k in range(3)),
        command="connectome-sim fit seed=0",
        dataset="by hand",
        dataset_version="1",
        dataset_sha256="ab" * 32,
        circuit_sha256="cd" * 32,
        types={"EPG": 2, "PEN_a": 1},
        config={"gains": "pair", "fit": {"steps": 3}},
        versions={"numpy": "2"},
        commit=None,
    ).write(path)


@dataclass(frozen=True)
class Kind:
    """A kind of file: where it lies, how it is read from the folder of its mode, and in which modes there is one."""

    path: str
    read: Callable[[Path], object]
    modes: tuple[str, ...] = ("listed", "old")


def _of_run(read: Callable[[RunFolder], object]) -> Callable[[Path], object]:
    return lambda root: read(RunFolder.open(root / "run"))


def _checkpoint(folder: RunFolder) -> object:
    said: list[str] = []
    found = folder.last_checkpoint(say=said.append)
    if said:
        raise RunFolderError(said[0])  # passed over, and said
    return found


def _everything(folder: RunFolder) -> object:
    return SavedRun.read(folder), saved_config(folder.path), _checkpoint(folder), _pictures(folder)


def _sweep_of(root: Path) -> object:
    return SavedSweep.read(SweepFolder.open(root / "sweep"))


def _ensemble_of(root: Path) -> object:
    return EnsembleRecord.read(root / "ensemble")


_ARRAYS = f"sweep/arrays/{slug('intact')}.h5"


def _pictures(folder: RunFolder) -> dict[str, bytes]:
    """What a report embeds."""
    names = {*(path.name for path in folder.figures.glob("*")), *files.listed(folder.figures)}
    return {name: files.read(folder.figures / name, most=files.PICTURE_BYTES).data for name in sorted(names)}


KINDS: Mapping[str, Kind] = {
    "manifest.json": Kind("run/manifest.json", _of_run(lambda run: run.manifest())),
    "config.yaml": Kind("run/.hydra/config.yaml", _of_run(lambda run: saved_config(run.path))),
    "metrics.json": Kind("run/metrics.json", _of_run(lambda run: SavedRun.read(run).metrics)),
    "history.csv": Kind("run/history.csv", _of_run(lambda run: SavedRun.read(run).history)),
    "parameters.safetensors": Kind("run/parameters.safetensors", _of_run(lambda run: read_scalars(run.parameters))),
    "network.h5": Kind("run/network.h5", _of_run(lambda run: SavedRun.read(run).networks)),
    "connectome.h5": Kind("run/connectome.h5", _of_run(lambda run: SavedRun.read(run).connectome)),
    "evaluation.h5": Kind("run/evaluation.h5", _of_run(lambda run: SavedRun.read(run).arrays)),
    "analysis.json": Kind("run/analysis.json", _of_run(lambda run: SavedRun.read(run).found)),
    "analysis.h5": Kind("run/analysis.h5", _of_run(lambda run: SavedRun.read(run).analysis_arrays)),
    "table.csv": Kind("run/ensemble_scores.csv", _of_run(lambda run: SavedRun.read(run).tables)),
    "checkpoint": Kind("run/checkpoints/step_00000020.safetensors", _of_run(_checkpoint)),
    "picture": Kind("run/figures/weight_matrix.png", _of_run(_pictures), modes=("listed",)),
    "SHA256SUMS": Kind(f"run/{NAME}", _of_run(_everything), modes=("listed",)),
    "sweep manifest.json": Kind("sweep/manifest.json", _sweep_of),
    "cases.csv": Kind("sweep/cases.csv", _sweep_of),
    "summary.csv": Kind("sweep/summary.csv", _sweep_of),
    "literature.csv": Kind("sweep/literature.csv", _sweep_of),
    "sweep arrays": Kind(_ARRAYS, _sweep_of),
    "ensemble manifest.json": Kind("ensemble/manifest.json", _ensemble_of),
    "ensemble parameters": Kind("ensemble/parameters.safetensors", _ensemble_of),
    "network.h5 alone": Kind("alone/network.h5", lambda root: read_network(root / "alone" / "network.h5")),
    "connectome.h5 alone": Kind("alone/connectome.h5", lambda root: hdf5.read(root / "alone" / "connectome.h5")),
}
"""Name -> kind."""


def read_kind(kind: str, root: Path) -> object:
    """What the reader of a kind finds."""
    return KINDS[kind].read(root)


def fingerprint(value: object) -> str:
    """Equal for equal content, NaN included."""
    return hashlib.sha256(repr(_plain(value)).encode()).hexdigest()


def _plain(value: Any) -> object:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        content = value.tolist() if value.dtype.kind in "OU" else value.tobytes()
        return value.dtype.kind, value.dtype.itemsize if value.dtype.kind != "U" else 0, value.shape, content
    if isinstance(value, sp.csr_array):
        return [_plain(part) for part in (value.data, value.indices, value.indptr)]
    if is_dataclass(value):
        return [(field.name, _plain(getattr(value, field.name))) for field in fields(value)]
    if isinstance(value, Mapping):
        return [(_plain(name), _plain(item)) for name, item in sorted(value.items(), key=lambda pair: str(pair[0]))]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [type(value).__name__, *(_plain(item) for item in value)]
    return repr(value)
