"""Typed configuration: dataclasses, their OmegaConf schemas, composing by Hydra. Knows no network and reads no data."""

from __future__ import annotations

from connectome_sim.config.ablate import AblateConfig, AblationConfig
from connectome_sim.config.compose import compose, register, saved_config, to_yaml
from connectome_sim.config.conversion import plain, typed
from connectome_sim.config.schema import readable, schema
from connectome_sim.config.settings import (
    AnalyzeConfig,
    ConnectomeConfig,
    EnsembleConfig,
    EvaluateConfig,
    EvaluationConfig,
    ExportConfig,
    FiguresConfig,
    FitConfig,
    SolutionsConfig,
    TermConfig,
    VelocityConfig,
)
from connectome_sim.config.study import StudyConfig, StudySpec

__all__ = [
    "AblateConfig",
    "AblationConfig",
    "AnalyzeConfig",
    "ConnectomeConfig",
    "EnsembleConfig",
    "EvaluateConfig",
    "EvaluationConfig",
    "ExportConfig",
    "FiguresConfig",
    "FitConfig",
    "SolutionsConfig",
    "StudyConfig",
    "StudySpec",
    "TermConfig",
    "VelocityConfig",
    "compose",
    "plain",
    "readable",
    "register",
    "saved_config",
    "schema",
    "to_yaml",
    "typed",
]
