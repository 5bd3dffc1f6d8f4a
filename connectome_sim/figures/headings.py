"""Headings and times as lines and images need them. Knows no figure and no run."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from connectome_sim import circular


def broken_at_wraps(
    time: Float[np.ndarray, " time"], heading: Float[np.ndarray, " time"]
) -> tuple[np.ndarray, np.ndarray]:
    """A heading (rad) wrapped to -180 to 180 deg, with a NaN between samples where its line would cross the panel."""
    wrapped = circular.wrap(heading)
    crossings = np.flatnonzero(np.abs(np.diff(wrapped)) > np.pi) + 1
    return np.insert(time, crossings, time[crossings]), np.insert(np.rad2deg(wrapped), crossings, np.nan)


def around(
    angle: Float[np.ndarray, " wedge"], profile: Float[np.ndarray, "time wedge"]
) -> tuple[np.ndarray, np.ndarray]:
    """A profile in order of its angle from -180 to 180 deg, its first wedge repeated at the end to close the circle."""
    wrapped = np.rad2deg(circular.wrap(angle))
    order = np.argsort(wrapped)
    first = order[:1]
    return np.concatenate([wrapped[order], wrapped[first] + 360]), profile[:, np.concatenate([order, first])]


def survivors(heading: Float[np.ndarray, "time trial"]) -> Bool[np.ndarray, " trial"]:
    """Trials that were solved to their end."""
    return np.isfinite(heading).all(axis=0)


def failed_text(ok: Bool[np.ndarray, " trial"]) -> str:
    """What to say about the trials that failed; empty where none did."""
    failed = int((~ok).sum())
    return f"{failed} of {len(ok)} trials failed" if failed else ""
