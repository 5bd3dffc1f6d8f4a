"""NetworkX both ways: nothing is lost, edges run from pre to post, other graphs are read or refused with a reason."""

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from connectome_sim.connectome.connectome import Connectome, Signs
from connectome_sim.connectome.io.graph import from_networkx, to_networkx
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import DataError


def small() -> Connectome:
    c = from_matrix(
        np.array([[0, 5, 1], [0, 2, 0], [0, 0, 0]]),
        orientation="post_pre",
        types=["EPG", "Delta7", "ER"],
        ids=["5813061260", "7", "12"],
        instances=["EPG(PB08)_L5", "", ""],
        sides=["L", "R", ""],
        glomeruli=[5, 0, 0],
        ring_angles=[np.pi, 0.1, np.nan],
    )
    return c.replaced(step="an edit", signs=Signs({"EPG": 1, "Delta7": -1}, {("EPG", "Delta7"): 1}))


def test_edges_run_from_presynaptic_to_postsynaptic() -> None:
    graph = to_networkx(small())
    assert sorted(graph.edges(data="count")) == [("12", "5813061260", 1), ("7", "5813061260", 5), ("7", "7", 2)]
    assert graph.nodes["5813061260"]["type"] == "EPG"
    assert type(graph.nodes["5813061260"]["glomerulus"]) is int


def test_there_and_back_is_the_same_connectome() -> None:
    assert from_networkx(to_networkx(small())).equals(small())


def test_there_and_back_through_graphml_is_the_same_connectome(tmp_path: Path) -> None:
    nx.write_graphml(to_networkx(small()), tmp_path / "x.graphml")
    assert from_networkx(nx.read_graphml(tmp_path / "x.graphml")).equals(small())


def test_another_graph_needs_types_and_counts_only() -> None:
    graph = nx.DiGraph()
    graph.add_node(2**60 + 1, type="A")  # no float holds this identifier
    graph.add_node("b", type="B")
    graph.add_edge("b", 2**60 + 1, count=np.int64(4))
    c = from_networkx(graph)
    assert c.neurons.id.tolist() == ["1152921504606846977", "b"]
    assert c.dense().tolist() == [[0, 4], [0, 0]]
    assert c.provenance.dataset == "graph"
    assert np.isnan(c.neurons.ring_angle).all()


def graph_with(**edge: Any) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_node("a", type="A")
    graph.add_node("b", type="B")
    graph.add_edge("a", "b", **edge)
    return graph


@pytest.mark.parametrize("count", [None, 1.0, -1, "3", True])
def test_an_edge_without_a_count_is_named(count: Any) -> None:
    with pytest.raises(DataError, match=f"edge 'a' -> 'b', attribute 'count': got {count!r}, wanted a whole number"):
        from_networkx(graph_with(count=count))


def test_graphs_that_are_no_connectome_are_refused() -> None:
    with pytest.raises(DataError, match="got a Graph, wanted a DiGraph"):
        from_networkx(graph_with(count=1).to_undirected())
    with pytest.raises(DataError, match="got a MultiDiGraph, wanted a DiGraph"):
        from_networkx(nx.MultiDiGraph(graph_with(count=1)))
    with pytest.raises(DataError, match="got no nodes"):
        from_networkx(nx.DiGraph())


@pytest.mark.parametrize(
    ("node", "fields", "message"),
    [
        (1.5, {"type": "A"}, "node 1.5: got float, wanted a string or an integer"),
        (True, {"type": "A"}, "node True: got bool"),
        ("x", {}, "node 'x': attribute 'type' is missing"),
        ("x", {"type": "A", "glomerulus": "five"}, "wanted numbers"),
        (7, {"type": "A"}, None),
    ],
)
def test_nodes_that_are_no_neurons_are_named(node: Any, fields: dict[str, Any], message: str | None) -> None:
    graph = graph_with(count=1)
    graph.add_node(node, **fields)
    if message is None:
        assert from_networkx(graph).n_neurons == 3
        return
    with pytest.raises(DataError, match=message):
        from_networkx(graph)


def test_two_nodes_that_are_one_identifier_are_refused() -> None:
    graph = graph_with(count=1)
    graph.add_nodes_from([7, "7"], type="A")
    with pytest.raises(DataError, match="'id': 7 appears 2 times"):
        from_networkx(graph)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("signs", "{", "attribute 'signs': got '{', wanted JSON"),
        ("signs", '{"A": 3}', "sign of 'A': got 3"),
        ("sign_overrides", "[1]", r"attribute 'sign_overrides': got \[1\], wanted"),
        ("history", 5, "attribute 'history': got 5, wanted JSON"),
    ],
)
def test_malformed_graph_attributes_are_named(name: str, text: Any, message: str) -> None:
    graph = graph_with(count=1)
    graph.graph[name] = text
    with pytest.raises(DataError, match=message):
        from_networkx(graph)
