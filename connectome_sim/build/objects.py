"""Objects from configuration: the connectome, its circuit, its wiring, the number of threads."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

import torch

from connectome_sim.config import ConnectomeConfig, FitConfig
from connectome_sim.connectome import download, statistics
from connectome_sim.connectome.anatomy import circuit_class, classes_of, labelled_circuit, signed
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.identity import everything
from connectome_sim.connectome.io import formats, hdf5, hemibrain
from connectome_sim.errors import DataError, SelectionError
from connectome_sim.model import Wiring
from connectome_sim.tasks import generator


def source(config: ConnectomeConfig, *, whole: bool = False) -> Connectome:
    """The connectome as its source holds it, before any circuit is selected.

    Args:
        config: what to read. Of a published dataset, the classes that it wants have to be as published.
        whole: everything that is known of a published dataset has to be.

    Raises:
        DataError: it is not there, or not what it claims to be.
    """
    if config.is_drawn:
        return statistics.draw(statistics.load(config.statistics), config.draw_seed)
    used = everything if whole else partial(_is_wanted, classes_of(config.wanted_classes))
    if not config.is_file:
        return download.load(config.source, strict=config.strict, own_name=config.own_name, used=used)
    path = Path(config.source)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; {formats.READABLE}")
    found = "" if path.is_dir() else formats.kind(path)
    if found == formats.HDF5:
        return hdf5.read(path)
    return hemibrain.read(path, strict=config.strict, own_name=config.own_name, used=used)


def _is_wanted(classes: Collection[str], database_type: str) -> bool:
    return circuit_class(database_type) in classes


def labelled(connectome: Connectome, config: ConnectomeConfig) -> Connectome:
    """The circuit that the configuration asks for, out of its source: selected and labelled, signs left as they are.

    Raises:
        DataError, SelectionError: see `labelled_circuit`; they name the source.
    """
    try:
        return labelled_circuit(
            connectome,
            classes=config.wanted_classes,
            min_count=config.min_count,
            min_counts=config.min_counts,
            ring_order=config.ring_order,
        )
    except (DataError, SelectionError) as error:
        raise type(error)(f"{config.source}: {error}") from error


def circuit(config: ConnectomeConfig) -> Connectome:
    """The circuit that the configuration asks for: selected, labelled, signed, and changed by what deviates.

    Raises:
        DataError, SelectionError, ConfigError: see `source`, `labelled` and `signed`.
    """
    found = signed(labelled(source(config), config), signs=config.signs, sign_overrides=config.sign_pairs)
    for number, deviation in enumerate(config.build_deviations()):
        found = deviation(found, generator(config.draw_seed, "null", number))
    return found


def wiring(config: FitConfig, connectome: Connectome) -> Wiring:
    """The circuit as tensors."""
    return Wiring.from_connectome(
        connectome, velocity_types=config.velocity.types, velocity_signs=config.velocity.signs
    )


def use_threads(threads: int | None) -> None:
    """Let PyTorch and the kernels use so many CPU threads; None leaves what PyTorch chose."""
    if threads is not None:
        torch.set_num_threads(threads)
