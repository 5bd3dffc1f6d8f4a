"""What the verbs on results and on fits share: reading a word of the arguments, and saying what came out.

Knows no verb.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from connectome_sim.build import score_table
from connectome_sim.cli.main import say
from connectome_sim.config import FitConfig
from connectome_sim.records import RunFolder


@contextmanager
def to_go_on(verb: str, arguments: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Say what goes on where the work inside is interrupted; nothing where there are no arguments."""
    try:
        yield
    except KeyboardInterrupt:
        if given := arguments():
            say(command(verb, given))
        raise


def command(verb: str, arguments: Sequence[str]) -> str:
    """How to go on, for people: a command that a shell takes as it is."""
    return f"go on with: {shlex.join(['connectome-sim', verb, *arguments])}"


def print_scores(folder: RunFolder, metrics: Mapping[str, float], config: FitConfig) -> None:
    """The held-out scores of a run, with its data and seeds."""
    manifest = folder.manifest()
    drawn = ", drawn: none of its neurons is real" if config.connectome.is_drawn else ""
    seeds = ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items())
    version = "" if manifest.dataset_version in manifest.dataset else f" {manifest.dataset_version}"
    print(f"held-out scores on {manifest.dataset}{version}{drawn}; seeds: {seeds}")
    print(score_table(metrics, config.success))


def print_reasons(what: str, reasons: Sequence[str]) -> None:
    """Why something is not well, if it is not."""
    if reasons:
        print(f"connectome-sim: {what}: {'; '.join(reasons)}", file=sys.stderr)


def value(name: str, arguments: list[str]) -> str | None:
    """Value of the last ``name=value``."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == name]
    return values[-1] if values else None


def only_shows(arguments: list[str]) -> bool:
    """Whether Hydra is asked to show something and not to run."""
    return any(argument in ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info") for argument in arguments)


def print_paths(paths: Sequence[Path]) -> None:
    """Files, one a line."""
    for path in paths:
        print(path)
