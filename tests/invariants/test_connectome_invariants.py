"""What must hold for every connectome: round trips lose nothing, the order of a table does not matter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from connectome_sim import files
from connectome_sim.connectome.anatomy import CIRCUITS, half_tile_angle, head_direction_circuit
from connectome_sim.connectome.connectome import Connectome, Signs
from connectome_sim.connectome.io import graph, hdf5
from connectome_sim.connectome.io.matrix import from_matrix

# XML and HDF5 hold no NUL and no surrogates; NumPy cuts trailing NUL
text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@st.composite
def ingredients(draw: st.DrawFn) -> dict[str, Any]:
    """What `build` makes a connectome of; made outside, because a strategy may not run the checked package."""
    n = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy) -> list:
        return draw(st.lists(values, min_size=n, max_size=n))

    types = column(text)
    sign = st.sampled_from([-1, 1])
    return {
        "matrix": draw(arrays(np.int64, (n, n), elements=st.integers(0, 2**62 - 1) | st.just(0))),
        "types": types,
        "ids": draw(st.lists(text, min_size=n, max_size=n, unique=True)),
        "instances": column(text),
        "sides": column(st.sampled_from(["L", "R", ""])),
        "glomeruli": column(st.integers(0, 9)),
        "ring_angles": column(st.floats(-10, 10) | st.just(np.nan)),
        "citation": draw(text),
        "step": draw(text),
        "signs": {t: draw(sign) for t in types},
        "overrides": draw(st.dictionaries(st.tuples(text, text), sign, max_size=3)),
    }


def build(parts: dict[str, Any]) -> Connectome:
    options = {name: value for name, value in parts.items() if name not in ("matrix", "step", "signs", "overrides")}
    c = from_matrix(parts["matrix"], orientation="post_pre", **options)
    return c.replaced(step=parts["step"], signs=Signs(parts["signs"], parts["overrides"]))


@given(parts=ingredients())
def test_a_graph_gives_the_same_connectome_back(parts: dict[str, Any]) -> None:
    connectome = build(parts)
    assert graph.from_networkx(graph.to_networkx(connectome)).equals(connectome)


@given(parts=ingredients())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_file_gives_the_same_connectome_back(parts: dict[str, Any], tmp_path: Path) -> None:
    connectome = build(parts)
    files.start(tmp_path)  # what is vouched for is read in this process, which is faster
    hdf5.write(connectome, tmp_path / "connectome.h5")
    assert hdf5.read(tmp_path / "connectome.h5").equals(connectome)


@given(parts=ingredients())
def test_type_pair_totals_add_up_to_all_synapses(parts: dict[str, Any]) -> None:
    connectome = build(parts)
    # whole numbers modulo 2**64 on both sides
    assert connectome.totals().sum() == connectome.counts.data.sum()


CELLS = [("EPG", f"EPG(PB08)_{side}{g}") for side in "LR" for g in (1, 1, 4, 8)] + [
    ("EPGt", "EPGt(PB09)_L9"),
    ("PEN_a(PEN1)", "PEN_a(PB06a)_R2"),
    ("PEN_b(PEN2)", "PEN_b(PB06b)_L9"),
    ("PEG", "PEG(PB07)_R9"),
    ("Delta7", "Delta7(PB15)_L1L9R8_R"),
    ("ER4m", "ER4m(ring)_R"),
    ("ER5", "ER5(ring)_L"),
    ("CL141", "CL141_L"),
]


@given(order=st.permutations(range(len(CELLS))))
def test_the_circuit_does_not_depend_on_the_order_of_the_neuron_table(order: list[int]) -> None:
    n = len(CELLS)
    counts = np.arange(n * n).reshape(n, n)

    def circuit(rows: list[int]) -> Connectome:
        whole = from_matrix(
            counts[np.ix_(rows, rows)],
            orientation="post_pre",
            types=[CELLS[i][0] for i in rows],
            instances=[CELLS[i][1] for i in rows],
            ids=[str(95 + i) for i in rows],
        )
        return head_direction_circuit(whole, classes=CIRCUITS["core_er"])

    straight, permuted = circuit(list(range(n))), circuit(order)
    assert permuted.neurons.id.tolist() == straight.neurons.id.tolist()
    np.testing.assert_array_equal(permuted.dense(), straight.dense())
    np.testing.assert_array_equal(permuted.neurons.ring_angle, straight.neurons.ring_angle)


@given(glomerulus=st.integers(1, 9))
def test_left_and_right_glomeruli_are_mirror_images(glomerulus: int) -> None:
    # the mirror lies between L1 and R1: angles of L_g and R_g add up to -22.5 degrees
    both = half_tile_angle("L", glomerulus) + half_tile_angle("R", glomerulus)
    assert np.degrees(both) % 360 == pytest.approx(337.5)
