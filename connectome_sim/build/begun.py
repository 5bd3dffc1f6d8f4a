"""Fits that were begun before: which of them are done, and which go on. Prints nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from connectome_sim.build.fitting import check_same, semantics
from connectome_sim.build.sweep import Member
from connectome_sim.config import FitConfig
from connectome_sim.errors import RunFolderError
from connectome_sim.records import RunFolder, config_hash

_LOG = logging.getLogger("connectome_sim")


def taken_up(member: Member) -> Member | RunFolder:
    """What is left to do for a fit: to begin it, or to go on with it; its folder where it is done, also if it failed.

    Its folder is the one that its configuration names. Where that name is one of its own (it ends in ``id``), it is the
    folder beside it whose run has the same configuration; of several the newest, one that is done before the others.

    Raises:
        RunFolderError: its folder holds another fit, or none that can be read.
    """
    config = replace(member.config, resume=False)
    folder = _folder(config)
    if folder is None:
        return replace(member, config=config)
    check_same(folder, config)
    if folder.manifest().is_done:
        return folder
    return replace(member, config=replace(config, run=str(folder.path)), resume=True)


def _folder(config: FitConfig) -> RunFolder | None:
    path = Path(config.run)
    if path.exists():
        return RunFolder.open(path)
    if not (config.id and path.name.endswith(config.id)):
        return None
    found = [run for run in _runs(path.parent) if run.manifest().config_sha256 == config_hash(semantics(config))]
    return max(found, key=lambda run: (run.manifest().is_done, run.manifest().started), default=None)


def _runs(folder: Path) -> Iterator[RunFolder]:
    """The runs that can be read in a folder of runs."""
    for path in sorted(folder.glob("[!.]*/manifest.json")):
        try:
            yield RunFolder.open(path.parent)
        except RunFolderError as error:
            _LOG.warning("left out when looking for what was begun: %s", error)
