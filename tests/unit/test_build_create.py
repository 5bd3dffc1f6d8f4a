"""What a fit is built from; a run folder that cannot be written to its end is not left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from connectome_sim.build import circuit, fitting, wiring
from connectome_sim.config import ConnectomeConfig, compose
from connectome_sim.connectome.io import hdf5
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import ConfigError, DataError, SelectionError


def test_a_disk_that_fills_up_leaves_no_half_made_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DataError("connectome.h5: no space left on device")

    monkeypatch.setattr(fitting.hdf5, "write", full)
    run = tmp_path / "runs" / "one"
    config = compose("fit", ["+experiment=quickstart", f"run={run}", "threads=1", "progress=false"])
    with pytest.raises(DataError, match="no space left"):
        fitting.run_fit(config)
    assert not run.exists()


def test_the_connectome_of_a_run_is_a_source_that_gives_the_same_circuit(tmp_path: Path) -> None:
    drawn = compose("fit", ["connectome=statistics", "+connectome.sign_overrides={PEN_a: {Delta7: 1}}"])
    first = circuit(drawn.connectome)
    hdf5.write(first, tmp_path / "connectome.h5")
    again = circuit(compose("fit", [f"connectome.source={tmp_path / 'connectome.h5'}"]).connectome)
    assert again.signs == first.signs and again.signs.overrides == {("PEN_a", "Delta7"): 1}
    assert again.neurons.id.tolist() == first.neurons.id.tolist()
    np.testing.assert_array_equal(again.dense(), first.dense())


def test_a_matrix_with_ring_angles_and_sides_can_be_fitted_without_instance_names(tmp_path: Path) -> None:
    types = ["EPG"] * 4 + ["PEN_a"] * 2 + ["PEN_b"] * 2
    made = from_matrix(
        np.ones((8, 8)),
        orientation="post_pre",
        types=types,
        sides=["", "", "", "", "L", "R", "L", "R"],
        ring_angles=[0.0, 1.5, 3.0, 4.5] + [np.nan] * 4,
    )
    hdf5.write(made, tmp_path / "made.h5")
    options = [f"connectome.source={tmp_path / 'made.h5'}", "connectome.classes=[EPG,PEN_a,PEN_b]"]
    config = compose("fit", options)
    wired = wiring(config, circuit(config.connectome))
    assert wired.types == ("EPG", "PEN_a", "PEN_b")
    assert wired.ring_angle[:4].tolist() == [0.0, 1.5, 3.0, 4.5]
    assert wired.epg_mask.sum() == 4


def test_a_source_without_the_circuit_is_named(tmp_path: Path) -> None:
    hdf5.write(from_matrix([[1]], orientation="post_pre", types=["EPG"]), tmp_path / "small.h5")
    with pytest.raises(SelectionError, match=f"^{tmp_path / 'small.h5'}: no neuron of class EPGt"):
        circuit(ConnectomeConfig(source=str(tmp_path / "small.h5")))
    with pytest.raises(DataError, match=f"^{tmp_path / 'small.h5'}: neuron 0 of class EPG: .*does not parse"):
        circuit(ConnectomeConfig(source=str(tmp_path / "small.h5"), classes=("EPG",)))


def test_the_signs_that_a_message_asks_for_can_be_given_in_its_words(tmp_path: Path) -> None:
    names = ["EPG_L1", "ExR1_L", "ExR2_L"]
    made = from_matrix(np.ones((3, 3)), orientation="post_pre", types=["EPG", "ExR1", "ExR2"], instances=names)
    hdf5.write(made, tmp_path / "made.h5")
    options = [f"connectome.source={tmp_path / 'made.h5'}", "connectome.classes=[EPG,ExR1,ExR2]"]
    with pytest.raises(ConfigError, match=r"no sign for ExR1, ExR2: .* [+]connectome.signs=\{ExR1: -1, ...\}"):
        circuit(compose("fit", options).connectome)
    signs = circuit(compose("fit", [*options, "+connectome.signs={ExR1: -1, ExR: 1}"]).connectome).signs
    assert signs.by_type == {"EPG": 1, "ExR1": -1, "ExR2": 1}
