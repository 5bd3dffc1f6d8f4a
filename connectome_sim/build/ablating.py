"""One sweep from configuration to sweep folder: members, plan, rows, statistics, verdicts, figures. Prints nothing."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from connectome_sim.ablation.literature import Verdict, judge, literature_cases, shipped_findings
from connectome_sim.ablation.members import Member, intact, transplanted
from connectome_sim.ablation.perturbations import removed, taken
from connectome_sim.ablation.plan import REFIT, TRANSPLANT, Case, Plan, Planned, plan, refit_case
from connectome_sim.ablation.probes import Probes, Scored
from connectome_sim.ablation.run import DIVERGED, FAILED, Row, columns, run
from connectome_sim.ablation.states import STATE, counted
from connectome_sim.ablation.statistics import Effect, summarise
from connectome_sim.analysis.population import over_fits
from connectome_sim.build.ensembles import load_ensemble
from connectome_sim.build.refitting import Refits, impossible, refits
from connectome_sim.config import AblateConfig, AblationConfig, plain, to_yaml
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.figures import draw_sweep
from connectome_sim.records import Manifest, RunFolder, SweepFolder, config_hash, read_network
from connectome_sim.solve.threads import side_by_side
from connectome_sim.tasks import generator

LITERATURE_COLUMNS = ("id", "evidence", "target", "method", "effect", "source", "checked", "verdict", "reason")


@dataclass(frozen=True, eq=False)
class SweepOutcome:
    """What a sweep came to.

    Attributes:
        folder: the sweep folder.
        rows: one for each case and member.
        effects: the summary.
        verdicts: on the literature; empty where not asked for.
    """

    folder: SweepFolder
    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for people."""
        failed = sum(row["status"] in (FAILED, DIVERGED) for row in self.rows)
        lines = [f"{len(self.rows)} cases, {failed} of them failed or diverged"]
        for item in self.effects:
            if item.measure in ("bump_present_share", "bump_present_share_during"):
                lines.append(f"  {item.group:<52} {item.control_mean:.2f} -> {item.case_mean:.2f} {item.measure}")
        lines += self._states()
        lines += [f"  {v.finding.id}: {v.verdict} ({v.reason})" for v in self.verdicts]
        return "\n".join(lines)

    def _states(self) -> list[str]:
        """What became of the bumps of each group, where that was measured."""
        groups = dict.fromkeys(row["group"] for row in self.rows)
        found = {group: counted(row[STATE] for row in self.rows if row["group"] == group) for group in groups}
        return [f"  {group:<52} bump {states}" for group, states in found.items() if states]


def load_members(runs: Sequence[str]) -> tuple[Member, ...]:
    """The fitted networks of some runs.

    Raises:
        RunFolderError: no such run, or no network in it.
        DataError: a damaged connectome.
    """
    members: list[Member] = []
    for run_path in runs:
        folder = RunFolder.open(run_path)
        connectome = hdf5.read(folder.connectome)
        shared = (member.connectome for member in members if member.connectome.equals(connectome))
        connectome = next(shared, connectome)  # one object, so that a rewired one is drawn once for all
        for fitted in read_network(folder.network):
            name = f"seed {fitted.seed}"
            if any(member.name == name for member in members):  # other settings, or another ensemble
                name = f"{name} of {folder.path.name}"
            members.append(Member(name, fitted.seed, connectome, fitted))
    return tuple(members)


def ensemble_members(name: str, numbers: Sequence[int] = (), *, threads: int | None = None) -> tuple[Member, ...]:
    """Members of an ensemble as `load_members` would find them in the folders of their runs.

    Args:
        name: of a shipped ensemble, or its folder.
        numbers: of its members, from 0; all of them where empty.
        threads: members settled at a time; as many as PyTorch uses if None.

    Raises:
        ConfigError, RunFolderError, DataError: no such ensemble or member, or not its dataset; see `load_ensemble`.
    """
    ensemble = load_ensemble(name)
    numbers = tuple(numbers) or tuple(range(len(ensemble)))
    for number in numbers:
        ensemble[number]  # one that is not there shows before anything is simulated
    settled = side_by_side([partial(ensemble.stored, number) for number in numbers], threads=threads)
    return tuple(Member(f"seed {fitted.seed}", fitted.seed, ensemble.connectome, fitted) for fitted in settled)


def chosen_members(config: AblateConfig) -> tuple[Member, ...]:
    """The networks that a configuration names.

    Raises:
        ConfigError, RunFolderError, DataError: see `load_members` and `ensemble_members`.
    """
    if config.chosen_ensemble:
        return ensemble_members(config.chosen_ensemble, config.members, threads=config.threads)
    return load_members(config.run)


def run_ablate(config: AblateConfig, *, members: Sequence[Member] = ()) -> SweepOutcome:
    """Carry out a sweep, or go on with one.

    Args:
        config: from ``compose("ablate", [...])``.
        members: the networks, in the place of those that ``config`` names.

    Raises:
        ConfigError, SelectionError: a sweep that cannot be carried out as asked; nothing has been simulated then.
        DataError: the dataset of the ensemble is not on this machine.
        RunFolderError: no such run; a folder that holds another sweep, or cannot be written.
    """
    members = tuple(members) or chosen_members(config)
    planned = make_plan(config.ablation, members)
    refit = _refits(config, members)
    if refit is not None:
        refit.check(planned.rows)
    folder = _folder(config, members, planned, refit)
    rows = {row["case_id"]: row for row in folder.table("cases", columns=columns(planned))}
    order = {row.id: number for number, row in enumerate(planned.rows)}

    def keep(row: Planned, found: Row, scored: Scored | None) -> None:
        if scored is not None and row.member is members[0]:
            folder.write_arrays(row.case.name, scored.arrays)  # before its row: a row that is there is complete
        rows[row.id] = found
        folder.write_table("cases", columns(planned), sorted(rows.values(), key=lambda r: order[r["case_id"]]))

    score = _Scorer(config.ablation.chosen, refit)
    with _recorded(folder):
        run(
            planned,
            score,
            done=rows.keys(),
            keep=keep,
            on_abort=score.stop,
            threads=config.threads,
            progress=config.progress,
        )
        ordered = tuple(rows[row.id] for row in planned.rows)
        outcome = _concluded(config, folder, members, ordered, planned)
    if config.figures:
        draw_sweep(folder)
    return outcome


def make_plan(ablation: AblationConfig, members: Sequence[Member]) -> Plan:
    """The rows of a sweep, checked.

    Raises:
        ConfigError, SelectionError: see `connectome_sim.ablation.plan`.
    """
    if not members:
        raise ConfigError("members: got none, wanted at least one fitted network")
    connectome = members[0].connectome
    cases: dict[str, Case] = {}
    for group in ablation.sets.values():
        for case in group.build().cases(connectome):
            cases.setdefault(case.name, case)  # two sets may share a case
    if ablation.literature:
        for case in literature_cases(shipped_findings(), connectome):
            cases.setdefault(case.name, case)
    asked = [*cases.values(), *(case.build() for case in ablation.cases)]
    refitted = map(refit_case, asked)
    by_mode: dict[str, Iterable[Case]] = {TRANSPLANT: asked, REFIT: refitted}
    return plan([case for mode in ablation.modes for case in by_mode[mode]], members, ablation.chosen)


class _Scorer:
    """Builds and measures one case. A rewired connectome is drawn once for all members that share theirs."""

    def __init__(self, probes: Probes, refit: Refits | None) -> None:
        self.probes, self.refit = probes, refit
        self._drawn: dict[tuple[str, int, int], Connectome] = {}
        self._lock = threading.Lock()

    def __call__(self, planned: Planned) -> Scored:
        case, own = planned.case, planned.member.connectome
        connectome = own
        if case.rewiring is not None:
            with impossible(case):
                connectome = self._rewired(case, own)
        if case.mode == REFIT:
            assert self.refit is not None  # made where a mode asks for it
            subject, fit = self.refit(planned, connectome)
            scored = self.probes.score(subject, ())
            scored = replace(scored, measures={**scored.measures, **fit})
        else:
            with impossible(case):  # wedges without EPG, targets that are gone
                subject = intact(planned.member) if connectome is own else transplanted(planned.member, connectome)
                for perturbation in case.perturbations:
                    perturbation.block(subject.neurons)
            scored = self.probes.score(subject, case.perturbations)
        if connectome is own:
            return scored
        return replace(scored, removed=taken(own, connectome) + removed(case.perturbations, connectome))

    def stop(self) -> None:
        """Lets new fits stop after their iteration."""
        if self.refit is not None:
            self.refit.stop.set()

    def _rewired(self, case: Case, connectome: Connectome) -> Connectome:
        assert case.rewiring is not None
        key = (case.rewiring.name, case.seed, id(connectome))
        with self._lock:
            if key not in self._drawn:
                self._drawn[key] = case.rewiring(connectome, generator(case.seed, "null"))
            return self._drawn[key]


def _refits(config: AblateConfig, members: tuple[Member, ...]) -> Refits | None:
    if REFIT not in config.ablation.modes:
        return None
    return refits(config, SweepFolder(Path(config.out)).refits, members)


@contextmanager
def _recorded(folder: SweepFolder) -> Iterator[None]:
    """Records in the manifest how the work inside ended; errors go on their way."""
    before, began = folder.manifest(), time.monotonic()
    try:
        yield
    except BaseException as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        folder.write_manifest(before.finished(status="failed", reason=reason, wall_time_s=_spent(before, began)))
        raise
    folder.write_manifest(before.finished(status="succeeded", wall_time_s=_spent(before, began)))


def _spent(before: Manifest, began: float) -> float:
    return (before.wall_time_s or 0.0) + time.monotonic() - began


def _folder(config: AblateConfig, members: Sequence[Member], planned: Plan, refit: Refits | None) -> SweepFolder:
    """A new folder, or the one that holds the same sweep."""
    path = Path(config.out)
    semantics = _semantics(config, members, planned, refit)
    if path.exists():
        folder = SweepFolder.open(path)
        if folder.manifest().config_sha256 != config_hash(semantics):
            raise RunFolderError(
                f"{path}: holds another sweep (its configuration or its networks differ); choose another out=..."
            )
        return folder
    origin = members[0].connectome.provenance
    manifest = Manifest.start(
        config=semantics,
        verb="ablate",
        dataset=origin.dataset,
        dataset_version=origin.version,
        dataset_sha256=origin.sha256,
        seeds={"held_out": config.ablation.chosen.seed, **{member.name: member.seed for member in members}},
    )
    return SweepFolder.create(path, manifest, config=to_yaml(config))


def _semantics(
    config: AblateConfig, members: Sequence[Member], planned: Plan, refit: Refits | None
) -> dict[str, object]:
    """What decides the result: what is done, and to which numbers."""
    networks = {member.name: _digest(member) for member in members}
    fits = {} if refit is None else {member.name: refit.identity(member.name) for member in members}
    rows = [row.id for row in planned.rows]
    return {"ablation": plain(config.ablation), "networks": networks, "fits": fits, "rows": rows}


def _digest(member: Member) -> str:
    """SHA-256 of what decides how a member behaves, how it is read, and what can be done to it."""
    fitted, connectome, digest = member.fitted, member.connectome, hashlib.sha256()
    neurons = connectome.neurons
    texts = (fitted.activation, fitted.id, *(getattr(neurons, name).tolist() for name in ("type", "side")))
    digest.update(json.dumps(texts).encode())
    numbers = (fitted.weights, fitted.bias, fitted.time_constant, fitted.velocity_input, fitted.ring_angle)
    read = (
        np.array([kind == "EPG" for kind in fitted.type]),
        fitted.initial_states,
        neurons.ring_angle,
        connectome.dense(),
    )
    for array in (*numbers, *read):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _concluded(
    config: AblateConfig, folder: SweepFolder, members: Sequence[Member], rows: tuple[Row, ...], planned: Plan
) -> SweepOutcome:
    effects = summarise(rows, planned.measures)
    over = over_fits(len({member.connectome.provenance.sha256 for member in members}))
    names = [*(field.name for field in fields(Effect)), "over"]
    folder.write_table("summary", names, [{**_texts(asdict(item)), "over": over} for item in effects])
    verdicts: tuple[Verdict, ...] = ()
    if config.ablation.literature:
        verdicts = judge(shipped_findings(), rows, members[0].connectome)
        folder.write_table("literature", LITERATURE_COLUMNS, [_verdict_row(verdict) for verdict in verdicts])
    return SweepOutcome(folder, rows, effects, verdicts)


def _verdict_row(verdict: Verdict) -> dict[str, str]:
    values = {**asdict(verdict.finding), "verdict": verdict.verdict, "reason": verdict.reason}
    return {name: str(values[name]) for name in LITERATURE_COLUMNS}


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value != value else str(value) for name, value in values.items()}
