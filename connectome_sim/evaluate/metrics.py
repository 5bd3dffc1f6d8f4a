"""From decoded headings to numbers: errors, gain, drift, jumps, bump. Pure NumPy; knows no network and no file.

Angles come in radians, unwrapped along time; figures go out in the unit that their name says. A trial that failed is
NaN, and so is every figure that it is part of: a metric is never the median of the survivors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connectome_sim import circular

Metrics = dict[str, float]
TimeArray = Float[np.ndarray, " time"]
HeadingArray = Float[np.ndarray, "time batch"]


def label(value: float) -> str:
    """A number as it appears in a metric's name: 60.0 -> "60", 0.5 -> "0p5", -60 -> "minus_60"."""
    return f"{value:g}".replace("-", "minus_").replace("+", "").replace(".", "p")


def walking_metrics(
    time: TimeArray, displacement: HeadingArray, true_displacement: HeadingArray, error_times: Sequence[float]
) -> Metrics:
    """Error of the path integration after each of ``error_times`` (s), median and 90th percentile over trials, deg.

    error = decoded displacement - integral of omega. The circular error is its distance around the circle, 0 to 180;
    the unwrapped error keeps whole turns, so that a bump that slipped one is wrong by 360 and not right.
    """
    metrics: Metrics = {}
    for at in error_times:
        k = int(np.argmin(np.abs(time - at)))
        error = displacement[k] - true_displacement[k]
        for kind, size in (("", circular.distance(error, np.zeros_like(error))), ("unwrapped_", np.abs(error))):
            name = f"walking_{kind}error_{label(at)}s"
            metrics[f"{name}_median_deg"] = float(np.median(np.rad2deg(size)))
            metrics[f"{name}_p90_deg"] = float(np.percentile(np.rad2deg(size), 90))
    return metrics


@dataclass(frozen=True, eq=False)
class GainCurve:
    """Gain at constant velocities.

    Attributes:
        speed_deg_per_s: increasing [V], deg/s.
        gain: mean over headings at +speed and at -speed [V, 2].
        spread: standard deviation over headings [V, 2].
    """

    speed_deg_per_s: np.ndarray
    gain: np.ndarray
    spread: np.ndarray


def gain_curve(
    time: TimeArray,
    displacement: Float[np.ndarray, "time speed direction heading"],
    speeds: Sequence[float],
    transient: float,
) -> GainCurve:
    """Gain = decoded displacement over integral of omega, both from ``transient`` (s) to the end of the trial.

    The transient leaves out the time in which the bump picks up speed, a fixed lag and not a matter of gain.

    Args:
        time: s.
        displacement: decoded, rad, unwrapped; the direction axis is (+, -).
        speeds: deg/s.
        transient: s.
    """
    k = int(np.argmin(np.abs(time - transient)))
    moved = displacement[-1] - displacement[k]
    speed = np.asarray(speeds, dtype=float)
    wanted = np.deg2rad(speed)[:, None, None] * np.array([1.0, -1.0])[:, None] * (time[-1] - time[k])
    gain = moved / wanted
    return GainCurve(speed, gain.mean(axis=-1), gain.std(axis=-1))


def gain_metrics(curve: GainCurve, *, tolerance: float, moving_gain: float) -> Metrics:
    """Figures of a gain curve.

    - ``gain_at_[minus_]V_deg_per_s``: the curve itself.
    - ``linear_range_low/high_deg_per_s``: ends of the longest run of neighbouring tested speeds (the slower one of two
      equally long) at which the gain is within ``tolerance`` of 1 in both directions; NaN where there is none.
    - ``lowest_moving_speed_deg_per_s``: slowest tested speed at which, and at every faster one, the gain exceeds
      ``moving_gain`` in both directions; NaN where there is none.
    - ``gain_asymmetry_median``, ``_max``: |gain(+v) - gain(-v)| over speeds.
    """
    metrics: Metrics = {}
    for speed, (plus, minus) in zip(curve.speed_deg_per_s, curve.gain, strict=True):
        metrics[f"gain_at_{label(speed)}_deg_per_s"] = float(plus)
        metrics[f"gain_at_{label(-speed)}_deg_per_s"] = float(minus)
    linear = (np.abs(curve.gain - 1) <= tolerance + 1e-12).all(axis=1)
    run = longest_run(linear)
    metrics["linear_range_low_deg_per_s"] = float(curve.speed_deg_per_s[run[0]]) if run else math.nan
    metrics["linear_range_high_deg_per_s"] = float(curve.speed_deg_per_s[run[1]]) if run else math.nan
    still = np.flatnonzero(~(curve.gain > moving_gain).all(axis=1))
    first = still[-1] + 1 if still.size else 0
    metrics["lowest_moving_speed_deg_per_s"] = (
        float(curve.speed_deg_per_s[first]) if first < len(curve.speed_deg_per_s) else math.nan
    )
    asymmetry = np.abs(curve.gain[:, 0] - curve.gain[:, 1])
    return metrics | {
        "gain_asymmetry_median": float(np.median(asymmetry)),
        "gain_asymmetry_max": float(np.max(asymmetry)),
    }


def longest_run(mask: np.ndarray) -> tuple[int, int] | None:
    """First and last index of the longest run of True, the earlier one of two equally long; None if there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    if edges.size == 0:
        return None
    starts, ends = edges[::2], edges[1::2] - 1
    best = int(np.argmax(ends - starts))
    return starts.tolist()[best], ends.tolist()[best]


def rest_metrics(displacement: HeadingArray, final_heading: Float[np.ndarray, " batch"], *, duration: float) -> Metrics:
    """Drift without input, and how many headings are still told apart at the end.

    Drift is the size of the unwrapped displacement from t = 0. Two final headings count as one where they are closer
    than half the spacing of the cues, 180 / B deg: B for a perfect memory, the number of attractors for a pinned bump.
    """
    drift = np.rad2deg(np.abs(displacement[-1]))
    tolerance = math.pi / len(final_heading)
    return {
        f"rest_drift_{label(duration)}s_median_deg": float(np.median(drift)),
        f"rest_drift_{label(duration)}s_p90_deg": float(np.percentile(drift, 90)),
        f"rest_drift_{label(duration)}s_max_deg": float(np.max(drift)),
        "rest_distinct_headings": distinct(final_heading, tolerance),
    }


def distinct(heading: Float[np.ndarray, " batch"], tolerance: float) -> float:
    """Number of groups of headings (rad) that gaps of more than ``tolerance`` (rad) separate around the circle."""
    if not np.isfinite(heading).all():
        return math.nan
    ordered = np.sort(heading % (2 * math.pi))
    gaps = np.diff(ordered, append=ordered[0] + 2 * math.pi)
    return float(np.count_nonzero(gaps > tolerance) or 1)


@dataclass(frozen=True, eq=False)
class Jump:
    """Outcome of a cue jump, per trial [B].

    Attributes:
        arrival: when the heading comes within the tolerance of the cue, s; NaN where it never does.
        swept: whether the peak of the activity was seen on the way, in the middle half between bump and cue.
    """

    arrival: np.ndarray
    swept: np.ndarray


def jump_outcome(
    time: TimeArray,
    heading: HeadingArray,
    profile: Float[np.ndarray, "time batch wedge"],
    offset: Float[np.ndarray, " batch"],
    target: Float[np.ndarray, " batch"],
    tolerance: float,
) -> Jump:
    """Tells a bump that travels from one that fades here and grows there.

    The peak of the activity is followed (largest wedge of the profile, smoothed over three wedges by 1/4, 1/2, 1/4): a
    bump that sweeps has its peak on the way, within 25 to 75 % of the offset from the cue, on either side of it; one
    that jumps has it first at one end and then at the other.

    Args:
        time: s.
        heading: decoded, rad.
        profile: mean rate in each wedge, wedge k centred on 2 pi k / wedges.
        offset: distance from the bump to the cue, rad, positive.
        target: heading of the cue, rad.
        tolerance: rad.
    """
    near = circular.distance(heading, target[None]) <= tolerance
    arrived = near.any(axis=0)
    arrival = np.where(arrived, time[near.argmax(axis=0)], np.nan)
    smooth = profile / 2 + (np.roll(profile, 1, axis=-1) + np.roll(profile, -1, axis=-1)) / 4
    peak = 2 * math.pi * smooth.argmax(axis=-1) / profile.shape[-1]
    share = circular.distance(peak, target[None]) / offset
    swept = ((share > 0.25) & (share < 0.75)).any(axis=0)
    return Jump(arrival, swept)


def jump_metrics(jump: Jump, offset_deg: float, *, wedge_deg: float) -> Metrics:
    """Figures of one offset: median arrival time (NaN unless most arrive), share that arrived, share that swept.

    A peak is known to half a wedge, so that the middle half of a small offset cannot be told from its ends: where a
    quarter of the offset is less than a wedge, the share that swept is left out.
    """
    name = f"{label(offset_deg)}deg"
    times = np.where(np.isnan(jump.arrival), np.inf, jump.arrival)
    median = float(np.median(times))
    found = {
        f"jump_time_{name}_s": median if math.isfinite(median) else math.nan,
        f"jump_arrived_share_{name}": float(np.isfinite(jump.arrival).mean()),
    }
    if offset_deg / 4 > wedge_deg * (1 - 1e-9):
        found[f"jump_swept_share_{name}"] = float(jump.swept.mean())
    return found


def cue_metrics(heading: Float[np.ndarray, " batch"], cue: Float[np.ndarray, " batch"]) -> Metrics:
    """How far the settled bump lies from where its cue was, deg."""
    error = np.rad2deg(circular.distance(heading, cue))
    return {"cue_error_median_deg": float(np.median(error)), "cue_error_max_deg": float(np.max(error))}


def bump_present(
    vector_length: Float[np.ndarray, " batch"],
    amplitude: Float[np.ndarray, " batch"],
    peaks: Float[np.ndarray, " batch"],
    *,
    min_vector_length: float,
    min_amplitude: float,
) -> Bool[np.ndarray, " batch"]:
    """Which trials have one bump: a single peak, long and high enough; a failed trial (NaN) has none."""
    return (peaks == 1) & (vector_length >= min_vector_length) & (amplitude >= min_amplitude)


def bump_metrics(
    vector_length: Float[np.ndarray, " batch"],
    amplitude: Float[np.ndarray, " batch"],
    peaks: Float[np.ndarray, " batch"],
    width: Float[np.ndarray, " batch"],
    *,
    min_vector_length: float,
    min_amplitude: float,
) -> Metrics:
    """Is there one bump, and of which shape? Shares over trials; a failed trial (NaN) has none.

    The width (rad) is that of the trials in which the bump is present, NaN where it is in none.
    """
    present = bump_present(
        vector_length, amplitude, peaks, min_vector_length=min_vector_length, min_amplitude=min_amplitude
    )
    return {
        "bump_present_share": float(present.mean()),
        "bump_single_peak_share": float((peaks == 1).mean()),
        "bump_vector_length_median": float(np.median(vector_length)),
        "bump_amplitude_median": float(np.median(amplitude)),
        "bump_peaks_mean": float(np.where(np.isnan(amplitude), np.nan, peaks).mean()),
        "bump_width_median_deg": float(np.rad2deg(np.median(width[present]))) if present.any() else math.nan,
    }
