"""The held-out protocol: how well a network keeps and integrates a heading. Knows no loss and no optimiser."""

from __future__ import annotations

from connectome_sim.evaluate.evaluation import PROBES, EvaluationResult, conditions, evaluate, metric_names, run_probes
from connectome_sim.evaluate.parameters import Number, numbers, parameter_metrics
from connectome_sim.evaluate.protocol import FULL, QUICK, Protocol, check_step
from connectome_sim.evaluate.rates import rate_metric_names, rate_metrics
from connectome_sim.evaluate.stored import restore, store
from connectome_sim.evaluate.success import Bound, success

__all__ = [
    "FULL",
    "PROBES",
    "QUICK",
    "Bound",
    "EvaluationResult",
    "Number",
    "Protocol",
    "check_step",
    "conditions",
    "evaluate",
    "metric_names",
    "numbers",
    "parameter_metrics",
    "rate_metric_names",
    "rate_metrics",
    "restore",
    "run_probes",
    "store",
    "success",
]
