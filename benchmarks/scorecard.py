"""The physiology scorecard of all members of one or more ensembles: tables, and a figure. Measures nothing else.

    python benchmarks/scorecard.py hemibrain_ring hemibrain_core --out results/scorecards

writes ``scorecards.csv`` (a row per member and observation), ``across_members.csv`` (median, range, how many pass) and
``scorecards.png``, and prints the second as a table. ``--from FILE`` takes the first as it is and draws again;
``--slow-kernel`` images with the time constants that Turner-Evans et al. 2017 convolve velocity with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from connectome_sim.analysis.calcium import GCAMP6F, GCAMP6F_TEN_SPIKES, Indicator
from connectome_sim.build.objects import use_threads
from connectome_sim.build.scorecards import across_members, member_scorecards
from connectome_sim.figures.rendering import rendered
from connectome_sim.figures.scorecards import scorecards


def measured(ensembles: list[str], members: list[int], green: Indicator) -> pd.DataFrame:
    """The members, one after another; all where none is named."""
    tables = []
    for name in ensembles:
        for table in member_scorecards(name, members=members, green=green):
            print(f"{name}, member {table.member.iloc[0]}", file=sys.stderr, flush=True)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def markdown(across: pd.DataFrame) -> str:
    """A line per observation: the animal, then of each ensemble its median, range and how many members pass."""
    names = list(across.ensemble.unique())
    lines = [f"| observation | animal | {' | '.join(names)} | source |", "|---" * (len(names) + 3) + "|"]
    for _, rows in across.groupby("id", sort=False):
        first = rows.iloc[0]
        unit = "" if str(first.unit) == "1" else f" {first.unit}"
        flies = "" if pd.isna(first.flies) else f", N = {first.flies:g}"
        cells = [_cell(rows[rows.ensemble == name].iloc[0]) for name in names]
        seen = f"{first.animal:g} {first.spread}{flies}{unit}"
        lines.append(f"| {first.observation} | {seen} | {' | '.join(cells)} | {first.checked} |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    if not row.measured:
        return str(row.reason)
    return f"{row['median']:.3g} ({row.lowest:.3g} to {row.highest:.3g}); {row['pass']} of {row.measured}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ensembles", nargs="*", help="names of shipped ensembles, or folders")
    parser.add_argument("--out", type=Path, default=Path("results/scorecards"))
    parser.add_argument("--from", type=Path, nargs="+", dest="files", help="scorecards.csv of earlier calls")
    parser.add_argument("--members", type=int, nargs="+", default=[], help="all by default")
    parser.add_argument("--slow-kernel", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if bool(given.ensembles) == bool(given.files):
        parser.error("got ensembles and --from, or neither; wanted one of them")
    use_threads(given.threads)
    green = GCAMP6F_TEN_SPIKES if given.slow_kernel else GCAMP6F
    if given.files:
        scores = pd.concat([pd.read_csv(file) for file in given.files], ignore_index=True)
    else:
        scores = measured(given.ensembles, given.members, green)
    across = across_members(scores)
    given.out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(given.out / "scorecards.csv", index=False)
    across.to_csv(given.out / "across_members.csv", index=False)
    (given.out / "scorecards.png").write_bytes(rendered(scorecards(scores), "png"))
    print(markdown(across))


if __name__ == "__main__":
    main()
