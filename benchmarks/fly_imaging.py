"""The fly's two-colour imaging by the scorecard's own definitions, from the raw data of Turner-Evans et al. 2017.

    git clone https://github.com/DanTurner-Evans/AngularVelocityData
    python benchmarks/fly_imaging.py AngularVelocityData/data

prints mean +- SD over flies (trials in darkness) of the PEN_a lead in the ellipsoid body, the PEN_a lag in the bridge,
the width of the EPG bump, and the gain. The data are not part of this project and no licence is stated for them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat
from scipy.signal import savgol_filter

from connectome_sim import circular
from connectome_sim.analysis.imaging import SMOOTHING_FRAMES, SMOOTHING_ORDER, heading_of
from connectome_sim.analysis.measures import BINS_DEG_PER_S
from connectome_sim.readout import profile_width

DAQ_HZ = 10_000  # clock of the frame and display pulses
WINDOW_S = 20.0  # of the gain, as long as the scorecard's walks
LEAST_TURN = np.deg2rad(30)  # SD of the heading in a window that says something of the gain (chosen)
RED_IN_EPG = ("jRGC1ax60D05", "jRGECO1ax60D05")  # in the file's name
OTHER_LINE = "8135"  # a second fly line, which the publication reports apart


def smoothed(values: np.ndarray) -> np.ndarray:
    """The published filter along the last axis."""
    return savgol_filter(values, SMOOTHING_FRAMES, SMOOTHING_ORDER, axis=-1)


def trial(path: Path) -> dict[str, Any]:
    """Time, heading, angular velocity [F] and smoothed fluorescence of EPG and PEN_a [region, F] of one file."""
    file = loadmat(path, squeeze_me=True, struct_as_record=False)
    ball, red, green = file["positionDat"], file["RROIaveMax"], file["GROIaveMax"]
    planes = round(len(ball.tFrameGrab) / red.shape[1])
    at = ball.t[0] + (ball.tFrameGrab[::planes][: red.shape[1]] - ball.tVR[0]) / DAQ_HZ
    inside = (at >= ball.t[0]) & (at <= ball.t[-1])
    index = np.searchsorted(ball.t, at[inside])
    heading, time = np.unwrap(np.deg2rad(ball.OffsetRot[index])), ball.t[index]
    velocity = smoothed(np.diff(heading) / np.mean(np.diff(time)))
    red, green = (smoothed(values[:, inside][:, 1:]) for values in (red, green))
    epg, pen = (red, green) if any(name in path.name for name in RED_IN_EPG) else (green, red)
    return {"time": time[1:], "heading": heading[1:], "velocity": velocity, "epg": epg, "pen": pen}


def flies(folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Indicator in the EPG -> flies -> trials in darkness."""
    by_fly = defaultdict(list)
    for path in sorted(folder.glob("*/*_Dark_*.mat")):
        if OTHER_LINE in path.name:
            continue
        by_fly[path.parent.name, path.name.split("_Dark")[0]].append(path)
    found: dict[str, list[list[dict[str, Any]]]] = {"red": [], "green": []}
    for (_, name), paths in by_fly.items():
        found["red" if any(part in name for part in RED_IN_EPG) else "green"].append([trial(path) for path in paths])
    return found


def joined(trials: list[dict[str, Any]], name: str) -> np.ndarray:
    """All frames of a fly, side by side."""
    return np.concatenate([one[name] for one in trials], axis=-1)


def aligned(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Mean over frames, each turned until ``by`` has its peak first [region]."""
    place = (by.argmax(axis=0) + np.arange(len(by))[:, None]) % len(by)
    return np.take_along_axis(values, place, axis=0).mean(axis=-1)


def apart(pen: np.ndarray, epg: np.ndarray, by: np.ndarray) -> float:
    """Population vector of the mean PEN_a less that of the mean EPG, rad."""
    ends = heading_of(np.stack([aligned(pen, by), aligned(epg, by)]))
    return float(circular.difference(ends[:1], ends[1:])[0])


def turns(velocity: np.ndarray, number: int) -> dict[int, np.ndarray]:
    """Sign of the turn -> frames of a velocity bin, where there are two or more."""
    low, high = np.deg2rad(BINS_DEG_PER_S[number : number + 2])
    both = {sign: (sign * velocity >= low) & (sign * velocity < high) for sign in (1, -1)}
    return {sign: where for sign, where in both.items() if where.sum() > 1}


def lead(trials: list[dict[str, Any]]) -> list[float]:
    """PEN_a ahead of EPG in the ellipsoid body by bin, deg; here the bump runs as the ball does."""
    epg, pen, velocity = (joined(trials, name) for name in ("epg", "pen", "velocity"))
    return [
        float(np.rad2deg(np.mean([sign * apart(pen[:, w], epg[:, w], epg[:, w]) for sign, w in both.items()])))
        if (both := turns(velocity, number))
        else np.nan
        for number in range(len(BINS_DEG_PER_S) - 1)
    ]


def lag(trials: list[dict[str, Any]]) -> list[float]:
    """PEN_a behind EPG in the bridge by bin, glomeruli, mean over both sides and directions.

    Regions are L9 to L1, R1 to R9; EPG are in the inner 16, PEN_a in the outer 16, numbered from the far left.
    """
    epg, pen, velocity = (joined(trials, name) for name in ("epg", "pen", "velocity"))
    sides = ((epg[1:9], pen[0:8], -1), (epg[9:17], pen[10:18], 1))
    found = []
    for number in range(len(BINS_DEG_PER_S) - 1):
        values = [
            sign * (apart(p[:, w], e[:, w], epg[9:17][:, w]) * 8 / (2 * np.pi) + first)
            for sign, w in turns(velocity, number).items()
            for e, p, first in sides
        ]
        found.append(float(np.mean(values)) if values else np.nan)
    return found


def width(trials: list[dict[str, Any]]) -> float:
    """Mean full width of the EPG bump at half height, deg."""
    epg = torch.from_numpy(np.ascontiguousarray(joined(trials, "epg").T))
    return float(np.rad2deg(profile_width(epg).numpy()).mean())


def gain(trials: list[dict[str, Any]]) -> float:
    """Median over windows of the slope of the bump's displacement over that of the heading."""
    slopes = []
    for one in trials:
        bump, time = np.unwrap(heading_of(one["epg"].T)), one["time"] - one["time"][0]
        for start in np.arange(0, time[-1] - WINDOW_S, WINDOW_S):
            inside = (time >= start) & (time < start + WINDOW_S)
            true = one["heading"][inside] - one["heading"][inside].mean()
            if true.std() > LEAST_TURN:
                slopes.append((true * (bump[inside] - bump[inside].mean())).sum() / (true**2).sum())
    return float(np.median(slopes)) if slopes else np.nan


def words(values: list[Any]) -> str:
    """Mean +- SD over flies, by bin where there are bins."""
    table = np.array(values, dtype=float).reshape(len(values), -1)
    return ", ".join(
        f"{a:.2f} +- {b:.2f}" for a, b in zip(np.nanmean(table, 0), np.nanstd(table, 0, ddof=1), strict=True)
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds PEN1-EB and PEN1-PB")
    data = parser.parse_args().data
    ring = flies(data / "PEN1-EB")
    for indicator, animals in ring.items():
        print(f"ellipsoid body, {indicator} indicator in EPG, {len(animals)} flies")
        print(f"  PEN_a lead by bin, deg: {words([lead(fly) for fly in animals])}")
        print(f"  EPG width, deg: {words([width(fly) for fly in animals])}")
    gains = np.array([gain(fly) for animals in ring.values() for fly in animals])
    low, middle, high = np.nanpercentile(gains, [25, 50, 75])
    print(f"gain, {np.isfinite(gains).sum()} flies: median {middle:.2f}, interquartile range {low:.2f}-{high:.2f}")
    bridge = [fly for animals in flies(data / "PEN1-PB").values() for fly in animals]
    print(f"bridge, {len(bridge)} flies\n  PEN_a lag by bin, glomeruli: {words([lag(fly) for fly in bridge])}")


if __name__ == "__main__":
    main()
