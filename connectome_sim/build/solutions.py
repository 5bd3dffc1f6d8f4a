"""The space of solutions of an ensemble: from its members to solutions.json and a figure. Prints nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from connectome_sim.analysis import clusters, distances, principal_components, stiffness
from connectome_sim.build.ensembles import Ensemble, load_ensemble
from connectome_sim.build.objects import use_threads
from connectome_sim.config import SolutionsConfig
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.figures.all import check_formats
from connectome_sim.figures.member_scores import draw_member_scores
from connectome_sim.figures.solutions import SolutionSpace, draw_solutions
from connectome_sim.fit.directions import trainable
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.options import Stage
from connectome_sim.losses.parsimony import Parsimony
from connectome_sim.model import Activation, Parameters
from connectome_sim.records import atomic

TRIALS = 16  # of a batch, chosen: 8 batches cost what two validations with derivatives do
OPEN = 0.5  # chosen: a standard error or spread of half a unit of the logarithm, a factor of 1.6


def run_solutions(config: SolutionsConfig) -> tuple[list[Path], dict[str, Any]]:
    """How alike the members of an ensemble are, and what its losses leave open at one of them.

    Returns:
        The files written, and the content of ``solutions.json``.

    Raises:
        ConfigError: no such ensemble or member, fewer than three members, an unknown format.
        DataError, RunFolderError: see `load_ensemble`; results that exist already.
        FitError: trials that diverge.
    """
    use_threads(config.threads)
    out = Path(config.out)
    path = out / "solutions.json"
    if path.exists() and not config.overwrite:
        raise RunFolderError(f"{path}: exists already; choose another out=..., or say overwrite=true")
    check_formats(config.formats)
    ensemble = load_ensemble(config.ensemble)
    if len(ensemble) < 3:
        raise ConfigError(f"ensemble {ensemble.name}: got {len(ensemble)} members, wanted at least 3 to compare")
    space = solution_space(ensemble, member=config.member, batches=config.batches)
    content = summary(ensemble, space)
    drawn = draw_solutions(space, formats=config.formats) | draw_member_scores(
        space.origin, space.seeds, [member.metrics for member in ensemble], formats=config.formats
    )
    atomic.make_folder(out)
    for name, picture in drawn.items():
        atomic.write_bytes(out / name, picture)
    atomic.write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return [path, *(out / name for name in drawn)], content


def solution_space(ensemble: Ensemble, *, member: int, batches: int) -> SolutionSpace:
    """Everything that is worked out of an ensemble, as arrays.

    Stiffness is that of the losses of the fit on trials of the last stage's horizon, which no fit has seen, without
    ``parsimony``: what the behaviour says, not what was wished of the gains.

    Args:
        ensemble: three members or more.
        member: the one at which derivatives are taken.
        batches: batches of trials.
    """
    at, config = ensemble[member], ensemble.config_of(member)
    families = trainable(at.parameters)
    x = np.concatenate([_coordinates(ensemble, family) for family in families], axis=1)
    objective = Objective(
        wiring=ensemble.wiring,
        activation=Activation.named(config.activation),
        solve=config.solve,
        terms={name: term for name, term in config.terms.items() if not isinstance(term.loss, Parsimony)},
        options=config.fit,
        seed=config.seed,
        log_gains_start=torch.log(at.parameters.values("gain")).detach(),
    )
    unseen = config.fit.n_iterations  # batches are numbered after iterations
    stage = Stage(horizon_s=config.fit.stages[-1].horizon_s, iterations=1, n_trials=TRIALS)
    found = [
        objective.linearise(at.parameters, objective.trials(unseen + b, stage), objective.terms) for b in range(batches)
    ]
    by_raw = np.concatenate([_slope(at.parameters, family) for family in families])
    return SolutionSpace(
        origin=f"{ensemble.name}: {len(ensemble)} members; {ensemble.record.origin}",
        families=tuple(family for family in families for _ in at.parameters.names(family)),
        names=tuple(name for family in families for name in at.parameters.names(family)),
        seeds=tuple(one.seed for one in ensemble),
        member=member,
        coordinates=x,
        distances=distances(x),
        components=principal_components(x),
        clusters=clusters(x, np.random.default_rng(0)),
        stiffness=stiffness(
            [part.residuals.numpy() for part in found], [part.jacobian.numpy() / by_raw for part in found]
        ),
        n_trials=batches * TRIALS,
    )


def _coordinates(ensemble: Ensemble, family: str) -> np.ndarray:
    """Values of a family [member, parameter], logarithms where its bounds are on a logarithmic scale."""
    values = ensemble.record.values[family]
    return np.log(values) if ensemble.config.parameters.bounds[family].scale == "log" else values


def _slope(parameters: Parameters, family: str) -> np.ndarray:
    """Derivative of each coordinate of a family by its raw number."""
    bounds = parameters.spec.bounds[family]
    raw = parameters.raw[family].detach().double().requires_grad_()
    value = bounds.forward(raw)
    coordinate = torch.log(value) if bounds.scale == "log" else value
    return torch.autograd.grad(coordinate.sum(), raw)[0].numpy()


def summary(ensemble: Ensemble, space: SolutionSpace) -> dict[str, Any]:
    """The content of ``solutions.json``: plain numbers, null for one that is not finite."""
    stiff, parts, groups = space.stiffness, space.components, space.clusters
    pairs = space.distances[np.triu_indices(len(ensemble), 1)]
    rows = {
        f"{family}/{name}": {
            "median": float(np.median(space.values[:, k])),
            "spread": float(space.spread[k]),
            "standard_error": float(stiff.standard_error[k]),
            "standard_error_alone": float(stiff.standard_error_alone[k]),
        }
        for k, (family, name) in enumerate(zip(space.families, space.names, strict=True))
    }
    content = {
        "ensemble": ensemble.name,
        "dataset": ensemble.record.origin,
        "seeds": list(space.seeds),
        "units": "log of gains, time constants (s) and velocity gains; thresholds in units of input current",
        "distance_median": float(np.median(pairs)),
        "distance_smallest": float(pairs.min()),
        "distance_largest": float(pairs.max()),
        "distances": space.distances.tolist(),
        "component_share": parts.share.tolist(),
        "dimension": parts.dimension,
        "clusters": {
            "number": groups.n,
            "label": groups.label.tolist(),
            "silhouette": groups.silhouette,
            "p_value": groups.p_value,
            "discrete_share": groups.between_share,
            "criterion": "average linkage, largest mean silhouette, against single Gaussian clouds; p at most 0.05",
        },
        "member": space.member,
        "n_trials": space.n_trials,
        "noise_model": "trials are a sample: along each eigenvector the SD over batches of the Gauss-Newton step to "
        "the batch's minimum, over the root of the number of batches, with a prior of SD 1",
        "eigenvalues": stiff.eigenvalues.tolist(),
        "stiffest": _combination(space, 0),
        "sloppiest_resolved": _combination(space, int(stiff.resolved.sum()) - 1),
        "parameters": rows,
        "open_time_constants": [name for name in rows if name.startswith("time_constant/") and _open(rows[name])],
        "n_open": sum(_open(row) for row in rows.values()),
        "open_is": f"a standard error or a spread over members above {OPEN:g}",
    }
    return _finite(content)


def _open(row: Mapping[str, float]) -> bool:
    """Whether a parameter is poorly identified."""
    return not (row["standard_error"] <= OPEN and row["spread"] <= OPEN)


def _combination(space: SolutionSpace, k: int) -> dict[str, float]:
    """The five parameters that weigh most in a direction, with their weights."""
    vector = space.stiffness.directions[k]
    return {
        f"{space.families[p]}/{space.names[p]}": float(vector[p]) for p in np.argsort(-abs(vector), kind="stable")[:5]
    }


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
