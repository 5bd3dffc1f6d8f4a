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
        "its content is that of no release known here (hemibrain v1.2)",
    )
    assert c.provenance.dataset == f"unknown dataset {tmp_path.name!r}"  # these tables are made up
    assert (c.provenance.version, c.provenance.citation) == ("", "")


def test_an_archive_and_a_folder_of_the_same_tables_are_one_connectome(tmp_path: Path) -> None:
    from_folder = hemibrain.read(export(tmp_path), own_name="mine")
    assert hemibrain.read(archive(tmp_path, tmp_path / "x.tar.gz"), own_name="mine").equals(from_folder)
    assert hemibrain.read(tmp_path / "x.tar.gz").provenance.dataset == "unknown dataset 'x'"


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
        (
            NEURONS + "13,EPG\n",
            CONNECTIONS,
            "traced-neurons.csv, line 5: got 2 field.s., wanted 3 as in the header",
        ),
        (NEURONS + "13\n14,EPG,x\n", CONNECTIONS, "traced-neurons.csv, line 5: got 1 .* cut .1 such line"),
        (
            "bodyId,type,instance,status\n1,EPG,x\n",
            CONNECTIONS,
            "traced-neurons.csv, line 2: got 3 field.s., wanted 4",
        ),
        (
            'bodyId,type,instance\n1,"a,b",x\n2,"c\nd",x\n3,EPG\n',
            CONNECTIONS,
            "traced-neurons.csv, line 5: got 2 field",
        ),
        ("bodyId,type,type\n1,EPG,x\n", CONNECTIONS, "traced-neurons.csv, line 1: column 'type' is there 2 times"),
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
        "left out 3 connection(s), 10 synapses, of neurons missing from traced-neurons.csv: 50 % of all connections, "
        "first in traced-total-connections.csv, line 5: neuron 999"
    )
    assert c.provenance.history[2] == wanted
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
    with pytest.raises(DataError, match="x.tar.gz: the archive is cut off or damaged"):
        hemibrain.read(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = archive(export(tmp_path), tmp_path / "x.tar.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="x.tar.gz: the archive is cut off or damaged"):
        hemibrain.read(path)


def test_a_file_that_is_no_archive_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_text("not,an,archive")
    with pytest.raises(
        DataError, match="x.tar.gz: format recognised as a text table .CSV., which is not read; readable"
    ):
        hemibrain.read(tmp_path / "x.tar.gz")


def test_a_table_that_is_in_an_archive_twice_is_refused(tmp_path: Path) -> None:
    export(tmp_path)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for release in ("v1.1", "v1.2"):
            tar.add(tmp_path / hemibrain.NEURONS, arcname=f"{release}/{hemibrain.NEURONS}")
        tar.add(tmp_path / hemibrain.CONNECTIONS, arcname=f"v1.1/{hemibrain.CONNECTIONS}")
    with pytest.raises(DataError, match="traced-neurons.csv is in the archive twice, as v1.1/.* and v1.2/traced"):
        hemibrain.read(tmp_path / "x.tar.gz")


def test_what_a_mac_adds_to_an_archive_is_no_second_table(tmp_path: Path) -> None:
    path = archive(export(tmp_path), tmp_path / "x.tar.gz")
    (tmp_path / "._").write_bytes(b"\x00\x05\x16\x07")
    with tarfile.open(path, "w:gz") as tar:
        for name in (hemibrain.NEURONS, hemibrain.CONNECTIONS):
            tar.add(tmp_path / "._", arcname=f"x/._{name}")
            tar.add(tmp_path / name, arcname=f"x/{name}")
    assert hemibrain.read(path).n_neurons == 3


def test_a_last_number_that_may_be_cut_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    c = hemibrain.read(export(tmp_path, connections=CONNECTIONS + "387023620,12,1"))
    wanted = "traced-total-connections.csv does not end in a line end: its last line may be cut"
    assert c.provenance.history[-1] == wanted
    assert caplog.messages == [wanted]


IDS = [720_575_940_600_000_000 + 1_000_003 * i for i in range(1, 41)]  # 64-bit, as in FlyWire


def ring(neurons: list[int], pre: list[int], post: list[int]) -> tuple[str, str]:
    """Tables of neurons that each connect to the next one."""
    rows = [f"{a},{b},1\n" for a, b in zip(pre, [*post[1:], post[0]], strict=True)]
    table = "bodyId,type,instance\n" + "".join(f"{i},EPG,x\n" for i in neurons)
    return table, "bodyId_pre,bodyId_post,weight\n" + "".join(rows)


HUNDREDS, DOUBLES = [i // 1000 * 1000 for i in IDS], [int(float(i)) for i in IDS]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            ring(HUNDREDS, IDS, IDS),
            "100 % of all connections.* reach 0 of 40 .*40 of 40 ident.* neuron table end in 00",
        ),
        (ring(IDS, HUNDREDS, HUNDREDS), "40 of 40 identifiers of the connections' unknown neurons end in 00"),
        (ring(IDS, HUNDREDS, IDS), "40 of 40 identifiers of the connections' unknown neurons end in 00"),
        (
            ring(IDS, DOUBLES, DOUBLES),
            "connections' unknown neurons are those of a float, so they were probably rounded",
        ),
        (ring([i + 7 for i in IDS], IDS, IDS), "do not belong together.*Use two tables of one release and version"),
    ],
    ids=["neurons in hundreds", "connections in hundreds", "one end in hundreds", "doubles", "other neurons"],
)
def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path, tables: tuple[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        hemibrain.read(export(tmp_path, *tables))


def test_all_connections_of_a_brain_beside_some_of_its_neurons_are_read(tmp_path: Path) -> None:
    neurons, connections = ring(IDS[:2], IDS, IDS)
    c = hemibrain.read(export(tmp_path, neurons, connections))
    assert c.counts.nnz == 1
    assert "97.5 % of all connections" in c.provenance.history[2]


def test_a_table_that_is_a_folder_inside_the_archive_is_missing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(hemibrain.NEURONS)
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    (tmp_path / "x.tar.gz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="traced-neurons.csv is missing from the archive"):
        hemibrain.read(tmp_path / "x.tar.gz")
