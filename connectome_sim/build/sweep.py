"""Several fits at once in one process, each on its share of the CPU threads. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from threading import Event

import torch

from connectome_sim.build.fitting import FitOutcome, run_fit
from connectome_sim.config import FitConfig
from connectome_sim.errors import ConfigError, ConnectomeSimError


@dataclass(frozen=True, eq=False)
class Member:
    """One fit of several.

    Attributes:
        config: what to fit.
        notes: as in `run_fit`.
    """

    config: FitConfig
    notes: Mapping[str, str] = field(default_factory=dict)


Ended = FitOutcome | ConnectomeSimError


def run_fits(members: Sequence[Member], *, on_end: Callable[[Member, Ended], None] | None = None) -> tuple[Ended, ...]:
    """Fit several members side by side. Each gives what `run_fit` gives alone, in a run folder of its own.

    A fit spends much of its time where it uses one core only (a batch of few trials, the losses, the optimiser), so
    members are spread over the cores first: as many at a time as there are threads, the next one starting where one
    ends. The number of threads is the largest that a configuration names, or what PyTorch chose.

    Args:
        members: what to fit.
        on_end: called in the calling thread with each member as it ends, in the order in which they end.

    Returns:
        Outcome or error of each member; one that fails leaves the others alone.

    Raises:
        ConfigError: members that share a run folder.
        KeyboardInterrupt: interrupted; each member stops at its next checkpoint, from which it can go on.
    """
    folders = [member.config.run for member in members]
    if len(set(folders)) < len(folders):
        raise ConfigError(
            "run: got one folder for several fits, wanted one for each; leave it out, or name it after what differs, "
            "e.g. 'run=runs/mine/seed${seed}'"
        )
    if not members:
        return ()
    threads = max(member.config.threads or torch.get_num_threads() for member in members)
    at_a_time = min(threads, len(members))
    stop = Event()

    def work(member: Member) -> Ended:
        try:
            config = replace(member.config, threads=max(1, threads // at_a_time))
            return run_fit(config, notes=member.notes, stop=stop.is_set)
        except ConnectomeSimError as error:
            return error

    with ThreadPoolExecutor(at_a_time, thread_name_prefix="fit") as pool:
        futures: dict[Future[Ended], Member] = {pool.submit(work, member): member for member in members}
        try:
            for future in as_completed(futures):
                ended = future.result()
                if on_end is not None:
                    on_end(futures[future], ended)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(future.result() for future in futures)
