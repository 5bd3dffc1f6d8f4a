"""Measuring the network of a run: held-out metrics and arrays into its folder. Knows no optimiser."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tqdm.auto import tqdm

from connectome_sim.build.objects import wiring
from connectome_sim.config import EvaluationConfig, FitConfig
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.evaluate import (
    EvaluationResult,
    Number,
    conditions,
    evaluate,
    numbers,
    parameter_metrics,
    rate_metrics,
    restore,
    store,
)
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.evaluate.trace import Progress
from connectome_sim.model import Activation, Parameters, RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.records import FittedNetwork

_BAR = "{desc}: {n:.0f} of {total} s simulated"


def stored(config: FitConfig, connectome: Connectome, network: RateNetwork, readout: Readout) -> FittedNetwork:
    """The fitted network in plain float64 arrays, as ``network.h5`` holds it."""
    neurons, origin = connectome.neurons, connectome.provenance
    return store(
        network,
        readout,
        id=neurons.id.tolist(),
        type=neurons.type.tolist(),
        instance=neurons.instance.tolist(),
        side=neurons.side.tolist(),
        seed=config.seed,
        dataset=origin.dataset if origin.version in origin.dataset else f"{origin.dataset} {origin.version}",
        dataset_sha256=origin.sha256,
        protocol=config.evaluation.protocol,
        step=config.evaluation.step,
    )


def fitted_numbers(config: FitConfig, connectome: Connectome, values: Mapping[str, float]) -> tuple[Number, ...]:
    """Every number of a fit with its bounds and what it multiplies.

    Args:
        config: of the fit.
        connectome: the circuit.
        values: ``family/name`` -> value.

    Raises:
        DataError: a number of this circuit that is not among the values.
    """
    parameters = Parameters(config.parameters, wiring(config, connectome), dtype=torch.float64)
    return numbers(parameters, values, connectome)


def parameters_of(config: FitConfig, connectome: Connectome, values: Mapping[str, float]) -> Metrics:
    """What the parameters of a fit say; arguments as in `fitted_numbers`."""
    return parameter_metrics(fitted_numbers(config, connectome, values))


def rates_of(network: FittedNetwork) -> Metrics:
    """What the settled states of a network say."""
    largest = Activation.named(network.activation).largest
    return rate_metrics(network.initial_states, network.type, largest=largest)


def measure(
    network: FittedNetwork, evaluation: EvaluationConfig, config: FitConfig, *, progress: bool
) -> EvaluationResult:
    """Run the held-out protocol on a network from its plain arrays.

    Args:
        network: as read from ``network.h5``.
        evaluation: how to measure.
        config: of the fit: its step, its seed.
        progress: show a progress bar.

    Raises:
        ConfigError, StepError: a step too coarse for the network or the fit.
        SolveError: the network diverges wherever it starts.
    """
    bar = tqdm(desc="evaluate", total=0, leave=False, disable=not progress, bar_format=_BAR)
    with bar:
        return evaluate(
            *restore(network),
            seed=_seed(evaluation, config),
            protocol=evaluation.protocol,
            step=evaluation.step,
            method=evaluation.method,
            fit_step=config.solve.step,
            which=evaluation.which,
            progress=_shown(bar),
        )


def conditions_of(evaluation: EvaluationConfig, config: FitConfig) -> Metrics:
    """Under which conditions `measure` measures."""
    return conditions(
        seed=_seed(evaluation, config),
        protocol=evaluation.protocol,
        step=evaluation.step,
        method=evaluation.method,
    )


def _seed(evaluation: EvaluationConfig, config: FitConfig) -> int:
    return config.seed if evaluation.seed is None else evaluation.seed


def _shown(bar: tqdm) -> Progress:
    def show(probe: str, done: float, total: float) -> None:
        bar.set_description_str(f"evaluate, {probe}", refresh=False)
        bar.total = total
        bar.n = done
        bar.refresh()

    return show
