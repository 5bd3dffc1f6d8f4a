"""From a configuration to results in a run folder: the verbs, callable from Python. Knows no command line.

A fit in three lines::

    from connectome_sim.build import run_fit
    from connectome_sim.config import compose

    outcome = run_fit(compose("fit", ["+experiment=quickstart", "seed=1", "run=runs/mine"]))
"""

from __future__ import annotations

from connectome_sim.build.ablating import SweepOutcome, ensemble_members, load_members, make_plan, run_ablate
from connectome_sim.build.analysis import run_analyze
from connectome_sim.build.ensembles import Ensemble, EnsembleMember, load_ensemble, run_ensemble
from connectome_sim.build.fitting import FitOutcome, resume_fit, run_fit
from connectome_sim.build.objects import circuit, source, wiring
from connectome_sim.build.remeasuring import run_remeasure
from connectome_sim.build.scores import score_table
from connectome_sim.build.solutions import run_solutions
from connectome_sim.build.studies import StudyOutcome, run_study
from connectome_sim.build.sweep import Ended, Member, run_analyses, run_drawings, run_evaluations, run_fits
from connectome_sim.build.verbs import run_evaluate, run_export, run_figures

__all__ = [
    "Ended",
    "Ensemble",
    "EnsembleMember",
    "FitOutcome",
    "Member",
    "StudyOutcome",
    "SweepOutcome",
    "circuit",
    "ensemble_members",
    "load_ensemble",
    "load_members",
    "make_plan",
    "resume_fit",
    "run_ablate",
    "run_analyses",
    "run_analyze",
    "run_drawings",
    "run_ensemble",
    "run_evaluate",
    "run_evaluations",
    "run_export",
    "run_figures",
    "run_fit",
    "run_fits",
    "run_remeasure",
    "run_solutions",
    "run_study",
    "score_table",
    "source",
    "wiring",
]
