"""A fitted network beside the animal and other models: from plain arrays to tables and figures. Prints nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from connectome_sim.analysis.beside_others import Row, columns, mean_gain, published, simulated, this_network
from connectome_sim.analysis.imaging import Session, record
from connectome_sim.analysis.physiology import BINS_DEG_PER_S, Score, curves, scorecard, shipped_observations
from connectome_sim.analysis.regions import regions_of
from connectome_sim.config import FitConfig
from connectome_sim.evaluate import Protocol, restore
from connectome_sim.evaluate.metrics import label
from connectome_sim.evaluate.trace import Runner
from connectome_sim.figures.physiology import BESIDE, BY_VELOCITY, SCORECARD, SavedPhysiology, draw_physiology
from connectome_sim.records import FittedNetwork, atomic
from connectome_sim.solve import SolveOptions

References = dict[tuple[Protocol, int], tuple[Row, ...]]


def score_network(
    stored: FittedNetwork,
    fitted: FitConfig,
    metrics: Mapping[str, float],
    *,
    folder: Path,
    figures: Path,
    formats: Sequence[str],
    known: References,
) -> list[Path]:
    """Score a network, compare it with other models, and write tables and figures.

    Args:
        stored: the network.
        fitted: configuration of its fit.
        metrics: its held-out metrics, taken as they are, or left out with a note where they were measured with other
            headings, duration or step than the configuration's; reference rings run on the same traces.
        folder: of the tables.
        figures: folder of the figures.
        formats: of the figures.
        known: reference rows by protocol and seed, filled here, so that several networks share them.

    Returns:
        The files written.

    Raises:
        DataError: a shipped table is damaged.
        SolveError: the network diverges wherever it starts.
        RunFolderError: files that cannot be written.
    """
    protocol = fitted.evaluation.protocol
    seed = _held_out_seed(fitted, metrics)
    session = _recorded(stored, fitted, seed)
    if (protocol, seed) not in known:
        known[protocol, seed] = simulated(protocol, seed=seed)
    name, step = f"this network (seed {stored.seed})", fitted.evaluation.step
    own = this_network(name, metrics, session.walk, protocol, step=step)
    rows = (*published(), own, *known[protocol, seed])
    tables = {
        SCORECARD: score_table(scorecard(shipped_observations(), session)),
        BY_VELOCITY: velocity_table(session),
        BESIDE: beside_table(rows, protocol),
    }
    paths = []
    for name, table in tables.items():
        paths.append(folder / name)
        atomic.write_text(paths[-1], table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    origin = f"{stored.dataset}; {len(stored.bias)} neurons; seed {stored.seed}"
    for name, picture in draw_physiology(SavedPhysiology.read(folder, origin), formats=formats).items():
        paths.append(figures / name)
        atomic.write_bytes(paths[-1], picture)
    return paths


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """The scorecard, one row per observation."""
    return pd.DataFrame(
        {
            "id": score.observation.id,
            "observation": score.observation.observation,
            "unit": score.observation.unit,
            "animal": score.observation.number,
            "spread": score.observation.spread,
            "spread_kind": score.observation.spread_kind,
            "network": score.value,
            "network_sd": score.value_sd,
            "off_by": score.off_by,
            "verdict": score.verdict,
            "in_words": score.words,
            "method": score.observation.method,
            "definition": score.observation.definition,
            "source": score.observation.source,
            "checked": score.observation.checked,
        }
        for score in scores
    )


def velocity_table(session: Session) -> pd.DataFrame:
    """Width, amplitude and lead by bin of the angular velocity."""
    found = curves(session)
    edges = {"from_deg_per_s": BINS_DEG_PER_S[:-1], "to_deg_per_s": BINS_DEG_PER_S[1:]}
    return pd.DataFrame({**edges, **found})


def beside_table(rows: Sequence[Row], protocol: Protocol) -> pd.DataFrame:
    """Animal and models, one row each; gains are means of both directions."""
    names = columns(protocol)
    gains = [f"gain_at_{label(speed)}_deg_per_s" for speed in protocol.constant_speeds_deg_per_s]
    return pd.DataFrame(
        {
            "model": row.model,
            "kind": row.kind,
            **{name: row.figures.get(name, math.nan) for name in names},
            **dict(zip(gains, mean_gain(row.figures, protocol), strict=True)),
            "source": row.source,
            "checked": row.checked,
            "note": row.note,
        }
        for row in rows
    )


def _held_out_seed(fitted: FitConfig, metrics: Mapping[str, float]) -> int:
    """The seed of the traces that the metrics were measured on, else that of the configuration."""
    seed = metrics.get("evaluation_seed", math.nan)
    if math.isfinite(seed):
        return int(seed)
    return fitted.seed if fitted.evaluation.seed is None else fitted.evaluation.seed


def _recorded(stored: FittedNetwork, fitted: FitConfig, seed: int) -> Session:
    network, readout = restore(stored)
    options = SolveOptions(method="heun", step=fitted.evaluation.step)
    run = Runner(network, readout, fitted.evaluation.protocol, options)
    with np.errstate(invalid="ignore"):  # a failed trial is NaN
        return record(run, regions_of(stored), seed=seed)
