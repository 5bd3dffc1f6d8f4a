"""What a dataset is, by its content: digests of published releases against the tables that came. Knows no file format.

A release is known by parts, each the neurons of some cell types and their connections. Digests are over rows in the
order of their identifiers, so that an excerpt and the whole export agree on the parts that both hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from connectome_sim.connectome.connectome import Connectome, Neurons
from connectome_sim.connectome.lookalikes import lookalikes
from connectome_sim.errors import DataError

_FEWEST_CELLS = 2  # of a type whose identifiers betray a release (chosen: no two datasets share two by chance)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The neurons of one cell type: how many, and the digest of their identifiers and instance names."""

    neurons: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """The neurons of some cell types, and their connections among each other and with those of the partners.

    Attributes:
        name: what it is called.
        types: database type -> its neurons.
        partners: further database types whose connections with these types belong to the part.
        min_count: connections of fewer synapses do not belong to it.
        pairs: connections.
        synapses: in all of them.
        sha256: digest of the neurons and connections.
    """

    name: str
    types: Mapping[str, Cells]
    partners: tuple[str, ...] = ()
    min_count: int = 1
    pairs: int
    synapses: int
    sha256: str

    @property
    def neurons(self) -> int:
        """Number of neurons of its types."""
        return sum(cells.neurons for cells in self.types.values())

    def __str__(self) -> str:
        least = f" of {self.min_count} or more synapses" if self.min_count > 1 else ""
        return f"{self.neurons:,} neurons, {self.pairs:,} pairs{least}, {self.synapses:,} synapses"


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A published release and what it holds.

    Attributes:
        name: short name.
        version: as its publisher calls it.
        citation: how to cite it.
        licence: under which it is published.
        source: where the digests come from.
        releases: names of its folders and archives; data of such a name claim to be this release.
        parts: its content, as far as it is known.
    """

    name: str
    version: str
    citation: str
    licence: str
    source: str
    releases: tuple[str, ...]
    parts: tuple[Part, ...]


def everything(database_type: str) -> bool:
    """Every cell type is used."""
    return True


def measured(
    connectome: Connectome, *, name: str, types: Collection[str], partners: Collection[str] = (), min_count: int = 1
) -> Part:
    """The part of a connectome that these database types make up."""
    neurons, counts = connectome.neurons, connectome.counts.tocoo()
    own = np.isin(neurons.database_type, list(types))
    near = own | np.isin(neurons.database_type, list(partners))
    post, pre = counts.coords
    kept = np.flatnonzero(((own[post] & near[pre]) | (near[post] & own[pre])) & (counts.data >= min_count))
    rank = np.empty(len(neurons), dtype=np.int64)
    rank[_by_identifier(neurons.id)] = np.arange(len(neurons))
    kept = kept[np.lexsort((rank[post[kept]], rank[pre[kept]]))]
    rows = zip(neurons.id[pre[kept]], neurons.id[post[kept]], counts.data[kept], strict=True)
    cells = {str(t): _cells(neurons, neurons.database_type == t) for t in sorted(types)}
    lines = (*(f"{t}\t{found.sha256}" for t, found in cells.items()), *("\t".join(map(str, row)) for row in rows))
    return Part(
        name=name,
        types=cells,
        partners=tuple(sorted(partners)),
        min_count=min_count,
        pairs=len(kept),
        synapses=int(counts.data[kept].sum()),
        sha256=_digest(lines),
    )


def recognised(
    connectome: Connectome,
    *,
    known: Sequence[KnownDataset],
    label: str,
    claim: str = "",
    own_name: str = "",
    used: Callable[[str], bool] = everything,
) -> Connectome:
    """The connectome under the name that its content gives it.

    Where everything that is used is as in a known release, name, version and citation are those of the release. Else it
    is an unknown dataset, without version or citation.

    Args:
        connectome: as read, ``database_type`` as the dataset names it.
        known: releases to compare with.
        label: what the data are called where they lie: the name of their folder or archive.
        claim: name of the dataset that they are said to be.
        own_name: what to call unknown data; data that claim to be a known release, and differ, are then no error.
        used: whether a database type is used; parts without a type in use are not compared.

    Raises:
        DataError: the data claim to be a known release, by ``claim``, by their label or because they hold its very
            neurons, and what is used differs from it.
    """
    for dataset in known:
        parts = [part for part in dataset.parts if any(map(used, part.types))]
        pairs = [(part, _same_part(connectome, part)) for part in parts]
        pairs = [(part, found) for part, found in pairs if found.neurons]
        if pairs and all(part == found for part, found in pairs):
            return _as_published(connectome, dataset, [part for part, _ in pairs])
        reason = _claims(connectome, dataset, label, claim)
        if reason and not own_name:
            raise DataError(_refusal(connectome, dataset, pairs, reason))
    step = f"its content is that of no release known here ({', '.join(f'{d.name} {d.version}' for d in known)})"
    provenance = replace(
        connectome.provenance, dataset=f"unknown dataset {own_name or label!r}", version="", citation=""
    )
    return replace(connectome, provenance=provenance.then(step) if known else provenance)


def _same_part(connectome: Connectome, part: Part) -> Part:
    return measured(
        connectome, name=part.name, types=part.types.keys(), partners=part.partners, min_count=part.min_count
    )


def _as_published(connectome: Connectome, dataset: KnownDataset, parts: Iterable[Part]) -> Connectome:
    content = "; ".join(f"{part.name}: {part}" for part in parts)
    provenance = replace(
        connectome.provenance, dataset=dataset.name, version=dataset.version, citation=dataset.citation
    )
    step = f"content as published in {dataset.name} {dataset.version}: {content}"
    return replace(connectome, provenance=provenance.then(step))


def _claims(connectome: Connectome, dataset: KnownDataset, label: str, claim: str) -> str:
    """Why the data claim to be a release; empty where they do not."""
    if claim == dataset.name:
        return "asked for by that name"
    if any(release in label for release in dataset.releases):
        return f"named {label}"
    neurons, types = connectome.neurons, {t: cells for part in dataset.parts for t, cells in part.types.items()}
    same = [
        t
        for t, cells in types.items()
        if cells.neurons >= _FEWEST_CELLS and _cells(neurons, neurons.database_type == t) == cells
    ]
    return f"its neurons of type {', '.join(same)} are those of the release" if same else ""


def _refusal(connectome: Connectome, dataset: KnownDataset, pairs: Sequence[tuple[Part, Part]], reason: str) -> str:
    origin = f"{dataset.name} {dataset.version}"
    differences = [_difference(connectome, part, found) for part, found in pairs if part != found]
    return (
        f"not {origin} as published ({reason}): {'; '.join(differences) or 'it holds none of its neurons'}. "
        f"Damaged or incomplete data: connectome-sim data download {dataset.name}. Another version or data of your "
        "own: own_name=NAME reads them as they are, without version and citation (in a fit: connectome.own_name=NAME)"
    )


def _difference(connectome: Connectome, part: Part, found: Part) -> str:
    text = f"{part.name}: got {found}, wanted {part}"
    if str(part) == str(found):
        text += f", the same numbers of other content (sha256: got {found.sha256}, wanted {part.sha256})"
    fewer = {t: cells for t, cells in part.types.items() if cells.neurons != found.types[t].neurons}
    text += "".join(f", {t}: {found.types[t].neurons} of {cells.neurons} neurons" for t, cells in fewer.items())
    present = {str(t) for t in np.unique(connectome.neurons.database_type)} - part.types.keys() - set(part.partners)
    similar = lookalikes(present, part.types) if fewer else {}
    return text + (f" (types that look like them: {', '.join(map(repr, similar))})" if similar else "")


def _cells(neurons: Neurons, which: np.ndarray) -> Cells:
    index = np.flatnonzero(which)
    index = index[_by_identifier(neurons.id[index])]
    rows = zip(neurons.id[index], neurons.instance[index], strict=True)
    return Cells(neurons=len(index), sha256=_digest("\t".join(map(str, row)) for row in rows))


def _by_identifier(ids: np.ndarray) -> np.ndarray:
    """Order of identifiers, as numbers where they are whole numbers."""
    return np.lexsort((ids, np.char.str_len(ids)))


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
