"""What a connectome holds, in a few numbers and as text. Knows no file format."""

from __future__ import annotations

from typing import Any

import numpy as np

from connectome_sim.connectome.anatomy import CLASSES, circuit_class
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.lookalikes import similar_types

_MOST_TYPES = 30  # chosen: a table of type pairs that still fits a terminal


def inspect(connectome: Connectome) -> dict[str, Any]:
    """Sizes, cells per type and source of a connectome, as plain values that JSON can hold.

    Returns:
        ``neurons``, ``pairs``, ``synapses``, ``types`` (number of types), ``cells`` (type -> number of neurons; classes
        of the head-direction circuit where there are more than 30 types), ``synapses_by_type_pair`` (presynaptic type
        -> postsynaptic type -> synapses; empty where there are more than 30 types), ``similar`` (types that look like
        those of the circuit and are not taken for them, as text), ``dataset``, ``version``, ``sha256``, ``citation``,
        ``history``.
    """
    few = len(connectome.types) <= _MOST_TYPES
    totals = connectome.totals() if few else None
    return {
        "dataset": connectome.provenance.dataset,
        "version": connectome.provenance.version,
        "sha256": connectome.provenance.sha256,
        "citation": connectome.provenance.citation,
        "history": list(connectome.provenance.history),
        "neurons": connectome.n_neurons,
        "pairs": int(connectome.counts.nnz),
        "synapses": int(connectome.counts.data.sum()),
        "types": len(connectome.types),
        "cells": _cells(connectome, few),
        "similar": similar_types(connectome, CLASSES, known=circuit_class),
        "synapses_by_type_pair": {}
        if totals is None
        else {
            pre: {post: int(totals[i, j]) for i, post in enumerate(connectome.types)}
            for j, pre in enumerate(connectome.types)
        },
    }


def as_text(summary: dict[str, Any]) -> str:
    """The result of `inspect` as lines of text for a terminal."""
    lines = [
        _title(summary["dataset"], summary["version"]),
        f"sha256    {summary['sha256']}",
        f"cite      {summary['citation'] or 'nothing: of no dataset that is known here'}",
        f"neurons   {summary['neurons']:,} of {summary['types']:,} types",
        f"pairs     {summary['pairs']:,}",
        f"synapses  {summary['synapses']:,}",
        *(f"history   {step}" for step in summary["history"]),
        *([f"similar   not taken for types of the circuit: {summary['similar']}"] if summary["similar"] else []),
        "",
        *(f"{name:12}{number:>8,} cells" for name, number in summary["cells"].items()),
    ]
    pairs = summary["synapses_by_type_pair"]
    if pairs:
        lines += ["", "synapses, presynaptic row, postsynaptic column", " " * 12 + "".join(f"{t:>10}" for t in pairs)]
        lines += [f"{pre:12}" + "".join(f"{n:>10,}" for n in row.values()) for pre, row in pairs.items()]
    return "\n".join(lines)


def _title(dataset: str, version: str) -> str:
    return dataset if version in dataset else f"{dataset} {version}"


def _cells(connectome: Connectome, few: bool) -> dict[str, int]:
    if few:
        return {t: int((connectome.neurons.type == t).sum()) for t in connectome.types}
    names, numbers = np.unique(connectome.neurons.type, return_counts=True)
    cells = dict.fromkeys(CLASSES, 0)
    for name, number in zip(names, numbers, strict=True):
        if found := circuit_class(str(name)):
            cells[found] += int(number)
    return {name: number for name, number in cells.items() if number}
