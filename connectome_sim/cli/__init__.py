"""The command line: ``connectome-sim VERB ...``. Knows verbs, messages and exit codes."""

from __future__ import annotations

from connectome_sim.cli.main import main

__all__ = ["main"]
