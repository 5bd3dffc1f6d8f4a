"""One fit from configuration to run folder: read, fit with checkpoints, measure, store, draw. Prints nothing.

Whatever happens, the folder says so: a fit that diverges, misses a bound, is interrupted or meets a bug is recorded as
failed with its reason, and keeps its last good checkpoint.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from torch import Tensor

from connectome_sim.build import measuring
from connectome_sim.build.objects import circuit, use_threads, wiring
from connectome_sim.config import FitConfig, plain, to_yaml
from connectome_sim.config.compose import CONFIG
from connectome_sim.config.settings import HOW
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.evaluate import success
from connectome_sim.fit import FitState, fit
from connectome_sim.fit.fitting import FitResult, Row
from connectome_sim.model import Activation, Parameters, Wiring
from connectome_sim.model.parameters import FAMILIES
from connectome_sim.readout import Readout
from connectome_sim.records import (
    Manifest,
    RunFolder,
    RunStatus,
    atomic,
    config_hash,
    write_network,
    write_parameters,
)
from connectome_sim.solve import implementation

_DRAWING = Lock()  # matplotlib draws for one thread at a time


@dataclass(frozen=True, eq=False)
class FitOutcome:
    """What a fit came to.

    Attributes:
        folder: the run folder.
        connectome: the circuit it was fitted to.
        metrics: held-out scores.
        succeeded: whether every bound of the configuration holds.
        reasons: one sentence for each that does not.
    """

    folder: RunFolder
    connectome: Connectome
    metrics: Mapping[str, float] = field(default_factory=dict)
    succeeded: bool = False
    reasons: tuple[str, ...] = ()


def run_fit(
    config: FitConfig, *, notes: Mapping[str, str] | None = None, stop: Callable[[], bool] = lambda: False
) -> FitOutcome:
    """Fit, measure and draw a new run.

    Args:
        config: from ``compose("fit", [...])``.
        notes: further files for the ``.hydra`` folder beside ``config.yaml``: name -> text.
        stop: asked after every iteration whether to give up, as if interrupted.

    Raises:
        RunFolderError: the folder exists, or cannot be written.
        FitError: the fit diverged or could not start; the folder says so and keeps the last good checkpoint.
        ConnectomeSimError: data that are not there, or not what they claim to be; no folder is left then.
    """
    use_threads(config.threads)
    if config.resume:
        raise ConfigError("resume: got true for a new run; resume_fit(saved_config(run)) goes on with one that exists")
    path = Path(config.run)
    if path.exists():
        raise RunFolderError(f"{path}: exists already; choose another run=..., or go on with it: resume=true")
    connectome = circuit(config.connectome)
    wired = wiring(config, connectome)
    Readout(wired.ring_angle, wired.epg_mask)  # a heading that cannot be read shows here, before there is a folder
    folder = _create(config, connectome, notes or {}, solver=implementation(wired.connections, config.solve))
    return _carry_out(config, folder, connectome, wired, resume=None, stop=stop)


def resume_fit(config: FitConfig, *, stop: Callable[[], bool] = lambda: False) -> FitOutcome:
    """Go on with the run in ``config.run`` from its last checkpoint, exactly as if it had never stopped.

    Args:
        config: from ``saved_config(run)``.
        stop: as in `run_fit`.

    Raises:
        RunFolderError: no run folder, one of a newer format, or a damaged checkpoint.
        FitError: as `run_fit`.
    """
    use_threads(config.threads)
    folder = RunFolder.open(config.run)
    check_same(folder, config)
    if folder.connectome.exists():
        connectome = hdf5.read(folder.connectome)
    else:  # stopped before it was written
        connectome = circuit(config.connectome)
        hdf5.write(connectome, folder.connectome)
    state = None
    if any(folder.checkpoints.glob("*.safetensors")):
        state = FitState(*folder.last_checkpoint())
    return _carry_out(config, folder, connectome, wiring(config, connectome), resume=state, stop=stop)


def _create(config: FitConfig, connectome: Connectome, notes: Mapping[str, str], *, solver: str) -> RunFolder:
    """The run folder with all that is known before the fit; none at all where it cannot be written to its end."""
    path = Path(config.run)
    atomic.make_folder(path, exist_ok=False)
    try:
        return _filled(path, config, connectome, notes, solver)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _filled(path: Path, config: FitConfig, connectome: Connectome, notes: Mapping[str, str], solver: str) -> RunFolder:
    atomic.make_folder((path / CONFIG).parent)
    for name, text in {CONFIG.name: to_yaml(config), **notes}.items():
        atomic.write_text((path / CONFIG).with_name(name), text)
    origin = connectome.provenance
    manifest = Manifest.start(
        config=semantics(config),
        verb="fit",
        dataset=origin.dataset,
        dataset_version=origin.version,
        dataset_sha256=origin.sha256,
        seeds=_seeds(config),
        solver=solver,
    )
    folder = RunFolder.create(path, manifest, prepared=True)
    hdf5.write(connectome, folder.connectome)
    return folder


def semantics(config: FitConfig) -> dict[str, object]:
    """What decides the result, which two runs of the same configuration share."""
    return {name: value for name, value in plain(config).items() if name not in HOW}


def _seeds(config: FitConfig) -> dict[str, int]:
    drawn = {"connectome": config.connectome.draw_seed} if config.connectome.is_drawn else {}
    return {"fit": config.seed, "held_out": config.held_out_seed, **drawn}


def check_same(folder: RunFolder, config: FitConfig) -> None:
    """Raise a RunFolderError unless the run in a folder has this configuration."""
    if folder.manifest().config_sha256 != config_hash(semantics(config)):
        raise RunFolderError(
            f"{folder.path / CONFIG}: is not the configuration that this run was started with (its hash differs from "
            "manifest.json); undo the change, or start a new run from it"
        )


def _carry_out(
    config: FitConfig,
    folder: RunFolder,
    connectome: Connectome,
    wired: Wiring,
    *,
    resume: FitState | None,
    stop: Callable[[], bool] = lambda: False,
) -> FitOutcome:
    with _recorded(folder) as ending:
        result = _fitted(config, folder, wired, resume, stop)
        values = named_parameters(result.parameters)
        write_parameters(folder.parameters, values)
        readout = Readout(wired.ring_angle, wired.epg_mask)
        stored = measuring.stored(config, connectome, result.network, readout)
        write_network(folder.network, [stored])
        measured = measuring.measure(stored, config.evaluation, config, progress=config.progress)
        measured.save(folder.evaluation)
        metrics = {
            **measured.metrics,
            **measuring.parameters_of(config, connectome, {name: float(v) for name, v in values.items()}),
            **measuring.rates_of(stored),
            "validation_total": result.validation_total,
            "best_iteration": result.best_iteration,
        }
        succeeded, reasons = success(metrics, config.success)
        folder.write_metrics({**metrics, "success": succeeded})
        ending.reason = "; ".join(reasons)
    if config.figures:
        # matplotlib takes a second to import, and is not always wanted
        from connectome_sim.build.reporting import write_report
        from connectome_sim.figures import draw_all

        with _DRAWING:
            draw_all(folder)
            write_report(folder)
    return FitOutcome(folder, connectome, metrics, succeeded, tuple(reasons))


def _fitted(
    config: FitConfig, folder: RunFolder, wired: Wiring, resume: FitState | None, stop: Callable[[], bool]
) -> FitResult:
    if resume is not None:
        folder.write_history(resume.content["history"])  # a kill may have come between the checkpoint and the history

    written = time.monotonic()
    unwritten: list[FitState] = []

    def write() -> None:
        nonlocal written
        while unwritten:
            state = unwritten.pop()
            folder.write_checkpoint(state.iteration, state.content)
            folder.write_history(state.content["history"])
            written = time.monotonic()

    def keep(row: Row, state: FitState) -> None:
        unwritten[:] = [state]
        if time.monotonic() - written >= config.checkpoint_every_s:
            write()
        if stop():
            raise KeyboardInterrupt

    try:
        return fit(
            wired,
            terms=config.terms,
            optimizers={"adam": config.adam, "gauss_newton": config.gauss_newton, "polish": config.polish},
            spec=config.parameters,
            activation=Activation.named(config.activation),
            solve=config.solve,
            start=config.start,
            options=config.fit,
            seed=config.seed,
            resume=resume,
            on_iteration=keep,
            progress=config.progress,
        )
    finally:  # also where the fit diverged or was interrupted: nothing that was done is lost
        write()


def named_parameters(parameters: Parameters) -> dict[str, Tensor]:
    """Bounded values by ``family/name``: ``gain/EPG<-PEN_a``, ``time_constant/EPG`` (s), ..., scalars."""
    return {
        f"{family}/{name}": value
        for family in FAMILIES
        for name, value in zip(parameters.names(family), parameters.values(family).detach(), strict=True)
    }


@dataclass
class _Ending:
    reason: str = ""


@contextmanager
def _recorded(folder: RunFolder) -> Iterator[_Ending]:
    """Records in the manifest how the work inside ended; errors go on their way."""
    began, ending = time.monotonic(), _Ending()
    before = folder.manifest()  # of an earlier part, where the run is resumed
    spent = before.wall_time_s or 0.0
    folder.write_manifest(replace(before, status="running", reason="", wall_time_s=None))
    try:
        yield ending
    except BaseException as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        folder.finish(status="failed", reason=reason, wall_time_s=spent + time.monotonic() - began)
        raise
    status: RunStatus = "failed" if ending.reason else "succeeded"
    folder.finish(status=status, reason=ending.reason, wall_time_s=spent + time.monotonic() - began)
