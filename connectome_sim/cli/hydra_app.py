"""Running a verb as a Hydra application and carrying its errors out of Hydra. Knows no verb."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser  # knows its own abbreviations of options
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from connectome_sim.cli.main import ERROR, OK, report
from connectome_sim.config import readable
from connectome_sim.config.compose import VERSION_BASE
from connectome_sim.config.foreign import check_folder, check_overrides
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.resources import conf_dir

# also for a configuration that comes from a run folder and says nothing about Hydra
_WRITE_NOTHING = ("hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")

Job = Callable[[Any], int]  # of an OmegaConf node


class _JobFailed(Exception):
    """A job of a sweep that has reported its error already; carries its exit code."""


def run(verb: str, arguments: Sequence[str], job: Job, *, name: str = "") -> int:
    """Compose the configuration of ``verb`` from command-line arguments and run ``job`` on it, or on each of a sweep.

    Hydra's own options (``--help``, ``--cfg job``, ``--multirun``, ...) work as in any Hydra application.

    Args:
        verb: name of the entry configuration in ``conf/``.
        arguments: of the command line, after the verb.
        job: returns an exit code; may raise.
        name: of the configuration, where it is not that of the verb.

    Returns:
        The exit code; of a sweep that of the first job that failed (the others run all the same).

    Raises:
        ConnectomeSimError: of the job; ConfigError also where Hydra cannot compose the configuration, or would do more
            for it than read values (see `connectome_sim.config.foreign`).
    """
    check_overrides(_overrides(arguments))
    codes: list[int] = []
    errors: list[ConnectomeSimError] = []

    def task(config: Any) -> None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            _one_of_many(job, config)
            return
        try:
            codes.append(job(config))
        except ConnectomeSimError as error:  # past Hydra, which would print something of its own
            errors.append(error)

    application = hydra.main(version_base=VERSION_BASE, config_path=str(conf_dir()), config_name=name or verb)(task)
    with _command_line(f"connectome-sim {verb}", _sorted(arguments)):
        try:
            _check_options(_sorted(arguments))
            application()
        except _JobFailed as failed:
            return int(failed.args[0])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"configuration: {readable(error)}") from error
        except SystemExit as stop:  # after --help, or an option that does not exist
            return OK if stop.code in (None, 0) else ERROR
    if errors:
        raise errors[0]
    return max(codes, default=OK)


def is_local_sweep(settings: Any) -> bool:
    """Whether a job, by Hydra's settings, is one of a sweep that no launcher plugin takes elsewhere."""
    return settings.mode == RunMode.MULTIRUN and not is_elsewhere(settings)


def is_elsewhere(settings: Any) -> bool:
    """Whether a launcher plugin takes the jobs of a sweep to other processes or machines."""
    return settings.mode == RunMode.MULTIRUN and not str(settings.launcher._target_).endswith(".BasicLauncher")


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [argument for argument in arguments if re.match(r"[~+]|[^-=]+=", argument)]


def _sorted(arguments: Sequence[str]) -> list[str]:
    """Options first, overrides last, ours among them: Hydra takes no option between two overrides."""
    overrides = _overrides(arguments)
    return [argument for argument in arguments if argument not in overrides] + [*_WRITE_NOTHING, *overrides]


def _check_options(arguments: Sequence[str]) -> None:
    """Refuse options with which Hydra reads configuration from anywhere, or runs what a file holds.

    Raises:
        ConfigError: such an option, or a folder of configuration that is not safe to read.
    """
    given = get_args_parser().parse_args(arguments)
    for option, value in (("--config-path", given.config_path), ("--experimental-rerun", given.experimental_rerun)):
        if value is not None:
            raise ConfigError(f"{option}: got {value!r}, wanted no such option; a fit is repeated by fit from=FOLDER")
    if given.config_name is not None and len(Path(given.config_name).parts) != 1:
        raise ConfigError(f"--config-name: got {given.config_name!r}, wanted a name without folders")
    if given.config_dir is not None:
        check_folder(Path(given.config_dir))
    check_overrides(given.overrides)


def _one_of_many(job: Job, config: Any) -> None:
    """A job of a sweep: reports its error at once and lets Hydra know that it failed."""
    try:
        code = job(config)
    except ConnectomeSimError as error:
        code = report(error)
    if code != OK:
        raise _JobFailed(code)


@contextmanager
def _command_line(program: str, arguments: Sequence[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv``; with HYDRA_FULL_ERROR it raises errors in the place of printing them."""
    argv, setting = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [program, *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if setting is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = setting
