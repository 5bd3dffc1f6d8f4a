"""Damaged and misnamed data at every door: a message and exit code 1, or data under the name that they deserve.

Most cases are made from a circuit drawn from wiring statistics and written like an export of the hemibrain; those on
what a published release is need the real one.
"""

import csv
import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from connectome_sim.build import load_ensemble
from connectome_sim.build.objects import circuit
from connectome_sim.cli import main
from connectome_sim.config import ConnectomeConfig
from connectome_sim.connectome import download, statistics
from connectome_sim.connectome.io import hemibrain
from connectome_sim.connectome.io.hemibrain import CONNECTIONS, NEURONS
from connectome_sim.errors import ConnectomeSimError, DataError

Row = list[str]


@dataclass
class Tables:
    """Rows of both tables, the headers first, and how they become files."""

    neurons: list[Row]
    connections: list[Row]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for name, rows in ((NEURONS, self.neurons), (CONNECTIONS, self.connections)):
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows(rows)
            (folder / name).write_text(buffer.getvalue())
        return folder

    def renamed(self, column: int, change: Callable[[str], str]) -> "Tables":
        rows = [
            self.neurons[0],
            *([*row[:column], change(row[column]), *row[column + 1 :]] for row in self.neurons[1:]),
        ]
        return Tables(rows, self.connections)


@pytest.fixture(scope="module")
def drawn() -> Tables:
    """The drawn core with 64-bit identifiers."""
    core = statistics.draw(statistics.load("hemibrain_core"), 0)
    ids = [str(720_575_940_600_000_007 + 1_000_003 * i) for i in range(core.n_neurons)]
    post, pre = core.counts.tocoo().coords
    labels = zip(ids, core.neurons.database_type, core.neurons.instance, strict=True)
    rows = zip(pre, post, core.counts.tocoo().data, strict=True)
    return Tables(
        [["bodyId", "type", "instance"], *([str(i), str(t), str(name)] for i, t, name in labels)],
        [["bodyId_pre", "bodyId_post", "weight"], *([ids[j], ids[i], str(n)] for j, i, n in rows)],
    )


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        end = int(share * len(content))
        (folder / name).write_bytes(content[: content.rindex(b",", 0, end)])  # in the middle of a row

    return damage


def edited(name: str, old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return damage


def rounded(name: str, columns: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        header, *rows = csv.reader((folder / name).read_text().splitlines())
        short = [[*(str(int(i) // 1000 * 1000) for i in row[:columns]), *row[columns:]] for row in rows]
        (folder / name).write_text("\n".join(",".join(row) for row in (header, *short)) + "\n")

    return damage


def extra(name: str, line: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + line) and None


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "neurons cut in a row": (cut(NEURONS, 0.5), "wanted 3 as in the header; the line is cut"),
    "connections cut in a row": (cut(CONNECTIONS, 0.6), "column 'weight': got ''"),
    "neurons rounded": (rounded(NEURONS, 1), "neuron table end in 00, so they were probably rounded"),
    "connections rounded": (rounded(CONNECTIONS, 2), "unknown neurons end in 00, so they were probably rounded"),
    "one end rounded": (rounded(CONNECTIONS, 1), "unknown neurons end in 00, so they were probably rounded"),
    "no instance": (edited(NEURONS, ",EPG(PB08)_L1", "", 1), "got 2 field(s), wanted 3"),
    "instances empty": (edited(NEURONS, "EPG(PB08)_L1", ""), "instance '' does not parse"),
    "floats": (edited(CONNECTIONS, ",7205", ".0,7205", 1), "without point or exponent"),
    "semicolons": (edited(CONNECTIONS, ",", ";"), "column 'bodyId_pre' is missing"),
    "other columns": (edited(CONNECTIONS, "bodyId_pre", "body_pre"), "column 'bodyId_pre' is missing; got body_pre"),
    "a column twice": (edited(NEURONS, "type,instance", "type,type"), "column 'type' is there 2 times"),
    "a neuron twice": (extra(NEURONS, "720575940600000007,EPG,EPG(PB08)_L1\n"), "appears again"),
    "a pair twice": (lambda folder: _repeat(folder / CONNECTIONS), "appears again"),
    "negative": (extra(CONNECTIONS, "720575940600000007,720575940600000007,-3\n"), "got '-3', wanted a whole number"),
    "nan": (extra(CONNECTIONS, "720575940600000007,720575940600000007,nan\n"), "got 'nan', wanted a whole number"),
    "names of old": (edited(NEURONS, ",EPG,", ",E-PG,"), "'E-PG' (46 cells, like EPG)"),
    "blanks": (edited(NEURONS, ",PEG,", ",PEG ,"), "'PEG ' (18 cells, like PEG)"),
    "no connections": (lambda folder: (folder / CONNECTIONS).unlink(), f"{CONNECTIONS} is missing (the folder holds"),
    "another name": (lambda folder: (folder / CONNECTIONS).rename(folder / "traced-connections.csv"), "traced-connect"),
    "empty": (lambda folder: (folder / NEURONS).write_text(""), "the file is empty"),
    "binary": (lambda folder: (folder / NEURONS).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "not text"),
    "of another animal": (lambda folder: _other_identifiers(folder / NEURONS), "do not belong together"),
}


def _repeat(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[5]]))


def _other_identifiers(path: Path) -> None:
    path.write_text(path.read_text().replace("7205", "6205"))


def check_refused(path: Path, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every door says so: one line, exit code 1, nothing written."""
    run = tmp_path / "run"
    for arguments in (
        ["data", "inspect", str(path), "circuit=core"],
        ["fit", f"connectome.source={path}", f"run={run}"],
    ):
        assert main(arguments) == 1, arguments
        err = capfd.readouterr().err
        assert message in err.splitlines()[-1]
        assert "Traceback" not in err
    assert not run.exists()
    with pytest.raises(ConnectomeSimError):
        circuit(ConnectomeConfig(source=str(path)))


@pytest.mark.parametrize("case", REFUSED)
def test_damaged_tables_are_refused_at_every_door(
    case: str, drawn: Tables, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damage, message = REFUSED[case]
    folder = drawn.write(tmp_path / "data")
    damage(folder)
    check_refused(folder, message, tmp_path, capfd)


def archive(path: Path, *folders: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for folder in folders:
            tar.add(folder, arcname=folder.name)
    return path


def test_two_releases_in_one_archive_are_refused(
    drawn: Tables, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = archive(tmp_path / "x.tar.gz", drawn.write(tmp_path / "v1.1"), drawn.write(tmp_path / "v1.2"))
    check_refused(path, "is in the archive twice, as v1.1/", tmp_path, capfd)


def test_data_of_ones_own_are_unknown_and_cite_nobody(
    drawn: Tables, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = drawn.write(tmp_path / "my fly")
    assert main(["data", "inspect", str(folder), "circuit=core"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("unknown dataset 'my fly'\nsha256    ")
    assert "cite      nothing: of no dataset that is known here" in out
    assert "Scheffer" not in out
    assert "129,473" in out


def test_types_left_out_are_named_on_the_way_to_a_fit(
    drawn: Tables, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    counter = iter(range(10_000))
    odd = drawn.renamed(1, lambda t: "Delta7_a" if t == "Delta7" and next(counter) % 2 else t)
    folder = odd.write(tmp_path / "old")
    assert main(["data", "inspect", str(folder)]) == 0
    wanted = "'Delta7_a' (21 cells, like Delta7)"
    assert wanted in capfd.readouterr().out
    found = circuit(ConnectomeConfig(source=str(folder)))
    assert found.n_neurons == 131
    assert wanted in found.provenance.history[-1]


# What a published release is


def copied(hemibrain_dir: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in (NEURONS, CONNECTIONS):
        shutil.copyfile(hemibrain_dir / name, folder / name)
    return folder


def cut_at_a_line(path: Path, share: float) -> None:
    """Cut to a share of its bytes, at the end of a row: nothing in the file shows it."""
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\n", 0, int(share * len(content))) + 1])


def one_synapse_more(path: Path, wanted: Callable[[str, str], bool]) -> None:
    lines = path.read_text().splitlines()
    row = next(k for k, line in enumerate(lines[1:], 1) if wanted(*line.split(",")[:2]))
    pre, post, weight = lines[row].split(",")
    lines[row] = f"{pre},{post},{int(weight) + 1}"
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["hemibrain_v1.2", "my copy"])
def test_a_release_that_is_cut_is_refused_under_any_name(
    name: str, hemibrain_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copied(hemibrain_dir, tmp_path / name)
    cut_at_a_line(folder / CONNECTIONS, 0.6)
    wanted = "wanted 152 neurons, 9,722 pairs, 129,473 synapses"
    check_refused(folder, wanted, tmp_path, capfd)
    with pytest.raises(DataError, match=wanted):
        hemibrain.read(folder)


@pytest.mark.slow
@pytest.mark.real_data
def test_a_dataset_by_name_has_to_be_as_published(
    hemibrain_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copied(hemibrain_dir, tmp_path / "hemibrain_v1.2")
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path))
    assert main(["data", "inspect", "hemibrain"]) == 0
    assert load_ensemble("hemibrain_core").connectome.provenance.version == "v1.2"
    capfd.readouterr()
    cut_at_a_line(folder / CONNECTIONS, 0.6)
    for arguments in (["data", "inspect", "hemibrain"], ["fit", "connectome=hemibrain", f"run={tmp_path / 'run'}"]):
        assert main(arguments) == 1
        err = capfd.readouterr().err
        assert "not hemibrain v1.2 as published (asked for by that name): core: got 152 neurons, " in err
        assert "own_name=NAME" in err
    with pytest.raises(DataError, match="asked for by that name"):
        download.load("hemibrain")
    with pytest.raises(DataError, match="not hemibrain v1.2 as published"):
        load_ensemble("hemibrain_core")


@pytest.mark.real_data
def test_ring_neurons_have_to_be_as_published_where_they_are_used(hemibrain_dir: Path, tmp_path: Path) -> None:
    folder = copied(hemibrain_dir, tmp_path / "x")
    whole = hemibrain.read(folder)
    ring = set(whole.neurons.id[np.char.startswith(whole.neurons.type, "ER")].tolist())
    one_synapse_more(folder / CONNECTIONS, lambda pre, post: pre in ring and post in ring)
    core = circuit(ConnectomeConfig(source=str(folder)))
    assert core.provenance.version == "v1.2"
    assert core.sha256 == circuit(ConnectomeConfig(source=str(hemibrain_dir))).sha256
    with pytest.raises(
        DataError, match="ER: got 257 neurons, 21,720 pairs of 3 or more synapses, 298,806 synapses, wan"
    ):
        circuit(ConnectomeConfig(source=str(folder), circuit="core_er"))


@pytest.mark.real_data
def test_one_synapse_of_the_core_is_enough(hemibrain_dir: Path, tmp_path: Path) -> None:
    folder = copied(hemibrain_dir, tmp_path / "x")
    one_synapse_more(folder / CONNECTIONS, lambda pre, post: True)  # the first row, PEN_b -> EPG
    with pytest.raises(DataError, match="core: got 152 neurons, 9,722 pairs, 129,474 synapses, wanted 152"):
        circuit(ConnectomeConfig(source=str(folder)))
    own = circuit(ConnectomeConfig(source=str(folder), own_name="one more"))
    assert (own.provenance.dataset, own.provenance.version) == ("unknown dataset 'one more'", "")
    assert (own.provenance.citation, int(own.counts.sum())) == ("", 129_474)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_order_of_rows_and_further_rows_do_not_change_what_a_release_is(
    hemibrain_dir: Path, tmp_path: Path
) -> None:
    folder = copied(hemibrain_dir, tmp_path / "x")
    for name in (NEURONS, CONNECTIONS):
        header, *rows = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([header, *reversed(rows)]) + "\n")
    whole = hemibrain.read(folder)
    ring = whole.neurons.id[np.char.startswith(whole.neurons.type, "ER")]
    stranger = whole.neurons.id[whole.neurons.type == ""][0]
    with (folder / CONNECTIONS).open("a") as file:  # what the whole export has and an excerpt has not
        file.write(f"{stranger},{ring[0]},50\n{stranger},{stranger},7\n")
    for name in ("core", "core_er"):
        found = circuit(
            ConnectomeConfig(source=str(folder), circuit=name, min_counts={"ER": 3} if "er" in name else {})
        )
        assert found.provenance.version == "v1.2"
        assert (
            found.sha256 == load_ensemble({"core": "hemibrain_core"}.get(name, "hemibrain_ring")).record.circuit_sha256
        )


@pytest.mark.real_data
def test_another_animal_under_these_file_names_is_not_cited_as_this_one(hemibrain_dir: Path, tmp_path: Path) -> None:
    other = hemibrain_dir.parent / "malecns_v1.0"
    folder = tmp_path / "male"
    folder.mkdir()
    shutil.copyfile(other / "body-annotations.csv", folder / NEURONS)
    text = (other / "connectome-weights.csv").read_text().replace("body_pre,body_post", "bodyId_pre,bodyId_post", 1)
    (folder / CONNECTIONS).write_text(text)
    found = circuit(ConnectomeConfig(source=str(folder), classes=("EPG", "PEN_a", "PEN_b", "Delta7")))
    assert found.provenance.dataset == "unknown dataset 'male'"
    assert (found.provenance.version, found.provenance.citation) == ("", "")
    assert (found.n_neurons, found.counts.nnz, int(found.counts.sum())) == (130, 7_606, 123_798)
    shutil.move(folder, tmp_path / "hemibrain_v1.2")
    with pytest.raises(DataError, match="not hemibrain v1.2 as published .named hemibrain_v1.2."):
        hemibrain.read(tmp_path / "hemibrain_v1.2")
