"""The fly: circuit classes, instance names, ring order, signs. The only fly-specific file; knows no file format.

The 16 half-tiles of the ellipsoid body in ring order are L1 R8 L2 R7 L3 R6 L4 R5 L5 R4 L6 R3 L7 R2 L8 R1, 22.5 degrees
each, L1 at zero (87 % of the EPG -> EPG synapses of the hemibrain lie within one step of that order).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from connectome_sim import circular
from connectome_sim.connectome.connectome import Connectome, Neurons, Signs
from connectome_sim.errors import ConfigError, DataError, SelectionError

CORE = ("EPG", "EPGt", "PEN_a", "PEN_b", "PEG", "Delta7")
EXR = ("ExR1", "ExR2", "ExR3", "ExR4", "ExR5", "ExR6", "ExR7", "ExR8")
CLASSES = (*CORE, "ER", *EXR, "EL", "GLNO")
"""Every circuit class. All ring neurons are one, ER; the ExR subtypes differ in transmitter, so each is its own."""

CIRCUITS: Mapping[str, tuple[str, ...]] = {
    "core": CORE,
    "core_er": (*CORE, "ER"),
    "core_er_exr": (*CORE, "ER", "ExR"),
    "core_er_exr_el": (*CORE, "ER", "ExR", "EL"),
}
"""Named circuits: the ``classes`` of `head_direction_circuit`."""

SIGNS: Mapping[str, int] = {
    "EPG": 1,  # acetylcholine, as EPGt, PEN_a, PEN_b, PEG (Turner-Evans et al. 2020; Hulse et al. 2021)
    "EPGt": 1,
    "PEN_a": 1,
    "PEN_b": 1,
    "PEG": 1,
    "Delta7": -1,  # glutamate (Turner-Evans et al. 2020)
    "ER": -1,  # GABA (Hulse et al. 2021)
    "GLNO": -1,  # inhibits PEN (Franconville et al. 2018)
}
"""Sign of a presynaptic class. ExR subtypes and EL mix transmitters: they have no default, the user states them."""

GLOMERULI: Mapping[str, range] = {
    "EPG": range(1, 9),
    "EPGt": range(9, 10),
    "PEN_a": range(2, 10),
    "PEN_b": range(2, 10),
    "PEG": range(1, 10),
    "Delta7": range(1, 10),
}
"""Glomeruli of the protocerebral bridge where a class occurs; the classes listed here have a ring angle."""

_TYPE = re.compile(r"(EPGt|EPG|PEN_a|PEN_b|PEG|Delta7|EL|GLNO|ExR[1-8]|ER(?=\d)\w+|ER)(\(.*\))?")
_COLUMNAR = re.compile(r"(EPGt|EPG|PEN_a|PEN_b|PEG)(\([^()]*\))?_([LR])([1-9])")
_DELTA7 = re.compile(r"(Delta7)(\([^()]*\))?_((?:[LR][1-9])+)_([LR])")
_OTHER = re.compile(r"(ER\w*?|ExR[1-8]|EL|GLNO)(\([^()]*\))?_([LR])")
_GRAMMAR = "EPG(PB08)_L5, PEN_a(PB06a)_R7, Delta7(PB15)_L1L9R8_R (output glomeruli, then soma side), ER4m(ring)_R"


@dataclass(frozen=True)
class Instance:
    """What an instance name says.

    Attributes:
        cell_class: circuit class.
        side: "L" or "R": of the glomerulus; of the soma where the neuron has no single glomerulus.
        glomerulus: 1-9; 0 where the neuron has no single glomerulus.
        outputs: (side, glomerulus) of each bridge glomerulus a Delta7 sends its output to; empty for the others.
    """

    cell_class: str
    side: str
    glomerulus: int = 0
    outputs: tuple[tuple[str, int], ...] = ()

    @property
    def ring_angle(self) -> float:
        """Angle on the ring, rad in [0, 2 pi); NaN for a class without one. See `head_direction_circuit`."""
        if self.glomerulus:
            return half_tile_angle(self.side, self.glomerulus)
        if self.outputs:
            # L1 and L9 (R1 and R9) are one half-tile, which must not count twice
            angles = np.unique([half_tile_angle(side, glomerulus) for side, glomerulus in self.outputs])
            return float(circular.mean(angles[:, None])[0]) % (2 * math.pi)
        return math.nan


def circuit_class(database_type: str) -> str:
    """Circuit class of a database type: ``PEN_a(PEN1)`` -> PEN_a, ``ER4m`` -> ER; "" for a type outside the circuit."""
    match = _TYPE.fullmatch(database_type)
    if match is None:
        return ""
    return "ER" if match[1].startswith("ER") else match[1]


def parse_instance(instance: str) -> Instance:
    """Class, side and glomeruli from an instance name such as ``EPG(PB08)_L5``.

    Raises:
        DataError: the name does not follow the grammar, or its class does not occur in that glomerulus.
    """
    if match := _COLUMNAR.fullmatch(instance):
        parsed = Instance(match[1], match[3], int(match[4]))
        found: Sequence[int] = (parsed.glomerulus,)
    elif match := _DELTA7.fullmatch(instance):
        outputs = tuple((text[0], int(text[1])) for text in re.findall(r"[LR][1-9]", match[3]))
        parsed = Instance(match[1], match[4], outputs=outputs)
        found = [glomerulus for _, glomerulus in outputs]
    elif match := _OTHER.fullmatch(instance):
        parsed, found = Instance(circuit_class(match[1]), match[3]), ()
    else:
        raise DataError(f"instance {instance!r} does not parse; wanted a name such as {_GRAMMAR}")
    for glomerulus in found:
        if glomerulus not in GLOMERULI[parsed.cell_class]:
            allowed = GLOMERULI[parsed.cell_class]
            raise DataError(
                f"instance {instance!r}: got glomerulus {glomerulus}, "
                f"wanted {allowed[0]}-{allowed[-1]} for {parsed.cell_class}"
            )
    return parsed


def half_tile_angle(side: str, glomerulus: int) -> float:
    """Angle of a bridge glomerulus on the ring of the ellipsoid body, rad in [0, 2 pi).

    In steps of 22.5 degrees L_g is number 2 (g - 1) and R_g number 17 - 2 g. Glomerulus 9 follows the same formula:
    L9 comes after R1 and falls on L1, R9 comes before L1 and falls on R1, as in the Delta7 groups L1L9R8 and L8R1R9.
    """
    step = 2 * (glomerulus - 1) if side == "L" else 17 - 2 * glomerulus
    return (step % 16) * 2 * math.pi / 16


def head_direction_circuit(
    connectome: Connectome,
    *,
    classes: Sequence[str],
    signs: Mapping[str, int] | None = None,
    sign_overrides: Mapping[tuple[str, str], int] | None = None,
    min_count: int = 1,
) -> Connectome:
    """The head-direction circuit of a fly connectome: selected, labelled, sorted, signed.

    Neurons are sorted by class (in the order of ``classes``), then ring angle, then identifier. The ring angle of EPG,
    EPGt, PEN_a, PEN_b and PEG is that of the half-tile of their own bridge glomerulus, where they share the bump of
    the EPG; a PEN sends its output about 56 degrees away from it. That of a Delta7 is the circular mean of the
    half-tiles it sends its output to; it is active when the bump is opposite. ER, ExR, EL and GLNO have none (NaN).

    Args:
        connectome: whole dataset; only ``database_type`` and ``instance`` of its neurons are used.
        classes: circuit classes wanted; "ExR" stands for all its subtypes. `CIRCUITS` holds named choices.
        signs: class -> +1 or -1, on top of `SIGNS`.
        sign_overrides: (postsynaptic class, presynaptic class) -> +1 or -1, for instance
            ``{("PEN_a", "Delta7"): 1}`` (Delta7 -> PEN is reported as mild excitation, Franconville et al. 2018).
        min_count: connections of fewer synapses are left out.

    Raises:
        SelectionError: no class asked for, an unknown class, or a class of which the connectome has no neuron.
        DataError: the instance of a neuron that needs a ring angle does not parse.
        ConfigError: a class without a sign, a sign for an unknown class, ``min_count`` below one.
    """
    wanted = _expanded(classes)
    all_signs = _signs(wanted, signs or {}, sign_overrides or {})
    if min_count < 1:
        raise ConfigError(f"min_count: got {min_count}, wanted 1 or more synapses per connection")
    index, neurons = _labelled(connectome, wanted)
    id_length = np.char.str_len(neurons.id)  # before the text, so that identifiers sort as numbers
    class_rank = np.array([wanted.index(t) for t in neurons.type])
    order = np.lexsort((neurons.id, id_length, neurons.ring_angle, class_rank))
    chosen = connectome.select(index[order], step=f"head-direction circuit: {', '.join(wanted)}")
    chosen = replace(chosen, neurons=neurons.take(order), signs=all_signs)
    if min_count == 1:
        return chosen
    counts = chosen.counts.copy()
    counts.data = np.where(counts.data >= min_count, counts.data, 0)
    return chosen.replaced(step=f"connections of fewer than {min_count} synapses left out", counts=counts)


def _expanded(classes: Sequence[str]) -> tuple[str, ...]:
    """The classes with ExR replaced by its subtypes, each once."""
    if isinstance(classes, str) or not classes:
        raise SelectionError(
            f"classes: got {classes!r}, wanted a list of one or more of {', '.join(CLASSES)}, or ExR for all ExR"
        )
    wanted: dict[str, None] = {}
    for name in classes:
        if name != "ExR" and name not in CLASSES:
            raise SelectionError(f"cell class {name!r} is unknown; there are {', '.join(CLASSES)}, and ExR for all ExR")
        wanted.update(dict.fromkeys(EXR if name == "ExR" else (name,)))
    return tuple(wanted)


def _signs(wanted: Sequence[str], signs: Mapping[str, int], overrides: Mapping[tuple[str, str], int]) -> Signs:
    """Signs of the wanted classes, or an error that names those nobody stated."""
    for name in {*signs, *(name for pair in overrides for name in pair)} - set(CLASSES):
        raise ConfigError(f"sign of {name!r}: no such cell class; there are {', '.join(CLASSES)}")
    known = {**SIGNS, **signs}
    if missing := [name for name in wanted if name not in known]:
        raise ConfigError(
            f"no sign for {', '.join(missing)}: their transmitters are mixed or unknown, so there is no default; "
            f"state +1 or -1 for each, for example signs={{{missing[0]!r}: -1}}"
        )
    inside = {(post, pre): sign for (post, pre), sign in overrides.items() if post in wanted and pre in wanted}
    return Signs({name: known[name] for name in wanted}, inside)


def _labelled(connectome: Connectome, wanted: Sequence[str]) -> tuple[np.ndarray, Neurons]:
    """Indices of the neurons of the wanted classes, and their table with class, side, glomerulus and ring angle set."""
    table = connectome.neurons
    class_of = {str(t): circuit_class(str(t)) for t in np.unique(table.database_type)}
    cell_class = np.array([class_of[str(t)] for t in table.database_type], dtype=str)
    existing = [c for c in CLASSES if (cell_class == c).any()]
    if absent := [c for c in wanted if c not in existing]:
        raise SelectionError(
            f"no neuron of class {', '.join(absent)} among the {len(table)} of {connectome.provenance.dataset}; "
            f"it holds {', '.join(existing) or 'no class of the head-direction circuit'}"
        )
    index = np.flatnonzero(np.isin(cell_class, list(wanted)))
    parsed = [_parsed(str(table.id[i]), str(cell_class[i]), str(table.instance[i])) for i in index]
    labels = {
        "type": cell_class[index],
        "side": np.array([p.side for p in parsed], dtype=str),
        "glomerulus": np.array([p.glomerulus for p in parsed], dtype=np.int64),
        "ring_angle": np.array([p.ring_angle for p in parsed], dtype=np.float64),
    }
    return index, replace(table.take(index), **labels)


def _parsed(neuron: str, cell_class: str, instance: str) -> Instance:
    """The parsed instance of a neuron; one without a ring angle may have any name."""
    try:
        parsed = parse_instance(instance)
    except DataError as error:
        if cell_class not in GLOMERULI:
            return Instance(cell_class, "")
        raise DataError(f"neuron {neuron} of class {cell_class}: {error}") from None
    if parsed.cell_class != cell_class:
        raise DataError(
            f"neuron {neuron}: type says {cell_class}, instance {instance!r} says {parsed.cell_class}; wanted the same"
        )
    return parsed
