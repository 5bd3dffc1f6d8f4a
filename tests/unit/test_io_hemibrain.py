"""Reading the hemibrain export: what it holds, and an error with file, line and column for all it should not."""

import hashlib
import io
import logging
import tarfile
from pathlib import Path

import pytest

from connectome_sim.connectome.io import hemibrain
from connectome_sim.errors import DataError

NEURONS = "bodyId,type,instance\n387023620,EPG,EPG(PB08)_L1\n5813061260,PEG,PEG(PB07)_R3\n12,,\n"
CONNECTIONS = "bodyId_pre,bodyId_post,weight\n387023620,5813061260,66\n12,387023620,3\n12,12,1\n"


def export(folder: Path, neurons: str | bytes = NEURONS, connections: str | bytes = CONNECTIONS) -> Path:
    for name, text in ((hemibrain.NEURONS, neurons), (hemibrain.CONNECTIONS, connections)):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def archive(folder: Path, path: Path, names: tuple[str, ...] = (hemibrain.NEURONS, hemibrain.CONNECTIONS)) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.add(folder / name, arcname=f"exported-traced-adjacencies-v1.2/{name}")
    return path


def test_counts_types_and_identifiers_are_those_of_the_tables(tmp_path: Path) -> None:
    c = hemibrain.read(export(tmp_path))
    assert c.neurons.id.tolist() == ["387023620", "5813061260", "12"]  # one exceeds 32 bits
    assert c.neurons.type.tolist() == c.neurons.database_type.tolist() == ["EPG", "PEG", ""]
    assert c.neurons.instance.tolist() == ["EPG(PB08)_L1", "PEG(PB07)_R3", ""]
    assert c.dense().tolist() == [[0, 0, 3], [66, 0, 0], [0, 0, 1]]  # [post, pre]


def test_provenance_holds_the_digest_of_each_file(tmp_path: Path) -> None:
    c = hemibrain.read(export(tmp_path))
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (NEURONS, CONNECTIONS)]
    assert c.provenance.history == (
        f"read traced-neurons.csv, sha256 {digests[0]}",
        f"read traced-total-connections.csv, sha256 {digests[1]}",
    )
    assert c.provenance.dataset == "unknown export in the format of hemibrain"  # these tables are made up
    assert c.provenance.version == ""  # this table is not that of v1.2
    assert "Scheffer" in c.provenance.citation


def test_an_archive_and_a_folder_of_the_same_tables_are_one_connectome(tmp_path: Path) -> None:
    from_folder = hemibrain.read(export(tmp_path))
    assert hemibrain.read(archive(tmp_path, tmp_path / "x.tar.gz")).equals(from_folder)


@pytest.mark.parametrize(
    ("neurons", "connections"),
    [
        (NEURONS.replace("\n", "\r\n"), CONNECTIONS.replace("\n", "\r\n")),
        (NEURONS + "\n\n", CONNECTIONS + "\n"),
        ("\ufeff" + NEURONS, CONNECTIONS),
        (NEURONS.rstrip(), CONNECTIONS.rstrip()),
    ],
    ids=["windows line ends", "blank lines at the end", "byte order mark", "no line end at the end"],
)
def test_harmless_differences_of_text_files_do_not_matter(tmp_path: Path, neurons: str, connections: str) -> None:
    c = hemibrain.read(export(tmp_path, neurons, connections))
    assert c.dense().tolist() == [[0, 0, 3], [66, 0, 0], [0, 0, 1]]


def test_a_type_called_na_is_text(tmp_path: Path) -> None:
    c = hemibrain.read(export(tmp_path, NEURONS.replace("EPG,", "NA,")))
    assert c.neurons.type[0] == "NA"


@pytest.mark.parametrize(
    ("neurons", "connections", "message"),
    [
        (
            "bodyId,instance\n1,a\n",
            CONNECTIONS,
            "traced-neurons.csv, line 1: column 'type' is missing; got bodyId, inst",
        ),
        (NEURONS, "bodyId_pre,weight\n1,1\n", "traced-total-connections.csv, line 1: column 'bodyId_post' is missing"),
        ("", CONNECTIONS, "traced-neurons.csv: the file is empty"),
        ("bodyId,type,instance\n", CONNECTIONS, "traced-neurons.csv: got a header and no rows"),
        (NEURONS, "bodyId_pre,bodyId_post,weight\n", "traced-total-connections.csv: got a header and no rows"),
        (NEURONS, "bodyId_pre,bodyId_post,weight\n\n\n", "traced-total-connections.csv: got a header and no rows"),
        (NEURONS + "1,a,b,c\n", CONNECTIONS, "traced-neurons.csv: Expected 3 fields in line 5, saw 4"),
        ("bodyId,type,instance\n1,a,b,c\n2,a,b,c\n", CONNECTIONS, "traced-neurons.csv: .*more fields"),
        (NEURONS.encode() + b"7,\xff\xfe,x\n", CONNECTIONS, "traced-neurons.csv: .*not UTF-8"),
        (b"\xff\xfe\x00\n", CONNECTIONS, "traced-neurons.csv, line 1: got bytes that are not text"),
    ],
)
def test_a_table_that_is_none_names_file_and_line(
    tmp_path: Path, neurons: str | bytes, connections: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        hemibrain.read(export(tmp_path, neurons, connections))


@pytest.mark.parametrize("came", ["1.0e9", "387023620.0", "1e9", "-5", "abc", "", "0x1F", "True", "nan", "1_000"])
def test_an_identifier_that_is_no_whole_number_is_located(tmp_path: Path, came: str) -> None:
    with pytest.raises(DataError) as caught:
        hemibrain.read(export(tmp_path, NEURONS + f"{came},X,x\n77,X,x\n"))
    start = f"{tmp_path}: traced-neurons.csv, line 5, column 'bodyId': got {came!r}, wanted a whole number"
    assert str(caught.value).startswith(start)


def test_an_identifier_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 5, column 'bodyId': got 9223372036854775808, wanted less than"):
        hemibrain.read(export(tmp_path, NEURONS + "9223372036854775808,X,x\n"))


def test_the_largest_64_bit_identifier_survives(tmp_path: Path) -> None:
    c = hemibrain.read(export(tmp_path, NEURONS + "9223372036854775807,X,x\n"))
    assert c.neurons.id[-1] == "9223372036854775807"


@pytest.mark.parametrize("came", ["1.5", "-3", "3.0", "many", ""])
def test_a_count_that_is_no_count_is_located(tmp_path: Path, came: str) -> None:
    with pytest.raises(DataError) as caught:
        hemibrain.read(export(tmp_path, connections=CONNECTIONS + f"12,5813061260,{came}\n"))
    wanted = f"line 5, column 'weight': got {came!r}, wanted a whole number, zero or more"
    assert str(caught.value).startswith(f"{tmp_path}: traced-total-connections.csv, {wanted}")


@pytest.mark.parametrize("digits", [19, 20, 5000])
def test_a_count_of_many_digits_is_too_large(tmp_path: Path, digits: int) -> None:
    came = "9" * digits  # 2**63 - 1 has 19 digits and begins with 92
    with pytest.raises(DataError, match=f"line 5, column 'weight': got {came}, wanted less than 2[*][*]63"):
        hemibrain.read(export(tmp_path, connections=CONNECTIONS + f"12,5813061260,{came}\n"))


def test_a_bad_line_in_an_archive_names_the_archive(tmp_path: Path) -> None:
    path = archive(export(tmp_path, connections=CONNECTIONS + "12,5813061260,x\n"), tmp_path / "x.tar.gz")
    with pytest.raises(DataError, match=f"^{path}: traced-total-connections.csv, line 5"):
        hemibrain.read(path)


def test_a_float_identifier_of_a_connection_is_located(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 5, column 'bodyId_pre': got '12.0'"):
        hemibrain.read(export(tmp_path, connections=CONNECTIONS + "12.0,5813061260,1\n"))


def test_a_cut_line_is_located(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 5, column 'weight': got ''"):
        hemibrain.read(export(tmp_path, connections=CONNECTIONS + "12,58130"))


def test_a_blank_line_between_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="traced-neurons.csv, line 5, column 'bodyId': got ''"):
        hemibrain.read(export(tmp_path, NEURONS + "\n77,X,x\n"))


def test_a_neuron_that_appears_twice_is_located(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="traced-neurons.csv, line 5: neuron 387023620 appears again, first in line 2"):
        hemibrain.read(export(tmp_path, NEURONS + "387023620,EPG,again\n"))


def test_a_pair_that_appears_twice_is_located(tmp_path: Path) -> None:
    wanted = "traced-total-connections.csv, line 6: pair 12 -> 387023620 appears again, first in line 3"
    with pytest.raises(DataError, match=wanted):
        hemibrain.read(export(tmp_path, connections=CONNECTIONS + "999,12,1\n12,387023620,4\n"))


def test_the_same_pair_the_other_way_round_is_another_pair(tmp_path: Path) -> None:
    c = hemibrain.read(export(tmp_path, connections=CONNECTIONS + "387023620,12,4\n"))
    assert c.counts.nnz == 4


STRANGERS = CONNECTIONS + "12,999,5\n998,12,2\n1,2,3\n"


def test_connections_of_unknown_neurons_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        c = hemibrain.read(export(tmp_path, connections=STRANGERS))
    assert c.counts.nnz == 3
    wanted = (
        "left out 3 connection(s), 10 synapses, of neurons missing from traced-neurons.csv, "
        "first in traced-total-connections.csv, line 5: neuron 999"
    )
    assert c.provenance.history[-1] == wanted
    assert caplog.messages == [wanted]


def test_strict_reading_refuses_connections_of_unknown_neurons(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=": 3 connection.* line 5: neuron 999; strict reading wants every neuron"):
        hemibrain.read(export(tmp_path, connections=STRANGERS), strict=True)


@pytest.mark.parametrize("missing", [hemibrain.NEURONS, hemibrain.CONNECTIONS])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (export(tmp_path) / missing).unlink()
    with pytest.raises(DataError, match=f"{missing} is missing"):
        hemibrain.read(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: traced-neurons.csv is missing"):
        hemibrain.read(tmp_path / "nowhere")


def test_an_archive_without_a_table_is_refused(tmp_path: Path) -> None:
    path = archive(export(tmp_path), tmp_path / "x.tar.gz", names=(hemibrain.NEURONS,))
    with pytest.raises(DataError, match="x.tar.gz: traced-total-connections.csv is missing from the archive"):
        hemibrain.read(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    rows = "".join(f"{i},EPG,x{i * 7919 % 1000003}\n" for i in range(100, 2000))
    path = archive(export(tmp_path, NEURONS + rows), tmp_path / "x.tar.gz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="x.tar.gz: the archive is cut off or no .tar.gz"):
        hemibrain.read(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_text("not an archive")
    with pytest.raises(DataError, match="cut off or no .tar.gz"):
        hemibrain.read(tmp_path / "x.tar.gz")


def test_a_table_that_is_a_folder_inside_the_archive_is_missing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(hemibrain.NEURONS)
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    (tmp_path / "x.tar.gz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="traced-neurons.csv is missing from the archive"):
        hemibrain.read(tmp_path / "x.tar.gz")
