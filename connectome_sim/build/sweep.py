"""Several fits, evaluations or analyses at once. Prints nothing but a progress bar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from connectome_sim.build.analysis import Analyzed, run_analyze
from connectome_sim.build.fitting import FitOutcome, resume_fit, run_fit
from connectome_sim.build.objects import use_threads
from connectome_sim.build.verbs import run_evaluate, run_figures
from connectome_sim.config import AnalyzeConfig, EvaluateConfig, FiguresConfig, FitConfig
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.solve.threads import Halt, side_by_side


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


MOST_PROCESSES = 61
"""What one pool can wait for on every system."""

Ended = FitOutcome | ConnectomeSimError
ConfigT = TypeVar("ConfigT")
FoundT = TypeVar("FoundT")


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
    _distinct([member.config.run for member in members])
    stop = Halt()

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


def run_analyses(configs: Sequence[AnalyzeConfig], *, on_end: Callable[[Analyzed | ConnectomeSimError], None]) -> None:
    """Analyze several networks, each as `run_analyze` does, in processes side by side where there is more than one.

    Args:
        configs: what to analyze. They share the largest number of threads that one of them states, or PyTorch's own.
        on_end: called with what was found in a network, or the error that it ended in, as it ends.

    Raises:
        ConfigError: one run folder for several.
        ConnectomeSimError: that of a single network; or a process that was killed.
    """
    single = [replace(config, run=(run,)) for config in configs for run in config.run]
    single += [config for config in configs if not config.run]
    _distinct([config.run[0] if config.run else config.folder for config in single])
    threads = _most([config.threads for config in configs])
    if len(single) == 1:
        on_end(run_analyze(replace(single[0], threads=threads)))
    else:
        _apart(run_analyze, [replace(config, threads=None) for config in single], threads, on_end)


def run_drawings(
    configs: Sequence[FiguresConfig], *, on_end: Callable[[Sequence[Path] | ConnectomeSimError], None]
) -> None:
    """Draw the figures of several runs, each as `run_figures` does; arguments and errors as `run_analyses`.

    Also those of a single one are drawn in several processes: a script that calls it must be safe to import.
    """
    _distinct([config.run or config.folder for config in configs])
    threads = torch.get_num_threads()
    if len(configs) == 1:
        on_end(run_figures(configs[0], processes=threads))
    else:
        _apart(run_figures, configs, threads, on_end)


def _apart(
    function: Callable[[ConfigT], FoundT],
    configs: Sequence[ConfigT],
    threads: int,
    on_end: Callable[[FoundT | ConnectomeSimError], None],
) -> None:
    """Call a function with each configuration in ``threads`` processes: much of it holds the interpreter's lock.

    An exception, such as an interruption, drops what has not begun; an interruption also ends what has.
    """
    at_a_time = max(1, min(threads, len(configs), MOST_PROCESSES))
    pool = ProcessPoolExecutor(
        at_a_time,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would inherit locks of threads that it does not
        initializer=_alone,
        initargs=(max(1, threads // at_a_time),),
    )
    others = set(multiprocessing.active_children())
    try:
        futures = [pool.submit(_tried, function, config) for config in configs]
        for future in tqdm(as_completed(futures), total=len(futures), unit="network", disable=None):
            on_end(future.result())
    except BrokenProcessPool as error:
        raise ConnectomeSimError(
            "a process ended by itself, perhaps for want of memory: use fewer of them (threads=... or "
            "OMP_NUM_THREADS), or one network at a time; what had ended before is complete"
        ) from error
    except KeyboardInterrupt:  # of Ctrl-C they hear themselves, of a signal to this process alone they do not
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(threads: int) -> None:
    """Before the first call in a process that has so many threads to itself."""
    use_threads(threads)
    threadpool_limits(threads, user_api="blas")


def _tried(function: Callable[[ConfigT], FoundT], config: ConfigT) -> FoundT | ConnectomeSimError:
    try:
        return function(config)
    except ConnectomeSimError as error:
        return error


def _distinct(folders: Sequence[str]) -> None:
    """Raise a ConfigError where two things at once would write one run folder."""
    places = [Path(folder).resolve() for folder in folders]
    if twice := sorted({str(place) for place in places if places.count(place) > 1}):
        raise ConfigError(
            f"run: got {twice[0]} more than once, wanted a run folder for each; leave it out, or name it after what "
            "differs, e.g. 'run=runs/mine/seed${seed}'"
        )


def _most(threads: Sequence[int | None]) -> int:
    return max((count or torch.get_num_threads() for count in threads), default=1)
