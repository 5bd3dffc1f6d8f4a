"""All figures of a run, drawn and written to its folder. Knows the list of figures and no content of any."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from connectome_sim.errors import ConfigError
from connectome_sim.figures.gain import gain_curve
from connectome_sim.figures.integration import integration_error
from connectome_sim.figures.kymograph import bump_kymograph
from connectome_sim.figures.losses import loss_curves
from connectome_sim.figures.rest import rest_drift
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import style
from connectome_sim.figures.weights import weight_matrix
from connectome_sim.records import RunFolder, atomic

FIGURES: Mapping[str, Callable[[SavedRun], Figure]] = {
    "weight_matrix": weight_matrix,
    "loss_curves": loss_curves,
    "bump_kymograph": bump_kymograph,
    "gain_curve": gain_curve,
    "integration_error": integration_error,
    "rest_drift": rest_drift,
}
"""Name of the file without its ending -> drawing function."""

Progress = Callable[[str, int, int], None]  # figure, figures done, figures in all

# no dates in files: the same results give the same bytes
_METADATA: Mapping[str, dict[str, str | None]] = {
    "png": {"Software": "connectome-sim"},
    "pdf": {"Creator": "connectome-sim", "CreationDate": None},
    "svg": {"Creator": "connectome-sim", "Date": None},
}


def draw_all(
    run: RunFolder, *, formats: Sequence[str] = ("png", "pdf"), progress: Progress | None = None
) -> list[Path]:
    """Draws every figure of a run into its ``figures/``, replacing those of an earlier call.

    A run that failed or was not evaluated gets the same figures; they say what is missing.

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
    atomic.make_folder(run.figures)
    paths = []
    for i, (name, draw) in enumerate(FIGURES.items()):
        figure = draw(saved)
        for ending in dict.fromkeys(formats):
            path = run.figures / f"{name}.{ending}"
            atomic.write_bytes(path, rendered(figure, ending))
            paths.append(path)
        if progress is not None:
            progress(name, i + 1, len(FIGURES))
    return paths


def check_formats(formats: Sequence[str]) -> None:
    """Raise a ConfigError unless figures can be written in these formats."""
    if isinstance(formats, str) or not formats or set(formats) - set(_METADATA):
        raise ConfigError(f"figures, formats: got {formats!r}, wanted one or more of {', '.join(_METADATA)}")


def rendered(figure: Figure, ending: str) -> bytes:
    """The content of the figure's file."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=ending, metadata=_METADATA[ending])
    return buffer.getvalue()
