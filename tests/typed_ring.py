"""A small ring circuit as a connectome: cell types, whole synapse counts, signs. For fits that must be quick.

EPG drive PEN_a and Delta7 at their own angle; a right-hand PEN_a excites EPG 45 degrees ahead, a left-hand one 45
degrees behind; Delta7 inhibits what lies opposite. Counts are raised cosines of the distance around the ring.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from connectome_sim import circular
from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.fit import FitOptions, SpectralStart, Stage
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.start import spectral_start
from connectome_sim.losses import LOSSES, WeightedLoss
from connectome_sim.model import Wiring
from connectome_sim.model.activation import SIGMOID
from connectome_sim.model.bounds import Bounds
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.solve import SolveOptions
from connectome_sim.tasks import TrainingMix, generator

TIME_STEP = 0.01  # s
SHIFT = np.deg2rad(45)
# synapses at the peak, and where on the ring it lies: (post, pre) -> (count, shift of the target)
PEAKS = {
    ("EPG", "EPG"): (8, 0.0),
    ("PEN_a", "EPG"): (20, 0.0),
    ("Delta7", "EPG"): (20, 0.0),
    ("EPG", "PEN_a"): (20, SHIFT),  # times the side: ahead of a right-hand PEN_a, behind a left-hand one
    ("EPG", "Delta7"): (30, np.pi),
    ("PEN_a", "Delta7"): (12, np.pi),
    ("Delta7", "Delta7"): (12, np.pi),
}
MIX = TrainingMix(walking=0.3, constant=0.2, rest=0.2, consistency=0.3)


def connectome() -> Connectome:
    """16 EPG, 8 + 8 PEN_a, 8 Delta7."""
    types = np.array(["EPG"] * 16 + ["PEN_a"] * 16 + ["Delta7"] * 8)
    sides = np.array([""] * 16 + ["L"] * 8 + ["R"] * 8 + [""] * 8)
    angle = np.concatenate([circular.evenly_spaced(16), *[circular.evenly_spaced(8)] * 3])
    turn = np.where(sides == "L", -1.0, 1.0)
    counts = np.zeros((len(types), len(types)))
    for (post, pre), (peak, shift) in PEAKS.items():
        rows, columns = np.flatnonzero(types == post)[:, None], np.flatnonzero(types == pre)[None, :]
        away = angle[rows] - angle[columns] - shift * turn[columns]
        counts[rows, columns] = np.round(peak * (1 + np.cos(away)) / 2)
    np.fill_diagonal(counts, 0)
    n = len(types)
    return Connectome(
        Neurons(
            id=np.array([str(i) for i in range(n)]),
            type=types,
            database_type=types,
            instance=np.array([""] * n),
            side=sides,
            glomerulus=np.zeros(n, dtype=np.int64),
            ring_angle=angle,
        ),
        sp.csr_array(counts.astype(np.int64)),
        Provenance("by hand"),
        signs=Signs({"EPG": 1, "PEN_a": 1, "Delta7": -1}, {}),
    )


def wiring(dtype: torch.dtype = torch.float64) -> Wiring:
    return Wiring.from_connectome(connectome(), velocity_types=("PEN_a",), dtype=dtype)


def spec(**changes: object) -> ParameterSpec:
    """Every pair and type on its own unless told otherwise; time constants that ``TIME_STEP`` resolves."""
    settings: dict[str, object] = {"bounds": {"time_constant": Bounds(2 * TIME_STEP, 0.5, "log")}}
    return ParameterSpec(**(settings | changes))  # type: ignore[arg-type]


def options(*stages: Stage, **changes: object) -> FitOptions:
    """Short cue, short trials."""
    settings: dict[str, object] = {
        "stages": stages or (Stage(horizon_s=0.2, iterations=2, n_trials=10),),
        "time_step": TIME_STEP,
        "mix": MIX,
        "cue_duration_s": 0.1,
        "settle_duration_s": 0.05,
        "candidates": 1,
        "sample_every": 5,
        "validation_trials": 10,
    }
    return FitOptions(**(settings | changes))  # type: ignore[arg-type]


def default_terms() -> dict[str, WeightedLoss]:
    """The kind of losses that a fit has unless told otherwise."""
    tolerance = {"tolerance_deg": 1.0, "tolerance_deg_per_s": 5.0, "tolerance_share": 0.1, "saturation": 4.0}
    return {
        "integration_100ms": WeightedLoss(1.0, LOSSES["phase_integration"](window=0.1, **tolerance)),
        "integration_full": WeightedLoss(1.0, LOSSES["phase_integration"](window=100.0, **tolerance)),
        "bump": WeightedLoss(100.0, LOSSES["bump"](length_floor=0.45, lowest_mean=0.1, highest_mean=0.4)),
        "cue": WeightedLoss(1.0, LOSSES["cue"]()),
        "parsimony": WeightedLoss(0.001, LOSSES["parsimony"](l1=0.0)),
    }


def problem(
    terms: dict[str, WeightedLoss] | None = None,
    *,
    parameter_spec: ParameterSpec | None = None,
    dtype: torch.dtype = torch.float64,
    method: str = "euler",
    fit_options: FitOptions | None = None,
) -> tuple[Objective, Parameters]:
    """An objective and parameters at a spectral start, then moved, so that no loss and no log-gain is at its ideal."""
    wired = wiring(dtype)
    parameters = Parameters(parameter_spec or spec(), wired, dtype=torch.float64)
    spectral_start(parameters, wired, SIGMOID, SpectralStart(jitter=0.0), generator(0, "start"))
    start = torch.log(parameters.values("gain")).detach().clone()
    moved = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for raw in parameters.raw.values():
            raw += 0.1 * torch.randn(raw.shape, generator=moved, dtype=raw.dtype)
    fit_options = fit_options or options()
    objective = Objective(
        wiring=wired,
        activation=SIGMOID,
        solve=SolveOptions(method=method, step=fit_options.time_step),
        terms=default_terms() if terms is None else terms,
        options=fit_options,
        seed=0,
        log_gains_start=start,
    )
    return objective, parameters
