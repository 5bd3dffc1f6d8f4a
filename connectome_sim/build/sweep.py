"""Several fits or evaluations at once in one process. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event

import torch

from connectome_sim.build.fitting import FitOutcome, resume_fit, run_fit
from connectome_sim.build.verbs import run_evaluate
from connectome_sim.config import EvaluateConfig, FitConfig
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.solve.threads import side_by_side


@dataclass(frozen=True, eq=False)
class Member:
    """One fit of several.

    Attributes:
        config: what to fit.
        notes: as in `run_fit`.
        resume: go on with the run in its folder.
    """

    config: FitConfig
    notes: Mapping[str, str] = field(default_factory=dict)
    resume: bool = False


Ended = FitOutcome | ConnectomeSimError


def run_fits(members: Sequence[Member], *, on_end: Callable[[Member, Ended], None] | None = None) -> tuple[Ended, ...]:
    """Fit several members side by side. Each gives what `run_fit` (or `resume_fit`) gives alone, in its own run folder.

    Args:
        members: what to fit. They share the largest number of threads that one of them states, or PyTorch's own.
        on_end: called in the calling thread with each member as it ends, in the order in which they end.

    Returns:
        Outcome or error of each member; one that fails leaves the others alone.

    Raises:
        ConfigError: members that share a run folder.
        KeyboardInterrupt: interrupted; each member stops after its iteration, from which it can go on.
    """
    folders = [member.config.run for member in members]
    if len(set(folders)) < len(folders):
        raise ConfigError(
            "run: got one folder for several fits, wanted one for each; leave it out, or name it after what differs, "
            "e.g. 'run=runs/mine/seed${seed}'"
        )
    stop = Event()

    def work(member: Member) -> Ended:
        config = replace(member.config, threads=None)
        try:
            if member.resume:
                return resume_fit(config, stop=stop.is_set)
            return run_fit(config, notes=member.notes, stop=stop.is_set)
        except ConnectomeSimError as error:
            return error

    return side_by_side(
        [partial(work, member) for member in members],
        threads=_most([member.config.threads for member in members]),
        on_end=None if on_end is None else lambda k, ended: on_end(members[k], ended),
        on_abort=stop.set,
    )


def run_evaluations(
    configs: Sequence[EvaluateConfig],
    *,
    on_end: Callable[[EvaluateConfig, dict[str, float], list[str]], None] | None = None,
) -> tuple[tuple[dict[str, float], list[str]], ...]:
    """Measure several runs side by side, each as `run_evaluate` does.

    Args:
        configs: what to measure. They share the largest number of threads that one of them states, or PyTorch's own.
        on_end: called in the calling thread with what a run gave as it ends.

    Raises:
        ConnectomeSimError: as `run_evaluate`; runs that have begun are still measured.
    """
    return side_by_side(
        [partial(run_evaluate, replace(config, threads=None)) for config in configs],
        threads=_most([config.threads for config in configs]),
        on_end=None if on_end is None else lambda k, found: on_end(configs[k], *found),
    )


def _most(threads: Sequence[int | None]) -> int:
    return max((count or torch.get_num_threads() for count in threads), default=1)
