"""Sets of cases that belong together: every cell type, every side, graded strengths, windows, pairs, nulls, deviations.

Each is a small frozen object that makes its cases for a connectome. Knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from connectome_sim.ablation.perturbations import (
    Clamp,
    Input,
    Output,
    Perturbation,
    Pulses,
    Scale,
    Stimulate,
    Window,
)
from connectome_sim.ablation.plan import Case, perturbation_case, rewiring_case
from connectome_sim.ablation.targets import Target
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.deviations import DEVIATIONS
from connectome_sim.connectome.nulls import NULLS
from connectome_sim.errors import ConfigError

SILENCING: Mapping[str, Callable[[Target, Window | None], Perturbation]] = {
    "output": lambda target, window: Output(target=target, window=window),
    "input": lambda target, window: Input(target=target, window=window),
    "clamp": lambda target, window: Clamp(target=target, window=window),
}
"""Ways to silence that need nothing but a target."""


@runtime_checkable
class CaseSet(Protocol):
    """What makes cases for a connectome."""

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """Its cases, in order."""


@dataclass(frozen=True, kw_only=True)
class CellTypes:
    """Every cell type silenced by itself.

    Attributes:
        how: output, input or clamp.
        types: cell types; all of the circuit where empty.
    """

    how: str = "output"
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_how(self.how)

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each type."""
        types = self.types or connectome.types
        return tuple(perturbation_case(SILENCING[self.how](Target(type=(name,)), None)) for name in types)


@dataclass(frozen=True, kw_only=True)
class Unilateral:
    """Every cell type that has two sides, silenced on one of them.

    Attributes:
        how: output, input or clamp.
        types: cell types; all of the circuit where empty.
    """

    how: str = "output"
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_how(self.how)

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """Two for each type."""
        neurons = connectome.neurons
        found = []
        for name in self.types or connectome.types:
            sides = set(neurons.side[neurons.type == name].tolist())
            if self.types or {"L", "R"} <= sides:
                targets = [Target(type=(name,), side=side) for side in ("L", "R")]
                found += [perturbation_case(SILENCING[self.how](target, None)) for target in targets]
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Graded:
    """The output of every cell type weaker and stronger, step by step.

    Attributes:
        factors: 0 to 2; 1 is the control.
        types: cell types; all of the circuit where empty.
    """

    factors: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)
    types: tuple[str, ...] = ()

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each type and factor but 1."""
        return tuple(
            perturbation_case(Scale(target=Target(type=(name,)), factor=factor))
            for name in self.types or connectome.types
            for factor in self.factors
            if factor != 1
        )


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Every cell type silenced within a window, and PEN driven on one side within it: a step and a train of pulses.

    Attributes:
        start: of the window, s.
        end: s.
        how: output, input or clamp.
        types: cell types that are silenced; all of the circuit where empty.
        driven: types that are driven on one side; those of them that the circuit has.
        current: of that drive, 1 (chosen: what a turn at some 200 to 600 deg/s gives a PEN in the networks that ship).
        period: of the pulses, s.
        width: of a pulse, s.
    """

    start: float = 2.0
    end: float = 4.0
    how: str = "output"
    types: tuple[str, ...] = ()
    driven: tuple[str, ...] = ("PEN_a", "PEN_b")
    current: float = 1.0
    period: float = 0.2
    width: float = 0.1

    def __post_init__(self) -> None:
        _check_how(self.how)
        Window(self.start, self.end)
        Pulses(self.period, self.width)

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each type; two sides times step and pulses for each driven type."""
        window, pulses = Window(self.start, self.end), Pulses(self.period, self.width)
        found = [
            perturbation_case(SILENCING[self.how](Target(type=(name,)), window))
            for name in self.types or connectome.types
        ]
        for name in (name for name in self.driven if name in connectome.types):
            for side in ("L", "R"):
                target = Target(type=(name,), side=side)
                found += [
                    perturbation_case(Stimulate(target=target, current=self.current, window=window, pulses=train))
                    for train in (None, pulses)
                ]
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The connections of every pair of types silenced, one pair at a time.

    Attributes:
        types: cell types whose pairs are meant; all of the circuit where empty.
    """

    types: tuple[str, ...] = ()

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each pair that has a synapse.

        Raises:
            SelectionError: a type that is not there.
        """
        if self.types:
            Target(type=self.types).mask(connectome.neurons)
        names, totals = connectome.types, connectome.totals()
        return tuple(
            perturbation_case(Output(target=Target(type=(names[pre],)), onto=Target(type=(names[post],))))
            for post, pre in np.argwhere(totals > 0).tolist()
            if not self.types or {names[post], names[pre]} <= set(self.types)
        )


@dataclass(frozen=True, kw_only=True)
class Nulls:
    """Null models of the connectome under the fitted parameters.

    Attributes:
        nulls: by name; all where empty.
        draws: of each.
    """

    nulls: tuple[str, ...] = ()
    draws: int = 1

    def __post_init__(self) -> None:
        _check_known("nulls", self.nulls, NULLS)
        _check_draws(self.draws)

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each null model and draw; no sign shuffle where all types have one sign."""
        one_sign = len({connectome.signs.by_type[name] for name in connectome.types}) == 1
        names = [name for name in self.nulls or NULLS if not (one_sign and name == "shuffle_signs")]
        return tuple(rewiring_case(NULLS[name](), draw) for name in names for draw in range(self.draws))


LEVELS: Mapping[str, tuple[float, ...]] = {
    "count_noise": (0.1, 0.2, 0.4, 0.8),
    "threshold": (3.0, 5.0, 10.0),
    "mirror_symmetry": (0.25, 0.5, 1.0),
    "circular_symmetry": (0.25, 0.5, 1.0),
    "split": (0.05, 0.1, 0.2),
    "merge": (0.02, 0.05, 0.1),
    "missed": (0.1, 0.25, 0.5),
}
"""Levels of each deviation (chosen: from hardly noticed to grave)."""


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """Deviations of the connectome, level by level, under the fitted parameters.

    Attributes:
        levels: deviation -> its levels.
        draws: of each level.
    """

    levels: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: LEVELS)
    draws: int = 1

    def __post_init__(self) -> None:
        _check_known("levels", tuple(self.levels), DEVIATIONS)
        _check_draws(self.draws)

    def cases(self, connectome: Connectome) -> tuple[Case, ...]:
        """One for each deviation, level and draw."""
        return tuple(
            rewiring_case(DEVIATIONS[name](level), draw)
            for name, levels in self.levels.items()
            for level in levels
            for draw in range(self.draws)
        )


CASE_SETS: Mapping[str, type] = {
    "cell_types": CellTypes,
    "unilateral": Unilateral,
    "graded": Graded,
    "timed": Timed,
    "pairs": Pairs,
    "nulls": Nulls,
    "deviations": Deviations,
}
"""Name in a configuration -> set of cases; the literature's comes from its table (`literature.py`)."""


def _check_how(how: str) -> None:
    if how not in SILENCING:
        raise ConfigError(f"field 'how': got {how!r}, wanted one of {', '.join(SILENCING)}")


def _check_known(name: str, wanted: tuple[str, ...], known: Mapping[str, object]) -> None:
    if unknown := [item for item in wanted if item not in known]:
        raise ConfigError(f"field {name!r}: got {unknown[0]!r}, wanted some of {', '.join(known)}")


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise ConfigError(f"field 'draws': got {draws}, wanted at least 1")
