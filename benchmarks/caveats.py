"""What a table of scores does not say of the shipped networks: gains, bounds, inputs, rates, chance.

    python benchmarks/caveats.py [parameters shares rates headings inputs chance] [--json]

All sections unless some are named; a few minutes on one core. The dataset is looked for as by ``connectome-sim data``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np

from connectome_sim import circular, tasks
from connectome_sim.analysis.input_shares import InputShares, input_shares
from connectome_sim.build import Ensemble, load_ensemble, measuring, source
from connectome_sim.build.fitting import named_parameters
from connectome_sim.connectome.anatomy import CLASSES, circuit_class
from connectome_sim.evaluate import FULL, Number, evaluate, parameter_metrics, rate_metrics, restore
from connectome_sim.evaluate.metrics import distinct
from connectome_sim.records import FittedNetwork

ENSEMBLES = ("hemibrain_ring", "hemibrain_core")
HELD_OUT_SEED = 1000  # that of the tables in the README
LARGE = 800.0  # of a gain whose bound is 1000
LARGE_OF_FEW = 300.0  # of a gain on fewer than 20 synapses
SHOWN_PAIRS = 6  # of each ensemble: those whose share changes most
DRAWS = 2000


@dataclass(frozen=True)
class Finding:
    """One number, or the median and range of several."""

    section: str
    of: str
    what: str
    median: float
    low: float
    high: float


def finding(section: str, of: str, what: str, values: Sequence[float]) -> Finding:
    """Median and range of what the members have; NaN is left out."""
    known = np.array(values, dtype=float)[~np.isnan(values)]
    return Finding(section, of, what, *(float(f(known)) if known.size else math.nan for f in (np.median, min, max)))


@cache
def ensemble(name: str) -> Ensemble:
    return load_ensemble(name)


@cache
def network(name: str, number: int) -> FittedNetwork:
    return ensemble(name).stored(number)


def numbers(name: str) -> list[tuple[Number, ...]]:
    """The parameters of every member."""
    found = ensemble(name)
    values = [{key: float(v) for key, v in named_parameters(member.parameters).items()} for member in found]
    return [measuring.fitted_numbers(found.config, found.connectome, of_member) for of_member in values]


def parameters(name: str) -> Iterator[Finding]:
    """How far apart the gains of a member lie, and what its bounds decided."""
    members = numbers(name)
    metrics = [parameter_metrics(member) for member in members]
    for metric in metrics[0]:
        yield finding("parameters", name, metric, [found[metric] for found in metrics])
    counts = [number.synapses for number in members[0] if number.family == "gain"]
    yield finding("parameters", name, "SD of ln synapses, pairs of types", [float(np.log(counts).std())])
    for family in ("gain", "threshold", "time_constant", "velocity_gain"):
        at = [sum(number.at_bound for number in member if number.family == family) for member in members]
        yield finding("parameters", name, f"{family} at a bound, of a member", at)
        yield finding("parameters", name, f"{family} at a bound, members with any", [sum(n > 0 for n in at)])
    above = sum(any(n.family == "gain" and n.value > LARGE for n in member) for member in members)
    yield finding("parameters", name, f"members with a gain above {LARGE:g}", [above])
    few = sum(found["gain_largest_below_20_synapses"] > LARGE_OF_FEW for found in metrics)
    yield finding("parameters", name, f"members with a gain above {LARGE_OF_FEW:g} on fewer than 20 synapses", [few])


def shares(name: str) -> Iterator[Finding]:
    """The pairs of types whose share of the input changes most from synapses to fitted weights, in %."""
    found = [_shares(name, number) for number in range(len(ensemble(name)))]
    raw, fitted = 100 * found[0].raw, 100 * np.array([one.effective for one in found])
    change = np.nan_to_num(np.abs(np.median(fitted, axis=0) - raw))
    for post, pre in zip(*np.unravel_index(np.argsort(-change, axis=None)[:SHOWN_PAIRS], change.shape), strict=True):
        pair = f"{found[0].types[pre]} -> {found[0].types[post]}"
        yield finding("shares", name, f"{pair}, % of synapses", [raw[post, pre]])
        yield finding("shares", name, f"{pair}, % of fitted weights", fitted[:, post, pre].tolist())


def _shares(name: str, number: int) -> InputShares:
    stored, types = network(name, number), ensemble(name).wiring.types
    counts = ensemble(name).connectome.dense().astype(float)
    return input_shares(counts, stored.weights, stored.initial_states, stored.type, types=types)


def rates(name: str) -> Iterator[Finding]:
    """Which types follow the heading, and which cells say nothing of it; the width of the bump as it was measured."""
    stored = [network(name, number) for number in range(len(ensemble(name)))]
    metrics = [rate_metrics(one.initial_states, one.type, largest=1.0) for one in stored]
    for metric in metrics[0]:
        yield finding("rates", name, metric, [found[metric] for found in metrics])
    width = "bump_width_median_deg"
    yield finding("rates", name, width, [member.metrics[width] for member in ensemble(name)])


def headings(name: str) -> Iterator[Finding]:
    """Gain at each speed of member 0: the mean of all headings, and those with the lowest and the highest."""
    protocol = ensemble(name).config.evaluation.protocol
    found = evaluate(
        *restore(network(name, 0)), seed=HELD_OUT_SEED, protocol=protocol, method="heun", which=("constant",)
    ).metrics
    for speed in protocol.constant_speeds_deg_per_s:
        names = [f"gain_{sign}{speed:g}_deg_per_s" for sign in ("at_", "at_minus_")]
        ends = [f"gain_{end}_heading_at_{speed:g}_deg_per_s" for end in ("lowest", "highest")]
        mean = float(np.mean([found[n] for n in names]))
        yield Finding("headings", name, f"gain at {speed:g} deg/s", mean, *(found[n] for n in ends))


def inputs() -> Iterator[Finding]:
    """Synapses onto a type from the classes of the head-direction circuit: what the circuits of the fits leave out."""
    whole = source(ensemble("hemibrain_core").config.connectome)
    cell_class = np.array([circuit_class(str(name)) for name in whole.neurons.type])
    for post in ("EPG", "PEN_a"):
        onto = np.asarray(whole.counts[np.flatnonzero(cell_class == post)].sum(axis=0)).ravel()
        by_class = {name: float(onto[cell_class == name].sum()) for name in CLASSES}
        inside = sum(by_class[name] for name in ensemble("hemibrain_ring").wiring.types)
        left_out = {name: n for name, n in by_class.items() if name not in ensemble("hemibrain_ring").wiring.types}
        yield finding("inputs", post, "synapses from modelled types", [inside])
        yield finding("inputs", post, "synapses from types left out", [sum(left_out.values())])
        yield finding("inputs", post, "left out, %", [100 * sum(left_out.values()) / sum(by_class.values())])
        for name, n in left_out.items():
            yield finding("inputs", post, f"synapses from {name}", [n])


def chance() -> Iterator[Finding]:
    """What knows nothing scores: random headings, and a bump that never moves."""
    rng, n = np.random.default_rng(0), FULL.n_headings
    apart = [distinct(rng.uniform(0, 2 * math.pi, n), math.pi / n) for _ in range(DRAWS)]
    yield finding("chance", f"{n} random headings", "rest_distinct_headings", [float(np.mean(apart))])
    for trials in (n, DRAWS):
        walks = tasks.walking(
            tasks.generator(HELD_OUT_SEED, "held_out"), n_trials=trials, duration=60.0, time_step=FULL.input_step_s
        )
        truth = walks.displacement().numpy()
        for seconds in (10, 60):
            moved = np.rad2deg(circular.distance(truth[round(seconds / FULL.input_step_s)], np.zeros(trials)))
            what = f"walking_error_{seconds}s_median_deg"
            yield finding("chance", f"a still bump, {trials} walks", what, [float(np.median(moved))])


PER_ENSEMBLE: dict[str, Callable[[str], Iterator[Finding]]] = {
    "parameters": parameters,
    "shares": shares,
    "rates": rates,
    "headings": headings,
}
ONCE: dict[str, Callable[[], Iterator[Finding]]] = {"inputs": inputs, "chance": chance}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help="those wanted; all where none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object per number")
    options = parser.parse_args()
    if unknown := sorted(set(options.sections) - {*PER_ENSEMBLE, *ONCE}):
        parser.error(f"got section {unknown[0]!r}, wanted some of {', '.join((*PER_ENSEMBLE, *ONCE))}")
    wanted = options.sections or [*PER_ENSEMBLE, *ONCE]
    found = [row for name, section in PER_ENSEMBLE.items() if name in wanted for e in ENSEMBLES for row in section(e)]
    found += [row for name, section in ONCE.items() if name in wanted for row in section()]
    for row in found:
        spread = "" if row.low == row.high else f"  ({row.low:.3g} to {row.high:.3g})"
        text = f"{row.section:10s} {row.of:24s} {row.what:60s} {row.median:10.4g}{spread}"
        print(json.dumps(asdict(row)) if options.json else text)


if __name__ == "__main__":
    main()
