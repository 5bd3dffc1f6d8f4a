"""The physiology scorecard of every member of an ensemble: from its name to tables. Prints nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from connectome_sim.analysis.calcium import GCAMP6F, Indicator
from connectome_sim.analysis.observations import shipped_observations
from connectome_sim.analysis.physiology import NOT_APPLICABLE, PASS, scorecard
from connectome_sim.build.ensembles import load_ensemble
from connectome_sim.build.physiology import held_out_seed, recorded, score_table


def member_scorecards(name: str, *, members: Sequence[int] = (), green: Indicator = GCAMP6F) -> Iterator[pd.DataFrame]:
    """The scorecard of each member, as it is measured; no attractor and no other model beside it.

    Args:
        name: of a shipped ensemble, or the path of its folder.
        members: by number; all where none is named.
        green: indicator that the networks are imaged with.

    Yields:
        One row per observation (`score_table`), led by ``ensemble``, ``member`` and ``seed``.

    Raises:
        ConfigError: no such ensemble or member; DataError: its dataset, or a damaged table.
        SolveError: a member that diverges.
    """
    ensemble, observations = load_ensemble(name), shipped_observations()
    for number in members or range(len(ensemble)):
        member, config = ensemble[number], ensemble.config_of(number)
        session = recorded(ensemble.stored(number), config, held_out_seed(config, member.metrics), green=green)
        table = score_table(scorecard(observations, session))
        table.insert(0, "seed", member.seed)
        table.insert(0, "member", number)
        table.insert(0, "ensemble", ensemble.name)
        yield table


def across_members(scores: pd.DataFrame) -> pd.DataFrame:
    """How the members of each ensemble lie in each row.

    Args:
        scores: those of `member_scorecards`, of one or more ensembles.

    Returns:
        One row per ensemble and observation, in the order of the table: how many members were ``measured``, their
        ``median``, ``lowest`` and ``highest`` value, how many ``pass``; where none was measured the ``reason``.
    """
    rows = []
    for (ensemble, row), found in scores.groupby(["ensemble", "id"], sort=False):
        first, measured = found.iloc[0], found[found.verdict != NOT_APPLICABLE]
        rows.append(
            {
                "ensemble": ensemble,
                "id": row,
                **{name: first[name] for name in ("observation", "unit", "animal", "spread", "flies", "checked")},
                "members": len(found),
                "measured": len(measured),
                "median": measured.network.median(),
                "lowest": measured.network.min(),
                "highest": measured.network.max(),
                "pass": int((measured.verdict == PASS).sum()),
                "reason": "" if len(measured) else first.in_words,
            }
        )
    return pd.DataFrame(rows)
