"""What is measured of a recorded network, as it was of the animal: one function a measure, by name. Knows no verdict.

Two imaged populations are compared as in Turner-Evans et al. 2017: frames of a velocity bin are turned until the EPG
peak of each lies at one place, then averaged, and the population vectors of the two averages are compared; left and
right turns apart, then their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from connectome_sim import circular
from connectome_sim.analysis.imaging import Session, heading_of
from connectome_sim.analysis.regions import (
    DELTA7_BRIDGE,
    EPG_BRIDGE,
    EPG_RING,
    GLOMERULI,
    PEN_BRIDGE,
    PEN_NODULI,
    PEN_RING,
)
from connectome_sim.axes import BoolArray, FloatArray
from connectome_sim.readout import profile_peaks, profile_width

BINS_DEG_PER_S = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)  # of the angular velocity, Turner-Evans et al. 2017
SLOWEST, BRIDGE_BIN, FASTEST = 0, 4, 5  # the bins of its numbers
FEWEST_FRAMES = 10  # chosen: a velocity bin with fewer, over all trials, has no mean
FEWEST_ALIGNED = 30  # chosen: two bumps are not compared over fewer; over 16 the standard error is 5 to 8 deg
FEWEST_BINS = 3  # chosen: a slope over velocity wants so many
LOWEST_SHARE = 0.1  # of the frames, whose mean is a region's baseline F0
STANDING = "standing_drift_sd_rad"  # the measure that is not read from the walks
LEFT, RIGHT = slice(GLOMERULI), slice(GLOMERULI, None)  # of the bridge
SIDES = {1: RIGHT, -1: LEFT}
"""Sign of a turn -> the side of the bridge whose PEN it excites."""

Measure = Callable[[Session], FloatArray]  # one value per trial, or a single one of all trials


class MissingRegion(Exception):
    """A network in which something cannot be measured; says why. Never leaves the scorecard."""


def _region(session: Session, name: str) -> FloatArray:
    if name not in session.walk.calcium:
        raise MissingRegion(session.missing.get(name, f"no {name}"))
    return session.walk.calcium[name]


def _width_deg(profile: FloatArray) -> FloatArray:
    return np.rad2deg(profile_width(torch.from_numpy(np.ascontiguousarray(profile))).numpy())


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


def in_bin(session: Session, number: int) -> BoolArray:
    """Frames [F, B] whose speed lies in a bin of ``BINS_DEG_PER_S``."""
    speed = np.rad2deg(np.abs(session.walk.velocity))
    return (speed >= BINS_DEG_PER_S[number]) & (speed < BINS_DEG_PER_S[number + 1])


def _by_bin(session: Session, values: FloatArray) -> FloatArray:
    """Mean over the frames of each bin, all trials together; NaN for fewer than ``FEWEST_FRAMES``."""
    means = []
    for number in range(len(BINS_DEG_PER_S) - 1):
        inside = values[in_bin(session, number)]
        inside = inside[np.isfinite(inside)]
        means.append(inside.mean() if len(inside) >= FEWEST_FRAMES else math.nan)
    return np.array(means)


def _width_by_bin(session: Session) -> FloatArray:
    return _by_bin(session, _width_deg(_region(session, EPG_RING)))


def _amplitude_by_bin(session: Session) -> FloatArray:
    return _by_bin(session, _amplitude(session))


def _aligned(values: FloatArray, by: FloatArray, where: BoolArray) -> FloatArray:
    """Mean [1, n] of ``values`` [F, B, n] over frames ``where`` [F, B], each turned so that ``by`` peaks first."""
    shift = by[where].argmax(axis=-1)[:, None] + np.arange(by.shape[-1])
    return np.take_along_axis(values[where], shift % by.shape[-1], axis=-1).mean(axis=0, keepdims=True)


def _ahead(session: Session, number: int, pen: FloatArray, epg: FloatArray) -> float:
    """How far the mean bump of the PEN_a is ahead of that of the EPG in the direction of the turn, deg, in one bin."""
    found = []
    for sign, where in _turns(session, number, pen, epg).items():
        apart = circular.difference(heading_of(_aligned(pen, epg, where)), heading_of(_aligned(epg, epg, where)))
        found.append(sign * math.degrees(apart.item()))
    return float(np.mean(found)) if found else math.nan


def _turns(session: Session, number: int, *seen: FloatArray) -> dict[int, BoolArray]:
    """Sign of the turn -> frames of the bin in which all was seen; none for fewer than ``FEWEST_ALIGNED`` in all."""
    known = np.logical_and.reduce([np.isfinite(values).all(axis=-1) for values in seen])
    inside = in_bin(session, number) & known
    if inside.sum() < FEWEST_ALIGNED:
        return {}
    both = {sign: inside & (np.sign(session.walk.velocity) == sign) for sign in (1, -1)}
    return {sign: where for sign, where in both.items() if where.any()}


def _red(session: Session, name: str) -> FloatArray:
    _region(session, name)  # says why there is none
    return session.walk.red[name]


def _lead_by_bin(session: Session) -> FloatArray:
    """Red indicator in the EPG, green in the PEN_a."""
    pen, epg = _region(session, PEN_RING), _red(session, EPG_RING)
    return np.array([_ahead(session, number, pen, epg) for number in range(len(BINS_DEG_PER_S) - 1)])


def _swapped_lead_by_bin(session: Session) -> FloatArray:
    """Green indicator in the EPG, red in the PEN_a."""
    pen, epg = _red(session, PEN_RING), _region(session, EPG_RING)
    return np.array([_ahead(session, number, pen, epg) for number in range(len(BINS_DEG_PER_S) - 1)])


def _lead_in(number: int) -> Measure:
    return lambda session: _lead_by_bin(session)[[number]]


def _slope(values: FloatArray) -> FloatArray:
    """Slope over the bins' middles of values relative to that of the slowest bin, per 100 deg/s [1]."""
    middle = np.convolve(BINS_DEG_PER_S, [0.5, 0.5], mode="valid")
    known = np.isfinite(values)
    if not known[SLOWEST] or known.sum() < FEWEST_BINS:
        return np.array([math.nan])
    return np.polyfit(middle[known] / 100, values[known] / values[SLOWEST], 1)[:1]


def _turning_correlation(session: Session) -> FloatArray:
    """Correlation, over the frames of a trial, of the noduli's difference with the turning an indicator would show [B].

    Fluorescence of the nodulus that the right bridge drives less that of the other: here positive velocity turns the
    bump the way right-hand PEN send their output. The source divides either by its baseline F0; a network has no
    background, and its F0 may be next to nothing.
    """
    calcium = _region(session, PEN_NODULI)
    pairs = zip((calcium[..., 1] - calcium[..., 0]).T, session.walk.turning.T, strict=True)
    return np.array([_correlation(difference, turning) for difference, turning in pairs])


def _correlation(a: FloatArray, b: FloatArray) -> float:
    flat = not np.isfinite(a).all() or np.ptp(a) <= 0
    return math.nan if flat else float(np.corrcoef(a, b)[0, 1])


def _bridge_distance(session: Session) -> FloatArray:
    """Distance of the mean Delta7 bump from that of the EPG below 30 deg/s, glomeruli, mean over sides [1]."""
    epg, delta7 = _region(session, EPG_BRIDGE), _region(session, DELTA7_BRIDGE)
    turns = _turns(session, SLOWEST, epg, delta7)
    if not turns:
        return np.array([math.nan])
    where = np.logical_or.reduce(list(turns.values()))
    apart = [
        circular.distance(*(heading_of(_aligned(x[..., side], epg[..., side], where)) for x in (delta7, epg)))
        for side in (LEFT, RIGHT)
    ]
    return np.array([np.mean(apart) * GLOMERULI / (2 * math.pi)])


def _bridge_lag(session: Session, *, ipsilateral: bool) -> FloatArray:
    """How far the mean PEN_a bump is behind that of the EPG at 120-150 deg/s on one side of the bridge, glomeruli [1].

    Positive velocity moves the bump to higher glomeruli on the left and to lower ones on the right. So on the side that
    a turn excites, being behind is being further out, and on the other side further in.
    """
    epg, pen = _region(session, EPG_BRIDGE), _region(session, PEN_BRIDGE)
    found = []
    for sign, where in _turns(session, BRIDGE_BIN, epg, pen).items():
        side = SIDES[sign if ipsilateral else -sign]
        bins = [heading_of(_aligned(x[..., side], epg[..., side], where)) for x in (pen, epg)]
        one = 2 * math.pi / GLOMERULI  # PEN_a begin in glomerulus 2, EPG in 1
        outward = circular.wrap(bins[0] - bins[1] + one).item() / one
        found.append(outward if ipsilateral else -outward)
    return np.array([np.mean(found) if found else math.nan])


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
    "epg_width_slope": lambda session: _slope(_width_by_bin(session)),
    "epg_amplitude_slope": lambda session: _slope(_amplitude_by_bin(session)),
    **{f"pen_a_lead_{low:g}_{low + 30:g}_deg": _lead_in(k) for k, low in enumerate(BINS_DEG_PER_S[:-1])},
    "pen_a_lead_swapped_150_180_deg": lambda session: _swapped_lead_by_bin(session)[[FASTEST]],
    "pen_a_bridge_lag_ipsilateral_glomeruli": lambda session: _bridge_lag(session, ipsilateral=True),
    "pen_a_bridge_lag_contralateral_glomeruli": lambda session: _bridge_lag(session, ipsilateral=False),
    "pen_a_turning_correlation": _turning_correlation,
    "delta7_epg_distance_glomeruli": _bridge_distance,
    "integration_gain": _gain,
    STANDING: _standing_spread,
    "single_bump_share": lambda session: np.mean(_single(session, _region(session, EPG_RING)), axis=0),
    "single_bump_after_jump_share": lambda session: _single(session, session.jumped),
}
"""Name -> what it measures of a recorded network."""

WITHOUT_BUMP = ("single_bump_share", "single_bump_after_jump_share")  # they ask whether there is one

CURVES: Mapping[str, Measure] = {
    "width_deg": _width_by_bin,
    "amplitude": _amplitude_by_bin,
    "pen_a_lead_deg": _lead_by_bin,
    "pen_a_lead_swapped_deg": _swapped_lead_by_bin,
}
"""Name -> what it measures in each velocity bin."""
