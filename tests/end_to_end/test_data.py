"""The verb data through the command line."""

from pathlib import Path

import numpy as np
import pytest

from connectome_sim.cli import main
from connectome_sim.connectome import statistics
from connectome_sim.connectome.anatomy import EXR
from connectome_sim.connectome.io import hdf5
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import DataError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any dataset."""
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_list_says_what_there_is_and_how_to_get_what_is_missing(
    nowhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list"]) == 0
    out = capfd.readouterr().out
    assert "hemibrain v1.2" in out
    assert "connectome-sim data download hemibrain" in out
    (nowhere / "named" / "hemibrain_v1.2").mkdir(parents=True)
    main(["data", "list"])
    assert str(nowhere / "named" / "hemibrain_v1.2") in capfd.readouterr().out


def test_inspect_shows_a_drawn_connectome_and_calls_it_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "statistics", "circuit=core"]) == 0
    out = capfd.readouterr().out
    assert "129,473" in out  # synapses of the real core circuit, which the statistics keep exactly
    assert "no neuron is real" in out


def test_inspect_reads_a_connectome_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hdf5.write(statistics.draw(statistics.load("hemibrain_core"), 1), tmp_path / "drawn.h5")
    assert main(["data", "inspect", str(tmp_path / "drawn.h5")]) == 0
    assert "seed 1" in capfd.readouterr().out


def test_inspect_shows_a_circuit_without_signs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cells = {"EPG": "EPG_L1", "EPGt": "EPGt_L9", "PEN_a": "PEN_a_L2", "PEN_b": "PEN_b_L2", "PEG": "PEG_L1",
             "Delta7": "Delta7_L4R5_R", "ER6": "ER6_L", **{name: f"{name}_L" for name in EXR}}  # fmt: skip
    whole = from_matrix(np.eye(15), orientation="post_pre", types=list(cells), instances=list(cells.values()))
    hdf5.write(whole, tmp_path / "whole.h5")
    assert main(["data", "inspect", str(tmp_path / "whole.h5"), "circuit=core_er_exr"]) == 0
    assert "15 of 15 types" in capfd.readouterr().out


@pytest.mark.real_data
def test_inspect_knows_the_published_content(hemibrain_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "hemibrain", "circuit=core"]) == 0
    assert "content as published in hemibrain v1.2: core: 152 neurons, 9,722 pairs, 129,473" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["inspect", "nope"], "nope"),
        (["inspect", "./nope.h5"], "nope.h5: no such file or folder; readable here: a folder or .tar.gz that holds"),
        (["inspect", "hemibrain"], "connectome-sim data download hemibrain"),
        (["inspect", "statistics", "circuit=nope"], "nope"),
        (["inspect", "statistics", "circus=core"], "circus=core"),
        (["download", "nope"], "nope"),
        (["download", "hemibrain", "url=nonsense"], "url: got 'nonsense', wanted an address of http:// or https://"),
        (["download", "hemibrain", "url=http://127.0.0.1:9/none.tar.gz"], "http://127.0.0.1:9/none.tar.gz"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_1(
    nowhere: Path, arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments]) == 1
    err = capfd.readouterr().err.splitlines()[-1]
    assert named in err
    assert not list(nowhere.rglob("hemibrain*"))


def test_debug_shows_where_an_error_comes_from() -> None:
    with pytest.raises(DataError, match="nope"):
        main(["--debug", "data", "download", "nope"])
