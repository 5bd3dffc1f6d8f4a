"""Published datasets: which there are, where they lie on this machine, how to fetch one. Knows no model.

A dataset is a folder ``<name>_<version>``. It appears under that name only when it is complete and its content has been
checked: everything happens in a temporary folder beside it, which is renamed at the end and removed on failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pooch
import requests
import urllib3
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from connectome_sim.connectome.anatomy import CIRCUITS, circuit_class
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.identity import KnownDataset, everything, recognised
from connectome_sim.connectome.io import hemibrain, known_datasets
from connectome_sim.connectome.io.files import cannot_write
from connectome_sim.errors import ConnectomeSimError, DataError, DownloadError
from connectome_sim.resources import data_dir

DATA_VARIABLE = "CONNECTOME_SIM_DATA"
_ATTEMPTS = 3  # chosen: a connection that drops three times needs a person
_TIMEOUT = 60  # s without a byte; chosen


@dataclass(frozen=True)
class Dataset:
    """A published dataset and what is known of its content.

    Attributes:
        name: short name, as on the command line.
        version: published version.
        url: address of the archive.
        size: of the archive, as text for people.
        archive_sha256: digest of the archive; None where the publisher states none and it may be repacked: then
            ``member_sha256`` and the content decide.
        content: what it holds; None: what ships under the name of its folder.
        member_sha256: file name -> digest of files inside the archive.
    """

    name: str
    version: str
    url: str
    size: str
    archive_sha256: str | None
    content: KnownDataset | None = None
    member_sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.name}_{self.version}"

    @property
    def published(self) -> KnownDataset:
        """What it holds, with its citation and licence."""
        return self.content or known_datasets.read(data_dir() / known_datasets.FOLDER / f"{self.folder}.json")


DATASETS: Mapping[str, Dataset] = {
    "hemibrain": Dataset(
        name="hemibrain",
        version="v1.2",
        url="https://storage.googleapis.com/hemibrain/v1.2/exported-traced-adjacencies-v1.2.tar.gz",
        size="45 MB",
        archive_sha256=None,
        member_sha256={hemibrain.NEURONS: "d07c1cac648c12d8135786996ac55de5a2b63d605cd6a24c5ce366224172c825"},
    )
}


def list_datasets(registry: Mapping[str, Dataset] = DATASETS) -> list[dict[str, str]]:
    """One row per known dataset: name, version, size, licence, citation, url, and its folder here ("" where absent)."""
    rows = []
    for dataset in registry.values():
        present = [folder for folder in _places(dataset) if folder.is_dir()]
        rows.append(
            {
                "name": dataset.name,
                "version": dataset.version,
                "size": dataset.size,
                "licence": dataset.published.licence,
                "citation": dataset.published.citation,
                "url": dataset.url,
                "folder": str(present[0]) if present else "",
            }
        )
    return rows


def find(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> Path:
    """Folder of a dataset: in the folder named by CONNECTOME_SIM_DATA, else in the user's cache.

    Raises:
        DataError: an unknown name, or a dataset that is in neither place.
    """
    dataset = _known(name, registry)
    places = _places(dataset)
    for folder in places:
        if folder.is_dir():
            return folder
    raise DataError(
        f"dataset {name!r}: found no folder {' or '.join(str(place) for place in places)}; "
        f"fetch it with: connectome-sim data download {name}"
    )


def load(
    name: str,
    *,
    strict: bool = False,
    own_name: str = "",
    used: Callable[[str], bool] = everything,
    registry: Mapping[str, Dataset] = DATASETS,
) -> Connectome:
    """Find a dataset and read it; see `hemibrain.read` for the arguments.

    Raises:
        DataError: not found, not readable, or what is used of it differs from what was published.
    """
    known = [dataset.published for dataset in registry.values()]
    place = find(name, registry=registry)
    return hemibrain.read(place, strict=strict, claim=name, own_name=own_name, used=used, known=known)


def cache_folder() -> Path:
    """The user's cache folder for datasets; it need not exist yet."""
    return Path(pooch.os_cache("connectome-sim"))


def download(
    name: str,
    *,
    folder: Path | None = None,
    url: str | None = None,
    progress: bool = True,
    attempts: int = _ATTEMPTS,
    registry: Mapping[str, Dataset] = DATASETS,
) -> Path:
    """Fetch a dataset, check it, and move it into place.

    A connection that breaks is tried again from the start. A dataset that is there already is checked and left alone.

    Args:
        name: name in the registry.
        folder: where the dataset's folder goes; the user's cache where None.
        url: address of the archive where it is not the published one (a mirror).
        progress: show a progress bar.
        attempts: how often to try before giving up.
        registry: the datasets to choose from.

    Returns:
        The dataset's folder, which `find` finds if ``folder`` is the cache or named by CONNECTOME_SIM_DATA.

    Raises:
        DataError: an unknown name.
        DownloadError: no connection, an error of the server, a wrong checksum, content that is not what was published,
            no space or no permission. Nothing is left behind.
    """
    dataset = _known(name, registry)
    parent = cache_folder() if folder is None else folder
    target = parent / dataset.folder
    url = url or dataset.url
    if target.exists():
        _checked(target, dataset, where=str(target))
        return target
    temporary, made = None, None
    try:
        if not parent.exists():
            made = _first_missing(parent)
            parent.mkdir(parents=True)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{dataset.folder}.", suffix=".part"))
        archive = temporary / "archive.tar.gz"
        _fetch(url, archive, progress=progress, attempts=attempts)
        _unpack(archive, temporary / dataset.folder, dataset, url).rename(target)
        made = None
    except OSError as error:
        raise DownloadError(cannot_write(target, error)) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
    return target


def _first_missing(folder: Path) -> Path:
    """The outermost folder that would have to be made for ``folder`` to exist."""
    while not folder.parent.exists():
        folder = folder.parent
    return folder


def _known(name: str, registry: Mapping[str, Dataset]) -> Dataset:
    if name not in registry:
        raise DataError(f"dataset {name!r} is unknown; there are {', '.join(registry)}")
    return registry[name]


def _places(dataset: Dataset) -> list[Path]:
    """Where a dataset may lie, in the order of search."""
    named = os.environ.get(DATA_VARIABLE)
    return [parent / dataset.folder for parent in [*([Path(named)] if named else []), cache_folder()]]


def _fetch(url: str, archive: Path, *, progress: bool, attempts: int) -> None:
    """Stream an address into a file; each attempt starts afresh."""
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=_TIMEOUT)
    for attempt in range(1, attempts + 1):
        try:
            downloader(url, str(archive), None)
            return
        except (MissingSchema, InvalidSchema, InvalidURL) as error:
            raise DownloadError(f"url: got {url!r}, wanted an address of http:// or https:// ({error})") from error
        except requests.HTTPError as error:
            raise DownloadError(f"{url}: the server answered {error}; check the address") from error
        except requests.RequestException as error:
            if _refused(error):
                raise DownloadError(f"{url}: no connection ({error}); check the address and the network") from error
            if attempt == attempts:
                raise DownloadError(
                    f"{url}: the transfer broke off {attempts} time(s), the last time with: {error}. "
                    "Nothing was left behind; check the connection and start it again"
                ) from error


def _refused(error: requests.RequestException) -> bool:
    """Whether no connection came about at all: trying again at once would not help."""
    reason = error.args[0] if error.args else None
    return isinstance(getattr(reason, "reason", None), urllib3.exceptions.NewConnectionError)


def _unpack(archive: Path, unpacked: Path, dataset: Dataset, url: str) -> Path:
    """The tables of an archive, checked, in a folder with a note on where they come from."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if dataset.archive_sha256 is not None and digest != dataset.archive_sha256:
        raise DownloadError(f"{url}: checksum of the archive: got sha256 {digest}, wanted {dataset.archive_sha256}")
    files = _checked(archive, dataset, where=url)
    unpacked.mkdir()
    for name, content in files.items():
        (unpacked / name).write_bytes(content)
    note = {
        "name": dataset.name,
        "version": dataset.version,
        "url": url,
        "archive_sha256": digest,
        "citation": dataset.published.citation,
        "licence": dataset.published.licence,
    }
    (unpacked / "dataset.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return unpacked


def _checked(path: Path, dataset: Dataset, *, where: str) -> dict[str, bytes]:
    """The tables in a folder or archive, if they are those that were published."""
    refused = f"{where}: not {dataset.name} {dataset.version} as published"
    try:
        files = hemibrain.read_files(path)
        for name, wanted in dataset.member_sha256.items():
            if (digest := hashlib.sha256(files[name]).hexdigest()) != wanted:
                raise DataError(f"{name}: got sha256 {digest}, wanted {wanted}")
        whole = hemibrain.from_files(files)
        recognised(whole, known=[dataset.published], label=dataset.folder, claim=dataset.name, used=_in_checked_circuit)
    except ConnectomeSimError as error:
        raise DownloadError(f"{refused}: {error}") from error
    return files


def _in_checked_circuit(database_type: str) -> bool:
    """Whether a type is in the widest circuit whose signs are known; further types are checked when they are used."""
    return circuit_class(database_type) in CIRCUITS["core_er"]
