"""Type names that look like another one and are not taken for it: named, never guessed. Knows no cell type."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

import numpy as np

from connectome_sim.connectome.connectome import Connectome

_log = logging.getLogger(__name__)
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta"}
_SHORT = 3  # letters; a shorter stem, or one of a numbered family, has to be followed by a number or nothing (chosen)


def similar_types(connectome: Connectome, wanted: Iterable[str], *, known: Callable[[str], str]) -> str:
    """Types of a connectome that look like a wanted class and are of none, with their cells; empty without any.

    Args:
        connectome: whole dataset, or a circuit.
        wanted: names of classes.
        known: class of a type, "" for one that is of none.
    """
    types, cells = np.unique(connectome.neurons.type, return_counts=True)
    number = {str(t): int(n) for t, n in zip(types, cells, strict=True) if not known(str(t))}
    found = lookalikes(number, wanted)
    return ", ".join(f"{name!r} ({number[name]} cells, like {like})" for name, like in found.items())


def noted(connectome: Connectome, similar: str) -> Connectome:
    """A circuit with a word, in its history and in the log, on the `similar_types` that it leaves out."""
    if not similar:
        return connectome
    step = f"left out, though their types look like those of the circuit: {similar}"
    _log.warning(step)
    return connectome.replaced(step=step)


def lookalikes(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Names that begin like a wanted one, whatever their case, blanks, hyphens and brackets, and what they look like.

    The part after an underscore does not count: ``P-EN1`` looks like ``PEN_a``, and ``Delta7_a`` like ``Delta7``.

    Returns:
        Name -> stem of the wanted name that it looks like, the longest one; names that are wanted are left out.
    """
    wanted = set(wanted)
    stems = sorted({re.split(r"[_(]", name)[0] for name in wanted}, key=len, reverse=True)
    found = {}
    for name in sorted(set(names) - wanted):
        plain = _plain(name)
        like = next((stem for stem in stems if _begins(plain, _plain(stem))), None)
        if like is not None:
            found[name] = like
    return found


def _plain(name: str) -> str:
    """Letters and digits of a name, in lower case."""
    lower = name.casefold()
    for letter, word in _GREEK.items():
        lower = lower.replace(letter, word)
    return re.sub(r"[^a-z0-9]", "", lower)


def _begins(name: str, stem: str) -> bool:
    rest = name[len(stem) :]
    return bool(stem) and name.startswith(stem) and (len(stem) >= _SHORT or not rest or rest[0].isdigit())
