"""Reader of the public hemibrain export: a folder or a .tar.gz with its two tables. Knows nothing of the fly.

Tables (Scheffer et al. 2020, eLife 9:e57443; CC-BY 4.0): ``traced-neurons.csv`` with bodyId,type,instance and
``traced-total-connections.csv`` with bodyId_pre,bodyId_post,weight. The table of connections per region, where there is
one, is not read: it covers primary regions only, so its sums fall short of the totals.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance
from connectome_sim.connectome.identity import KnownDataset, everything, recognised
from connectome_sim.connectome.io import formats, known_datasets
from connectome_sim.connectome.io.tables import Table, read_csv
from connectome_sim.connectome.io.unknown_neurons import Strangers
from connectome_sim.errors import DataError

NEURONS = "traced-neurons.csv"
CONNECTIONS = "traced-total-connections.csv"
_LISTED = 6  # names of a folder in a message (chosen)
_log = logging.getLogger(__name__)


def read(
    path: Path,
    *,
    strict: bool = False,
    claim: str = "",
    own_name: str = "",
    used: Callable[[str], bool] = everything,
    known: Sequence[KnownDataset] | None = None,
) -> Connectome:
    """Read an export in the format of the hemibrain; ``type`` is the database type, nothing is selected.

    Args:
        path: folder that holds the two tables, or the .tar.gz that holds them at any depth.
        strict: refuse a connection of a neuron that is not in the neuron table, instead of leaving it out, counted in
            the history of the provenance and in the log.
        claim: name of the dataset that it is said to be.
        own_name: what to call data that are no known release; without it, data that claim to be one are refused.
        used: whether a database type is used: what is used has to be as published.
        known: releases whose content is known; those that ship where None.

    Returns:
        The connectome: counts [post, pre], under the name that its content gives it (`recognised`). The digest in its
        provenance is that of the text ``<sha256>  <name>`` of the two tables, one line each, so that a folder and an
        archive of the same tables agree.

    Raises:
        DataError: missing file or column, an identifier or count that is no whole number, a neuron or pair that appears
            twice, an empty table, an archive that is cut off or holds a table twice, identifiers of two tables that do
            not belong together, data that claim to be a known release and differ from it, and with ``strict`` a
            connection to an unknown neuron.
    """
    try:
        files = read_files(path)
        connectome = recognised(
            from_files(files, strict=strict),
            known=known_datasets.load() if known is None else known,
            label=_label(path),
            claim=claim,
            own_name=own_name,
            used=used,
        )
        return connectome if connectome.provenance.version else _remarked(connectome, files)
    except DataError as error:
        raise DataError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from error


def _label(path: Path) -> str:
    """What the data are called where they lie."""
    name = path.resolve().name
    return name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")


def from_files(files: Mapping[str, bytes], *, strict: bool = False) -> Connectome:
    """The connectome of the two tables that `read_files` gives, of whatever dataset; see `read`.

    Raises:
        DataError: the tables are not what they claim to be.
    """
    neurons = read_csv(files[NEURONS], name=NEURONS, integers=["bodyId"], texts=["type", "instance"])
    connections = read_csv(files[CONNECTIONS], name=CONNECTIONS, integers=["bodyId_pre", "bodyId_post", "weight"])
    counts, left_out = _counts(neurons, connections, strict=strict)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    history = [f"read {name}, sha256 {digest}" for name, digest in digests.items()]
    if left_out:
        _log.warning(left_out)
        history.append(left_out)
    provenance = Provenance(
        dataset="unknown dataset",
        sha256=hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest(),
        history=tuple(history),
    )
    return Connectome(neurons=_neuron_table(neurons), counts=counts, provenance=provenance)


def _remarked(connectome: Connectome, files: Mapping[str, bytes]) -> Connectome:
    """Unknown data with a word on tables that may be cut in their last number, which nothing else shows."""
    for name in (name for name, content in files.items() if not content.endswith((b"\n", b"\r"))):
        remark = f"{name} does not end in a line end: its last line may be cut"
        _log.warning(remark)
        connectome = connectome.replaced(step=remark)
    return connectome


def read_files(path: Path) -> dict[str, bytes]:
    """Content of the two tables in a folder or .tar.gz, by name, not looked at yet.

    Raises:
        DataError: missing or unreadable, or an archive that is cut off; the caller says which ``path``.
    """
    return _archive_members(path) if path.is_file() else _folder_files(path)


def _folder_files(folder: Path) -> dict[str, bytes]:
    files = {}
    for name in (NEURONS, CONNECTIONS):
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            raise DataError(f"{name} is missing{_listing(folder)}; {formats.READABLE}") from None
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    return files


def _listing(folder: Path) -> str:
    """The first names in a folder, in words."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f" (the folder holds {shown})" if names else ""


def _archive_members(archive: Path) -> dict[str, bytes]:
    if (found := formats.kind(archive)) != formats.TAR_GZ:
        raise formats.refusal(archive, found)
    files: dict[str, bytes] = {}
    places: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member) if name in (NEURONS, CONNECTIONS) else None
                if content is not None:
                    _refuse_twice(name, places.get(name), member.name)
                    files[name], places[name] = content.read(), member.name
    except (tarfile.ReadError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the archive is cut off or damaged ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"the archive cannot be read ({error.strerror or error})") from None
    for name in (NEURONS, CONNECTIONS):
        if name not in files:
            raise DataError(f"{name} is missing from the archive")
    return files


def _refuse_twice(name: str, first: str | None, second: str) -> None:
    if first is not None:
        raise DataError(
            f"{name} is in the archive twice, as {first} and {second}; wanted one release: unpack the one you mean "
            "and name its folder"
        )


def _neuron_table(table: Table) -> Neurons:
    n = len(table)
    return Neurons(
        id=table["bodyId"].astype(str),
        type=table["type"],
        database_type=table["type"],
        instance=table["instance"],
        side=np.full(n, "", dtype=str),
        glomerulus=np.zeros(n, dtype=np.int64),
        ring_angle=np.full(n, np.nan),
    )


def _counts(neurons: Table, connections: Table, *, strict: bool) -> tuple[sp.csr_array, str]:
    """Counts [post, pre], and a sentence about the connections left out ("" where there are none)."""
    ids = neurons["bodyId"]
    if repeat := _first_repeat(ids):
        first, second, n = repeat
        raise DataError(
            f"{neurons.name}, line {neurons.line(second)}: neuron {ids[second]} appears again, "
            f"first in line {neurons.line(first)}; wanted each neuron once ({n} repeat(s))"
        )
    pre, pre_known = _positions(connections["bodyId_pre"], ids)
    post, post_known = _positions(connections["bodyId_post"], ids)
    weight = connections["weight"]
    known = pre_known & post_known
    left_out = ""
    if not known.all():
        strangers = Strangers(ids, connections["bodyId_pre"], connections["bodyId_post"], known, weight)
        row = int(np.flatnonzero(~known)[0])
        left_out = strangers.text(table=neurons.name, place=f"{connections.name}, line {connections.line(row)}")
        strangers.refuse(text=left_out)
        if strict:
            raise DataError(f"{left_out.removeprefix('left out ')}; strict reading wants every neuron in that table")
    rows = np.flatnonzero(known)
    pair = post[rows] * len(ids) + pre[rows]
    if repeat := _first_repeat(pair):
        first, second, n = rows[repeat[0]], rows[repeat[1]], repeat[2]
        pre_id, post_id = connections["bodyId_pre"][second], connections["bodyId_post"][second]
        raise DataError(
            f"{connections.name}, line {connections.line(second)}: pair {pre_id} -> {post_id} appears again, "
            f"first in line {connections.line(first)}; wanted each pair once ({n} repeat(s))"
        )
    return sp.csr_array((weight[rows], (post[rows], pre[rows])), shape=(len(ids), len(ids))), left_out


def _positions(wanted: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of each wanted identifier in ``ids``, and whether it is there at all."""
    order = np.argsort(ids)
    place = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    position = order[place]
    return position, ids[position] == wanted


def _first_repeat(key: np.ndarray) -> tuple[int, int, int] | None:
    """Row of a key, row where it first comes again, number of repeats; None where every key is there once."""
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if again.size == 0:
        return None
    earliest = again[np.argmin(order[again + 1])]
    return int(order[earliest]), int(order[earliest + 1]), int(again.size)
