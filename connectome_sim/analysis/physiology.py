"""The physiology scorecard: what was seen in the animal, and the same measured on a recorded network. Fits nothing.

The table and what its columns mean: ``data/physiology``. A row names one of `MEASURES`; its number has a spread, and
the network is so many spreads off. Rows of the SD of flies pass within 2 of them, where 95 of 100 flies would lie;
ranges and tolerances pass within 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from connectome_sim import circular
from connectome_sim.analysis.imaging import Session, heading_of
from connectome_sim.analysis.regions import DELTA7_BRIDGE, EPG_BRIDGE, EPG_RING, GLOMERULI, PEN_BRIDGE, PEN_RING
from connectome_sim.axes import BoolArray, FloatArray
from connectome_sim.errors import DataError
from connectome_sim.readout import profile_peaks, profile_width
from connectome_sim.resources import data_dir

PASS, OFF, NOT_APPLICABLE = "pass", "off", "not applicable"
METHODS = ("imaging", "electrophysiology", "behaviour")
WITHIN: Mapping[str, float] = {"SD": 2.0, "as given": 2.0, "half range": 1.0, "chosen": 1.0}
"""Kind of spread -> how many of them still pass. "as given": a +- whose kind the source does not tell us."""
BINS_DEG_PER_S = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)  # of the angular velocity, Turner-Evans et al. 2017
SLOW, FAST = 0, len(BINS_DEG_PER_S) - 2  # the bins that its ratios compare
FEWEST_BUMPS = 0.5  # chosen: where fewer trials have a bump, its shape and its motion are not scored
FEWEST_FRAMES = 30  # chosen: a velocity bin with fewer, over all trials, has no mean
LOWEST_SHARE = 0.1  # of the frames, whose mean is a region's baseline F0
STANDING = "standing_drift_sd_rad"  # the measure that is not read from the walks
MOST_FAILED = 0.1  # chosen: share of failed trials above which the others alone are not scored


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One row of the table.

    Attributes:
        id: name of the row.
        observation: in words.
        measure: one of ``MEASURES``.
        number: seen in the animal.
        spread: of it, more than 0.
        spread_kind: SD, as given, half range (the number is then the middle), or chosen (none is known).
        unit: of number and spread.
        method: imaging, electrophysiology or behaviour.
        definition: how it is measured, here and there.
        source: publication.
        checked: where the number was checked: the publication, its raw data, or nowhere.

    Raises:
        DataError: a word that the table does not know, or a spread that is not positive.
    """

    id: str
    observation: str
    measure: str
    number: float
    spread: float
    spread_kind: str
    unit: str
    method: str
    definition: str
    source: str
    checked: str

    def __post_init__(self) -> None:
        for name, known in (("measure", tuple(MEASURES)), ("spread_kind", tuple(WITHIN)), ("method", METHODS)):
            if getattr(self, name) not in known:
                raise DataError(f"observation {self.id!r}, field {name!r}: got {getattr(self, name)!r}, wanted {known}")
        if not (self.spread > 0 and math.isfinite(self.number)):
            raise DataError(
                f"observation {self.id!r}: got number {self.number} and spread {self.spread}, wanted a finite number "
                "and a spread above 0"
            )


@dataclass(frozen=True, kw_only=True)
class Score:
    """A row of the scorecard.

    Attributes:
        observation: what was seen in the animal.
        value: the same of the network, NaN where it has none.
        value_sd: its SD over trials, NaN where it is one number of all trials.
        off_by: value less number, in spreads.
        verdict: pass, off, or not applicable.
        reason: why not applicable, else empty.
    """

    observation: Observation
    value: float
    value_sd: float
    off_by: float
    verdict: str
    reason: str

    @property
    def words(self) -> str:
        """The verdict as the table shows it."""
        if self.verdict == NOT_APPLICABLE:
            return f"{NOT_APPLICABLE}: {self.reason}"
        kind = self.observation.spread_kind
        unit = {"SD": "SD", "as given": "of the +-", "half range": "half ranges", "chosen": "tolerances (chosen)"}[kind]
        return f"{PASS} ({self.off_by:+.1f} {unit})" if self.verdict == PASS else f"off by {self.off_by:+.1f} {unit}"


def shipped_observations() -> tuple[Observation, ...]:
    """The table that ships with the package.

    Raises:
        DataError: it is damaged.
    """
    return read_observations(data_dir() / "physiology" / "physiology.yaml")


def read_observations(path: Path) -> tuple[Observation, ...]:
    """A table of observations.

    Raises:
        DataError: no such file, not a list of mappings, other fields, or a row that is not one.
    """
    names = {field.name for field in fields(Observation)}
    try:
        rows: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise DataError(f"{path}: got {type(rows).__name__}, wanted a list of observations")
        for row in rows:
            if not isinstance(row, dict) or set(row) != names:
                got = sorted(row) if isinstance(row, dict) else row
                raise DataError(f"{path}: got a row with fields {got}, wanted {sorted(names)}")
        return tuple(Observation(**row) for row in rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


class _Missing(Exception):
    """A network in which something cannot be measured; says why."""


Measure = Callable[[Session], FloatArray]  # one value per trial, or a single one of all trials


def scorecard(observations: Sequence[Observation], session: Session) -> tuple[Score, ...]:
    """Scores every observation on a recorded network."""
    return tuple(_scored(observation, session) for observation in observations)


def _scored(observation: Observation, session: Session) -> Score:
    def without(reason: str) -> Score:
        return Score(
            observation=observation,
            value=math.nan,
            value_sd=math.nan,
            off_by=math.nan,
            verdict=NOT_APPLICABLE,
            reason=reason,
        )

    if observation.measure not in _WITHOUT_BUMP and session.bump_share < FEWEST_BUMPS:
        return without(f"{session.bump_share:.0%} of the trials have a bump")
    recorded = session.standing if observation.measure == STANDING else session.walk.calcium[EPG_RING]
    if observation.measure not in _WITHOUT_BUMP and _failed_share(recorded) > MOST_FAILED:
        return without(f"{_failed_share(recorded):.0%} of the trials failed")
    try:
        values = np.atleast_1d(MEASURES[observation.measure](session))
    except _Missing as error:
        return without(str(error))
    values = values[np.isfinite(values)]
    if not len(values):
        return without("too few frames, or no trial, in which it can be measured")
    value = float(values.mean())
    off_by = (value - observation.number) / observation.spread
    return Score(
        observation=observation,
        value=value,
        value_sd=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        off_by=off_by,
        verdict=PASS if abs(off_by) <= WITHIN[observation.spread_kind] + 1e-9 else OFF,
        reason="",
    )


def curves(session: Session) -> dict[str, FloatArray]:
    """What is measured by velocity bin, for figures: name -> one value per bin, NaN where there is none.

    Trials that failed are in no bin; ``failed_trials_share``, the same in every bin, says how many those are.
    """
    known = np.isfinite(session.walk.decoded)
    counts = [(_in_bin(session, number) & known).sum() for number in range(len(BINS_DEG_PER_S) - 1)]
    failed = _failed_share(session.walk.calcium[EPG_RING])
    found = {"frames": np.array(counts, dtype=float), "failed_trials_share": np.full(len(counts), failed)}
    for name, measure in (
        ("width_deg", _width_by_bin),
        ("amplitude", _amplitude_by_bin),
        ("pen_a_lead_deg", _lead_by_bin),
    ):
        try:
            found[name] = measure(session)
        except _Missing:
            found[name] = np.full(len(BINS_DEG_PER_S) - 1, np.nan)
    return found


def _region(session: Session, name: str) -> FloatArray:
    if name not in session.walk.calcium:
        raise _Missing(session.missing.get(name, f"no {name}"))
    return session.walk.calcium[name]


def _width_deg(profile: FloatArray) -> FloatArray:
    return np.rad2deg(profile_width(torch.from_numpy(np.ascontiguousarray(profile))).numpy())


def _failed_share(recorded: FloatArray) -> float:
    """Share of the trials of a recording [t, B, region] that failed."""
    return float(1 - np.isfinite(recorded).all(axis=(0, -1)).mean())


def _single(session: Session, profile: FloatArray) -> FloatArray:
    """1 where a profile is one bump as the held-out protocol defines it, else 0, also where its trial failed."""
    profile = np.nan_to_num(profile)  # of a failed trial: flat, no bump
    total = np.abs(profile).sum(axis=-1)
    vector = np.abs(profile @ np.exp(1j * circular.evenly_spaced(profile.shape[-1])))
    long = vector >= session.bump_min_vector_length * total
    high = np.ptp(profile, axis=-1) >= session.bump_min_amplitude
    peaks = profile_peaks(torch.from_numpy(profile)).numpy()  # 0 of a flat one
    return ((peaks == 1) & long & high).astype(float)


def _amplitude(session: Session) -> FloatArray:
    """Highest wedge above its baseline F0, the mean of the lowest tenth of its frames [F, B]."""
    calcium = _region(session, EPG_RING)
    lowest = np.sort(calcium, axis=0)[: max(1, round(LOWEST_SHARE * len(calcium)))]
    return (calcium - lowest.mean(axis=0)).max(axis=-1)


def _lead(session: Session) -> FloatArray:
    """How far the bump of the PEN_a is ahead of that of the EPG, in the direction of the turn, deg [F, B]."""
    ahead = circular.difference(heading_of(_region(session, PEN_RING)), heading_of(_region(session, EPG_RING)))
    return np.rad2deg(ahead) * np.sign(session.walk.velocity)


def _in_bin(session: Session, number: int) -> BoolArray:
    speed = np.rad2deg(np.abs(session.walk.velocity))
    return (speed >= BINS_DEG_PER_S[number]) & (speed < BINS_DEG_PER_S[number + 1])


def _by_bin(session: Session, values: FloatArray) -> FloatArray:
    """Mean over the frames of each bin, all trials together; NaN for fewer than ``FEWEST_FRAMES``."""
    means = []
    for number in range(len(BINS_DEG_PER_S) - 1):
        inside = values[_in_bin(session, number)]
        inside = inside[np.isfinite(inside)]
        means.append(inside.mean() if len(inside) >= FEWEST_FRAMES else math.nan)
    return np.array(means)


def _width_by_bin(session: Session) -> FloatArray:
    return _by_bin(session, _width_deg(_region(session, EPG_RING)))


def _amplitude_by_bin(session: Session) -> FloatArray:
    return _by_bin(session, _amplitude(session))


def _lead_by_bin(session: Session) -> FloatArray:
    return _by_bin(session, _lead(session))


def _lead_in(number: int) -> Measure:
    return lambda session: _lead_by_bin(session)[[number]]


def _ratio(values: FloatArray) -> FloatArray:
    return values[[FAST]] / values[[SLOW]]


def _turning_correlation(session: Session) -> FloatArray:
    """Correlation, over the frames of a trial, of angular velocity with PEN_a amplitude, right less left bridge.

    Amplitude: highest less lowest glomerulus. Here positive velocity turns the bump the way right-hand PEN send their
    output; in the fly's own convention the same is left less right.
    """
    calcium = _region(session, PEN_BRIDGE)
    left, right = (np.ptp(calcium[..., part], axis=-1) for part in (slice(GLOMERULI), slice(GLOMERULI, None)))
    pairs = zip((right - left).T, session.walk.velocity.T, strict=True)
    return np.array([_correlation(difference, velocity) for difference, velocity in pairs])


def _correlation(a: FloatArray, b: FloatArray) -> float:
    flat = not np.isfinite(a).all() or np.ptp(a) <= 0
    return math.nan if flat else float(np.corrcoef(a, b)[0, 1])


def _bridge_distance(session: Session) -> FloatArray:
    """Distance of the Delta7 bump from the EPG bump, glomeruli, mean over sides and frames [B]; 4 is opposite."""
    epg, delta7 = _region(session, EPG_BRIDGE), _region(session, DELTA7_BRIDGE)
    sides = (slice(GLOMERULI), slice(GLOMERULI, None))
    apart = [circular.distance(heading_of(delta7[..., side]), heading_of(epg[..., side])) for side in sides]
    return np.mean(apart, axis=(0, 1)) * GLOMERULI / (2 * math.pi)


def _gain(session: Session) -> FloatArray:
    """Slope of the bump's displacement over that of the heading, least squares with an intercept, per trial."""
    bump, true = circular.unwrap(heading_of(_region(session, EPG_RING))), session.walk.true
    centred = true - true.mean(axis=0)
    return (centred * (bump - bump.mean(axis=0))).sum(axis=0) / (centred**2).sum(axis=0)


def _standing_spread(session: Session) -> FloatArray:
    """SD over trials of the bump's displacement while standing, unwrapped, rad [1]; opposite drifts do not cancel."""
    bump = circular.unwrap(heading_of(session.standing))
    moved = bump[-1] - bump[0]
    moved = moved[np.isfinite(moved)]
    return np.array([moved.std(ddof=1) if len(moved) > 1 else math.nan])


MEASURES: Mapping[str, Measure] = {
    "epg_width_deg": lambda session: np.nanmean(_width_deg(_region(session, EPG_RING)), axis=0),
    "epg_width_ratio": lambda session: _ratio(_width_by_bin(session)),
    "epg_amplitude_ratio": lambda session: _ratio(_amplitude_by_bin(session)),
    "pen_a_lead_0_30_deg": _lead_in(0),
    "pen_a_lead_30_60_deg": _lead_in(1),
    "pen_a_lead_60_90_deg": _lead_in(2),
    "pen_a_lead_90_120_deg": _lead_in(3),
    "pen_a_lead_120_150_deg": _lead_in(4),
    "pen_a_lead_150_180_deg": _lead_in(5),
    "pen_a_turning_correlation": _turning_correlation,
    "delta7_epg_distance_glomeruli": _bridge_distance,
    "integration_gain": _gain,
    STANDING: _standing_spread,
    "single_bump_share": lambda session: np.mean(_single(session, _region(session, EPG_RING)), axis=0),
    "single_bump_after_jump_share": lambda session: _single(session, session.jumped),
}
"""Name -> what it measures of a recorded network."""

_WITHOUT_BUMP = ("single_bump_share", "single_bump_after_jump_share")  # they ask whether there is one
