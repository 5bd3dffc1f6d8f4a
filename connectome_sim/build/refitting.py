"""New fits for the rows of a sweep: of a lesioned or rewired connectome, as the member was fitted. Prints nothing.

Each is a run folder in ``refits/`` of the sweep folder, which every other verb reads; a sweep that was stopped goes on
with it from its last checkpoint.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from connectome_sim.ablation.lesion import lesioned
from connectome_sim.ablation.members import Member, Subject, intact
from connectome_sim.ablation.plan import OF_A_REFIT, REFIT, Case, Planned
from connectome_sim.build.ensembles import load_ensemble
from connectome_sim.build.fitting import check_same, named_parameters, resume_fit, run_fit, semantics
from connectome_sim.build.objects import circuit, wiring
from connectome_sim.config import AblateConfig, ConnectomeConfig, FitConfig, saved_config
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import CircuitError, ConfigError, RunFolderError, SelectionError, ShapeError
from connectome_sim.evaluate import Protocol
from connectome_sim.fit import FitOptions
from connectome_sim.model.parameters import FAMILIES
from connectome_sim.readout import Readout
from connectome_sim.records import RunFolder, atomic, config_hash, read_network, read_scalars
from connectome_sim.records.sweep_folder import slug
from connectome_sim.solve.threads import Halt

Values = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Origin:
    """How a member came about.

    Attributes:
        config: of its fit.
        parameters: ``family/name`` -> fitted value.
    """

    config: FitConfig
    parameters: Values


def origins(config: AblateConfig) -> tuple[Origin, ...]:
    """The fits of the networks that a configuration names, in their order.

    Raises:
        RunFolderError, ConfigError, DataError: no such run or ensemble.
    """
    if not config.chosen_ensemble:
        return tuple(
            Origin(saved_config(Path(run)), read_scalars(RunFolder.open(run).parameters)) for run in config.run
        )
    ensemble = load_ensemble(config.chosen_ensemble)
    return tuple(
        Origin(ensemble.config_of(number), _values(named_parameters(ensemble[number].parameters)))
        for number in config.members or range(len(ensemble))
    )


@dataclass(frozen=True, eq=False)
class Refits:
    """Makes new fits.

    Attributes:
        folder: where their run folders go.
        origins: member -> how it came about.
        budget: share of the iterations of each stage of the member's own fit, at least one each.
        protocol: of the held-out walks that each run folder is measured with.
        stop: set where the sweep is interrupted.
    """

    folder: Path
    origins: Mapping[str, Origin]
    budget: float
    protocol: Protocol
    stop: Halt = field(default_factory=Halt)

    def __call__(self, planned: Planned, connectome: Connectome) -> tuple[Subject, dict[str, float]]:
        """The network of a new fit, ready to be measured, and the measures of the fit.

        - ``parameter_distance``: root mean square difference to the member's own parameters over those that both have
          and that were fitted: logarithms of gains (per synapse: over c0), time constants and velocity gains,
          thresholds as they are;
        - ``fit_loss``: total loss on the validation trials;
        - ``fit_iterations``: of all stages.

        Raises:
            FitError: the fit diverged or could not start.
            CircuitError: what is left cannot be fitted as the member was.
            RunFolderError: the folder of the new fit holds another one.
        """
        member, case = planned.member, planned.case
        origin = self.origins[member.name]
        with impossible(case):
            left = lesioned(connectome, case.perturbations, member.velocity_types)
            wired = wiring(origin.config, left)
            Readout(wired.ring_angle, wired.epg_mask)
        place = self.folder / slug(case.name)
        atomic.make_folder(place)
        source = place / f"{slug(member.name)}.h5"
        hdf5.write(left, source)
        config = self.config(origin, place / slug(member.name), source)
        folder = self._fitted(config)
        (network,) = read_network(folder.network)
        found = read_scalars(folder.parameters)
        metrics = folder.metrics()
        ratio = mean_input_count(member.connectome) / mean_input_count(left)
        distance = _distance(origin, found, ratio)
        measures = (distance, metrics["validation_total"], float(config.fit.n_iterations))
        named = dict(zip(OF_A_REFIT, measures, strict=True))
        return intact(Member(member.name, member.seed, hdf5.read(folder.connectome), network)), named

    def check(self, rows: Iterable[Planned]) -> None:
        """Make the configuration of every new fit of a plan, so that one that cannot be shows before any is begun.

        Raises:
            ConfigError: a fit that cannot be made with so few iterations.
        """
        for name in dict.fromkeys(row.member.name for row in rows if row.case.mode == REFIT):
            try:
                self.config(self.origins[name], self.folder / slug(name), self.folder / f"{slug(name)}.h5")
            except ConfigError as error:
                raise ConfigError(f"ablation.refit_budget={self.budget:g}, member {name}: {error}") from error

    def config(self, origin: Origin, run: Path, source: Path) -> FitConfig:
        """The member's own configuration with another connectome, the budget, and a short evaluation."""
        own = origin.config
        evaluation = replace(own.evaluation, which=("walking",), protocol=self.protocol)
        connectome = ConnectomeConfig(source=str(source), classes=own.connectome.wanted_classes)
        return replace(
            own,
            run=str(run),
            connectome=connectome,
            fit=reduced(own.fit, self.budget),
            evaluation=evaluation,
            success={},
            resume=False,
            threads=None,
            progress=False,
            figures=False,
        )

    def identity(self, member: str) -> str:
        """SHA-256 of what decides the new fits of a member but their connectomes."""
        return config_hash(semantics(self.config(self.origins[member], Path("run"), Path("source.h5"))))

    def _fitted(self, config: FitConfig) -> RunFolder:
        path = Path(config.run)
        if path.exists() and not ((path / "manifest.json").exists() and (path / "connectome.h5").exists()):
            shutil.rmtree(path)  # stopped while it was made
        if not path.exists():
            return run_fit(config, stop=self.stop.is_set).folder
        folder, saved = RunFolder.open(path), saved_config(path)
        check_same(folder, saved)
        # the source is a copy that may have moved; what it held is compared as it is
        same = semantics(replace(saved, connectome=config.connectome)) == semantics(config)
        if not same or not _same_circuit(hdf5.read(folder.connectome), circuit(config.connectome)):
            raise RunFolderError(
                f"{path}: holds a new fit with other settings or of another connectome; choose another out=..., or "
                "delete it"
            )
        if folder.manifest().status == "succeeded":
            return folder
        own = replace(saved, threads=None, progress=False, figures=False)
        return resume_fit(own, stop=self.stop.is_set).folder


@contextmanager
def impossible(case: Case) -> Iterator[None]:
    """What a case leaves of a circuit may be none: a CircuitError then, in the place of the error of its making."""
    try:
        yield
    except (ConfigError, SelectionError, ShapeError) as error:
        if case.kind == "control":
            raise
        raise CircuitError(f"the case leaves no such circuit: {error}") from error


def refits(config: AblateConfig, folder: Path, members: tuple[Member, ...]) -> Refits:
    """What makes the new fits of a sweep.

    Raises:
        ConfigError: networks without the configuration of their fits.
    """
    found = origins(config)
    if [one.config.seed for one in found] != [member.seed for member in members]:
        raise ConfigError(
            "ablation.modes: got refit for networks that are not those of run=... or ensemble=..., wanted networks "
            "whose fits are known"
        )
    by_name = {member.name: one for member, one in zip(members, found, strict=True)}
    return Refits(folder, by_name, config.ablation.refit_budget, config.ablation.held_out.protocol)


def _same_circuit(a: Connectome, b: Connectome) -> bool:
    alike = a.neurons.id.tolist() == b.neurons.id.tolist() and a.neurons.type.tolist() == b.neurons.type.tolist()
    return alike and np.array_equal(a.dense(), b.dense())


def reduced(options: FitOptions, budget: float) -> FitOptions:
    """The same curriculum with a share of the iterations of each stage; starts are chosen at the same place of it.

    Raises:
        ConfigError: several starts and no iteration left after their choice.
    """
    stages = tuple(replace(stage, iterations=math.ceil(budget * stage.iterations)) for stage in options.stages)
    start = options.start_iterations
    if start:
        within = options.stage_at(start)
        part = math.ceil(budget * (start - options.first_iteration(within)))
        total = sum(stage.iterations for stage in stages)
        start = max(1, min(sum(stage.iterations for stage in stages[:within]) + part, total - 1))
    return replace(options, stages=stages, start_iterations=start)


def _values(parameters: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in parameters.items()}  # type: ignore[arg-type]


def mean_input_count(connectome: Connectome) -> float:
    """c0, synapses that a neuron receives in the mean: the unit of the counts that gains multiply."""
    return float(connectome.counts.sum()) / connectome.n_neurons


def _distance(origin: Origin, found: Values, ratio: float) -> float:
    """See `Refits`. Gains are brought to one strength per synapse by ``ratio``, the member's c0 over the new fit's."""
    spec, squares = origin.config.parameters, []
    for name in origin.parameters.keys() & found.keys():
        family = name.partition("/")[0]
        if family not in spec.trainable or family not in FAMILIES:
            continue
        a, b = origin.parameters[name], found[name] * (ratio if family == "gain" else 1.0)
        squares.append((math.log(a / b) if spec.bounds[family].scale == "log" else a - b) ** 2)
    return float(np.sqrt(np.mean(squares))) if squares else math.nan
