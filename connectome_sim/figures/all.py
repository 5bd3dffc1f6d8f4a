"""All figures of a run, drawn and written to its folder. Knows the list of figures and no content of any."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from connectome_sim import files
from connectome_sim.errors import RunFolderError
from connectome_sim.figures import activity, attractor, gain, integration, kymograph, needs, physiology, rest
from connectome_sim.figures.circuit import circuit_graph, type_matrix
from connectome_sim.figures.input_shares import input_share_matrices
from connectome_sim.figures.losses import loss_curves
from connectome_sim.figures.needs import Need, RunFigure
from connectome_sim.figures.parameters import parameters
from connectome_sim.figures.rendering import check_formats, rendered
from connectome_sim.figures.saved import SavedAnalysis, SavedRun
from connectome_sim.figures.weights import weight_matrix
from connectome_sim.records import RunFolder, atomic

__all__ = ["FIGURES", "check_formats", "draw_all", "left_out", "rendered"]

FIGURES: Mapping[str, RunFigure] = {
    "weight_matrix": RunFigure(weight_matrix, needs.CONNECTOME_OR_NETWORK),
    "type_matrix": RunFigure(type_matrix, needs.FITTED_CIRCUIT),
    "input_shares": RunFigure(input_share_matrices, needs.FITTED_CIRCUIT),
    "circuit_graph": RunFigure(circuit_graph, needs.NETWORK),
    "parameters": RunFigure(parameters, needs.PARAMETERS),
    "loss_curves": RunFigure(loss_curves, needs.HISTORY),
    "bump_kymograph": RunFigure(kymograph.bump_kymograph, kymograph.NEEDS),
    "gain_curve": RunFigure(gain.gain_curve, gain.NEEDS),
    "integration_error": RunFigure(integration.integration_error, integration.NEEDS),
    "rest_drift": RunFigure(rest.rest_drift, rest.NEEDS),
}
"""Of a fitted and evaluated run: name of the file without its ending -> figure."""

ANIMATION = "bump_animation"
_PICTURES = (".png", ".pdf", ".svg", ".gif")


def draw_all(run: RunFolder, *, formats: Sequence[str] = ("png", "pdf"), processes: int = 1) -> list[Path]:
    """Draws every figure of a run into its ``figures/``, replacing those of an earlier call.

    A figure that needs what the run does not hold is left out, and a picture of it from before removed: `left_out` says
    which they are and how to get them.

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
    with files.blamed(run.path, "drawing"):
        return _drawn(run, formats, processes)


def _drawn(run: RunFolder, formats: Sequence[str], processes: int) -> list[Path]:
    saved = SavedRun.read(run)
    absent = left_out(run, saved)
    names = [name for name in (*_figures(run, saved), ANIMATION) if name not in absent]
    atomic.make_folder(run.figures)
    _remove(path for path in run.figures.iterdir() if path.stem in absent and path.suffix in _PICTURES)
    if not names:
        return []
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


def _remove(pictures: Iterable[Path]) -> None:
    for path in list(pictures):
        atomic.remove(path)


def left_out(run: RunFolder, saved: SavedRun) -> dict[str, Need]:
    """The figures that a run does not hold enough for: name -> what is missing."""
    figures = {name: figure.needs for name, figure in _figures(run, saved).items()}
    figures[ANIMATION] = activity.NEEDS
    absent = {name: need for name, need in figures.items() if not need.there(saved)}
    if saved.networks:
        return absent
    return {name: needs.NETWORK if need.verb != "fit" else need for name, need in absent.items()}


def _figures(run: RunFolder, saved: SavedRun) -> dict[str, RunFigure]:
    """Every figure of a run but the animation, those that it does not hold enough for among them."""
    found = dict(FIGURES)
    for name, (draw, enough) in attractor.FIGURES.items():
        need = needs.ANALYSIS if saved.analysis is None else attractor.need(enough)
        found[name] = RunFigure(partial(_of_analysis, draw), need)
    found["type_kymographs"] = RunFigure(activity.type_kymographs, activity.NEEDS)
    for name, of_tables in physiology.FIGURES.items():
        found[name] = RunFigure(partial(_of_tables, of_tables, run.path), physiology.NEEDS)
    return found


def _of_analysis(draw: Callable[[SavedAnalysis], Figure], saved: SavedRun) -> Figure:
    if saved.analysis is None:
        raise RunFolderError("analysis.json: is not in the run folder; connectome-sim analyze writes it")
    return draw(saved.analysis)


def _of_tables(draw: Callable[[physiology.SavedPhysiology], Figure], folder: Path, saved: SavedRun) -> Figure:
    return draw(physiology.SavedPhysiology.read(folder, saved.origin))


def _written_elsewhere(path: Path, name: str, formats: Sequence[str]) -> list[Path]:
    run = RunFolder.open(path)
    return _written(run, SavedRun.read(run), name, formats)


def _written(run: RunFolder, saved: SavedRun, name: str, formats: Sequence[str]) -> list[Path]:
    """Draws one figure, or the animation, into its files."""
    if name == ANIMATION:
        path = run.figures / f"{name}.gif"
        atomic.write_bytes(path, activity.bump_animation(saved))
        return [path]
    paths = []
    figure = _figures(run, saved)[name](saved)
    for ending in dict.fromkeys(formats):
        paths.append(run.figures / f"{name}.{ending}")
        atomic.write_bytes(paths[-1], rendered(figure, ending))
        figure.set_layout_engine("none")  # laid out by now; doing it again for every format takes most of the time
    return paths
