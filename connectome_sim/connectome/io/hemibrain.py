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
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance
from connectome_sim.connectome.io.tables import Table, read_csv
from connectome_sim.errors import DataError

NEURONS = "traced-neurons.csv"
CONNECTIONS = "traced-total-connections.csv"
CITATION = "Scheffer et al. 2020, A connectome and analysis of the adult Drosophila central brain, eLife 9:e57443"
VERSIONS = {"d07c1cac648c12d8135786996ac55de5a2b63d605cd6a24c5ce366224172c825": "v1.2"}
"""SHA-256 of the neuron table -> version of the dataset."""

_log = logging.getLogger(__name__)


def read(path: Path, *, strict: bool = False) -> Connectome:
    """Read a hemibrain export; ``type`` is the database type, nothing is selected.

    Args:
        path: folder that holds the two tables, or the .tar.gz that holds them at any depth.
        strict: refuse a connection of a neuron that is not in the neuron table, instead of leaving it out, counted in
            the history of the provenance and in the log.

    Returns:
        The connectome: counts [post, pre]. The digest in its provenance is that of the text ``<sha256>  <name>`` of
        the two tables, one line each, so that a folder and an archive of the same tables agree.

    Raises:
        DataError: missing file or column, an identifier or count that is no whole number, a neuron or pair that appears
            twice, an empty table, an archive that is cut off, and with ``strict`` a connection to an unknown neuron.
    """
    try:
        return from_files(read_files(path), strict=strict)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def from_files(files: Mapping[str, bytes], *, strict: bool = False) -> Connectome:
    """The connectome of the two tables that `read_files` gives; see `read`.

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
    version = VERSIONS.get(digests[NEURONS], "")
    provenance = Provenance(
        dataset="hemibrain" if version else "unknown export in the format of hemibrain",
        version=version,
        sha256=hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest(),
        citation=CITATION,
        history=tuple(history),
    )
    return Connectome(neurons=_neuron_table(neurons), counts=counts, provenance=provenance)


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
            raise DataError(
                f"{name} is missing; wanted a folder or .tar.gz that holds {NEURONS} and {CONNECTIONS}"
            ) from None
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    return files


def _archive_members(archive: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member) if name in (NEURONS, CONNECTIONS) else None
                if content is not None:
                    files[name] = content.read()
    except (tarfile.ReadError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the archive is cut off or no .tar.gz ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"the archive cannot be read ({error.strerror or error})") from None
    for name in (NEURONS, CONNECTIONS):
        if name not in files:
            raise DataError(f"{name} is missing from the archive")
    return files


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
        row = np.flatnonzero(~known)[0]
        stranger = connections["bodyId_post" if pre_known[row] else "bodyId_pre"][row]
        left_out = (
            f"left out {(~known).sum()} connection(s), {weight[~known].sum()} synapses, of neurons missing from "
            f"{neurons.name}, first in {connections.name}, line {connections.line(row)}: neuron {stranger}"
        )
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
