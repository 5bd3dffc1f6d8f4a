"""Which verb, and how errors leave: one message on standard error and an exit code. Knows no verb's options.

The verbs are imported when they are wanted: PyTorch takes seconds to import, ``--help`` should not.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from connectome_sim.cli import signals
from connectome_sim.errors import ConnectomeSimError, FitError
from connectome_sim.version import __version__

# PyTorch's idle threads sleep instead of spinning on the cores that our kernels use. Read when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HYDRA_VERBS = ("fit", "evaluate", "analyze", "ablate", "figures", "export", "ensemble", "solutions", "study")

OK, ERROR, FAILED_FIT, SIGNALLED = 0, 1, 2, 128

USAGE = """\
connectome-sim VERB [options]

Fits the dynamics of a head-direction circuit to its connectome, and measures, ablates and draws the result.

  fit        fit a network to a connectome, measure and draw it
  evaluate   measure the network of a run on held-out trials
  analyze    find the attractor of a run: slow ring, drift, fixed points
  ablate     silence, scale, drive or rewire fitted networks, and say what changes
  figures    draw the figures of a run
  export     write the fitted networks of runs or of an ensemble as plain arrays
  ensemble   collect the parameters of many fits in one folder
  solutions  how alike the members of an ensemble are, and what the data leave open
  study      fit many cases that differ in one respect, with many seeds, and compare them
  data       list, inspect and download connectomes

  connectome-sim fit +experiment=quickstart      a first result within minutes, without any download
  connectome-sim VERB --help                     what a verb can do, with examples
  connectome-sim --version

--debug before the verb, or HYDRA_FULL_ERROR=1, shows where an error comes from.
Exit codes: 0 success; 1 an error; 2 a fit that failed, with the reasons; 128 + n interrupted by signal n, what was done
is saved: 130 Ctrl-C, 143 SIGTERM (a time limit), 129 SIGHUP (a terminal that was closed).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; ``arguments`` are those of the process where None. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given[:1]
    given = given[debug:]
    debug = debug or os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    if not given or given[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return OK
    if given[0] == "--version":
        print(__version__)
        return OK
    try:
        with signals.as_exceptions():
            return _verb(given[0])(given[1:])
    except ConnectomeSimError as error:
        if debug:
            raise
        return report(error)
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except KeyboardInterrupt as error:
        say(f"connectome-sim: {error}" if str(error) else "connectome-sim: interrupted")
        return SIGNALLED + getattr(error, "signum", signal.SIGINT)


def say(text: str) -> None:
    """Print on standard error, of which a closed terminal takes nothing any more."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        for stream in (sys.stdout, sys.stderr):  # or Python itself fails at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def report(error: ConnectomeSimError) -> int:
    """Print an error and return its exit code."""
    print(f"connectome-sim: {error}", file=sys.stderr)
    return FAILED_FIT if isinstance(error, FitError) else ERROR


def _verb(name: str) -> Callable[[list[str]], int]:
    if name == "data":
        from connectome_sim.cli import data

        return data.run
    if name in _HYDRA_VERBS:
        from connectome_sim.cli import fitting, verbs

        run: Callable[[list[str]], int] = fitting.fit if name == "fit" else getattr(verbs, name)
        return run
    return lambda _: _unknown(name)


def _unknown(name: str) -> int:
    print(f"connectome-sim: unknown verb {name!r}; there are {', '.join(_HYDRA_VERBS)}, data", file=sys.stderr)
    return ERROR
