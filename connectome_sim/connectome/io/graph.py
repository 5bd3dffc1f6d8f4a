"""NetworkX graphs, both ways. Knows nothing of the fly.

A node is a neuron's identifier and carries the fields of the neuron table; an edge runs from the presynaptic to the
postsynaptic neuron and carries ``count``. Graph attributes are plain text, so the graph can be written as GraphML.
"""

from __future__ import annotations

import json
import math
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.errors import DataError

_DEFAULTS: dict[str, Any] = {
    "database_type": "",
    "instance": "",
    "side": "",
    "glomerulus": 0,
    "ring_angle": math.nan,
}
_SOURCE = ("dataset", "version", "sha256", "citation")


def to_networkx(connectome: Connectome) -> nx.DiGraph:
    """The connectome as a directed graph with an edge per connected pair; `from_networkx` gives the same one back."""
    neurons, source, signs = connectome.neurons, connectome.provenance, connectome.signs
    graph: nx.DiGraph[Any] = nx.DiGraph(
        **{name: getattr(source, name) for name in _SOURCE},
        history=json.dumps(source.history),
        signs=json.dumps(dict(signs.by_type)),
        sign_overrides=json.dumps([[post, pre, sign] for (post, pre), sign in signs.overrides.items()]),
    )
    fields = ["type", *_DEFAULTS]
    columns = [getattr(neurons, name).tolist() for name in fields]
    ids = neurons.id.tolist()
    graph.add_nodes_from(
        (ids[i], dict(zip(fields, row, strict=True))) for i, row in enumerate(zip(*columns, strict=True))
    )
    counts = connectome.counts.tocoo()
    post, pre = counts.coords
    graph.add_edges_from(
        (ids[j], ids[i], {"count": count})
        for i, j, count in zip(post.tolist(), pre.tolist(), counts.data.tolist(), strict=True)
    )
    return graph


def from_networkx(graph: nx.Graph) -> Connectome:
    """A connectome from a directed graph; neurons keep the order of the nodes.

    Args:
        graph: nodes are strings or integers and need ``type``, other fields may be absent; edges run from the
            presynaptic to the postsynaptic neuron and need ``count``.

    Raises:
        DataError: not directed, parallel edges, a node or edge without what it needs, a count that is no whole number.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise DataError(f"graph: got a {type(graph).__name__}, wanted a DiGraph: directed, one edge per pair")
    if graph.number_of_nodes() == 0:
        raise DataError("graph: got no nodes, wanted at least one neuron")
    position = {node: i for i, node in enumerate(graph)}
    return Connectome(
        neurons=_neurons(graph),
        counts=_counts(graph, position),
        signs=_signs(graph.graph),
        provenance=Provenance(
            dataset=str(graph.graph.get("dataset", "graph")),
            **{name: str(graph.graph.get(name, "")) for name in _SOURCE[1:]},
            history=tuple(_json(graph.graph, "history", "[]")),
        ),
    )


def _neurons(graph: nx.Graph) -> Neurons:
    for node, fields in graph.nodes(data=True):
        if not isinstance(node, str | int | np.integer) or isinstance(node, bool):
            raise DataError(
                f"graph, node {node!r}: got {type(node).__name__}, wanted a string or an integer identifier"
            )
        if "type" not in fields:
            raise DataError(f"graph, node {node!r}: attribute 'type' is missing, wanted its cell type")
    columns = {
        name: [fields.get(name, default) for _, fields in graph.nodes(data=True)] for name, default in _DEFAULTS.items()
    }
    try:
        return Neurons(
            id=np.array([str(node) for node in graph], dtype=str),
            type=np.array([str(fields["type"]) for _, fields in graph.nodes(data=True)], dtype=str),
            glomerulus=np.array(columns.pop("glomerulus"), dtype=np.int64),
            ring_angle=np.array(columns.pop("ring_angle"), dtype=np.float64),
            **{name: np.array([str(value) for value in values], dtype=str) for name, values in columns.items()},
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"graph, node attributes 'glomerulus' or 'ring_angle': wanted numbers ({error})") from None


def _counts(graph: nx.Graph, position: dict[Any, int]) -> sp.csr_array:
    rows, columns, data = [], [], []
    for pre, post, fields in graph.edges(data=True):
        count = fields.get("count")
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise DataError(
                f"graph, edge {pre!r} -> {post!r}, attribute 'count': got {count!r}, wanted a whole number, 0 or more"
            )
        rows.append(position[post])
        columns.append(position[pre])
        data.append(int(count))
    return sp.csr_array((np.array(data, dtype=np.int64), (rows, columns)), shape=(len(position), len(position)))


def _signs(attributes: dict[str, Any]) -> Signs:
    overrides = _json(attributes, "sign_overrides", "[]")
    try:
        return Signs(_json(attributes, "signs", "{}"), {(post, pre): sign for post, pre, sign in overrides})
    except (TypeError, ValueError, AttributeError):
        raise DataError(
            f"graph, attribute 'sign_overrides': got {overrides!r}, wanted [post, pre, sign] entries"
        ) from None


def _json(attributes: dict[str, Any], name: str, default: str) -> Any:
    text = attributes.get(name, default)
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise DataError(f"graph, attribute {name!r}: got {text!r}, wanted JSON text") from None
