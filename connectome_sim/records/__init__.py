"""What a run leaves behind: its folder, its files and their formats. Knows plain arrays only, no model, no solver."""

from __future__ import annotations

from connectome_sim.records.arrays import read_arrays, read_parameters, read_scalars, write_arrays, write_parameters
from connectome_sim.records.checkpoint import read_checkpoint, write_checkpoint
from connectome_sim.records.ensemble import EnsembleRecord, MemberRecord
from connectome_sim.records.manifest import Manifest, RunStatus, config_hash
from connectome_sim.records.network_file import FittedNetwork, read_network, write_network
from connectome_sim.records.run_folder import RunFolder
from connectome_sim.records.sweep_folder import SweepFolder
from connectome_sim.records.text import read_text

__all__ = [
    "EnsembleRecord",
    "FittedNetwork",
    "Manifest",
    "MemberRecord",
    "RunFolder",
    "RunStatus",
    "SweepFolder",
    "config_hash",
    "read_arrays",
    "read_checkpoint",
    "read_network",
    "read_parameters",
    "read_scalars",
    "read_text",
    "write_arrays",
    "write_checkpoint",
    "write_network",
    "write_parameters",
]
