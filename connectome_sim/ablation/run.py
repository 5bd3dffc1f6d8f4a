"""Carrying out a plan: cases side by side, one row each, what is done already skipped. Knows no file and no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch
from tqdm.auto import tqdm

from connectome_sim.ablation.perturbations import Removed
from connectome_sim.ablation.plan import Plan, Planned
from connectome_sim.ablation.probes import VIABLE, Scored
from connectome_sim.ablation.states import STATE, state_of
from connectome_sim.errors import CircuitError, FitError, SolveError
from connectome_sim.solve.threads import side_by_side

Row = dict[str, str]
Score = Callable[[Planned], Scored]

LABELS = ("case_id", "case", "group", "kind", "mode", "target", "level", "member", "seed")
REMOVED = ("neurons", "connections", "synapses")
OK, DIVERGED, FAILED = "ok", "diverged", "failed"


def columns(plan: Plan) -> tuple[str, ...]:
    """Columns of the table of a plan, in order."""
    return (*LABELS, *REMOVED, "status", "reason", STATE, *plan.measures)


def run(
    plan: Plan,
    score: Score,
    *,
    done: Collection[str],
    keep: Callable[[Planned, Row, Scored | None], None],
    on_abort: Callable[[], None] = lambda: None,
    threads: int | None = None,
    progress: bool = True,
) -> None:
    """Score what is not done yet, several cases at a time, each on one thread so that its numbers do not depend on it.

    Args:
        plan: what to do.
        score: builds and measures one case. A SolveError or FitError becomes a row that failed, with a network that is
            not viable; a CircuitError one that failed, without any number. Any other error ends the sweep.
        done: ids of rows that exist.
        keep: called in the calling thread with each row as it ends, in the order in which they end.
        on_abort: called where it is interrupted, before waiting for the cases under way.
        threads: cases at a time; as many as PyTorch uses threads if None.
        progress: show a bar with the time left.
    """
    todo = [row for row in plan.rows if row.id not in done]
    with tqdm(total=len(plan.rows), initial=len(plan.rows) - len(todo), desc="ablate", disable=not progress) as bar:

        def ended(k: int, result: tuple[Row, Scored | None]) -> None:
            keep(todo[k], *result)
            bar.update()

        tasks = [partial(_scored, row, score, plan.measures) for row in todo]
        side_by_side(tasks, threads=threads, on_end=ended, on_abort=on_abort)


def _scored(planned: Planned, score: Score, measures: Sequence[str]) -> tuple[Row, Scored | None]:
    torch.set_num_threads(1)  # of this thread; sums over several threads could differ in their last digit
    try:
        scored = score(planned)
    except CircuitError as error:
        return row_of(planned, FAILED, str(error), {}, measures), None
    except (SolveError, FitError) as error:
        return row_of(planned, FAILED, str(error), {VIABLE: 0.0}, measures), None
    lost = scored.measures.get("failed_trials_share", 0.0)
    status, reason = (DIVERGED, f"{lost:g} of the trials diverged") if lost > 0 else (OK, "")
    return row_of(planned, status, reason, scored.measures, measures, rewired=scored.removed), scored


def row_of(
    planned: Planned,
    status: str,
    reason: str,
    found: dict[str, float],
    measures: Sequence[str],
    *,
    rewired: Removed | None = None,
) -> Row:
    """One row as text: the same numbers give the same bytes, and read back exactly; nothing where there is none."""
    case, member, taken = planned.case, planned.member, planned.removed if rewired is None else rewired
    level = "" if case.level is None else f"{case.level:g}"
    labels = (
        planned.id,
        case.name,
        case.group,
        case.kind,
        case.mode,
        case.target,
        level,
        member.name,
        str(member.seed),
    )
    sizes = (str(taken.neurons), str(taken.connections), f"{taken.synapses:g}")
    numbers = {name: _text(found[name]) if name in found else "" for name in measures}
    known = dict(zip((*LABELS, *REMOVED), (*labels, *sizes), strict=True))
    return {**known, "status": status, "reason": reason, STATE: state_of(numbers), **numbers}


def _text(value: float) -> str:
    return "" if value != value else repr(float(value))
