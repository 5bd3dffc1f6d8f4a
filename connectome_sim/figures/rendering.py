"""From a drawn figure to the content of a file. Knows no figure and no folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from connectome_sim.errors import ConfigError
from connectome_sim.figures.style import style

# no dates in files: the same results give the same bytes
_METADATA: Mapping[str, dict[str, str | None]] = {
    "png": {"Software": "connectome-sim"},
    "pdf": {"Creator": "connectome-sim", "CreationDate": None},
    "svg": {"Creator": "connectome-sim", "Date": None},
}


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
