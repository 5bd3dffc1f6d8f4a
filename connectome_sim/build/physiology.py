"""A fitted network beside the animal and other models: from plain arrays to tables. Prints nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from connectome_sim.analysis.beside_others import Row, columns, mean_gain, published, simulated, this_network
from connectome_sim.analysis.calcium import GCAMP6F, Indicator
from connectome_sim.analysis.imaging import Session, record
from connectome_sim.analysis.measures import BINS_DEG_PER_S
from connectome_sim.analysis.observations import shipped_observations
from connectome_sim.analysis.physiology import Score, curves, scorecard
from connectome_sim.analysis.regions import regions_of
from connectome_sim.config import FitConfig
from connectome_sim.evaluate import Protocol, restore
from connectome_sim.evaluate.metrics import label
from connectome_sim.evaluate.trace import Runner
from connectome_sim.figures.physiology import BESIDE, BY_VELOCITY, SCORECARD
from connectome_sim.records import FittedNetwork, RunFolder, atomic
from connectome_sim.solve import SolveOptions


@cache
def reference_rows(protocol: Protocol, seed: int) -> tuple[Row, ...]:
    """The reference rings on the held-out traces of this protocol and seed; once in a process."""
    return simulated(protocol, seed=seed)


def recorded(stored: FittedNetwork, fitted: FitConfig, seed: int, *, green: Indicator = GCAMP6F) -> Session:
    """The network under the microscope, on the held-out traces of this seed, with this green indicator.

    Raises:
        SolveError: the network diverges wherever it starts.
    """
    network, readout = restore(stored, dtype=torch.float32)  # an image is not that exact, and it takes half the time
    options = SolveOptions(method="heun", step=fitted.evaluation.step)
    run = Runner(network, readout, fitted.evaluation.protocol, options)
    with np.errstate(invalid="ignore"):  # a failed trial is NaN
        return record(run, regions_of(stored), seed=seed, green=green)


def held_out_seed(fitted: FitConfig, metrics: Mapping[str, float]) -> int:
    """The seed of the traces that the metrics were measured on, else that of the configuration."""
    seed = metrics.get("evaluation_seed", math.nan)
    return int(seed) if math.isfinite(seed) else fitted.held_out_seed


def write_scores(
    folder: RunFolder,
    metrics: Mapping[str, float],
    stored: FittedNetwork,
    fitted: FitConfig,
    session: Session,
    references: Sequence[Row],
) -> list[Path]:
    """Score a recorded network, compare it with other models, and write the tables.

    Its held-out metrics are taken as they are, or left out with a note where they were measured with other headings,
    duration or step than the configuration's.

    Returns:
        The files written.

    Raises:
        DataError: a shipped table is damaged.
        RunFolderError: files that cannot be written.
    """
    protocol, step = fitted.evaluation.protocol, fitted.evaluation.step
    own = this_network(f"this network (seed {stored.seed})", metrics, session.walk, protocol, step=step)
    tables = {
        BY_VELOCITY: velocity_table(session),
        BESIDE: beside_table((*published(), own, *references), protocol),
        SCORECARD: score_table(scorecard(shipped_observations(), session)),  # last: figures look for it
    }
    for name, table in tables.items():
        content = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        atomic.write_text(folder.path / name, content)
    return [folder.path / name for name in tables]


def remove_scores(folder: RunFolder) -> None:
    """Remove the tables of an earlier analysis, the scorecard first."""
    for name in (SCORECARD, BY_VELOCITY, BESIDE):
        atomic.remove(folder.path / name)


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """The scorecard, one row per observation."""
    return pd.DataFrame(
        {
            "id": score.observation.id,
            "observation": score.observation.observation,
            "unit": score.observation.unit,
            "animal": score.observation.number,
            "spread": score.observation.spread_words,
            "spread_kind": score.observation.spread_kind,
            "flies": score.observation.flies,
            "passes_within": score.observation.kind.within,
            "network": score.value,
            "network_sd": score.value_sd,
            "off_by": score.off_by,
            "off_by_unit": score.observation.kind.unit,
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
