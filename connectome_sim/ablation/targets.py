"""Which neurons a perturbation is aimed at: a query on the neuron table. Knows no network and no perturbation."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from connectome_sim.axes import BoolArray
from connectome_sim.connectome.connectome import Neurons
from connectome_sim.errors import ConfigError, SelectionError
from connectome_sim.tasks import generator

SHOWN = 20  # entries of a list in a message (chosen)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Neurons for which every stated condition holds; at least one must be stated.

    Attributes:
        type: cell types (circuit classes: EPG, PEN_a, ER, ...).
        subtype: types as the dataset names them (``ER4m``, ``PEN_a(PEN1)``).
        side: "L" or "R"; either where empty.
        glomerulus: glomeruli of the protocerebral bridge, 1 to 9.
        id: single neurons by their identifier.
        share: a random share of those neurons, above 0 and up to 1, at least one neuron.
        seed: of that choice.

    Raises:
        ConfigError: no condition, or a side, glomerulus, share or seed that no neuron can have.
    """

    type: tuple[str, ...] = ()
    subtype: tuple[str, ...] = ()
    side: str = ""
    glomerulus: tuple[int, ...] = ()
    id: tuple[str, ...] = ()
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side not in ("", "L", "R"):
            raise ConfigError(f"target, field 'side': got {self.side!r}, wanted 'L', 'R' or nothing for both")
        if any(not 1 <= g <= 9 for g in self.glomerulus):
            raise ConfigError(f"target, field 'glomerulus': got {self.glomerulus}, wanted numbers from 1 to 9")
        if not 0 < self.share <= 1:
            raise ConfigError(f"target, field 'share': got {self.share}, wanted more than 0 and up to 1")
        if not (self.type or self.subtype or self.side or self.glomerulus or self.id or self.share < 1):
            raise ConfigError(
                "target: got no condition, wanted at least one of type, subtype, side, glomerulus, id, share"
            )
        if self.seed < 0:
            raise ConfigError(f"target, field 'seed': got {self.seed}, wanted zero or more")

    @property
    def name(self) -> str:
        """The conditions in words, the same for equal targets: ``PEN_a, left``, ``25 % of ER (draw 3)``."""
        parts = [" + ".join((*self.type, *self.subtype))] if self.type or self.subtype else []
        parts += [{"L": "left", "R": "right"}[self.side]] if self.side else []
        parts += ["glomerulus " + " + ".join(map(str, self.glomerulus))] if self.glomerulus else []
        parts += ["neuron " + " + ".join(self.id)] if self.id else []
        name = ", ".join(parts) or "all neurons"
        return name if self.share == 1 else f"{100 * self.share:g} % of {name} (draw {self.seed})"

    def mask(self, neurons: Neurons) -> BoolArray:
        """The neurons meant [N].

        Raises:
            SelectionError: a type, subtype or neuron that is not there, or no neuron at all; it lists what there is.
        """
        chosen = np.ones(len(neurons), dtype=bool)
        for field, column in (("type", neurons.type), ("subtype", neurons.database_type), ("id", neurons.id)):
            wanted = getattr(self, field)
            if wanted:
                _refuse_unknown(field, wanted, column)
                chosen &= np.isin(column, wanted)
        if self.side:
            chosen &= neurons.side == self.side
        if self.glomerulus:
            chosen &= np.isin(neurons.glomerulus, self.glomerulus)
        if not chosen.any():
            types = ", ".join(dict.fromkeys(neurons.type.tolist()))
            raise SelectionError(f"target {self.name!r}: got no neuron; there are {len(neurons)} of types {types}")
        if self.share < 1:
            among = np.flatnonzero(chosen)
            number = max(1, round(self.share * len(among)))
            drawn = generator(self.seed, "ablation").choice(among, size=number, replace=False)
            chosen = np.isin(np.arange(len(neurons)), drawn)
        return chosen


def _refuse_unknown(field: str, wanted: tuple[str, ...], column: np.ndarray) -> None:
    known = list(dict.fromkeys(column.tolist()))
    for name in wanted:
        if name not in known:
            shown = known if len(known) <= SHOWN else difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.0)
            more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
            raise SelectionError(f"target, field {field!r}: got {name!r}; there are {', '.join(shown)}{more}")
