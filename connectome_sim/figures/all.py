"""All figures of a run, drawn and written to its folder. Knows the list of figures and no content of any."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from connectome_sim.figures import attractor, physiology
from connectome_sim.figures.activity import bump_animation, type_kymographs
from connectome_sim.figures.circuit import circuit_graph, type_matrix
from connectome_sim.figures.gain import gain_curve
from connectome_sim.figures.input_shares import input_share_matrices
from connectome_sim.figures.integration import integration_error
from connectome_sim.figures.kymograph import bump_kymograph
from connectome_sim.figures.losses import loss_curves
from connectome_sim.figures.parameters import parameters
from connectome_sim.figures.rendering import check_formats, rendered
from connectome_sim.figures.rest import rest_drift
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.weights import weight_matrix
from connectome_sim.records import RunFolder, atomic

__all__ = ["FIGURES", "check_formats", "draw_all", "rendered"]

FIGURES: Mapping[str, Callable[[SavedRun], Figure]] = {
    "weight_matrix": weight_matrix,
    "type_matrix": type_matrix,
    "input_shares": input_share_matrices,
    "circuit_graph": circuit_graph,
    "parameters": parameters,
    "loss_curves": loss_curves,
    "bump_kymograph": bump_kymograph,
    "gain_curve": gain_curve,
    "integration_error": integration_error,
    "rest_drift": rest_drift,
}
"""Of every run: name of the file without its ending -> drawing function."""

ANIMATION = "bump_animation"
SavedT = TypeVar("SavedT")


def draw_all(run: RunFolder, *, formats: Sequence[str] = ("png", "pdf"), processes: int = 1) -> list[Path]:
    """Draws every figure of a run into its ``figures/``, replacing those of an earlier call.

    A run that failed or was not evaluated gets the same figures; they say what is missing. Figures of the attractor
    and of the physiology are drawn where there are results of ``analyze``.

    Args:
        run: its folder.
        formats: of png (200 dots per inch), pdf, svg.
        processes: to draw with, this one among them. A script that asks for more must be safe to import.

    Returns:
        The files written, figure by figure.

    Raises:
        ConfigError: an unknown format, or none.
        RunFolderError: a damaged file, or the figures cannot be written.
        DataError: a damaged ``connectome.h5``.
    """
    check_formats(formats)
    saved = SavedRun.read(run)
    names = [*FIGURES, *_analysed(run, saved), ANIMATION]
    atomic.make_folder(run.figures)
    if processes == 1:
        return [path for name in names for path in _written(run, saved, name, formats)]
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads that it does not
    pool = ProcessPoolExecutor(min(processes, len(names)) - 1, mp_context=spawn)
    try:
        # from the last one on, as they take a while to start; here from the first
        elsewhere = {name: pool.submit(_written_elsewhere, run.path, name, formats) for name in reversed(names)}
        here = {name: _written(run, saved, name, formats) for name in names if elsewhere[name].cancel()}
        return [path for name in names for path in (here[name] if name in here else elsewhere[name].result())]
    finally:
        pool.shutdown(cancel_futures=True)


def _analysed(run: RunFolder, saved: SavedRun) -> dict[str, Callable[[SavedRun], Figure]]:
    """The figures that an analysis has something for."""
    found: dict[str, Callable[[SavedRun], Figure]] = {}
    if (analysis := saved.analysis) is not None:
        found |= {name: partial(_of, draw, analysis) for name, draw in attractor.FIGURES.items()}
        found["type_kymographs"] = type_kymographs
    if (run.path / physiology.SCORECARD).exists():
        tables = physiology.SavedPhysiology.read(run.path, saved.origin)
        found |= {name: partial(_of, draw, tables) for name, draw in physiology.FIGURES.items()}
    return found


def _of(draw: Callable[[SavedT], Figure], part: SavedT, _: SavedRun) -> Figure:
    return draw(part)


def _written_elsewhere(path: Path, name: str, formats: Sequence[str]) -> list[Path]:
    run = RunFolder.open(path)
    return _written(run, SavedRun.read(run), name, formats)


def _written(run: RunFolder, saved: SavedRun, name: str, formats: Sequence[str]) -> list[Path]:
    """Draws one figure into its files; the animation only where there is a walk to show."""
    paths = []
    if name == ANIMATION:
        if (animation := bump_animation(saved)) is not None:
            paths.append(run.figures / f"{name}.gif")
            atomic.write_bytes(paths[-1], animation)
        return paths
    figure = (FIGURES.get(name) or _analysed(run, saved)[name])(saved)
    for ending in dict.fromkeys(formats):
        paths.append(run.figures / f"{name}.{ending}")
        atomic.write_bytes(paths[-1], rendered(figure, ending))
        figure.set_layout_engine("none")  # laid out by now; doing it again for every format takes most of the time
    return paths
