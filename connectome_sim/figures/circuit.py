"""The circuit at the level of cell types: synapses and signed gains as matrices, and as a graph around the ring.

Knows no equation: gains are read off as the ratio of fitted weights to synapse counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from connectome_sim.axes import FloatArray
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INHIBITION_EXCITATION,
    ORANGE,
    PURPLE,
    RATE,
    SKY,
    VERMILLION,
    new_figure,
    panel_title,
    styled,
)
from connectome_sim.records import FittedNetwork

ORDER = ("EPG", "EPGt", "PEN_a", "PEN_b", "PEG", "Delta7")  # first, in this order; others follow
SECTORS = 8  # of the ring, in the graph: more nodes than 8 per type cannot be told apart
STRONGEST = 0.6  # chosen: edges drawn carry so much of all the weight between the nodes
WIDEST = 2.4  # pt, of the strongest edge
RADIUS = {"Delta7": 0.42, "PEG": 0.68, "EPG": 1.0, "EPGt": 1.0, "PEN_a": 1.32, "PEN_b": 1.62}
COLOUR = {"EPG": GREEN, "EPGt": GREEN, "PEN_a": ORANGE, "PEN_b": VERMILLION, "PEG": SKY, "Delta7": PURPLE}


def ordered_types(types: Sequence[str]) -> list[str]:
    """Cell types in the order in which the circuit is usually told."""
    known = dict.fromkeys(types)
    return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]


def synapses_per_neuron(connectome: Connectome, types: Sequence[str]) -> FloatArray:
    """Synapses that a neuron of the postsynaptic type receives from the presynaptic type, mean [post, pre]."""
    member = np.stack([connectome.neurons.type == name for name in types]).astype(float)
    return (member @ connectome.counts.toarray() @ member.T) / member.sum(axis=1)[:, None]


def signed_gains(connectome: Connectome, network: FittedNetwork, types: Sequence[str]) -> FloatArray:
    """Gain times sign of each pair of types [post, pre], NaN where they are not connected, whatever the granularity.

    The weight of a connection is gain x sign x count / c0, c0 the mean input count of a neuron.
    """
    counts = connectome.counts.toarray().astype(float)
    c0 = counts.sum() / connectome.n_neurons
    found = np.full((len(types), len(types)), np.nan)
    for i, post in enumerate(types):
        for j, pre in enumerate(types):
            block = np.ix_(connectome.neurons.type == post, connectome.neurons.type == pre)
            if (total := counts[block].sum()) > 0:
                found[i, j] = network.weights[block].sum() * c0 / total
    return found


def gains_are_tied(saved: SavedRun) -> bool:
    """Whether every pair of types has one ratio of fitted weight to synapse count, to the precision of float32."""
    if saved.connectome is None or not saved.networks:
        return True
    counts, type_of = saved.connectome.counts.toarray(), saved.connectome.neurons.type
    ratio = np.divide(saved.networks[0].weights, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    for post in saved.connectome.types:
        for pre in saved.connectome.types:
            block = ratio[np.ix_(type_of == post, type_of == pre)]
            block = block[np.isfinite(block)]
            if block.size and np.ptp(block) > 1e-4 * np.abs(block).max():
                return False
    return True


@styled
def type_matrix(saved: SavedRun) -> Figure:
    """Synapses per neuron (left) and sign times fitted gain (right) between cell types [post, pre]."""
    which = "the same for all" if gains_are_tied(saved) else "mean over"
    caption = (
        f"{saved.origin}. Rows receive, columns send. Left: mean number of synapses that a cell receives. Right: sign "
        f"and size of the fitted gain, {which} synapses of a pair of types; logarithmic colours. "
        f"{saved.ending}"
    )
    figure = new_figure("Connectivity and gains by cell type", caption, height=3.5)
    left, right = figure.subplots(1, 2)
    connectome = saved.circuit
    types = ordered_types(list(connectome.types))
    counts = synapses_per_neuron(connectome, types)
    largest = max(float(counts.max()), 1.0)
    image = left.imshow(np.where(counts > 0, counts, np.nan), cmap=RATE, norm=LogNorm(max(largest / 1e3, 0.1), largest))
    _cells(left, types, counts, largest / 20)
    figure.colorbar(image, ax=left, shrink=0.85, label="synapses per cell", pad=0.02)
    panel_title(left, "Synapse counts")
    gains = signed_gains(connectome, saved.networks[0], types)
    sizes = np.abs(gains[np.isfinite(gains) & (gains != 0)])
    end = float(sizes.max()) if sizes.size else 1.0
    start = min(max(float(sizes.min()) if sizes.size else end, end / 1e3), end / 20)
    norm = SymLogNorm(linthresh=start, linscale=0.2, vmin=-end, vmax=end, base=10)
    powers = 10.0 ** np.arange(np.ceil(np.log10(3 * start)), np.floor(np.log10(end)) + 1)
    ticks = [*-powers[::-1], 0.0, *powers]
    image = right.imshow(gains, cmap=INHIBITION_EXCITATION, norm=norm)
    _cells(right, types, gains, end / 3)
    bar = figure.colorbar(image, ax=right, shrink=0.85, label="sign x gain", pad=0.02, ticks=ticks)
    bar.set_ticklabels([f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    bar.minorticks_off()
    panel_title(right, "Fitted gains")
    return figure


def _cells(axes: Axes, types: Sequence[str], values: FloatArray, dark: float) -> None:
    names = [name.replace("Delta", "Δ") for name in types]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value) and value != 0:
            text = f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
            colour = "white" if abs(value) > dark else "black"
            axes.text(j, i, text.replace("-", "\N{MINUS SIGN}"), ha="center", va="center", fontsize=5, color=colour)


@styled
def circuit_graph(saved: SavedRun) -> Figure:
    """The fitted circuit as a graph: cell types by sector of the ring, the strongest connections between them."""
    caption = (
        f"{saved.origin}. Cells of a type in one of {SECTORS} sectors of the ring are one node; "
        f"types without a place on the ring are one node in the middle. Edges: summed fitted weights; width by "
        f"size within a panel; the strongest that carry {100 * STRONGEST:.0f} % of a panel's weight, less those within "
        f"a node. {saved.ending}"
    )
    figure = new_figure("The circuit as a graph", caption, height=4.1)
    graph, place = ring_graph(saved.networks[0])
    panels = figure.subplots(1, 2)
    for axes, sign, colour, title in ((panels[0], 1, VERMILLION, "Excitation"), (panels[1], -1, BLUE, "Inhibition")):
        between = [edge for edge in strongest(graph, sign) if edge[0] != edge[1]]
        _drawn(axes, graph, place, between, colour)
        panel_title(axes, f"{title}: {len(between)} edges")
    names = ordered_types([name for name, _ in graph])
    dots = [Line2D([], [], marker="o", linestyle="", color=COLOUR.get(n, GREY), markersize=4) for n in names]
    figure.legend(dots, [n.replace("Delta", "Δ") for n in names], loc="outside upper right", ncols=len(names))
    return figure


def ring_graph(network: FittedNetwork) -> tuple[nx.DiGraph, dict[tuple[str, int], tuple[float, float]]]:
    """The circuit with one node per type and sector of the ring (-1: no place on it), and where each node lies.

    Edges go from the presynaptic to the postsynaptic node; ``weight`` is the mean over the postsynaptic cells of the
    summed weight that each receives.
    """
    known = np.isfinite(network.ring_angle)
    turns = np.nan_to_num(network.ring_angle) / (2 * np.pi)
    sector = np.where(known, np.round(turns * SECTORS) % SECTORS, -1).astype(int)
    nodes: dict[tuple[str, int], np.ndarray] = {}
    for i, (name, part) in enumerate(zip(network.type, sector.tolist(), strict=True)):
        nodes[name, part] = np.append(nodes.get((name, part), np.zeros(0, int)), i)
    graph: nx.DiGraph[tuple[str, int]] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    for pre, columns in nodes.items():
        for post, rows in nodes.items():
            weight = float(network.weights[np.ix_(rows, columns)].sum() / len(rows))
            if weight:
                graph.add_edge(pre, post, weight=weight)
    homeless = [node for node in nodes if node[1] < 0]
    place = {}
    for node in nodes:
        if node[1] < 0:
            place[node] = (0.14 * (homeless.index(node) - (len(homeless) - 1) / 2), 0.0)
        else:
            angle = 2 * np.pi * node[1] / SECTORS
            radius = RADIUS.get(node[0], 1.9)
            place[node] = (radius * np.cos(angle), radius * np.sin(angle))
    return graph, place


def strongest(graph: nx.DiGraph, sign: int) -> list[tuple[tuple[str, int], tuple[str, int], float]]:
    """The fewest edges of one sign that carry ``STRONGEST`` of its weight, the weakest first."""
    every: list[tuple[tuple[str, int], tuple[str, int], float]] = list(graph.edges(data="weight"))
    edges = sorted((edge for edge in every if edge[2] * sign > 0), key=lambda edge: -abs(edge[2]))
    carried = np.cumsum([abs(edge[2]) for edge in edges])
    number = int(np.searchsorted(carried, STRONGEST * carried[-1])) + 1 if edges else 0
    return edges[:number][::-1]


def _drawn(
    axes: Axes,
    graph: nx.DiGraph,
    place: dict[tuple[str, int], tuple[float, float]],
    edges: Sequence[tuple[tuple[str, int], tuple[str, int], float]],
    colour: str,
) -> None:
    axes.set_aspect("equal")
    axes.set_axis_off()
    largest = max((abs(edge[2]) for edge in edges), default=1.0)
    widths = [max(0.2, WIDEST * abs(edge[2]) / largest) for edge in edges]
    nx.draw_networkx_edges(
        graph, place, ax=axes, edgelist=[edge[:2] for edge in edges], width=widths, edge_color=colour, alpha=0.55,
        arrowsize=4, node_size=26, connectionstyle="arc3,rad=0.12",
    )  # fmt: skip
    colours = [COLOUR.get(name, GREY) for name, _ in graph]
    nx.draw_networkx_nodes(graph, place, ax=axes, node_size=26, node_color=colours, edgecolors="white", linewidths=0.4)
    axes.margins(0.05)
