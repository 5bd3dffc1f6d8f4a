"""All figures of a run, drawn and written to its folder. Knows the list of figures and no content of any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from connectome_sim.figures import attractor
from connectome_sim.figures.activity import bump_animation, type_kymographs
from connectome_sim.figures.circuit import circuit_graph, type_matrix
from connectome_sim.figures.gain import gain_curve
from connectome_sim.figures.integration import integration_error
from connectome_sim.figures.kymograph import bump_kymograph
from connectome_sim.figures.losses import loss_curves
from connectome_sim.figures.parameters import parameters
from connectome_sim.figures.rendering import check_formats, rendered
from connectome_sim.figures.rest import rest_drift
from connectome_sim.figures.saved import SavedAnalysis, SavedRun
from connectome_sim.figures.weights import weight_matrix
from connectome_sim.records import RunFolder, atomic

__all__ = ["FIGURES", "check_formats", "draw_all", "rendered"]

FIGURES: Mapping[str, Callable[[SavedRun], Figure]] = {
    "weight_matrix": weight_matrix,
    "type_matrix": type_matrix,
    "circuit_graph": circuit_graph,
    "parameters": parameters,
    "loss_curves": loss_curves,
    "bump_kymograph": bump_kymograph,
    "gain_curve": gain_curve,
    "integration_error": integration_error,
    "rest_drift": rest_drift,
}
"""Of every run: name of the file without its ending -> drawing function."""

Progress = Callable[[str, int, int], None]  # figure, figures done, figures in all


def draw_all(
    run: RunFolder, *, formats: Sequence[str] = ("png", "pdf"), progress: Progress | None = None
) -> list[Path]:
    """Draws every figure of a run into its ``figures/``, replacing those of an earlier call.

    A run that failed or was not evaluated gets the same figures; they say what is missing. Figures of the attractor
    are drawn where it was analysed.

    Args:
        run: its folder.
        formats: of png (200 dots per inch), pdf, svg.
        progress: called with (figure, figures done, figures in all).

    Returns:
        The files written, figure by figure.

    Raises:
        ConfigError: an unknown format, or none.
        RunFolderError: a damaged file, or the figures cannot be written.
        DataError: a damaged ``connectome.h5``.
    """
    check_formats(formats)
    saved = SavedRun.read(run)
    return [*_written(run, {**FIGURES, **_of_the_attractor(saved)}, saved, formats, progress), *_animated(run, saved)]


def draw_analysis(run: RunFolder, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Draws the figures of the attractor only; arguments, result and errors as `draw_all`."""
    check_formats(formats)
    saved = SavedRun.read(run)
    return [*_written(run, _of_the_attractor(saved), saved, formats, None), *_animated(run, saved)]


def _of_the_attractor(saved: SavedRun) -> dict[str, Callable[[SavedRun], Figure]]:
    """The figures that an analysis has something for."""
    analysis = saved.analysis
    if analysis is None:
        return {}
    found: dict[str, Callable[[SavedRun], Figure]] = {
        name: partial(_on, draw, analysis) for name, draw in attractor.FIGURES.items()
    }
    return found | {"type_kymographs": type_kymographs}


def _on(draw: Callable[[SavedAnalysis], Figure], analysis: SavedAnalysis, _: SavedRun) -> Figure:
    return draw(analysis)


def _written(
    run: RunFolder,
    figures: Mapping[str, Callable[[SavedRun], Figure]],
    saved: SavedRun,
    formats: Sequence[str],
    progress: Progress | None,
) -> list[Path]:
    atomic.make_folder(run.figures)
    paths = []
    for i, (name, draw) in enumerate(figures.items()):
        figure = draw(saved)
        for ending in dict.fromkeys(formats):
            path = run.figures / f"{name}.{ending}"
            atomic.write_bytes(path, rendered(figure, ending))
            figure.set_layout_engine("none")  # laid out by now; doing it again for every format takes most of the time
            paths.append(path)
        if progress is not None:
            progress(name, i + 1, len(figures))
    return paths


def _animated(run: RunFolder, saved: SavedRun) -> list[Path]:
    """The animation, where there is a walk to show."""
    content = bump_animation(saved)
    if content is None:
        return []
    path = run.figures / "bump_animation.gif"
    atomic.write_bytes(path, content)
    return [path]
