"""The fly: grammar of instance names, ring order, selection and signs."""

import math
from dataclasses import replace

import numpy as np
import pytest

from connectome_sim.connectome import anatomy
from connectome_sim.connectome.anatomy import Instance, circuit_class, half_tile_angle, parse_instance
from connectome_sim.connectome.connectome import Connectome, Signs
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import ConfigError, DataError, SelectionError

# Wolff, Iyer & Rubin 2015, written out, not computed by the formula under test
RING = "L1 R8 L2 R7 L3 R6 L4 R5 L5 R4 L6 R3 L7 R2 L8 R1".split()


def dataset(*cells: tuple[str, str], ids: list[str] | None = None, counts: np.ndarray | None = None) -> Connectome:
    """A connectome of (database type, instance), all connected to all by (row + 1) synapses unless given."""
    n = len(cells)
    matrix = np.tile(np.arange(1, n + 1)[:, None], (1, n)) if counts is None else counts
    types = [database_type for database_type, _ in cells]
    instances = [instance for _, instance in cells]
    return from_matrix(matrix, orientation="post_pre", types=types, instances=instances, ids=ids, dataset="small fly")


@pytest.mark.parametrize(
    ("database_type", "expected"),
    [
        ("EPG", "EPG"),
        ("EPGt", "EPGt"),
        ("PEN_a(PEN1)", "PEN_a"),
        ("PEN_b(PEN2)", "PEN_b"),
        ("PEN_b", "PEN_b"),
        ("PEG", "PEG"),
        ("Delta7", "Delta7"),
        ("ER1_a", "ER"),
        ("ER3d_b", "ER"),
        ("ER6", "ER"),
        ("ExR2", "ExR2"),
        ("EL", "EL"),
        ("GLNO", "GLNO"),
        ("", ""),
        ("CL141", ""),
        ("FS4C", ""),
        ("EPGx", ""),
        ("ERxx", ""),
        ("ELX", ""),
        ("ExR9", ""),
    ],
)
def test_circuit_class_of_a_database_type(database_type: str, expected: str) -> None:
    assert circuit_class(database_type) == expected


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ("EPG(PB08)_L5", Instance("EPG", "L", 5)),
        ("EPGt(PB09)_R9", Instance("EPGt", "R", 9)),
        ("PEN_a(PB06a)_R7", Instance("PEN_a", "R", 7)),
        ("PEN_b(PB06b)_L2", Instance("PEN_b", "L", 2)),
        ("PEG(PB07)_R3", Instance("PEG", "R", 3)),
        ("Delta7(PB15)_L1L9R8_R", Instance("Delta7", "R", outputs=(("L", 1), ("L", 9), ("R", 8)))),
        ("Delta7(PB15)_L4R6_L", Instance("Delta7", "L", outputs=(("L", 4), ("R", 6)))),
        ("ER4m(ring)_R", Instance("ER", "R")),
        ("ER1_a(ring)_L", Instance("ER", "L")),
        ("ExR2(PPM3-EB-DAN/ring)_L", Instance("ExR2", "L")),
        ("EL(EQ5)_R", Instance("EL", "R")),
        ("GLNO(LAL-NO1)_L", Instance("GLNO", "L")),
    ],
)
def test_instance_names_of_the_grammar_parse(instance: str, expected: Instance) -> None:
    assert parse_instance(instance) == expected


@pytest.mark.parametrize(
    "instance",
    ["", "EPG", "EPG(PB08)", "EPG(PB08)_5", "EPG(PB08)_L0", "EPG(PB08)_L12", "EPG(PB08)_L5_irreg", "Delta7(PB15)_R",
     "Delta7(PB15)_L4R5", "CL141_L", "PEN(PB06)_L3"],
)  # fmt: skip
def test_other_instance_names_are_refused_with_an_example(instance: str) -> None:
    with pytest.raises(DataError, match=r"does not parse; wanted a name such as EPG\(PB08\)_L5"):
        parse_instance(instance)


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ("EPG(PB08)_L9", "got glomerulus 9, wanted 1-8 for EPG"),
        ("EPGt(PB09)_L8", "got glomerulus 8, wanted 9-9 for EPGt"),
        ("PEN_a(PB06a)_R1", "got glomerulus 1, wanted 2-9 for PEN_a"),
    ],
)
def test_a_glomerulus_where_the_class_does_not_occur_is_refused(instance: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_instance(instance)


def test_half_tiles_follow_the_ring_order() -> None:
    angles = [half_tile_angle(name[0], int(name[1])) for name in RING]
    np.testing.assert_allclose(np.degrees(angles), 22.5 * np.arange(16))


def test_glomerulus_9_shares_the_half_tile_of_glomerulus_1() -> None:
    # the Delta7 groups L1L9R8 and L8R1R9 put 9 and 1 of a side together
    assert half_tile_angle("L", 9) == half_tile_angle("L", 1)
    assert half_tile_angle("R", 9) == half_tile_angle("R", 1)


@pytest.mark.parametrize("glomerulus", range(2, 10))
def test_a_pen_excites_epg_a_quarter_turn_over_four_away(glomerulus: int) -> None:
    # PEN L_g excites EPG L_(g-1) and R_(11-g): 45 and 67.5 degrees before its own glomerulus, 56.25 on average
    own = half_tile_angle("L", glomerulus)
    turns = [half_tile_angle("L", glomerulus - 1) - own]
    if glomerulus > 2:  # R_9 has no EPG
        turns.append(half_tile_angle("R", 11 - glomerulus) - own)
    assert np.degrees(turns) % 360 == pytest.approx([315.0, 292.5][: len(turns)])


@pytest.mark.parametrize(
    ("instance", "degrees"),
    [
        ("Delta7(PB15)_L1L9R8_R", 11.25),  # between L1 and R8, L9 not counted twice
        ("Delta7(PB15)_L2R7_R", 56.25),
        ("Delta7(PB15)_L5R4_L", 191.25),
        ("Delta7(PB15)_L8R1R9_L", 326.25),
        ("EPG(PB08)_R1", 337.5),
        ("PEN_a(PB06a)_L2", 45.0),
        ("ER4m(ring)_R", math.nan),
    ],
)
def test_ring_angle_of_an_instance(instance: str, degrees: float) -> None:
    assert math.degrees(parse_instance(instance).ring_angle) == pytest.approx(degrees, nan_ok=True)


def test_the_circuit_is_labelled_and_sorted_by_class_angle_and_identifier() -> None:
    whole = dataset(
        ("ER4m", "ER4m(ring)_R"),
        ("EPG", "EPG(PB08)_R8"),
        ("CL141", "CL141_L"),
        ("PEN_a(PEN1)", "PEN_a(PB06a)_R7"),
        ("EPG", "EPG(PB08)_L1"),
        ("EPG", "EPG(PB08)_R8"),
        ids=["10", "300", "4", "5", "6", "99"],
    )
    circuit = anatomy.head_direction_circuit(whole, classes=["EPG", "PEN_a", "ER"])
    table = circuit.neurons
    assert table.id.tolist() == ["6", "99", "300", "5", "10"]  # identifiers as numbers: 99 before 300
    assert table.type.tolist() == ["EPG", "EPG", "EPG", "PEN_a", "ER"]
    assert table.database_type.tolist() == ["EPG", "EPG", "EPG", "PEN_a(PEN1)", "ER4m"]
    assert table.side.tolist() == ["L", "R", "R", "R", "R"]
    assert table.glomerulus.tolist() == [1, 8, 8, 7, 0]
    np.testing.assert_allclose(np.degrees(table.ring_angle), [0, 22.5, 22.5, 67.5, np.nan])
    # by hand: row i of the dataset holds i + 1, so row "6" (fifth) holds 5s
    assert circuit.dense()[:, 0].tolist() == [5, 6, 2, 4, 1]
    assert circuit.provenance.history[-1] == "head-direction circuit: EPG, PEN_a, ER"


def test_default_signs_and_a_pair_override() -> None:
    whole = dataset(("EPG", "EPG_L1"), ("Delta7", "Delta7_L4R5_R"), ("ER6", "ER6_L"), ("GLNO", "GLNO_L"))
    circuit = anatomy.head_direction_circuit(
        whole,
        classes=["EPG", "Delta7", "ER", "GLNO"],
        sign_overrides={("EPG", "Delta7"): 1, ("PEN_a", "Delta7"): 1},
    )
    assert circuit.signs.table(circuit.types)[1].tolist() == [1, -1, -1, -1]
    assert dict(circuit.signs.overrides) == {("EPG", "Delta7"): 1}  # PEN_a is not in this circuit


def test_exr_subtypes_are_types_of_their_own_and_need_a_stated_sign() -> None:
    cells = [(f"ExR{i}", f"ExR{i}(ring)_L") for i in range(1, 9)]
    whole = dataset(("EPG", "EPG(PB08)_L1"), ("EL", "EL(EQ5)_L"), *cells)
    with pytest.raises(ConfigError, match="no sign for ExR1, ExR2, ExR4, .*ExR8, EL: .*state [+]1 or -1"):
        anatomy.head_direction_circuit(whole, classes=["EPG", "ExR", "EL"], signs={"ExR3": -1})
    with pytest.raises(ConfigError, match=r"[+]connectome.signs=\{ExR1: -1, ...\}"):
        anatomy.head_direction_circuit(whole, classes=["EPG", "ExR"])
    signs = {"ExR3": -1, "ExR": 1, "EL": 1}  # the subtype wins, though it comes first
    circuit = anatomy.head_direction_circuit(whole, classes=["EPG", "ExR", "EL"], signs=signs)
    assert circuit.types == ("EPG", *anatomy.EXR, "EL")
    assert circuit.signs.by_type == {"EPG": 1, **dict.fromkeys(anatomy.EXR, 1), "EL": 1, "ExR3": -1}


def test_an_override_of_exr_is_one_of_each_subtype() -> None:
    whole = dataset(("EPG", "EPG_L1"), ("ExR1", "ExR1_L"), ("ExR2", "ExR2_L"))
    overrides = {("EPG", "ExR1"): 1, ("EPG", "ExR"): -1, ("ExR", "ExR"): -1}
    circuit = anatomy.head_direction_circuit(
        whole, classes=["EPG", "ExR1", "ExR2"], signs={"ExR": 1}, sign_overrides=overrides
    )
    assert circuit.signs.table(circuit.types).tolist() == [[1, 1, -1], [1, -1, -1], [1, -1, -1]]


def test_a_circuit_is_selected_and_labelled_without_signs() -> None:
    circuit = anatomy.labelled_circuit(dataset(("EPG", "EPG_L1"), ("ExR1", "ExR1_L")), classes=["EPG", "ExR1"])
    assert circuit.types == ("EPG", "ExR1")
    assert dict(circuit.signs.by_type) == {}


def test_signs_that_a_connectome_states_are_kept_unless_others_are_given() -> None:
    whole = dataset(("EPG", "EPG_L1"), ("Delta7", "Delta7_L4R5_R"), ("ExR1", "ExR1_L"), ("CL141", "CL141_L"))
    signs = Signs({"ExR1": 1, "Delta7": 1, "CL141": 1}, {("EPG", "Delta7"): -1, ("EPG", "CL141"): 1})
    whole = whole.replaced(step="signed", signs=signs)
    classes = ["EPG", "Delta7", "ExR1"]
    kept = anatomy.head_direction_circuit(whole, classes=classes).signs
    assert kept == Signs({"EPG": 1, "Delta7": 1, "ExR1": 1}, {("EPG", "Delta7"): -1})
    changed = anatomy.head_direction_circuit(
        whole, classes=classes, signs={"ExR1": -1}, sign_overrides={("EPG", "Delta7"): 1}
    ).signs
    assert changed == Signs({"EPG": 1, "Delta7": 1, "ExR1": -1}, {("EPG", "Delta7"): 1})


def test_a_stated_sign_of_a_database_type_is_refused() -> None:
    whole = dataset(("EPG", "EPG_L1"), ("ER4m", "ER4m_L"), ("ER2", "ER2_L"))
    whole = whole.replaced(step="signed", signs=Signs({"ER4m": 1}))
    with pytest.raises(DataError, match="sign of 'ER4m': .* wanted that of its class ER, which has one sign"):
        anatomy.head_direction_circuit(whole, classes=["EPG", "ER"])


def test_a_circuit_of_a_circuit_is_that_circuit() -> None:
    whole = dataset(
        ("PEN_a(PEN1)", "PEN_a_R7"), ("EPG", "EPG_R8"), ("EPG", "EPG_L1"), ("Delta7", "Delta7_L4R5_R"), ("ER6", "ER6_L")
    )
    classes = ["PEN_a", "EPG", "Delta7", "ER"]
    once = anatomy.head_direction_circuit(
        whole, classes=classes, signs={"ER": 1}, sign_overrides={("PEN_a", "Delta7"): 1}
    )
    twice = anatomy.head_direction_circuit(once, classes=classes)
    step = "head-direction circuit: PEN_a, EPG, Delta7, ER; labels kept as stated"
    assert twice.equals(replace(once, provenance=once.provenance.then(step)))


TURNED = {"types": ["PEN_a", "EPG", "EPG"], "sides": ["L", "", ""], "instances": ["", "EPG_L1", "cell 3"]}


def test_ring_angles_in_the_table_need_no_instance_names() -> None:
    whole = from_matrix(np.ones((3, 3)), orientation="post_pre", ring_angles=[np.nan, 2.0, 1.0], **TURNED)
    circuit = anatomy.head_direction_circuit(whole, classes=["EPG", "PEN_a"])
    assert circuit.neurons.id.tolist() == ["2", "1", "0"]
    np.testing.assert_array_equal(circuit.neurons.ring_angle, [1.0, 2.0, np.nan])  # not the 0 of EPG_L1
    assert circuit.neurons.side.tolist() == ["", "", "L"]


@pytest.mark.parametrize(
    ("angles", "message"),
    [
        ([np.nan, np.nan, 1.0], "neuron 1 of class EPG: got no ring angle, though other neurons have one"),
        (None, "neuron 0 of class PEN_a: .*does not parse.*or a neuron table that states ring angles and sides"),
    ],
)
def test_an_epg_without_ring_angle_and_name_is_refused(angles: list[float] | None, message: str) -> None:
    whole = from_matrix(np.ones((3, 3)), orientation="post_pre", ring_angles=angles, **TURNED)
    with pytest.raises(DataError, match=message):
        anatomy.head_direction_circuit(whole, classes=["EPG", "PEN_a"])


def test_weak_connections_are_left_out_on_request() -> None:
    whole = dataset(("EPG", "EPG_L1"), ("EPG", "EPG_L2"), counts=np.array([[0, 2], [3, 0]]))
    circuit = anatomy.head_direction_circuit(whole, classes=["EPG"], min_count=3)
    assert circuit.dense().tolist() == [[0, 0], [3, 0]]
    assert "fewer than 3" in circuit.provenance.history[-1]


def test_weak_connections_of_a_class_are_left_out_at_either_end() -> None:
    counts = np.array([[1, 2, 3], [2, 1, 2], [2, 3, 2]])
    whole = dataset(("EPG", "EPG_L1"), ("EPG", "EPG_L2"), ("ER1", "ER1"), counts=counts)
    circuit = anatomy.head_direction_circuit(whole, classes=["EPG", "ER"], min_counts={"ER": 3})
    assert circuit.dense().tolist() == [[1, 2, 3], [2, 1, 0], [0, 3, 0]]
    assert circuit.provenance.history[-1] == "connections of ER of fewer than 3 synapses left out"
    higher = anatomy.head_direction_circuit(whole, classes=["EPG", "ER"], min_count=2, min_counts={"ER": 3})
    assert higher.dense().tolist() == [[0, 2, 3], [2, 0, 0], [0, 3, 0]]
    assert "connections of fewer than 2 synapses left out; connections of ER of" in "".join(higher.provenance.history)


def test_between_two_such_classes_the_larger_number_holds() -> None:
    counts = np.array([[9, 2, 3], [4, 9, 5], [4, 5, 9]])
    whole = dataset(("EPG", "EPG_L1"), ("ER1", "ER1"), ("ExR1", "ExR1"), counts=counts)
    circuit = anatomy.head_direction_circuit(
        whole, classes=["EPG", "ER", "ExR1"], min_counts={"ER": 3, "ExR1": 5}, signs={"ExR1": 1}
    )
    assert circuit.dense().tolist() == [[9, 0, 0], [4, 9, 5], [0, 5, 9]]


SMALL = [("EPG", "EPG(PB08)_L1"), ("PEG", "PEG(PB07)_L1")]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": []}, SelectionError, r"classes: got \[\], wanted a list of one or more of EPG"),
        ({"classes": "EPG"}, SelectionError, "classes: got 'EPG', wanted a list"),
        ({"classes": ["EGP"]}, SelectionError, "cell class 'EGP' is unknown; there are EPG, EPGt"),
        ({"classes": ["EPG", "Delta7", "ER"]}, SelectionError, "no neuron of class Delta7, ER .* it holds EPG, PEG"),
        ({"classes": ["EPG"], "min_count": 0}, ConfigError, "min_count: got 0, wanted 1 or more"),
        ({"classes": ["EPG"], "min_counts": {"EPG": 0}}, ConfigError, "min_count: got 0, wanted 1 or more"),
        ({"classes": ["EPG"], "min_counts": {"ER": 3}}, ConfigError, "min_counts: got 'ER', wanted classes .*: EPG"),
        ({"classes": ["EPG"], "signs": {"EGP": 1}}, ConfigError, "sign of 'EGP': no such cell class"),
        ({"classes": ["EPG"], "sign_overrides": {("X", "EPG"): 1}}, ConfigError, "sign of 'X': no such cell class"),
        ({"classes": ["EPG"], "signs": {"EPG": 2}}, DataError, "sign of 'EPG': got 2, wanted"),
    ],
)
def test_requests_that_cannot_be_met_say_what_there_is(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        anatomy.head_direction_circuit(dataset(*SMALL), **options)


def test_a_dataset_without_the_circuit_says_so() -> None:
    with pytest.raises(SelectionError, match="of small fly; it holds no class of the head-direction circuit"):
        anatomy.head_direction_circuit(dataset(("CL141", "CL141_L")), classes=["EPG"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("EPG", "EPG(PB08)"), "neuron 0 of class EPG: instance .*does not parse"),
        (("Delta7", ""), "neuron 0 of class Delta7: instance '' does not parse"),
        (("EPG", "PEG(PB07)_L1"), "neuron 0: type says EPG, instance .* says PEG"),
        (("GLNO", "GLNO(LAL-NO1)"), "neuron 0 of class GLNO: instance .*does not parse"),
    ],
)
def test_a_neuron_that_needs_an_angle_or_a_side_needs_an_instance_that_says_it(
    cell: tuple[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        anatomy.head_direction_circuit(dataset(cell), classes=[cell[0]])


def test_a_neuron_whose_side_does_not_matter_may_have_any_name() -> None:
    whole = dataset(("ER4m", "odd"), ("ExR1", ""), ("EL", "EL"))
    circuit = anatomy.labelled_circuit(whole, classes=["ER", "ExR1", "EL"])
    assert circuit.neurons.side.tolist() == ["", "", ""]
    assert np.isnan(circuit.neurons.ring_angle).all()


def test_named_circuits_hold_known_classes_only() -> None:
    for classes in anatomy.CIRCUITS.values():
        assert set(classes) <= {*anatomy.CLASSES, "ExR"}
    assert anatomy.CIRCUITS["core"] == ("EPG", "EPGt", "PEN_a", "PEN_b", "PEG", "Delta7")
