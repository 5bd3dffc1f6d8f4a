"""Score network.h5 with NumPy and h5py alone: own right-hand side, own traces, fourth-order Runge-Kutta at 1 ms.

Nothing of the package is imported, so that a mistake in its model, solver, decoder or evaluation cannot repeat itself
here. Trials start from the file's 16 settled states; other headings are reached by a short turn at 90 deg/s.

    python benchmarks/independent.py runs/NAME/DATE/network.h5 [--json] [--member 0] [--step 0.001]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

SPEEDS = (5, 10, 15, 30, 60, 120, 180, 240, 300, 400, 500)  # deg/s
PHI: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


class Network:
    """The equation of the file: time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega)."""

    def __init__(self, path: Path, member: int) -> None:
        with h5py.File(path) as file:
            group = file[f"members/{member:03d}"]
            self.w, self.b = group["weights"][:], group["bias"][:]
            self.tau, self.v = group["time_constant"][:], group["velocity_input"][:]
            self.states = group["initial_states"][:]
            self.phi = PHI[file.attrs["activation"]]
            epg = np.char.equal(file["neurons/type"].asstr()[:].astype(str), "EPG")
            angle = file["neurons/ring_angle"][:]
        self.compass = np.where(epg & np.isfinite(angle), np.exp(1j * np.nan_to_num(angle)), 0)

    def slope(self, r: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """dr/dt for rates [trial, neuron] and angular velocities [trial], rad/s."""
        return (-r + self.phi(r @ self.w.T + self.b + omega[:, None] * self.v)) / self.tau

    def run(self, r: np.ndarray, omega: np.ndarray, step: float, every: int) -> tuple[np.ndarray, np.ndarray]:
        """Decoded unwrapped headings [sample, trial] from the start on, every so many steps of omega [step, trial]."""
        heading = [np.angle(r @ self.compass)]
        for k, w in enumerate(omega):
            k1 = self.slope(r, w)
            k2 = self.slope(r + step / 2 * k1, w)
            k3 = self.slope(r + step / 2 * k2, w)
            k4 = self.slope(r + step * k3, w)
            r = r + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            if (k + 1) % every == 0:
                heading.append(np.angle(r @ self.compass))
        return np.unwrap(np.array(heading), axis=0), r


# speed below which a share of the time is spent, deg/s: 50/90/99/100 % as measured in walking flies in the dark
# (Turner-Evans 2017, raw data), with one point of our own between the last two; straight lines between them
SHARE, SPEED = (0, 0.5, 0.9, 0.99, 0.999, 1), (0, 12, 80, 197, 330, 464)
LATENT_CORRELATION_TIME = 0.152  # s, so that the velocity's own correlation time is 128 ms (both are printed)


def walking(rng: np.random.Generator, steps: int, trials: int, step: float) -> np.ndarray:
    """Angular velocity [steps, trials], rad/s: a latent Ornstein-Uhlenbeck process mapped to measured percentiles."""
    decay = math.exp(-step / LATENT_CORRELATION_TIME)
    latent = np.empty((steps, trials))
    latent[0] = rng.standard_normal(trials)
    for k in range(1, steps):
        latent[k] = decay * latent[k - 1] + math.sqrt(1 - decay**2) * rng.standard_normal(trials)
    share = np.vectorize(math.erf, otypes=[float])(np.linspace(0, 6, 6001) / math.sqrt(2))
    speed = np.interp(np.interp(np.abs(latent), np.linspace(0, 6, 6001), share), SHARE, SPEED)
    return np.radians(np.sign(latent) * speed)


def statistics(omega: np.ndarray, step: float) -> dict[str, float]:
    """What the traces turned out to be: SD and percentiles of the speed, deg/s, and the 1/e time, s."""
    v = np.degrees(omega)
    lags = np.arange(1, round(0.4 / step), max(1, round(0.004 / step)))
    r = np.array([(v[lag:] * v[:-lag]).mean() for lag in lags]) / (v**2).mean()
    names = {f"traces_speed_p{q}_deg_per_s": float(np.percentile(np.abs(v), q)) for q in (50, 90, 99)}
    crossing = float(np.interp(-math.exp(-1), -r, lags * step))
    return {"traces_sd_deg_per_s": float(v.std()), **names, "traces_correlation_time_s": crossing}


def score(network: Network, *, step: float = 1e-3, seconds: float = 60.0, seed: int = 2026) -> dict[str, float]:
    """The figures of the project's table."""
    rng = np.random.default_rng(seed)
    per_second, result = round(1 / step), {}
    every = per_second // 100
    # 64 headings: the 16 states, turned by 0, 1/4, 1/2 and 3/4 of their spacing, then 1 s at rest
    turn = np.radians(90) * np.ones((round(0.25 * per_second), 64))
    share = np.repeat(np.arange(4) / 4, 16)
    turn = turn * (np.arange(len(turn))[:, None] < share * len(turn))
    _, start = network.run(np.tile(network.states, (4, 1)), turn, step, every)
    _, start = network.run(start, np.zeros((per_second, 64)), step, every)
    steps = round(seconds * per_second)
    omega = walking(rng, steps, 64, step)
    both = np.concatenate([omega, np.zeros_like(omega)], axis=1)
    heading, _ = network.run(np.tile(start, (2, 1)), both, step, every)
    moved = heading - heading[0]
    truth = np.concatenate([np.zeros((1, 64)), np.cumsum(omega, axis=0)[every - 1 :: every] * step])
    error = np.degrees(np.abs((moved[:, :64] - truth + np.pi) % (2 * np.pi) - np.pi))
    result |= statistics(omega, step)
    slipped = np.degrees(np.abs(moved[:, :64] - truth))
    result["walking_unwrapped_error_60s_median_deg"] = float(np.median(slipped[-1]))
    for t in (1, 5, 10, 20, 60):
        if t <= seconds:
            result[f"walking_error_{t}s_median_deg"] = float(np.median(error[t * 100]))
            result[f"walking_error_{t}s_p90_deg"] = float(np.quantile(error[t * 100], 0.9))
    drift = np.degrees(np.abs(moved[-1, 64:]))
    result["rest_drift_60s_median_deg"], result["rest_drift_60s_max_deg"] = float(np.median(drift)), float(drift.max())
    speeds = np.radians(np.repeat([s * d for s in SPEEDS for d in (1, -1)], 16))
    constant = np.tile(speeds, (3 * per_second, 1))
    heading, _ = network.run(np.tile(start[::4], (2 * len(SPEEDS), 1)), constant, step, every)
    gain = ((heading[-1] - heading[50]) / (speeds * 2.5)).reshape(len(SPEEDS), 2, 16).mean(axis=2)
    for speed, (up, down) in zip(SPEEDS, gain, strict=True):
        result[f"gain_at_{speed}_deg_per_s"], result[f"gain_at_minus_{speed}_deg_per_s"] = float(up), float(down)
    linear = np.abs(gain - 1).max(axis=1) <= 0.1
    low, high = longest_run(linear)
    result["linear_range_low_deg_per_s"] = float(SPEEDS[low]) if high > low else math.nan
    result["linear_range_high_deg_per_s"] = float(SPEEDS[high - 1]) if high > low else math.nan
    return result


def longest_run(good: np.ndarray) -> tuple[int, int]:
    """First and one past the last index of the longest unbroken run of True."""
    best, first = (0, 0), 0
    for k in range(len(good) + 1):
        if k == len(good) or not good[k]:
            best = max(best, (first, k), key=lambda run: run[1] - run[0])
            first = k + 1
    return best


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, nargs="+", help="network.h5 files")
    parser.add_argument("--member", type=int, default=0)
    parser.add_argument("--step", type=float, default=1e-3, help="s")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file")
    options = parser.parse_args()
    for path in options.network:
        began = time.perf_counter()
        result = score(Network(path, options.member), step=options.step)
        if options.json:
            print(json.dumps({"network": str(path), "step_s": options.step, **result}))
            continue
        print(f"{path} (step {options.step:g} s, {time.perf_counter() - began:.0f} s)")
        for name, value in result.items():
            print(f"  {name:40s} {value:8.2f}")


if __name__ == "__main__":
    main()
