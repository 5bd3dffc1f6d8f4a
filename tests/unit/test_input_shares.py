"""Shares of input on an asymmetric circuit of three neurons: B sends to A and never the other way round."""

from __future__ import annotations

import numpy as np
import pytest

from connectome_sim.analysis.input_shares import input_shares

TYPE = ("A", "B", "A")
COUNTS = np.array([[0.0, 6, 2], [0, 5, 0], [1, 3, 0]])  # [post, pre]: A<-A 3, A<-B 9, B<-B 5, B<-A none
GAINS = np.array([[0.0, -2, 10], [0, -1, 0], [10, -2, 0]])
STATES = np.array([[0.2, 0.5, 0.0], [0.6, 0.7, 0.4]])  # means 0.4, 0.6, 0.2


def shares(types: tuple[str, ...] = ("A", "B")):  # type: ignore[no-untyped-def]
    return input_shares(COUNTS, GAINS * COUNTS, STATES, TYPE, types=types)


def test_rows_receive_and_columns_send() -> None:
    found = shares()
    np.testing.assert_array_equal(found.synapses, [[3, 9], [0, 5]])
    np.testing.assert_allclose(found.raw, [[0.25, 0.75], [0, 1]])


def test_effective_shares_are_those_of_the_sizes_of_the_weights() -> None:
    np.testing.assert_allclose(shares().effective, [[30 / 48, 18 / 48], [0, 1]])  # 20 + 10 against 12 + 6


def test_shares_at_rest_weigh_with_the_mean_rate_of_the_presynaptic_neuron() -> None:
    own = 20 * 0.2 + 10 * 0.4
    np.testing.assert_allclose(shares().at_rest[0], np.array([own, 18 * 0.6]) / (own + 18 * 0.6))


def test_the_order_of_types_is_the_one_asked_for() -> None:
    np.testing.assert_allclose(shares(("B", "A")).raw, [[1, 0], [0.75, 0.25]])


@pytest.mark.parametrize("which", ["raw", "effective", "at_rest"])
def test_the_shares_of_a_type_sum_to_one(which: str) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, (40, 40)).astype(float)
    type = tuple(rng.choice(["A", "B", "C"], 40).tolist())
    found = input_shares(counts, rng.normal(size=(40, 40)) * counts, rng.random((16, 40)), type, types=("A", "B", "C"))
    np.testing.assert_allclose(getattr(found, which).sum(axis=1), 1)


def test_a_type_without_input_has_no_shares() -> None:
    found = input_shares(np.triu(COUNTS, 1), np.triu(COUNTS, 1), STATES, TYPE, types=("A", "B"))
    assert found.synapses[1].sum() == 0 and np.isnan(found.raw[1]).all()


def test_the_table_has_a_row_for_each_connected_pair_and_its_shares_sum_to_one() -> None:
    rows = shares().rows()
    assert [(row["postsynaptic"], row["presynaptic"], row["synapses"]) for row in rows] == [
        ("A", "A", "3"),
        ("A", "B", "9"),
        ("B", "B", "5"),
    ]
    for column in ("share_of_synapses", "share_of_weight", "share_of_input_at_rest"):
        assert sum(float(row[column]) for row in rows if row["postsynaptic"] == "A") == pytest.approx(1, abs=1e-5)
