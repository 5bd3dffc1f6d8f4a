"""Typed errors: every failure a user can cause or meet, one class per kind. Knows nothing else of the package."""

from __future__ import annotations

import signal


class ConnectomeSimError(Exception):
    """Base of all errors raised on purpose; the command line prints its message and exits non-zero."""


class DataError(ConnectomeSimError):
    """A file or table that is not what it claims to be (names file, line or field, what came, what was wanted)."""


class DownloadError(ConnectomeSimError):
    """A dataset that could not be fetched or whose content is not what was published."""


class SelectionError(ConnectomeSimError):
    """A selection of neurons or types that is empty or names something the connectome does not hold."""


class ConfigError(ConnectomeSimError):
    """A configuration value that is out of range or contradicts another one."""


class ParameterError(ConnectomeSimError):
    """A model parameter outside its allowed range (negative time constant, gain outside its bounds, ...)."""


class ShapeError(ConnectomeSimError):
    """An array whose shape, dtype or device does not fit the network it is used with."""


class StepError(ConnectomeSimError):
    """An integration step that is missing or that cannot resolve the fastest time constant."""


class SolveError(ConnectomeSimError):
    """A solve that cannot be carried out as asked (unknown method, unusable tolerances)."""


class FitError(ConnectomeSimError):
    """A fit that diverged or could not start; the last good state has been kept."""


class CircuitError(ConnectomeSimError):
    """A perturbation or rewiring that leaves no circuit to simulate or read; a result of a sweep, not its end."""


class RunFolderError(ConnectomeSimError):
    """A run folder that exists already, is incomplete, cannot be written, or has a newer format version."""


class BusyError(RunFolderError):
    """A run folder in which another process is at work."""


class Interrupted(KeyboardInterrupt):
    """A signal that asks the process to end, as Ctrl-C does.

    Attributes:
        signum: number of the signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:  # a launcher carries it between processes
        return Interrupted, (self.signum,)
