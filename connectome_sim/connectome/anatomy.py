"""The fly: circuit classes, instance names, ring order, signs. The only fly-specific file; knows no file format.

The 16 half-tiles of the ellipsoid body in ring order are L1 R8 L2 R7 L3 R6 L4 R5 L5 R4 L6 R3 L7 R2 L8 R1, 22.5 degrees
each, L1 at zero (87 % of the EPG -> EPG synapses of the hemibrain lie within one step of that order).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import scipy.sparse as sp

from connectome_sim import circular
from connectome_sim.connectome.connectome import Connectome, Neurons, Signs
from connectome_sim.connectome.lookalikes import noted, similar_types
from connectome_sim.connectome.ring_order import placed, ring_places
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

RING_ORDERS = ("anatomy", "matrix")
"""Where ring angles come from: instance names or the neuron table, or the counts alone."""

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
    min_counts: Mapping[str, int] | None = None,
) -> Connectome:
    """The head-direction circuit of a fly connectome: `labelled_circuit`, then `signed`.

    Raises:
        SelectionError, DataError, ConfigError: see there.
    """
    chosen = labelled_circuit(connectome, classes=classes, min_count=min_count, min_counts=min_counts)
    return signed(chosen, signs=signs, sign_overrides=sign_overrides)


def labelled_circuit(
    connectome: Connectome,
    *,
    classes: Sequence[str],
    min_count: int = 1,
    min_counts: Mapping[str, int] | None = None,
    ring_order: str = "anatomy",
) -> Connectome:
    """The neurons of some circuit classes: selected, labelled, sorted. Signs are left as they are.

    The class of a neuron follows from its type. A connectome without any ring angle gets ring angle, side and
    glomerulus from the instance names; one with ring angles keeps all three as it states them, whatever its instance
    names say, and has to state the ring angle of every EPG.

    Neurons are sorted by class (in the order of ``classes``), then ring angle, then identifier. The ring angle of EPG,
    EPGt, PEN_a, PEN_b and PEG is that of the half-tile of their own bridge glomerulus, where they share the bump of
    the EPG; a PEN sends its output about 56 degrees away from it. That of a Delta7 is the circular mean of the
    half-tiles it sends its output to; it is active when the bump is opposite. ER, ExR, EL and GLNO have none (NaN).

    Args:
        connectome: whole dataset, or a circuit.
        classes: circuit classes wanted; "ExR" stands for all its subtypes. `CIRCUITS` holds named choices.
        min_count: connections of fewer synapses are left out.
        min_counts: the same for the connections from and to some circuit classes; where both ends are of such classes,
            the larger number holds.
        ring_order: "anatomy": ring angles as above; "matrix": from the counts alone, see `angles_from_counts`, whatever
            the table and the instance names say of them. Sides, which say what a PEN does with the velocity, are those
            of the table where it states any, else of the instance names; a name that does not parse gives none.

    Raises:
        SelectionError: no class asked for, an unknown class, or a class of which the connectome has no neuron.
        DataError: an instance name that has to say ring angle or side does not parse, an EPG without ring angle
            where others have one, or counts that show no ring.
        ConfigError: a count below one, an unknown ``ring_order``, or a class of ``min_counts`` that is not wanted.
    """
    wanted = classes_of(classes)
    min_counts = {member: n for name, n in (min_counts or {}).items() for member in _members(name)}
    if lowest := [n for n in (min_count, *min_counts.values()) if n < 1]:
        raise ConfigError(f"min_count: got {lowest[0]}, wanted 1 or more synapses per connection")
    if unused := [name for name in min_counts if name not in wanted]:
        raise ConfigError(f"min_counts: got {unused[0]!r}, wanted classes of the circuit: {', '.join(wanted)}")
    if ring_order not in RING_ORDERS:
        raise ConfigError(f"ring_order: got {ring_order!r}, wanted one of {', '.join(RING_ORDERS)}")
    class_of = {str(t): circuit_class(str(t)) for t in np.unique(connectome.neurons.type)}
    cell_class = np.array([class_of[str(t)] for t in connectome.neurons.type], dtype=str)
    existing = [c for c in CLASSES if (cell_class == c).any()]
    similar = similar_types(connectome, wanted, known=circuit_class)
    if absent := [c for c in wanted if c not in existing]:
        raise SelectionError(
            f"no neuron of class {', '.join(absent)} among the {connectome.n_neurons} of "
            f"{connectome.provenance.dataset}; "
            f"it holds {', '.join(existing) or 'no class of the head-direction circuit'}"
            f"{similar and f'; not taken for it, though similar: {similar}'}"
        )
    index = np.flatnonzero(np.isin(cell_class, list(wanted)))
    neurons = replace(connectome.neurons.take(index), type=cell_class[index])
    stated = bool(np.isfinite(connectome.neurons.ring_angle).any())
    if ring_order == "matrix":
        neurons = neurons if stated or (neurons.side != "").any() else replace(neurons, side=_sides(neurons))
        between = connectome.counts[index][:, index].toarray()
        neurons = replace(neurons, ring_angle=angles_from_counts(neurons, between))
    elif stated:
        _check_angles(neurons)
    else:
        neurons = _parsed(neurons)
    id_length = np.char.str_len(neurons.id)  # before the text, so that identifiers sort as numbers
    class_rank = np.array([wanted.index(t) for t in neurons.type])
    order = np.lexsort((neurons.id, id_length, neurons.ring_angle, class_rank))
    step = f"head-direction circuit: {', '.join(wanted)}"
    if ring_order == "matrix":
        step += "; ring angles from the counts"
    elif stated:
        step += "; labels kept as stated"
    chosen = replace(connectome.select(index[order], step=step), neurons=neurons.take(order))
    chosen = noted(chosen, similar)
    fewest = np.array([max(min_count, min_counts.get(str(name), 1)) for name in chosen.neurons.type])
    if (fewest == 1).all():
        return chosen
    counts = chosen.counts.tocoo()
    wanted_count = np.maximum(fewest[counts.coords[0]], fewest[counts.coords[1]])
    kept = sp.csr_array((np.where(counts.data >= wanted_count, counts.data, 0), counts.coords), shape=counts.shape)
    left_out = [("connections", min_count), *((f"connections of {name}", n) for name, n in min_counts.items())]
    step = "; ".join(f"{which} of fewer than {n} synapses left out" for which, n in left_out if n > 1)
    return chosen.replaced(step=step, counts=kept)


def angles_from_counts(neurons: Neurons, counts: np.ndarray) -> np.ndarray:
    """Ring angles without a name: from synapse counts, cell classes and, for the direction alone, sides; rad [N].

    EPG are placed by the partners they share, among all classes and in both directions (`ring_places`). A Delta7 lies
    where it sends its output, the mean over its EPG weighted by counts; any other class of the bridge (EPGt, PEN, PEG)
    where the Delta7 that it listens to lie, weighted likewise: Delta7 reach it in its own glomerulus. The rest has none
    (NaN), and neither has a neuron without such a synapse.

    The counts say nothing of rotation and reflection. The first EPG by identifier is put at zero. Angles increase in
    the direction in which right-hand PEN_a and PEN_b send their output, as `half_tile_angle` has it, so that the same
    velocity turns the bump the same way; without a PEN that has a side, the direction is that of the second EPG.

    Args:
        neurons: N neurons with class and side.
        counts: synapse counts [post, pre].

    Raises:
        DataError: counts that show no ring, see `ring_places`.
    """
    members = {name: np.flatnonzero(neurons.type == name) for name in CLASSES}
    epg, delta7 = members["EPG"], members["Delta7"]
    partners = [m for m in members.values() if len(m)]
    profiles = [block for m in partners for block in (counts[np.ix_(epg, m)], counts[np.ix_(m, epg)].T)]
    angle = np.full(len(neurons), math.nan)
    angle[epg] = ring_places(profiles).angle
    angle[delta7] = placed(counts[np.ix_(epg, delta7)].T, angle[epg])
    for name in ("EPGt", "PEN_a", "PEN_b", "PEG"):
        angle[members[name]] = placed(counts[np.ix_(members[name], delta7)], angle[delta7])

    by_id = epg[np.lexsort((neurons.id[epg], np.char.str_len(neurons.id[epg])))]
    angle -= angle[by_id[0]]
    pen = np.concatenate([members["PEN_a"], members["PEN_b"]])
    side = np.where(neurons.side[pen] == "R", 1, np.where(neurons.side[pen] == "L", -1, 0))
    sent = circular.difference(placed(counts[np.ix_(epg, pen)].T, angle[epg]), angle[pen])
    turn = float(np.nansum(side * np.sin(sent)))
    if (turn or math.sin(angle[by_id[1]])) < 0:
        angle = -angle
    return angle % (2 * math.pi)


def signed(
    connectome: Connectome,
    *,
    signs: Mapping[str, int] | None = None,
    sign_overrides: Mapping[tuple[str, str], int] | None = None,
) -> Connectome:
    """A `labelled_circuit` with a sign for each of its classes.

    The sign of a class is that in ``signs``, else the one the connectome states, else that in `SIGNS`; that of a pair
    of classes the one in ``sign_overrides``, else the override the connectome states, else that of the presynaptic
    class. "ExR" stands for those of its subtypes that are not stated by themselves.

    Args:
        connectome: the circuit.
        signs: class -> +1 or -1.
        sign_overrides: (postsynaptic class, presynaptic class) -> +1 or -1, for instance
            ``{("PEN_a", "Delta7"): 1}`` (Delta7 -> PEN is reported as mild excitation, Franconville et al. 2018).

    Raises:
        ConfigError: a class without a sign, or a sign for an unknown class.
        DataError: the connectome states the sign of a database type, or a sign is not +1 or -1.
    """
    classes, stated = connectome.types, connectome.signs
    for name in {*stated.by_type, *(name for pair in stated.overrides for name in pair)} - set(CLASSES):
        if circuit_class(name) in classes:
            raise DataError(
                f"sign of {name!r}: the connectome states that of a database type, wanted that of its class "
                f"{circuit_class(name)}, which has one sign"
            )
    signs, pairs = signs or {}, sign_overrides or {}
    for name in {*signs, *(name for pair in pairs for name in pair)} - {*CLASSES, "ExR"}:
        raise ConfigError(f"sign of {name!r}: no such cell class; there are {', '.join(CLASSES)}, and ExR for all ExR")
    known = {**SIGNS, **stated.by_type}
    for name in sorted(signs, key=lambda name: name != "ExR"):  # subtypes come later and win
        known.update(dict.fromkeys(_members(name), signs[name]))
    overrides = dict(stated.overrides)
    for post, pre in sorted(pairs, key=lambda pair: -pair.count("ExR")):
        overrides.update(dict.fromkeys(product(_members(post), _members(pre)), pairs[post, pre]))
    if missing := [name for name in classes if name not in known]:
        raise ConfigError(
            f"no sign for {', '.join(missing)}: their transmitters are mixed or unknown, so there is no default; "
            f"state +1 or -1 for each: +connectome.signs={{{missing[0]}: -1, ...}}"
        )
    inside = {(post, pre): sign for (post, pre), sign in overrides.items() if post in classes and pre in classes}
    return replace(connectome, signs=Signs({name: known[name] for name in classes}, inside))


def _members(name: str) -> tuple[str, ...]:
    """The classes that a name stands for."""
    return EXR if name == "ExR" else (name,)


def classes_of(classes: Sequence[str]) -> tuple[str, ...]:
    """The classes with ExR replaced by its subtypes, each once; an unknown one is a SelectionError."""
    if isinstance(classes, str) or not classes:
        raise SelectionError(
            f"classes: got {classes!r}, wanted a list of one or more of {', '.join(CLASSES)}, or ExR for all ExR"
        )
    wanted: dict[str, None] = {}
    for name in classes:
        if name != "ExR" and name not in CLASSES:
            raise SelectionError(f"cell class {name!r} is unknown; there are {', '.join(CLASSES)}, and ExR for all ExR")
        wanted.update(dict.fromkeys(_members(name)))
    return tuple(wanted)


def _check_angles(neurons: Neurons) -> None:
    without = (neurons.type == "EPG") & ~np.isfinite(neurons.ring_angle)
    if without.any():
        raise DataError(
            f"neuron {neurons.id[without][0]} of class EPG: got no ring angle, though other neurons have one; "
            f"wanted one for every EPG, which the heading is read from ({without.sum()} without)"
        )


def _parsed(neurons: Neurons) -> Neurons:
    """The table with side, glomerulus and ring angle from the instance names."""
    parsed = [_instance(*map(str, row)) for row in zip(neurons.id, neurons.type, neurons.instance, strict=True)]
    return replace(
        neurons,
        side=np.array([p.side for p in parsed], dtype=str),
        glomerulus=np.array([p.glomerulus for p in parsed], dtype=np.int64),
        ring_angle=np.array([p.ring_angle for p in parsed], dtype=np.float64),
    )


def _sides(neurons: Neurons) -> np.ndarray:
    """Sides from the instance names that follow the grammar, "" for the others."""

    def side(instance: str) -> str:
        try:
            return parse_instance(instance).side
        except DataError:
            return ""

    return np.array([side(str(name)) for name in neurons.instance], dtype=str)


def _instance(neuron: str, cell_class: str, instance: str) -> Instance:
    """The parsed instance of a neuron; where nothing depends on its side (ER, ExR, EL) it may have any name."""
    try:
        parsed = parse_instance(instance)
    except DataError as error:
        if cell_class not in GLOMERULI and cell_class != "GLNO":  # the side of a GLNO says which way it turns the bump
            return Instance(cell_class, "")
        raise DataError(
            f"neuron {neuron} of class {cell_class}: {error} (or a neuron table that states ring angles and sides)"
        ) from None
    if parsed.cell_class != cell_class:
        raise DataError(
            f"neuron {neuron}: type says {cell_class}, instance {instance!r} says {parsed.cell_class}; wanted the same"
        )
    return parsed
