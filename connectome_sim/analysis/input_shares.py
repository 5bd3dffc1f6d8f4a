"""Where the input of a cell type comes from: by synapses, and by what a fit made of them. Knows no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TypeMatrix = Float[np.ndarray, "post pre"]


@dataclass(frozen=True, eq=False)
class InputShares:
    """Shares of the input of each postsynaptic type, [post type, pre type]; a row sums to 1, or is NaN without input.

    Attributes:
        types: names, in the order of rows and columns.
        synapses: their number.
        raw: share of the synapses.
        effective: share of the summed size of the weights, |g C|.
        at_rest: share of the summed size of what arrives, |g C r|, mean over settled states.
    """

    types: tuple[str, ...]
    synapses: TypeMatrix
    raw: TypeMatrix
    effective: TypeMatrix
    at_rest: TypeMatrix

    def rows(self) -> list[dict[str, str]]:
        """One row for each connected pair of types, as texts; shares to six digits."""
        return [
            {
                "postsynaptic": self.types[post],
                "presynaptic": self.types[pre],
                "synapses": f"{self.synapses[post, pre]:.0f}",
                "share_of_synapses": f"{self.raw[post, pre]:.6g}",
                "share_of_weight": f"{self.effective[post, pre]:.6g}",
                "share_of_input_at_rest": f"{self.at_rest[post, pre]:.6g}",
            }
            for post, pre in np.argwhere(self.synapses > 0).tolist()
        ]


def input_shares(
    counts: Float[np.ndarray, "post pre"],
    weights: Float[np.ndarray, "post pre"],
    states: Float[np.ndarray, "heading neuron"],
    type: Sequence[str],
    *,
    types: Sequence[str],
) -> InputShares:
    """Shares of input by pair of cell types, excitation and inhibition alike.

    With C_ij synapses, fitted weights W_ij = g s C_ij / c0 and rates r_j, the share of type B in the input of type A is

        raw       sum C_ij / sum_B' sum C_ij             sums over i in A, j in B
        effective sum |W_ij| / sum_B' sum |W_ij|
        at rest   sum |W_ij| <|r_j|> / sum_B' ...        <>: mean over settled states

    Args:
        counts: synapses of each connection.
        weights: of each connection, sign included.
        states: settled rates at some headings.
        type: cell type of each neuron.
        types: order of rows and columns.
    """
    member = (np.asarray(type) == np.asarray(types)[:, None]).astype(float)
    sizes, rates = np.abs(weights), np.abs(states).mean(axis=0)
    synapses, effective, arriving = (member @ matrix @ member.T for matrix in (counts, sizes, sizes * rates))
    return InputShares(tuple(types), synapses, _shares(synapses), _shares(effective), _shares(arriving))


def _shares(totals: TypeMatrix) -> TypeMatrix:
    whole = totals.sum(axis=1, keepdims=True)
    return np.divide(totals, whole, out=np.full_like(totals, np.nan), where=whole > 0)
