"""Connections of neurons that no table lists: how many, and whether the identifiers of two tables belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectome_sim.errors import DataError

NEARLY_ALL = 0.9
"""Share above which tables do not belong together. Chosen: by chance one identifier in a hundred ends in 00, so that
rounding to hundreds leaves about 1 % of them alone; a whole brain's connections beside a table of some of its neurons
leave out as many connections, but reach nearly all of these neurons."""
_FEWEST = 10  # identifiers from which a share ending in 00 means something (chosen)


@dataclass(frozen=True, eq=False)
class Strangers:
    """Connections of which at least one neuron is in no table.

    Attributes:
        ids: identifiers in the neuron table [N].
        pre: presynaptic identifiers [connection].
        post: postsynaptic identifiers [connection].
        known: whether both are in the neuron table [connection].
        synapses: number [connection].
    """

    ids: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    known: np.ndarray
    synapses: np.ndarray

    def text(self, *, table: str, place: str) -> str:
        """How many connections are left out, their share, and the first of them."""
        row = np.flatnonzero(~self.known)[0]
        first = self.post[row] if np.isin(self.pre[row], self.ids) else self.pre[row]
        number = int((~self.known).sum())
        return (
            f"left out {number} connection(s), {self.synapses[~self.known].sum()} synapses, of neurons missing from "
            f"{table}: {100 * number / len(self.known):.3g} % of all connections, first in {place}: neuron {first}"
        )

    def refuse(self, *, text: str) -> None:
        """Refuse tables whose identifiers do not belong together.

        Raises:
            DataError: nearly all connections are left out and the others reach few neurons of the table, or
                identifiers were rounded.
        """
        reached = np.unique(np.concatenate([self.pre[self.known], self.post[self.known]])).size
        apart = float((~self.known).mean()) >= NEARLY_ALL and reached <= (1 - NEARLY_ALL) * len(self.ids)
        rounded = self._rounded(apart)
        if apart or rounded:
            raise DataError(
                f"the identifiers of the two tables do not belong together: {text}; the other connections reach "
                f"{reached} of {len(self.ids)} neurons. {rounded or 'Use two tables of one release and version'}"
            )

    def _rounded(self, apart: bool) -> str:
        ends = np.concatenate([self.pre[~self.known], self.post[~self.known]])
        places = {"the connections' unknown neurons": np.setdiff1d(ends, self.ids)}
        if apart:
            places["the neuron table"] = self.ids
        for place, found in places.items():
            for looks, those in {
                "end in 00": found % 100 == 0,
                "are those of a float": _held_by_a_float(found),
            }.items():
                if len(found) >= _FEWEST and those.mean() >= NEARLY_ALL:
                    return (
                        f"{those.sum()} of {len(found)} identifiers of {place} {looks}, so they were probably rounded "
                        "by a spreadsheet or a browser; read 64-bit identifiers as text, and fetch the table again"
                    )
        return ""


def _held_by_a_float(ids: np.ndarray) -> np.ndarray:
    """Which are beyond 53 bits and yet exact as a double, as 1 in 128 of 60 bits is by chance."""
    with np.errstate(invalid="ignore"):  # the largest integer becomes one too large
        return (ids > 2**53) & (ids.astype(np.float64).astype(np.int64) == ids)
