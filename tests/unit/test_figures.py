"""Figures show the numbers that were saved, and say so where nothing was. Runs are made by hand, contents known."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, DataError, RunFolderError
from connectome_sim.evaluate import Protocol, evaluate
from connectome_sim.figures import (
    FIGURES,
    SavedRun,
    bump_kymograph,
    draw_all,
    gain_curve,
    integration_error,
    loss_curves,
    rest_drift,
    style,
    weight_matrix,
)
from connectome_sim.figures.activity import bump_animation, by_wedge, type_kymographs
from connectome_sim.figures.all import left_out
from connectome_sim.figures.circuit import (
    circuit_graph,
    gains_are_tied,
    ordered_types,
    ring_graph,
    signed_gains,
    strongest,
    synapses_per_neuron,
    type_matrix,
)
from connectome_sim.figures.headings import broken_at_wraps
from connectome_sim.figures.input_shares import input_share_matrices
from connectome_sim.figures.integration import circular_sd
from connectome_sim.figures.member_scores import member_scores
from connectome_sim.figures.needs import not_drawn
from connectome_sim.figures.parameters import parameters
from connectome_sim.figures.rendering import rendered
from connectome_sim.figures.weights import apart
from connectome_sim.records import (
    FittedNetwork,
    Manifest,
    RunFolder,
    atomic,
    write_arrays,
    write_network,
    write_parameters,
)
from tests.rings import ring

TYPES = ["Delta7", "EPG", "EPG", "Delta7", "EPG"]  # out of order on purpose
ANGLES = [math.pi, 3.0, 1.0, math.nan, 2.0]
BY_TYPE_AND_RING = [0, 3, 2, 4, 1]  # Delta7 comes first in the table; NaN last; EPG at 1, 2, 3 rad
COUNTS = np.arange(25).reshape(5, 5)
WEIGHTS = np.arange(25.0).reshape(5, 5) - 12
SPEEDS = np.array([5.0, 50.0, 500.0])
N_TRIALS = 8


def connectome(dataset: str = "hemibrain", version: str = "v1.2") -> Connectome:
    ids = np.array([str(i) for i in range(5)])
    neurons = Neurons(ids, np.array(TYPES), np.array(TYPES), ids, np.full(5, ""), np.zeros(5, int), np.array(ANGLES))
    signs = Signs({"EPG": 1, "Delta7": -1})
    return Connectome(neurons, sp.csr_array(COUNTS), Provenance(dataset, version), signs)


def network(seed: int = 7) -> FittedNetwork:
    labels = {name: ("",) * 5 for name in ("id", "instance", "side")}
    arrays = {"bias": np.zeros(5), "time_constant": np.ones(5), "velocity_input": np.zeros(5)}
    return FittedNetwork(
        weights=WEIGHTS,
        activation="sigmoid",
        ring_angle=np.array(ANGLES),
        type=tuple(TYPES),
        initial_states=np.zeros((16, 5)),
        initial_headings=np.zeros(16),
        seed=seed,
        **arrays,
        **labels,
    )


def history() -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for i in range(6):
        row = {"iteration": float(i), "stage": float(i // 3), "horizon_s": 0.5 if i < 3 else 2.0}
        row |= {"total": 2.0**-i, "bump": 0.5 * 2.0**-i, "drift": 0.1 * i if i % 2 else math.nan}
        row |= {"learning_rate": 0.01, "wall_time_s": float(i), "damping": 0.1, "total_after": 0.5}
        rows.append(row | ({"validation_total": 1.0 / (i + 1)} if i % 3 == 0 else {}))
    return rows


def arrays() -> dict[str, np.ndarray]:
    """Headings that wander over many turns, gains that are different at each velocity."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 60, 301)
    true = np.cumsum(rng.normal(0, 0.3, (301, N_TRIALS)), axis=0)
    return {
        "walking/time_s": time,
        "walking/true_heading_rad": true,
        "walking/decoded_heading_rad": true + np.cumsum(rng.normal(0, 0.05, true.shape), axis=0),
        "walking/vector_length": np.full(true.shape, 0.8),
        "walking/kymograph": rng.uniform(0, 1, (301, 16)),
        "walking/kymograph_angle_rad": 2 * np.pi * np.arange(16) / 16,
        "rest/time_s": time,
        "rest/decoded_heading_rad": 0.1
        + 2 * np.pi * np.arange(N_TRIALS) / N_TRIALS
        + np.outer(time, rng.normal(0, 0.1, 8)),
        "rest/cue_heading_rad": 2 * np.pi * np.arange(N_TRIALS) / N_TRIALS,
        "constant/velocity_deg_per_s": np.concatenate([-SPEEDS[::-1], SPEEDS]),
        "constant/gain": np.array([0.9, 0.8, -4.0, 0.5, 1.0, 1.1]),  # at -500, -50, -5, 5, 50, 500 deg/s
        "constant/gain_sd": np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]),
    }


METRICS = {
    "linear_range_low_deg_per_s": 50.0,
    "linear_range_high_deg_per_s": 500.0,
    "bump_present_share": 1.0,
    "rest_distinct_headings": 8.0,
}


def finished_run(path: Path) -> RunFolder:
    folder = RunFolder.create(path, Manifest.start(seeds={"fit": 7}, dataset="hemibrain"))
    hdf5.write(connectome(), folder.connectome)
    write_network(folder.network, [network()])
    write_parameters(folder.parameters, {"gain/EPG<-EPG": torch.tensor(2.0), "threshold/EPG": torch.tensor(1.0)})
    folder.write_history(history())
    folder.write_metrics(METRICS)
    write_arrays(folder.evaluation, arrays())
    folder.finish(status="succeeded", wall_time_s=1.0)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return finished_run(tmp_path / "run")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return SavedRun.read(finished_run(tmp_path_factory.mktemp("runs") / "run"))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def lines(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.get_lines()}


def finite(line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    """Points of a line without the gaps where it wraps."""
    x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
    return x[np.isfinite(y)], y[np.isfinite(y)]


def wrapped_deg(heading: np.ndarray) -> np.ndarray:
    """An own formula, not circular.wrap."""
    return np.rad2deg(np.angle(np.exp(1j * heading)))


# --- what is drawn is what was saved ---


def test_the_weight_matrix_is_the_saved_one_by_type_and_ring(saved: SavedRun) -> None:
    figure = weight_matrix(saved)
    counts, weights = (axes.images[0].get_array() for axes in figure.axes if axes.images)
    order = np.ix_(BY_TYPE_AND_RING, BY_TYPE_AND_RING)
    signs = np.array([-1, 1, 1, -1, 1])  # of the presynaptic neuron, the column
    assert np.array_equal(counts, (COUNTS * signs)[order])
    assert np.array_equal(weights, WEIGHTS[order])


def test_excitation_and_inhibition_have_colours_of_equal_strength(saved: SavedRun) -> None:
    image = next(axes.images[0] for axes in weight_matrix(saved).axes if axes.images)
    assert image.norm.vmin == -image.norm.vmax
    assert float(image.norm(0.0)) == pytest.approx(0.5)  # white
    red, _, blue, _ = np.moveaxis(image.cmap(image.norm(np.array([-10.0, 10.0]))), -1, 0)
    assert blue[0] > red[0] and red[1] > blue[1]  # inhibition blue, excitation orange


def test_a_single_outlier_does_not_set_the_colours(saved: SavedRun) -> None:
    n = 50
    values = np.ones((n, n))
    values[0, 0] = 1e6
    large = replace(
        network(),
        weights=values,
        type=("EPG",) * n,
        **{name: ("",) * n for name in ("id", "instance", "side")},
        **{name: np.ones(n) for name in ("bias", "time_constant", "velocity_input", "ring_angle")},
        initial_states=np.zeros((16, n)),
    )
    image = next(
        a.images[0] for a in weight_matrix(replace(saved, connectome=None, networks=(large,))).axes if a.images
    )
    assert image.norm.vmax < 2


def test_counts_without_signs_are_drawn_and_called_so(saved: SavedRun) -> None:
    assert saved.connectome is not None
    unsigned = replace(saved, connectome=replace(saved.connectome, signs=Signs({})), networks=())
    assert "signs not stated" in texts(weight_matrix(unsigned))


def test_loss_curves_are_the_columns_of_the_history(saved: SavedRun) -> None:
    axes = loss_curves(saved).axes[0]
    drawn = lines(axes)
    assert set(drawn) == {"total", "bump", "drift", "validation total"}  # and none of the optimiser's numbers
    assert np.array_equal(drawn["total"].get_ydata(), [2.0**-i for i in range(6)])
    assert np.array_equal(drawn["drift"].get_xdata(), [1, 3, 5])  # the rows that have it
    assert np.allclose(drawn["drift"].get_ydata(), [0.1, 0.3, 0.5])
    assert np.array_equal(drawn["validation total"].get_xdata(), [0, 3])
    assert axes.get_yscale() == "log"


def test_changes_of_the_horizon_are_marked(saved: SavedRun) -> None:
    axes = loss_curves(saved).axes[0]
    (shaded,) = axes.patches
    assert (shaded.get_x(), shaded.get_width()) == (3, 2)
    labels = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert labels == {"horizon 0.5 s": 0, "2 s": 3}


def test_a_negative_loss_is_not_lost_on_a_logarithmic_axis(saved: SavedRun) -> None:
    rows = [{"iteration": i, "total": 1.0, "entropy": -0.1 * (i + 1)} for i in range(3)]
    assert loss_curves(replace(saved, history=rows)).axes[0].get_yscale() == "symlog"


def test_a_term_that_vanishes_does_not_flatten_the_others(saved: SavedRun) -> None:
    rows = [{"iteration": i, "total": 1.0, "bump": 10.0 ** (-20 * i)} for i in range(3)]
    assert loss_curves(replace(saved, history=rows)).axes[0].get_ylim()[0] == pytest.approx(1e-6)


@pytest.mark.parametrize("rows", [[{"total": 0.0}], [{"iteration": 0.0, "total": math.nan}], [{"stage": 1.0}] * 2])
def test_a_history_without_a_usable_loss_is_no_crash(saved: SavedRun, rows: list[dict[str, float]]) -> None:
    draw_without_warning(loss_curves(replace(saved, history=rows)))


def test_the_kymograph_shows_rates_headings_and_error_of_the_first_walk(saved: SavedRun) -> None:
    top, bottom = bump_kymograph(saved).axes[:2]
    stored = arrays()
    image = np.asarray(top.images[0].get_array())
    profile = stored["walking/kymograph"]
    assert np.array_equal(image[8], profile[:, 0])  # wedge 0 sits at heading 0, the middle of -180 to 180
    assert np.array_equal(image[0], profile[:, 8]) and np.array_equal(image[-1], profile[:, 8])  # -180 and 180
    for label, name in (("true heading", "true"), ("decoded heading", "decoded")):
        x, y = finite(lines(top)[label])
        assert np.array_equal(x, stored["walking/time_s"])
        assert np.allclose(y, wrapped_deg(stored[f"walking/{name}_heading_rad"][:, 0]))
    error = np.rad2deg(stored["walking/decoded_heading_rad"] - stored["walking/true_heading_rad"])[:, 0]
    assert np.allclose(lines(bottom)["error"].get_ydata(), error)


def test_the_gain_curve_shows_both_directions(saved: SavedRun) -> None:
    left, right = gain_curve(saved).axes
    by_label = {str(container.get_label()): container[0] for container in right.containers}
    plus, minus = by_label["positive velocity"], by_label["negative velocity"]
    assert np.array_equal(plus.get_xdata(), SPEEDS) and np.array_equal(minus.get_xdata(), SPEEDS)
    assert np.array_equal(plus.get_ydata(), [0.5, 1.0, 1.1])
    assert np.array_equal(minus.get_ydata(), [-4.0, 0.8, 0.9])
    decoded = left.containers[0][0]
    assert np.array_equal(decoded.get_xdata(), [-500, -50, -5, 5, 50, 500])
    assert np.allclose(decoded.get_ydata(), [-450, -40, 20, 2.5, 50, 550])


def test_a_gain_out_of_view_is_marked_at_the_edge(saved: SavedRun) -> None:
    right = gain_curve(saved).axes[1]
    (marker,) = [line for line in right.get_lines() if line.get_marker() == "v"]
    assert np.array_equal(marker.get_xdata(), [5.0])  # the gain of -4
    assert marker.get_ydata()[0] == right.get_ylim()[0]


def test_the_gain_curve_names_the_linear_range_and_its_sources(saved: SavedRun) -> None:
    shown = texts(gain_curve(saved))
    assert "linear from 50 to 500 deg/s" in shown
    assert "0.80 (0.67-0.90; Turner-Evans 2017" in shown and "Vafidis 2022 model: flat below 30 deg/s" in shown


def test_the_integration_error_is_the_median_over_walks_beside_the_fly(saved: SavedRun) -> None:
    axes = integration_error(saved).axes[0]
    stored = arrays()
    error = np.abs(wrapped_deg(stored["walking/decoded_heading_rad"] - stored["walking/true_heading_rad"]))
    drawn = lines(axes)
    assert np.allclose(drawn["network, error, median"].get_ydata(), np.median(error, axis=1))
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].max() == pytest.approx(np.percentile(error, 90, axis=1).max())
    fly = drawn["fly, circular SD (Turner-Evans 2017, raw data)"]
    assert list(zip(fly.get_xdata(), fly.get_ydata(), strict=True)) == [(1, 43), (5, 67), (10, 77), (20, 86)]


def test_the_circular_sd_of_two_opposite_errors_is_known() -> None:
    # errors of +a and -a: R = cos a; and for small a the SD is a
    a = np.array([0.01, 1.0])
    found = circular_sd(np.stack([a, -a], axis=1))
    assert found[1] == pytest.approx(np.rad2deg(np.sqrt(-2 * np.log(np.cos(1.0)))))
    assert found[0] == pytest.approx(np.rad2deg(0.01), rel=1e-4)


def test_without_traces_what_the_metrics_know_is_drawn(saved: SavedRun) -> None:
    metrics = {"walking_error_10s_median_deg": 3.0, "walking_error_10s_p90_deg": 7.0}
    metrics |= {"gain_at_5_deg_per_s": 0.5, "gain_at_minus_5_deg_per_s": 0.25, "gain_at_50_deg_per_s": 1.0}
    summary = replace(saved, arrays={}, metrics=metrics)
    (bar,) = integration_error(summary).axes[0].containers
    assert (bar[0].get_xdata(), bar[0].get_ydata()) == ([10], [3.0])
    (segment,) = bar[2][0].get_segments()
    assert segment[:, 1].tolist() == [3.0, 7.0]
    right = gain_curve(summary).axes[1]
    by_label = {str(container.get_label()): container[0] for container in right.containers}
    assert by_label["positive velocity"].get_ydata().tolist() == [0.5, 1.0]
    assert by_label["negative velocity"].get_ydata().tolist() == [0.25]
    for draw in (integration_error, gain_curve):
        draw_without_warning(draw(summary))


def test_the_gains_of_the_matrix_are_those_of_the_weights(saved: SavedRun) -> None:
    # by hand: of EPG <- Delta7 the weights are those of rows 1, 2, 4 and columns 0, 3, likewise the counts
    rows, columns = [1, 2, 4], [0, 3]
    total = COUNTS[np.ix_(rows, columns)].sum()
    wanted = WEIGHTS[np.ix_(rows, columns)].sum() / total * COUNTS.sum() / 5
    assert saved.connectome is not None
    types = ordered_types(list(saved.connectome.types))
    assert types == ["EPG", "Delta7"]
    assert signed_gains(saved.connectome, saved.networks[0], types)[0, 1] == pytest.approx(wanted)
    assert synapses_per_neuron(saved.connectome, types)[0, 1] == pytest.approx(total / 3)
    assert f"{wanted:.2g}".replace("-", "\N{MINUS SIGN}") in texts(type_matrix(saved))


def test_input_shares_are_signed_percentages_of_counts_and_of_weights(saved: SavedRun) -> None:
    """EPG are neurons 1, 2, 4. Types in the order EPG, Delta7; the sign of a pair is that of its summed weights."""
    figure = input_share_matrices(saved)
    left, right, bar = figure.axes
    epg, delta7 = [1, 2, 4], [0, 3]
    for axes, matrix in ((left, COUNTS), (right, np.abs(WEIGHTS))):
        totals = np.array([[matrix[np.ix_(post, pre)].sum() for pre in (epg, delta7)] for post in (epg, delta7)])
        signs = [[np.sign(WEIGHTS[np.ix_(post, pre)].sum()) for pre in (epg, delta7)] for post in (epg, delta7)]
        shown = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(shown, 100 * totals / totals.sum(axis=1, keepdims=True) * signs)
        np.testing.assert_allclose(np.abs(shown).sum(axis=1), 100)
        assert axes.images[0].get_clim() == (-100, 100)
        assert [label.get_text() for label in axes.get_yticklabels()] == ["EPG", "Δ7"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("presynaptic", "postsynaptic") and "%" in bar.get_ylabel()


def test_the_graph_holds_all_weight_and_shows_the_strongest(saved: SavedRun) -> None:
    graph, place = ring_graph(saved.networks[0])
    # angles pi, 3, 1, NaN, 2 rad in eighths of the circle
    nodes = {("Delta7", 4): 1, ("EPG", 4): 1, ("EPG", 1): 1, ("Delta7", -1): 1, ("EPG", 3): 1}
    assert set(graph) == set(nodes) == set(place)
    received = {node: sum(w for _, _, w in graph.in_edges(node, data="weight")) for node in graph}
    assert received["EPG", 3] == pytest.approx(WEIGHTS[4].sum())
    shown = strongest(graph, 1)
    every = [w for _, _, w in graph.edges(data="weight") if w > 0]
    assert sum(edge[2] for edge in shown) >= 0.6 * sum(every) > sum(edge[2] for edge in shown[1:])


def test_parameters_stand_among_those_of_their_ensemble(saved: SavedRun) -> None:
    row = {"family": "threshold", "parameter": "EPG", "this_member": "1.0", "seed_0": "1.0", "seed_1": "2.0"}
    known = replace(
        saved, parameters={"threshold/EPG": 1.0, "time_constant/EPG": 0.02}, tables={"ensemble_parameters": [row]}
    )
    figure = parameters(known)
    thresholds, constants = figure.axes[1], figure.axes[2]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in thresholds.get_lines()]
    assert drawn[:2] == [[1.0, 2.0], [1.0]] and "2 members" in texts(figure)
    assert constants.get_lines()[0].get_xdata() == [20.0]  # ms
    draw_without_warning(figure)


def test_hundreds_of_gains_are_rows_by_pair(saved: SavedRun) -> None:
    """400 gains of single synapses of 2 pairs: two rows that hold them all, and no axes for each."""
    gains = {f"gain/EPG[{k}]<-PEN_a[{k + 1}]": 0.5 + k / 1000 for k in range(300)}
    gains |= {f"gain/PEN_a[{k}]<-EPG[{k + 1}]": 2.0 for k in range(100)}
    figure = parameters(replace(saved, parameters=gains))
    assert len(figure.axes) == 4
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["EPG ← PEN_a", "PEN_a ← EPG"] and "each synapse" in texts(figure)
    drawn = [np.asarray(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert [len(x) for x in drawn] == [300, 1, 100, 1] and drawn[1][0] == pytest.approx(np.median(drawn[0]))
    draw_without_warning(figure)


def test_the_caption_says_whether_gains_are_tied(saved: SavedRun) -> None:
    assert saved.connectome is not None
    counts = saved.connectome.counts.toarray().astype(float)
    tied = replace(saved, networks=(replace(saved.networks[0], weights=0.1 * counts),))
    loose = replace(saved, networks=(replace(saved.networks[0], weights=0.1 * counts**2 + counts),))
    assert gains_are_tied(tied) and not gains_are_tied(loose)


def test_the_graph_counts_the_edges_that_it_draws(saved: SavedRun) -> None:
    graph, _ = ring_graph(saved.networks[0])
    for sign, title in ((1, "Excitation"), (-1, "Inhibition")):
        drawn = [edge for edge in strongest(graph, sign) if edge[0] != edge[1]]
        assert f"{title}: {len(drawn)} edges" in texts(circuit_graph(saved))


def with_a_walk(saved: SavedRun) -> SavedRun:
    time = np.linspace(0, 1, 21)
    walk = {"walk/time_s": time, "walk/true_heading_rad": time, "walk/decoded_heading_rad": time}
    rates = np.repeat(np.linspace(0, 0.5, 5)[None], 21, axis=0)
    return replace(saved, analysis_arrays={**walk, "walk/rates": rates.astype(np.float32)})


def test_every_type_has_its_kymograph_and_the_bump_moves(saved: SavedRun) -> None:
    figure = type_kymographs(with_a_walk(saved))
    assert [axes.get_ylabel() for axes in figure.axes] == ["Δ7\n(2)", "EPG\n(3)"]
    image = figure.axes[1].collections[0].get_array()
    assert np.asarray(image)[:, 0].tolist() == pytest.approx([0.125, 0.25, 0.5])  # cell by cell, by mean rate
    draw_without_warning(figure)
    content = bump_animation(with_a_walk(saved))
    assert content is not None and Image.open(io.BytesIO(content)).n_frames == 11  # every 0.1 s


def test_rates_by_wedge_are_means(saved: SavedRun) -> None:
    angle, profile = by_wedge(np.array([[1.0, 3.0, 5.0, 9.0]]), np.array([0.0, 0.1, np.pi, math.nan]))
    assert np.allclose(angle, [0, np.pi]) and np.allclose(profile, [[2.0, 5.0]])


def test_rest_shows_every_trace_and_its_drift(saved: SavedRun) -> None:
    figure = rest_drift(saved)
    left, middle, right = figure.axes
    heading = arrays()["rest/decoded_heading_rad"]
    for line, trace in zip(left.get_lines(), heading.T, strict=True):
        assert np.allclose(finite(line)[1], wrapped_deg(trace))
    points = middle.get_lines()[1]
    assert np.allclose(points.get_xdata(), wrapped_deg(heading[0]))
    drift = np.rad2deg(heading[-1] - heading[0])
    assert np.allclose(points.get_ydata(), drift)
    assert sum(bar.get_width() for bar in right.patches) == N_TRIALS
    assert f"median {np.median(np.abs(drift)):.1f}, maximum {np.abs(drift).max():.1f} deg" in texts(figure)
    assert "8 headings are told apart" in texts(figure)


def test_a_line_is_broken_where_it_wraps_and_keeps_every_sample() -> None:
    time, heading = np.array([0.0, 1.0, 2.0, 3.0]), np.deg2rad([170.0, 190.0, 200.0, 170.0])
    x, y = broken_at_wraps(time, heading)
    assert np.allclose(x, [0, 1, 1, 2, 3, 3])
    assert np.allclose(y, [170, math.nan, -170, -160, math.nan, 170], equal_nan=True)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=25))
def test_type_labels_keep_their_order_and_distance(sizes: list[int]) -> None:
    ends = np.cumsum(sizes)
    n = int(ends[-1])
    places = apart((ends - np.array(sizes) + ends - 1) / 2, n)
    assert (np.diff(places) >= 0.105 / 2.72 * n * (1 - 1e-9)).all()


# --- what is said about it ---


def test_captions_name_dataset_size_and_seed(saved: SavedRun) -> None:
    for draw in FIGURES.values():
        caption = texts(draw(saved)).replace("\n", " ")
        assert "hemibrain v1.2; 5 neurons; seed 7" in caption
        assert "failed" not in caption and "not the connectome" not in caption


def test_a_drawn_connectome_is_never_taken_for_the_real_one(saved: SavedRun) -> None:
    drawn = replace(saved, connectome=connectome("wiring statistics (hemibrain v1.2)"))
    from_manifest = replace(saved, connectome=None, manifest=replace(saved.manifest, dataset="wiring statistics (x)"))
    for run in (drawn, from_manifest):
        for figure in (figure for figure in FIGURES.values() if figure.needs.there(run)):
            assert "wiring statistics, not the connectome (" in texts(figure(run)).replace("\n", " ")


def test_an_ensemble_shows_its_first_member_and_says_so(saved: SavedRun) -> None:
    assert "seed 7; member 1 of 2" in texts(weight_matrix(replace(saved, networks=(network(), network(8)))))


def test_a_failed_run_gives_its_reason_at_no_more_than_some_length(saved: SavedRun) -> None:
    for reason in ("it diverged", "word " * 200):
        failed = replace(saved, manifest=replace(saved.manifest, status="failed", reason=reason))
        for draw in FIGURES.values():
            figure = draw(failed)
            shown = texts(figure).replace("\n", " ")
            assert "The run failed: " + reason[:9] in shown
            assert len(shown) < 1500


# --- runs that failed ---


def draw_without_warning(figure: Figure) -> None:
    figure.savefig(_Nowhere(), format="png", dpi=50)  # warnings are errors


class _Nowhere:
    def write(self, content: bytes) -> int:
        return len(content)

    def seek(self, *_: int) -> int:
        return 0

    def tell(self) -> int:
        return 0

    def flush(self) -> None: ...


ANALYSED = ("drift_field", "eigenvalue_spectrum", "state_space", "bump_shape", "type_kymographs", "bump_animation",
            "scorecard", "bump_by_velocity", "beside_others")  # fmt: skip


def test_a_run_that_saved_nothing_has_no_figure(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", Manifest.start(seeds={"fit": 0}, dataset="hemibrain"))
    absent = left_out(run, SavedRun.read(run))
    assert sorted(absent) == sorted((*FIGURES, *ANALYSED))
    assert {need.verb for need in absent.values()} == {"fit"}  # without a network there is nothing to measure
    assert draw_all(run) == [] == list(run.figures.iterdir())


def without(saved: SavedRun, name: str) -> SavedRun:
    return replace(saved, arrays={key: array for key, array in saved.arrays.items() if not key.startswith(name)})


@pytest.mark.parametrize(
    ("change", "names", "verb"),
    [
        (lambda saved: saved, ANALYSED, "analyze"),
        (lambda saved: without(saved, "rest/"), ("rest_drift",), "evaluate"),
        (lambda saved: without(saved, "walking/"), ("bump_kymograph", "integration_error"), "evaluate"),
        (lambda saved: without(saved, "constant/"), ("gain_curve",), "evaluate"),
        (lambda saved: replace(saved, history=[]), ("loss_curves",), "fit"),
        (lambda saved: replace(saved, parameters={}), ("parameters",), "fit"),
        (lambda saved: replace(saved, connectome=None), ("type_matrix", "input_shares"), "fit"),
        (lambda saved: replace(saved, networks=()), ("type_matrix", "input_shares", "circuit_graph"), "fit"),
    ],
)
def test_a_figure_is_left_out_where_what_it_needs_is_missing(
    run: RunFolder, saved: SavedRun, change: Callable[[SavedRun], SavedRun], names: tuple[str, ...], verb: str
) -> None:
    whole, absent = left_out(run, saved), left_out(run, change(saved))
    more = absent if change(saved) is saved else {name: need for name, need in absent.items() if name not in whole}
    assert sorted(more) == sorted(names)
    assert {need.verb for need in more.values()} == {verb}


def test_scores_without_traces_are_enough_for_two_figures(run: RunFolder, saved: SavedRun) -> None:
    metrics = {"walking_error_10s_median_deg": 3.0, "walking_error_10s_p90_deg": 5.0, "gain_at_30_deg_per_s": 1.0}
    absent = left_out(run, replace(saved, arrays={}, metrics=metrics))
    assert sorted(absent.keys() - set(ANALYSED)) == ["bump_kymograph", "rest_drift"]
    assert "integration_error" in left_out(
        run, replace(saved, arrays={}, metrics={metric: math.nan for metric in metrics})
    )


def test_what_is_left_out_is_said_with_the_command_that_measures_it(run: RunFolder, saved: SavedRun) -> None:
    absent = left_out(run, replace(saved, history=[], arrays={}, metrics={"gain_at_30_deg_per_s": 1.0}))
    said = [str(figures) for figures in not_drawn(absent, "runs/a b")]
    again = "connectome-sim evaluate 'run=runs/a b' && connectome-sim figures 'run=runs/a b'"
    which = "bump_kymograph, integration_error, rest_drift"
    assert f"not drawn: {which}: no held-out traces are saved; measure and draw it with: {again}" in said
    assert any(line.startswith("not drawn: loss_curves: no history") and "report.html" in line for line in said)
    assert sum("connectome-sim analyze 'run=runs/a b' && " in line for line in said) == 3


def test_a_picture_from_before_goes_where_its_figure_is_left_out(run: RunFolder) -> None:
    draw_all(run, formats=("png",))
    (run.figures / "mine.png").write_bytes(b"of the user")
    atomic.remove(run.evaluation)
    left = {path.stem for path in draw_all(run, formats=("png",))}
    assert not {"bump_kymograph", "rest_drift"} & left
    assert {path.stem for path in run.figures.iterdir()} == left | {"mine"}


def test_a_figure_asked_for_without_what_it_needs_is_a_typed_error(saved: SavedRun) -> None:
    empty = replace(saved, arrays={}, analysis_arrays={}, connectome=None)
    for draw in (bump_kymograph, rest_drift, type_kymographs, bump_animation, type_matrix):
        with pytest.raises(RunFolderError):
            draw(empty)


Drawing = Callable[[SavedRun], Figure]


def with_lost_trials(saved: SavedRun, lost: slice) -> SavedRun:
    found = arrays()
    for name in ("walking/decoded_heading_rad", "walking/vector_length", "rest/decoded_heading_rad"):
        found[name][:, lost] = np.nan
    for name in ("constant/gain", "constant/gain_sd"):
        found[name][lost] = np.nan
    return replace(saved, arrays=found)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (bump_kymograph, "the trial failed"),
        (gain_curve, "failed at 3 of 6 velocities"),
        (integration_error, "3 of 8 trials failed"),
        (rest_drift, "3 of 8 trials failed"),
    ],
)
def test_failed_trials_are_left_out_and_counted(saved: SavedRun, draw: Drawing, said: str) -> None:
    figure = draw(with_lost_trials(saved, slice(3)))
    assert said in texts(figure)
    draw_without_warning(figure)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (bump_kymograph, "not measured"),
        (gain_curve, "every trial failed"),
        (integration_error, "every trial failed"),
        (rest_drift, "every trial failed"),
    ],
)
def test_a_run_all_of_whose_trials_failed_is_drawn(saved: SavedRun, draw: Drawing, said: str) -> None:
    figure = draw(with_lost_trials(saved, slice(None)))
    assert said in texts(figure)
    draw_without_warning(figure)


@pytest.mark.parametrize("draw", [bump_kymograph, integration_error, rest_drift])
def test_a_silent_network_has_no_bump_and_the_figure_says_so(saved: SavedRun, draw: Drawing) -> None:
    found = arrays()
    found["walking/vector_length"] = np.zeros_like(found["walking/vector_length"])
    found["walking/kymograph"] = np.zeros_like(found["walking/kymograph"])
    figure = draw(replace(saved, arrays=found, metrics={"bump_present_share": 0.0}))
    assert "no bump" in texts(figure)
    draw_without_warning(figure)


def test_a_diverged_fit_says_in_how_many_iterations(saved: SavedRun) -> None:
    rows = [*history(), {"iteration": 6.0, "total": math.nan, "bump": math.inf}]
    figure = loss_curves(replace(saved, history=rows))
    assert "total not finite in 1 of 7 iterations" in texts(figure)
    assert len(lines(figure.axes[0])["bump"].get_ydata()) == 6
    draw_without_warning(figure)


# --- files ---


def test_all_figures_are_written_and_nothing_else(run: RunFolder) -> None:
    paths = draw_all(run, formats=("png",))
    assert [path.name for path in paths] == [f"{name}.png" for name in FIGURES]
    assert sorted(run.figures.iterdir()) == sorted(paths)


def test_two_processes_draw_what_one_does(run: RunFolder) -> None:
    paths = draw_all(run, formats=("png",))
    alone = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert draw_all(run, formats=("png",), processes=2) == paths
    assert [path.read_bytes() for path in paths] == alone


def test_a_figure_is_written_as_png_and_pdf(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectome_sim.figures.all.FIGURES", {"rest_drift": FIGURES["rest_drift"]})
    png, pdf = draw_all(run)
    assert (png.name, pdf.name) == ("rest_drift.png", "rest_drift.pdf")
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    # pixels of 200 dots per inch: width is the first number of the header
    assert int.from_bytes(png.read_bytes()[16:20], "big") == 1400


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_results_give_the_same_file(saved: SavedRun, ending: str) -> None:
    first = rendered(rest_drift(saved), ending)
    assert rendered(rest_drift(saved), ending) == first
    assert b"Date" not in first  # and the time of day is in none


@pytest.mark.parametrize("formats", [("gif",), (), "png"])
def test_an_unknown_format_is_refused_before_anything_is_drawn(run: RunFolder, formats: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="wanted one or more of png, pdf, svg"):
        draw_all(run, formats=formats)
    assert not list(run.figures.iterdir())


@pytest.mark.parametrize(("name", "error"), [("evaluation.h5", RunFolderError), ("connectome.h5", DataError)])
def test_a_damaged_file_is_an_error_that_names_it(run: RunFolder, name: str, error: type[Exception]) -> None:
    (run.path / name).write_bytes(b"half a file")
    with pytest.raises(error, match=name):
        draw_all(run)
    assert not list(run.figures.iterdir())


def test_nothing_is_set_for_others(saved: SavedRun) -> None:
    before = dict(matplotlib.rcParams)
    for draw in FIGURES.values():
        draw(saved)
    assert dict(matplotlib.rcParams) == before


def test_the_style_does_not_depend_on_the_users_settings() -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.grid": True}), style():
        assert (matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["axes.grid"]) == (1.0, False)


def test_an_evaluation_as_it_is_saved_fills_every_panel(tmp_path: Path, saved: SavedRun) -> None:
    tiny = Protocol(
        n_headings=2,
        duration_s=0.2,
        error_times_s=(0.1, 0.2),
        constant_speeds_deg_per_s=(60.0, 180.0),
        constant_headings=1,
        constant_duration_s=0.2,
        constant_transient_s=0.1,
        cue_duration_s=0.2,
        settle_duration_s=0.1,
    )
    result = evaluate(*ring(n=16), seed=0, protocol=tiny, step=5e-3, which=("walking", "constant"))
    measured = replace(saved, arrays=result.arrays, metrics=result.metrics)
    for draw in (bump_kymograph, gain_curve, integration_error, rest_drift):
        figure = draw(measured)
        assert "not measured" not in texts(figure)
        draw_without_warning(figure)


def test_scores_of_members_are_drawn_as_stored() -> None:
    """Walking errors by time, gains by signed velocity, drift by seed; a member's numbers appear in its line."""
    scores = [
        {f"walking_error_{t}s_median_deg": k * t for t in (1, 10, 60)}
        | {f"walking_error_{t}s_p90_deg": 3.0 * k * t for t in (1, 10, 60)}
        | {"gain_at_5_deg_per_s": 0.9, "gain_at_minus_5_deg_per_s": 0.8, "gain_at_500_deg_per_s": 1.0 + k / 10}
        | {"rest_drift_60s_median_deg": k, "rest_drift_60s_max_deg": 4.0 * k}
        for k in (1.0, 2.0, 4.0)
    ]
    walking, gain, rest = member_scores("a test", (3, 5, 8), scores).axes
    lines = [line.get_xydata().tolist() for line in walking.lines]
    assert [[1, 4], [10, 40], [60, 240]] in lines
    assert lines[3] == [[1, 2], [10, 20], [60, 120]]  # the median member
    assert lines[4] == [[1, 6], [10, 60], [60, 360]]
    assert gain.lines[2].get_xydata().tolist() == [[-5, 0.8], [5, 0.9], [500, 1.4]]
    assert [line.get_ydata().tolist() for line in rest.lines] == [[4, 8, 16], [1, 2, 4]]
    assert [text.get_text() for text in rest.get_xticklabels()] == ["3", "5", "8"]
    assert member_scores("no scores", (0,), [{}]).axes
