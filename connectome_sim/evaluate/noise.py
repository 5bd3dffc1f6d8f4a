"""What noise does to the heading: how far it goes, how fast it diffuses, how noisy the rates that are read become.

Pure NumPy; knows no network and no file. Displacements are in radians, unwrapped along time: where a bump has gone
round the ring it is 360 deg away, and not back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from connectome_sim.evaluate.metrics import HeadingArray, Metrics, TimeArray, label

FIRST_S = 1.0  # s: the diffusion is that of the first second, before the ring's own wells hold the bump
FAST_S = 0.2  # s, chosen: by then the fast modes, with time constants of up to 0.06 s, fluctuate as they always will
WINDOW_S = 0.4  # s, chosen: over it the course of a rate is a line, and what is left its noise
DIFFUSION = "noise_diffusion_first_second_deg2_per_s"
RATE_NOISE = "noise_rate_sd_over_height"
UPPER = 0.5  # chosen: noise is that of neurons above half of the bump's peak

RateArray = Float[np.ndarray, "time batch read"]


def noise_metrics(
    time: TimeArray,
    displacement: HeadingArray,
    noise_free: HeadingArray,
    lost: Bool[np.ndarray, "time batch"],
    times: Sequence[float],
) -> Metrics:
    """How far the heading has gone from where it began, over all trials; deg and deg^2/s.

    - ``noise_rms_displacement_Ts_deg``: root of the mean squared displacement after T s. Drift is part of it.
    - ``noise_rms_displacement_Ts_less_noise_free_deg``: the same less the displacement that the trial's heading has
      without noise.
    - ``noise_diffusion_first_second_deg2_per_s``: see `diffusion`.
    - ``noise_bump_lost_share``: share of trials without a bump at the end.

    A trial that has no bump when it is read counts as at least 180 deg away, more where its decoded heading has gone
    farther: a network that loses its bump scores no better than one whose bump has gone to the other side.

    Args:
        time: s.
        displacement: decoded heading less the initial one, rad, unwrapped; NaN for a trial that failed.
        noise_free: the same without noise, from the same settled state.
        lost: whether the trial has no bump.
        times: when to read, s.
    """
    found: Metrics = {}
    for at in times:
        k = int(np.argmin(np.abs(time - at)))
        name = f"noise_rms_displacement_{label(at)}s"
        found[f"{name}_deg"] = rms_displacement(displacement[k], lost[k])
        found[f"{name}_less_noise_free_deg"] = rms_displacement(displacement[k] - noise_free[k], lost[k])
    return found | {
        DIFFUSION: diffusion(time, displacement - noise_free, lost),
        "noise_bump_lost_share": float(lost[-1].mean()),
    }


def at_rate_noise(percent: float, time: float) -> tuple[str, str]:
    """Names of the displacement after ``time`` (s) at a rate noise of so many percent, and of the current's SD."""
    view = f"at_rate_noise_{label(percent)}pct"
    return f"noise_rms_displacement_{label(time)}s_{view}_deg", f"noise_current_sd_{view}"


def noise_names(times: Sequence[float], percent: float) -> frozenset[str]:
    """Names of the metrics of the probe, which reads at ``times`` (s) and at a rate noise of ``percent``."""
    one = np.arange(0.0, 2.0, FAST_S)
    trace = np.zeros((len(one), 1))
    names = noise_metrics(one, trace, trace, trace > 0, times).keys() | {RATE_NOISE}
    return frozenset(names | set(at_rate_noise(percent, times[-1]) if percent > 0 else ()))


def rms_displacement(displacement: Float[np.ndarray, " batch"], lost: Bool[np.ndarray, " batch"]) -> float:
    """Root mean square of displacements (rad, unwrapped), deg; a lost trial counts as at least half a turn."""
    size = np.abs(displacement)
    size = np.where(lost, np.maximum(size, math.pi), size)
    return float(np.rad2deg(np.sqrt((size**2).mean())))


def diffusion(time: TimeArray, moved: HeadingArray, lost: Bool[np.ndarray, "time batch"]) -> float:
    """Diffusion coefficient D of the heading in the first second, deg^2/s: <moved^2> = jitter + 2 D t.

    D is half of the growth per second of the mean squared displacement, as in d theta = s dt + sqrt(2 D) dW, for which
    a bump climbs a barrier within exp(barrier / D). The line is fitted by least squares from ``FAST_S`` to ``FIRST_S``;
    its intercept takes up the jitter of the decoded heading, which does not grow. Displacements are those less the
    noise-free path, whose square would grow, too. NaN where a trial has no bump at some time of the fit, or failed:
    what is left there is not that of a bump.
    """
    fitted = (time >= FAST_S - 1e-9) & (time <= FIRST_S + 1e-9)
    if lost[fitted].any():
        return math.nan
    t, square = time[fitted], (np.rad2deg(moved[fitted]) ** 2).mean(axis=1)
    t = t - t.mean()
    return float(t @ square / (t @ t)) / 2


def rate_noise(rates: RateArray, settled: Float[np.ndarray, "batch read"], time_step: float) -> float:
    """SD of the rates that are read around their own course, over the height of the bump, 1.

    Of each neuron and window of ``WINDOW_S`` the straight line is taken out, so that a bump that moves is no noise; the
    SD is the median over neurons, windows and trials in which the mean rate is above half of the settled peak. The
    height is the largest less the smallest settled rate, median over trials. NaN where no neuron is above.

    Args:
        rates: of the neurons that are read.
        settled: the same at t = 0, without noise.
        time_step: s.
    """
    length = round(WINDOW_S / time_step)
    windows = len(rates) // length
    parts = rates[: windows * length].reshape(windows, length, *rates.shape[1:])
    mean = parts.mean(axis=1)
    line = np.arange(length) - (length - 1) / 2
    slope = np.tensordot(parts, line / (line @ line), axes=(1, 0))
    variance = parts.var(axis=1) - slope**2 * (line @ line) / length
    above = mean > UPPER * settled.max(axis=1)[:, None]
    height = float(np.median(settled.max(axis=1) - settled.min(axis=1)))
    if not above.any() or not height > 0:
        return math.nan
    return float(np.median(np.sqrt(np.maximum(variance[above], 0.0)))) / height
