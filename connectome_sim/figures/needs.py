"""What a figure needs of a run, and the verb that saves it: a figure without it is left out. Knows no figure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from connectome_sim.figures.saved import SavedRun


@dataclass(frozen=True)
class Need:
    """Something that a run may hold or not.

    Attributes:
        missing: what to say where it does not.
        verb: the verb that saves it; empty where none does.
        there: whether a run holds it.
    """

    missing: str
    verb: str
    there: Callable[[SavedRun], bool]


@dataclass(frozen=True)
class RunFigure:
    """A figure of a run: how it is drawn, and what it needs for that."""

    draw: Callable[[SavedRun], Figure]
    needs: Need

    def __call__(self, saved: SavedRun) -> Figure:
        """Draws it."""
        return self.draw(saved)


CONNECTOME_OR_NETWORK = Need("neither circuit nor network is saved", "fit", lambda s: bool(s.connectome or s.networks))
FITTED_CIRCUIT = Need("no fitted network is saved", "fit", lambda s: bool(s.connectome and s.networks))
NETWORK = Need("no fitted network is saved", "fit", lambda s: bool(s.networks))
PARAMETERS = Need("no parameters are saved", "fit", lambda s: bool(s.parameters))
HISTORY = Need("no history of a fit is saved", "fit", lambda s: bool(s.history))
ANALYSIS = Need("it was not analysed", "analyze", lambda s: s.analysis is not None)


@dataclass(frozen=True)
class NotDrawn:
    """Figures that one thing is missing for.

    Attributes:
        names: of the figures.
        why: what is missing, and what saves it.
        command: that saves it and draws them; empty where a fit or nothing does.
    """

    names: tuple[str, ...]
    why: str
    command: str

    def __str__(self) -> str:
        return f"not drawn: {', '.join(self.names)}: {self.why}" + (f": {self.command}" if self.command else "")


def not_drawn(left_out: Mapping[str, Need], place: str) -> list[NotDrawn]:
    """The figures that are left out, by what saves what they need, with the commands for the run in ``place``."""
    by_verb: dict[tuple[str, str], list[str]] = {}
    for name, need in left_out.items():
        by_verb.setdefault((need.verb, need.missing), []).append(name)
    return [NotDrawn(tuple(names), *_way(verb, missing, place)) for (verb, missing), names in by_verb.items()]


def _way(verb: str, missing: str, place: str) -> tuple[str, str]:
    if not verb:
        return missing, ""
    if verb == "fit":
        return f"{missing}; a fit saves it, report.html ends with the command that repeats it", ""
    run = shlex.quote(f"run={place}")
    return f"{missing}; measure and draw it with", f"connectome-sim {verb} {run} && connectome-sim figures {run}"
