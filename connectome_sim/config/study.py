"""What ``study`` is told, as frozen dataclasses. Knows no yaml beyond overrides of a fit; reads no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectome_sim.errors import ConfigError

MEASURES = (
    "walking_error_10s_median_deg",
    "walking_error_60s_median_deg",
    "rest_drift_60s_median_deg",
    "rest_drift_60s_max_deg",
    "gain_at_120_deg_per_s",
    "bump_present_share",
)


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Cases that differ in one respect, each fitted with the same recipe and the same seeds.

    Attributes:
        name: of the study.
        title: of its table and figure.
        recipes: circuit -> overrides of a fit that all cases share.
        cases: name -> further overrides of a fit; the first case is the one that the others are held against.
        measures: held-out metrics to report, the first three of them drawn.

    Raises:
        ConfigError: no circuit, no case, fewer than three measures, or a case that says how a fit is run.
    """

    name: str
    title: str
    recipes: Mapping[str, tuple[str, ...]]
    cases: Mapping[str, tuple[str, ...]]
    measures: tuple[str, ...] = MEASURES

    def __post_init__(self) -> None:
        if not self.recipes or not self.cases:
            raise ConfigError(f"got {len(self.recipes)} recipes and {len(self.cases)} cases, wanted at least one each")
        if len(self.measures) < 3 or len(set(self.measures)) < len(self.measures):
            raise ConfigError(f"measures: got {list(self.measures)}, wanted three or more, each once")
        for name, overrides in {**self.recipes, **self.cases}.items():
            for override in overrides:
                if override.split("=")[0].lstrip("+") in ("seed", "run", "resume", "threads"):
                    raise ConfigError(f"{name}: got {override!r}, which the study itself says for every fit")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What ``study`` is told.

    Attributes:
        study: the cases.
        circuit: which of the study's recipes.
        seeds: fits per case.
        first_seed: seed of the first one.
        only: names of the cases to fit; all of them where empty. The others keep the rows that they have.
        overrides: further overrides of every fit.
        out: folder of the study; what is there is kept, and fits that it lacks are added.
        threads: fits at a time; what PyTorch chooses where None.
        formats: of the figure: png, pdf, svg.

    Raises:
        ConfigError: an unknown circuit or case, or a number out of range.
    """

    study: StudySpec
    circuit: str = "core"
    seeds: int = 10
    first_seed: int = 0
    only: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    out: str
    threads: int | None = None
    formats: tuple[str, ...] = ("png", "pdf")

    def __post_init__(self) -> None:
        if self.circuit not in self.study.recipes:
            known = ", ".join(self.study.recipes)
            raise ConfigError(f"circuit: got {self.circuit!r}, wanted one of those of {self.study.name}: {known}")
        if unknown := [name for name in self.only if name not in self.study.cases]:
            raise ConfigError(f"only: got {unknown[0]!r}, wanted some of {', '.join(self.study.cases)}")
        if self.seeds < 1 or self.first_seed < 0:
            raise ConfigError(f"got seeds={self.seeds}, first_seed={self.first_seed}, wanted at least 1, and 0")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads: got {self.threads}, wanted at least 1")
