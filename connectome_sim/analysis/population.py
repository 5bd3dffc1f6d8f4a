"""What the statistics over several fits are about: the population in one phrase, for tables, figures and pages."""

from __future__ import annotations


def over_fits(connectomes: int = 1) -> str:
    """What an interval or p value over fits speaks of, which is no population of animals.

    Args:
        connectomes: how many brains the fits are of.
    """
    of = "one connectome" if connectomes == 1 else f"{connectomes} connectomes"
    return f"over fits of {of}, not over animals"
