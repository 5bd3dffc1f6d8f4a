"""Datasets: found where they lie, fetched from a server on this machine that breaks off, lies, or has nothing."""

import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from connectome_sim.connectome import download as module
from connectome_sim.connectome.download import DATASETS, Dataset, download, find, list_datasets, load
from connectome_sim.connectome.identity import KnownDataset, measured
from connectome_sim.connectome.io import hemibrain
from connectome_sim.connectome.io.hemibrain import CONNECTIONS, NEURONS
from connectome_sim.errors import DataError, DownloadError

# one cell of each core type and a stranger: 6 core neurons, 3 core pairs, 6 core synapses, by hand
CELLS = ["EPG,EPG(PB08)_L1", "EPGt,EPGt(PB09)_L9", "PEN_a(PEN1),PEN_a(PB06a)_L2", "PEN_b(PEN2),PEN_b(PB06b)_L2",
         "PEG,PEG(PB07)_L1", "Delta7,Delta7(PB15)_L4R5_R", "CL141,CL141_L"]  # fmt: skip
NEURON_TABLE = "bodyId,type,instance\n" + "".join(f"{10 + i},{cell}\n" for i, cell in enumerate(CELLS))
CONNECTION_TABLE = "bodyId_pre,bodyId_post,weight\n10,11,1\n10,12,2\n12,10,3\n10,16,50\n"


def packed(neurons: str = NEURON_TABLE, connections: str = CONNECTION_TABLE) -> bytes:
    """A .tar.gz like the published one, with a large table that nobody needs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        filler = os.urandom(300_000).hex()
        for name, text in ((NEURONS, neurons), ("traced-roi-connections.csv", filler), (CONNECTIONS, connections)):
            content = text.encode()
            member = tarfile.TarInfo(f"exported/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = packed()


@dataclass
class Server:
    """What the server hands out: each request takes the next share of the archive, then whole archives."""

    url: str = ""
    content: bytes = ARCHIVE
    shares: list[float] = field(default_factory=list)
    states_length: bool = True
    requests: int = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            if self.path != "/export.tar.gz":
                self.send_error(404)
                return
            share = state.shares.pop(0) if state.shares else 1.0
            self.send_response(200)
            if state.states_length:
                self.send_header("Content-Length", str(len(state.content)))
            self.end_headers()
            self.wfile.write(state.content[: int(share * len(state.content))])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.url = f"http://127.0.0.1:{httpd.server_port}/export.tar.gz"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


def content() -> KnownDataset:
    whole = hemibrain.from_files({NEURONS: NEURON_TABLE.encode(), CONNECTIONS: CONNECTION_TABLE.encode()})
    core = measured(whole, name="core", types=[cell.split(",")[0] for cell in CELLS[:6]])
    assert (core.neurons, core.pairs, core.synapses) == (6, 3, 6)
    return KnownDataset(
        name="small", version="v0", citation="nobody", licence="none", source="", releases=("small_v0",), parts=(core,)
    )


def registry(server: Server | None = None, **changes: object) -> dict[str, Dataset]:
    dataset = Dataset(
        name="small",
        version="v0",
        url=server.url if server else "http://127.0.0.1:9/none",
        size="1 kB",
        archive_sha256=None,
        content=content(),
        member_sha256={NEURONS: hashlib.sha256(NEURON_TABLE.encode()).hexdigest()},
    )
    return {"small": replace(dataset, **changes)}  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the user's cache or data."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(module, "cache_folder", lambda: folder)
    monkeypatch.delenv("CONNECTOME_SIM_DATA", raising=False)
    return folder


def test_a_download_is_found_and_read_afterwards(server: Server, cache: Path) -> None:
    entries = registry(server)
    folder = download("small", progress=False, registry=entries)
    assert folder == cache / "small_v0" == find("small", registry=entries)
    found = load("small", registry=entries)
    assert (found.n_neurons, found.provenance.version, found.provenance.citation) == (7, "v0", "nobody")
    assert sorted(os.listdir(folder)) == ["dataset.json", NEURONS, CONNECTIONS]
    assert os.listdir(cache) == ["small_v0"]
    note = json.loads((folder / "dataset.json").read_text())
    assert note["archive_sha256"] == hashlib.sha256(ARCHIVE).hexdigest()
    assert note["citation"] == "nobody"


def test_the_progress_bar_reaches_the_size_of_the_archive(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    download("small", registry=registry(server))
    assert "100%" in capsys.readouterr().err


def test_a_transfer_cut_off_half_way_is_started_again(server: Server, cache: Path) -> None:
    server.shares = [0.5]
    folder = download("small", progress=False, registry=registry(server))
    assert server.requests == 2
    assert hemibrain.read(folder).n_neurons == 7
    assert os.listdir(cache) == ["small_v0"]


def test_a_transfer_that_stays_cut_off_leaves_nothing_and_the_next_one_succeeds(server: Server, cache: Path) -> None:
    server.shares = [0.5]
    with pytest.raises(DownloadError, match=r"broke off 1 time.s., the last time with: .*start it again"):
        download("small", progress=False, attempts=1, registry=registry(server))
    assert not cache.exists()
    assert download("small", progress=False, attempts=1, registry=registry(server)).is_dir()


def test_a_cut_that_the_server_hides_is_seen_in_the_archive(server: Server, cache: Path) -> None:
    server.shares, server.states_length = [0.5], False
    with pytest.raises(DownloadError, match="the archive is cut off or damaged"):
        download("small", progress=False, registry=registry(server))
    assert not cache.exists()


def test_a_wrong_checksum_of_the_archive_is_refused(server: Server, cache: Path) -> None:
    found = hashlib.sha256(ARCHIVE).hexdigest()
    with pytest.raises(DownloadError, match=f"checksum of the archive: got sha256 {found}, wanted {'0' * 64}"):
        download("small", progress=False, registry=registry(server, archive_sha256="0" * 64))
    assert not cache.exists()
    assert download("small", progress=False, registry=registry(server, archive_sha256=found)).is_dir()


def test_a_wrong_checksum_of_a_table_is_refused(server: Server, cache: Path) -> None:
    found = hashlib.sha256(NEURON_TABLE.encode()).hexdigest()
    wanted = f"^{server.url}: not small v0 as published: {NEURONS}: got sha256 {found}, wanted {'0' * 64}$"
    with pytest.raises(DownloadError, match=wanted):
        download("small", progress=False, registry=registry(server, member_sha256={NEURONS: "0" * 64}))
    assert not cache.exists()


def test_a_circuit_with_other_counts_is_refused(server: Server, cache: Path) -> None:
    server.content = packed(connections=CONNECTION_TABLE + "11,12,4\n")
    wanted = "core: got 6 neurons, 4 pairs, 10 synapses, wanted 6 neurons, 3 pairs, 6 synapses"
    with pytest.raises(DownloadError, match=wanted):
        download("small", progress=False, registry=registry(server))
    assert not cache.exists()


def test_tables_that_do_not_read_are_refused(server: Server, cache: Path) -> None:
    server.content = packed(connections=CONNECTION_TABLE + "11,12,-4\n")
    with pytest.raises(
        DownloadError, match=f"^{server.url}: .* as published: {CONNECTIONS}, line 6, column 'weight': got '-4'"
    ):
        download("small", progress=False, registry=registry(server))
    assert not cache.exists()


def test_a_page_instead_of_an_archive_is_refused(server: Server, cache: Path) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match=f"^{server.url}: .* as published: .*recognised as a web page"):
        download("small", progress=False, registry=registry(server))
    assert not cache.exists()


def test_an_address_without_a_file_is_not_tried_again(server: Server, cache: Path) -> None:
    url = server.url.replace("export", "other")
    with pytest.raises(DownloadError, match="other.tar.gz: the server answered 404"):
        download("small", url=url, progress=False, registry=registry(server))
    assert server.requests == 1
    assert not cache.exists()


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/export.tar.gz", "http://", "127.0.0.1:80/export.tar.gz"])
def test_what_is_no_address_of_the_web_is_refused_at_once(
    url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fetch = module.pooch.HTTPDownloader.__call__

    def counted(self: object, url: str, *rest: object) -> object:
        asked.append(url)
        return fetch(self, url, *rest)

    monkeypatch.setattr(module.pooch.HTTPDownloader, "__call__", counted)
    with pytest.raises(DownloadError, match=f"url: got '{url}', wanted an address of http:// or https://"):
        download("small", url=url, progress=False, registry=registry())
    assert len(asked) <= 1
    assert not cache.exists()


def test_no_connection_is_a_typed_error(cache: Path) -> None:
    with pytest.raises(DownloadError, match="no connection"):
        download("small", progress=False, registry=registry())
    assert not cache.exists()


def test_a_dataset_that_is_there_is_checked_and_left_alone(server: Server) -> None:
    entries = registry(server)
    folder = download("small", progress=False, registry=entries)
    assert download("small", progress=False, registry=entries) == folder
    assert server.requests == 1
    (folder / CONNECTIONS).write_text(CONNECTION_TABLE + "11,12,4\n")
    with pytest.raises(DownloadError, match="not small v0 as published"):
        download("small", progress=False, registry=entries)
    assert server.requests == 1


def test_a_dataset_that_was_damaged_after_its_download_is_not_read(server: Server) -> None:
    entries = registry(server)
    folder = download("small", progress=False, registry=entries)
    (folder / CONNECTIONS).write_text(CONNECTION_TABLE.replace("12,10,3\n", ""))
    with pytest.raises(
        DataError, match="not small v0 as published .asked for by that name.: core: got 6 neurons, 2 pa"
    ):
        load("small", registry=entries)
    assert load("small", registry=entries, own_name="mine").provenance.dataset == "unknown dataset 'mine'"


def test_a_folder_that_cannot_be_made_is_a_typed_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot write"):
        download("small", folder=tmp_path / "file" / "sub", progress=False, registry=registry(server))


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DownloadError, match="cannot write .No space left on device.; free some space"):
        download("small", progress=False, registry=registry(server))
    assert not cache.exists()


def test_a_dataset_is_looked_for_in_the_named_folder_before_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = registry()
    for parent in (cache, tmp_path / "mine"):
        (parent / "small_v0").mkdir(parents=True)
    assert find("small", registry=entries) == cache / "small_v0"
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path / "empty"))
    assert find("small", registry=entries) == cache / "small_v0"
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path / "mine"))
    assert find("small", registry=entries) == tmp_path / "mine" / "small_v0"
    assert list_datasets(entries)[0]["folder"] == str(tmp_path / "mine" / "small_v0")


def test_a_dataset_that_is_nowhere_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path))
    with pytest.raises(DataError, match="hemibrain_v1.2.*fetch it with: connectome-sim data download hemibrain"):
        find("hemibrain")
    assert list_datasets()[0]["folder"] == ""


@pytest.mark.parametrize("verb", [find, load, download])
def test_an_unknown_name_lists_those_there_are(verb) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="dataset 'hemibran' is unknown; there are hemibrain"):
        verb("hemibran")


def test_the_registry_states_version_licence_and_citation() -> None:
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.url.startswith("https://")
        published = dataset.published
        assert (published.name, published.version) == (dataset.name, dataset.version)
        assert all((published.licence, published.citation))
        assert dataset.folder in published.releases
