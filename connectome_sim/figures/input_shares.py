"""Where the input of each cell type comes from: by synapse counts beside fitted weights. Knows no equation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from connectome_sim.analysis.input_shares import InputShares, input_shares
from connectome_sim.axes import FloatArray
from connectome_sim.errors import RunFolderError
from connectome_sim.figures.circuit import ordered_types
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import INHIBITION_EXCITATION, new_figure, panel_title, styled

DARK = 55.0  # %, where white text reads better


@styled
def input_share_matrices(saved: SavedRun) -> Figure:
    """Share of each type's input by presynaptic type: of its synapses (left), of its fitted weights (right)."""
    caption = (
        f"{saved.origin}. Rows receive, columns send; a row adds up to 100 %, excitation and inhibition together. "
        f"Left: share of the synapses. Right: share of the summed size of the fitted weights, gain times synapses. "
        f"Orange excites, blue inhibits; both panels have one scale. {saved.ending}"
    )
    shares = run_shares(saved)
    if shares is None:
        raise RunFolderError("run: no fitted network is saved, wanted one and its circuit")
    figure = new_figure("Share of each type's input: counts beside fitted weights", caption, height=3.5)
    panels = figure.subplots(1, 2)
    signs = _signs(saved, shares.types)
    for axes, values, title in zip(panels, (shares.raw, shares.effective), ("Synapses", "Fitted weights"), strict=True):
        image = _draw(axes, shares.types, 100 * values * signs)
        panel_title(axes, title)
        axes.set_xlabel("presynaptic")
    panels[0].set_ylabel("postsynaptic")
    bar = figure.colorbar(image, ax=panels, shrink=0.85, pad=0.02, ticks=range(-100, 101, 50))
    bar.set_ticklabels(["100", "50", "0", "50", "100"])
    bar.set_label("inhibition  ◂  share of input (%)  ▸  excitation")
    return figure


def run_shares(saved: SavedRun) -> InputShares | None:
    """The shares of a run's network, types in the usual order; None where connectome or network was not saved."""
    if saved.connectome is None or not saved.networks:
        return None
    network, counts = saved.networks[0], saved.connectome.dense().astype(float)
    types = ordered_types(network.type)
    return input_shares(counts, network.weights, network.initial_states, network.type, types=types)


def _signs(saved: SavedRun, types: Sequence[str]) -> FloatArray:
    """Sign of each pair [post, pre], that of its summed weights."""
    network = saved.networks[0]
    member = (np.asarray(network.type) == np.asarray(types)[:, None]).astype(float)
    return np.sign(member @ network.weights @ member.T)


def _draw(axes: Axes, types: Sequence[str], percent: FloatArray) -> AxesImage:
    shown = np.where(np.isfinite(percent), percent, 0.0)
    image = axes.imshow(shown, cmap=INHIBITION_EXCITATION, norm=Normalize(-100, 100))
    names = [name.replace("Delta", "Δ") for name in types]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    size = min(6.5, 45 / len(names))
    for (post, pre), value in np.ndenumerate(shown):
        if value:
            colour = "white" if abs(value) > DARK else "black"
            axes.text(pre, post, _percent(abs(value)), ha="center", va="center", fontsize=size, color=colour)
    return image


def _percent(value: float) -> str:
    """Whole numbers from 10 on, one digit below, and what rounds to nothing as such."""
    if value < 0.05:
        return "<0.1"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
