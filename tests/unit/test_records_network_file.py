from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from connectome_sim.errors import RunFolderError
from connectome_sim.records import FittedNetwork, read_network, write_network

N = 5


def fitted(seed: int = 0, **changes: object) -> FittedNetwork:
    random = np.random.default_rng(seed)
    values: dict = {
        "weights": random.normal(size=(N, N)),
        "bias": random.normal(size=N),
        "time_constant": random.uniform(0.02, 0.5, N),
        "velocity_input": random.normal(size=N),
        "activation": "sigmoid",
        "ring_angle": np.array([0.0, 1.0, 2.0, np.nan, np.nan]),
        "id": ("5813020000", "2", "3", "4", "5"),
        "type": ("EPG", "EPG", "PEN_a", "Delta7", "ER"),
        "instance": ("EPG(PB08)_L1", "EPG(PB08)_R1", "PEN_a(PB06a)_L2", "Delta7(PB15)_L1L9R8_R", "ER4m(ring)_R·"),
        "side": ("L", "R", "L", "R", ""),
        "initial_states": random.uniform(size=(16, N)),
        "initial_headings": random.uniform(-3, 3, 16),
        "seed": seed,
        "dataset": "hemibrain",
        "dataset_sha256": "ab" * 32,
    }
    return FittedNetwork(**(values | changes))


def same(a: FittedNetwork, b: FittedNetwork) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=True) if isinstance(x, np.ndarray) else x == y
        for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    )


def test_members_read_back_equal(tmp_path: Path) -> None:
    members = [fitted(seed) for seed in (7, 8, 9)]
    write_network(tmp_path / "network.h5", members)
    read = read_network(tmp_path / "network.h5")
    assert len(read) == 3 and all(same(a, b) for a, b in zip(members, read, strict=True))
    assert read[0].epg_mask.tolist() == [True, True, False, False, False]


def test_the_file_is_what_the_contract_says(tmp_path: Path) -> None:
    # names, types and shapes by hand from the contract of network.h5 in the design notes
    write_network(tmp_path / "network.h5", [fitted(7), fitted(8)])
    with h5py.File(tmp_path / "network.h5") as file:
        assert set(file.attrs) == {
            "format",
            "format_version",
            "activation",
            "equation",
            "dataset",
            "dataset_sha256",
            "content_sha256",
        }
        assert file.attrs["format"] == "connectome-sim network"
        assert file.attrs["format_version"] == 1
        assert file.attrs["activation"] == "sigmoid"
        assert file.attrs["dataset"] == "hemibrain"
        assert file.attrs["dataset_sha256"] == "ab" * 32
        assert "time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega)" in file.attrs["equation"]
        assert set(file) == {"neurons", "members"}
        assert set(file["neurons"]) == {"id", "type", "instance", "side", "ring_angle"}
        for name in ("id", "type", "instance", "side"):
            text = h5py.check_string_dtype(file["neurons"][name].dtype)
            assert text.encoding == "utf-8" and file["neurons"][name].shape == (N,)
        assert file["neurons/instance"][4].decode() == "ER4m(ring)_R·"
        assert list(file["members"]) == ["000", "001"]
        assert file["members/001"].attrs["seed"] == 8
        shapes = {name: dataset.shape for name, dataset in file["members/000"].items()}
        assert shapes == {
            "weights": (N, N),
            "bias": (N,),
            "time_constant": (N,),
            "velocity_input": (N,),
            "initial_states": (16, N),
            "initial_headings": (16,),
        }
        assert {dataset.dtype for dataset in file["members/000"].values()} == {np.dtype("float64")}
        assert file["neurons/ring_angle"].dtype == np.float64 and np.isnan(file["neurons/ring_angle"][3])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weights": np.zeros((N, N + 1))}, r"weights has shape \[5, 6\], wanted \[5, 5\]"),
        ({"weights": np.full((N, N), np.nan)}, "weights holds values that are not finite"),
        ({"time_constant": np.zeros(N)}, "time_constant reaches 0.0 s"),
        ({"initial_states": np.zeros((8, N))}, "initial_states has shape"),
        ({"id": ("1",)}, "id has 1 entries, wanted 5"),
        ({"activation": "step"}, "activation is 'step'"),
    ],
)
def test_arrays_that_are_no_network_are_refused_by_field(changes: dict, message: str) -> None:
    with pytest.raises(RunFolderError, match=message):
        fitted(**changes)


@pytest.mark.parametrize(
    "field, value", [("id", ("0", "2", "3", "4", "5")), ("activation", "tanh"), ("ring_angle", np.zeros(N))]
)
def test_members_must_share_their_neurons(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(RunFolderError, match=f"member 1 differs from member 0 in {field}"):
        write_network(tmp_path / "network.h5", [fitted(0), replace(fitted(1), **{field: value})])
    assert not list(tmp_path.iterdir())


def test_no_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no network to write"):
        write_network(tmp_path / "network.h5", [])


def damage(path: Path, how: str) -> None:
    with h5py.File(path, "r+") as file:
        if how == "newer":
            file.attrs["format_version"] = 2
        elif how == "other":
            file.attrs["format"] = "something else"
        elif how == "no version":
            del file.attrs["format_version"]
        elif how == "missing":
            del file["members/000/bias"]
        elif how == "float32":
            del file["members/000/bias"]
            file["members/000/bias"] = np.zeros(N, dtype=np.float32)
        elif how == "short":
            del file["neurons/side"]
            file["neurons/side"] = ["L"]
        elif how == "empty":
            del file["members/000"]


@pytest.mark.parametrize(
    "how, message",
    [
        ("newer", "format_version 2 is newer than 1"),
        ("other", "format is 'something else'"),
        ("no version", "format_version is None"),
        ("missing", "incomplete or damaged"),
        ("float32", "members/000/bias has type float32"),
        ("short", "side has 1 entries, wanted 5"),
        ("empty", "/members is empty"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused(tmp_path: Path, how: str, message: str) -> None:
    path = tmp_path / "network.h5"
    write_network(path, [fitted()])
    damage(path, how)
    with pytest.raises(RunFolderError, match=message) as error:
        read_network(path)
    assert str(path) in str(error.value)


def test_a_truncated_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.h5"
    with pytest.raises(RunFolderError, match="no such file"):
        read_network(path)
    write_network(path, [fitted()])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunFolderError, match="or cut off"):
        read_network(path)
