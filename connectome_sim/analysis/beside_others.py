"""A network beside the fly and beside other models: one row each, the same figures. Knows no file but its table.

Published rows come from ``data/physiology/published_models.yaml``; simulated ones from the held-out protocol, whose
metrics they share with the network by construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from connectome_sim import circular
from connectome_sim.analysis.imaging import FRAME_S, WALK_S, Recording
from connectome_sim.analysis.published_rings import CosineRing, EpgPenRing, ReferenceRing, measure
from connectome_sim.axes import FloatArray
from connectome_sim.errors import DataError
from connectome_sim.evaluate import Protocol
from connectome_sim.evaluate.metrics import label
from connectome_sim.evaluate.noise import DIFFUSION
from connectome_sim.resources import data_dir

DIFFUSION_AS_PUBLISHED = "diffusion_as_published_deg2_per_s"  # of other noise; whether D or 2 D was not checked
FASTEST = "fastest_bump_deg_per_s"  # at the protocol's speeds, mean of both directions
SPREAD_TIMES_S = (1.0, 5.0, 10.0, 20.0)  # at which the fly's is known
KINDS = ("animal", "published model", "this network", "simulated here")
MISTUNING = 0.01  # chosen: how far off its tuning the small ring is in its second row

REFERENCES: Mapping[str, tuple[ReferenceRing, str]] = {
    "cosine ring, 8 neurons, tuned": (CosineRing(), "equations of Noorman et al. 2024"),
    "cosine ring, 8 neurons, 1 % off its tuning": (CosineRing(mistuning=MISTUNING), "equations of Noorman et al. 2024"),
    "EPG and PEN rate model": (EpgPenRing(), "code of Turner-Evans et al. 2017, kernels centred on their tiles"),
}
"""Reference rings that are simulated: name -> model and source."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One animal or model.

    Attributes:
        model: its name.
        kind: one of ``KINDS``.
        source: where its figures come from.
        checked: where published ones were checked; empty for simulated ones.
        figures: name with unit -> number, as the held-out metrics are called.
        note: what the numbers do not say.

    Raises:
        DataError: an unknown kind or figure.
    """

    model: str
    kind: str
    source: str
    checked: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"model {self.model!r}, field 'kind': got {self.kind!r}, wanted {KINDS}")
        if not all(isinstance(value, (int, float)) for value in self.figures.values()):
            raise DataError(f"model {self.model!r}, field 'figures': got {dict(self.figures)}, wanted numbers")


def published() -> tuple[Row, ...]:
    """The published rows that ship with the package.

    Raises:
        DataError: their table is damaged.
    """
    return read_published(data_dir() / "physiology" / "published_models.yaml")


def read_published(path: Path) -> tuple[Row, ...]:
    """A table of published figures.

    Raises:
        DataError: no such file, or a row that is not one.
    """
    try:
        rows: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(Row(**row) for row in rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def simulated(protocol: Protocol, *, seed: int) -> tuple[Row, ...]:
    """The reference rings on the held-out traces of this protocol and seed."""
    rows = []
    for name, (ring, source) in REFERENCES.items():
        found = measure(ring, protocol=protocol, seed=seed)
        walk = (found.arrays[f"walking/{part}_rad"] for part in ("decoded_heading", "true_heading"))
        decoded, true = (heading - heading[0] for heading in walk)
        spread = spreads(*_as_recorded(found.arrays["walking/time_s"], decoded, true))
        figures = _with_fastest({**found.metrics, **spread}, protocol)
        note = "no noise: it is a current, whose unit is not that of another model"
        rows.append(Row(model=name, kind="simulated here", source=source, figures=figures, note=note))
    return tuple(rows)


def _as_recorded(time: FloatArray, *traces: FloatArray) -> tuple[FloatArray, ...]:
    """Time [t] and traces [t, B] over the window of a recorded walk, mean over its frames."""
    step = float(time[1] - time[0])
    every = max(1, round(FRAME_S / step))
    frames = min(round(WALK_S / step), len(time) - 1) // every
    means = (x[: frames * every].reshape(frames, every, *x.shape[1:]).mean(axis=1) for x in traces)
    return (np.arange(frames) + 0.5) * every * step, *means


def this_network(
    name: str, metrics: Mapping[str, float], walk: Recording | None, protocol: Protocol, *, step: float
) -> Row:
    """A fitted network by its stored held-out metrics; its spread by a recorded walk on the same traces.

    Metrics that were measured with other headings, duration or step (s) than those given are left out, and the note of
    the row says so.
    """
    wanted = {
        "evaluation_headings": protocol.n_headings,
        "evaluation_duration_s": protocol.duration_s,
        "evaluation_step_s": step,
    }
    others = [
        f"{key.removeprefix('evaluation_')} {metrics[key]:g} for {value:g}"
        for key, value in wanted.items()
        if key in metrics and not math.isclose(metrics[key], value, rel_tol=1e-9)
    ]
    note = ""
    if others:
        metrics = {}
        note = f"stored metrics left out: evaluated with {', '.join(others)} of the fit's configuration"
    spread = {} if walk is None else spreads(walk.time, walk.decoded, walk.true)
    known = {key: value for key, value in metrics.items() if isinstance(value, (int, float)) and math.isfinite(value)}
    figures = _with_fastest({**known, **spread}, protocol)
    return Row(model=name, kind="this network", source="its held-out metrics", figures=figures, note=note)


def spreads(time: FloatArray, decoded: FloatArray, true: FloatArray) -> dict[str, float]:
    """Gain, and circular SD over trials of bump less gain times heading, as for the fly.

    Args:
        time: s [t].
        decoded: displacement of the bump, rad, unwrapped [t, B].
        true: that of the heading [t, B].
    """
    ok = np.isfinite(decoded).all(axis=0)
    if not ok.any():
        return {}
    decoded, true = decoded[:, ok], true[:, ok]
    gain = float((decoded * true).sum() / (true**2).sum())
    found = {"walking_gain": gain}
    for at in SPREAD_TIMES_S:
        k = int(np.argmin(np.abs(time - at)))
        if abs(float(time[k]) - at) <= 0.1:  # a frame
            left = decoded[k] - gain * true[k]
            length = float(np.abs(np.exp(1j * circular.wrap(left)).mean()))
            found[f"walking_spread_{label(at)}s_deg"] = math.degrees(
                math.sqrt(-2 * math.log(min(1.0, max(length, 1e-12))))
            )
    return found


def columns(protocol: Protocol) -> tuple[str, ...]:
    """Figures that the table shows, in order."""
    duration = label(protocol.duration_s)
    errors = (f"walking_error_{label(at)}s_{part}_deg" for part in ("median", "p90") for at in protocol.error_times_s)
    return (
        *errors,
        "walking_gain",
        *(f"walking_spread_{label(at)}s_deg" for at in SPREAD_TIMES_S),
        "linear_range_low_deg_per_s",
        "linear_range_high_deg_per_s",
        "lowest_moving_speed_deg_per_s",
        FASTEST,
        f"rest_drift_{duration}s_median_deg",
        f"rest_drift_{duration}s_max_deg",
        "rest_distinct_headings",
        f"noise_rms_displacement_{label(protocol.noise_times_s[-1])}s_deg",
        DIFFUSION,
        DIFFUSION_AS_PUBLISHED,
    )


def mean_gain(figures: Mapping[str, float], protocol: Protocol) -> FloatArray:
    """Mean gain of both directions at the protocol's speeds, NaN where it is not known."""
    speeds = protocol.constant_speeds_deg_per_s
    pairs = [[f"gain_at_{label(sign * speed)}_deg_per_s" for sign in (1, -1)] for speed in speeds]
    return np.array([np.mean([figures.get(name, math.nan) for name in pair]) for pair in pairs])


def _with_fastest(figures: Mapping[str, float], protocol: Protocol) -> dict[str, float]:
    speed = mean_gain(figures, protocol) * protocol.constant_speeds_deg_per_s
    return dict(figures) if np.isnan(speed).all() else {**figures, FASTEST: float(np.nanmax(speed))}
