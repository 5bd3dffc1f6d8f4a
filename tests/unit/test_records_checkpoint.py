from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from connectome_sim.errors import RunFolderError
from connectome_sim.records import Manifest, RunFolder, read_checkpoint, write_checkpoint

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.sampled_from(["tensor", "dict", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(state=values)
def test_any_nested_state_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, state: object) -> None:
    path = tmp_path_factory.getbasetemp() / "state.safetensors"
    write_checkpoint(path, state)
    read = read_checkpoint(path)
    assert read == state and repr(read) == repr(state)  # repr also tells True from 1 and a tuple from a list


def test_tensors_arrays_and_floats_that_json_lacks_keep_type_and_bits(tmp_path: Path) -> None:
    state = {
        "half": torch.tensor([1.5, math.nan], dtype=torch.float16),
        "scalar": torch.tensor(3),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "array": np.array([2**62], dtype=np.int64),
        "inf": -math.inf,
    }
    write_checkpoint(tmp_path / "a", state)
    read = read_checkpoint(tmp_path / "a")
    for name in ("half", "scalar", "transposed"):
        assert read[name].dtype == state[name].dtype
        torch.testing.assert_close(read[name], state[name], rtol=0, atol=0, equal_nan=True)
    assert isinstance(read["array"], np.ndarray) and read["array"].tolist() == [2**62]
    assert read["inf"] == -math.inf


def test_what_could_only_be_pickled_is_refused_by_place(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"state\.fit\.1 is a object"):
        write_checkpoint(tmp_path / "a", {"fit": [1, object()]})
    assert not list(tmp_path.iterdir())


class Loop:
    """A small fit with every source of state: parameters, Adam, a scheduler, and three random generators."""

    def __init__(self) -> None:
        self.torch, self.numpy, self.python = (
            torch.Generator().manual_seed(1),
            np.random.default_rng(2),
            random.Random(3),
        )
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.adam = torch.optim.Adam([self.weight], lr=0.1, amsgrad=True)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.adam, 0.9)

    def step(self) -> float:
        target = torch.randn(4, generator=self.torch) + self.numpy.normal() + self.python.random()
        self.adam.zero_grad()
        loss = ((self.weight - target) ** 2).sum()
        loss.backward()
        self.adam.step()
        self.scheduler.step()
        return loss.item()

    def state(self) -> dict:
        return {
            "weight": self.weight,
            "adam": self.adam.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "torch": self.torch.get_state(),
            "numpy": self.numpy.bit_generator.state,
            "python": self.python.getstate(),
        }

    def load(self, state: dict) -> None:
        self.weight.data.copy_(state["weight"])
        self.adam.load_state_dict(state["adam"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.torch.set_state(state["torch"])
        self.numpy.bit_generator.state = state["numpy"]
        self.python.setstate(state["python"])


def test_a_resumed_loop_continues_bit_for_bit(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", Manifest.start())
    loop = Loop()
    for step in range(5):
        loop.step()
        folder.write_checkpoint(step, loop.state())
    uninterrupted = [loop.step() for _ in range(5)]

    step, state = RunFolder.open(folder.path).last_checkpoint()
    resumed = Loop()
    resumed.load(state)
    assert step == 4
    assert [resumed.step() for _ in range(5)] == uninterrupted
    assert torch.equal(resumed.weight, loop.weight)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", Manifest.start())
    with pytest.raises(RunFolderError, match="no checkpoint to resume from"):
        folder.last_checkpoint()
    for step in (9, 10, 100):
        folder.write_checkpoint(step, {"step": step}, keep=2)
    assert sorted(p.name for p in folder.checkpoints.iterdir()) == [
        "step_00000010.safetensors",
        "step_00000100.safetensors",
    ]
    assert folder.last_checkpoint() == (100, {"step": 100})


def test_a_damaged_older_or_newer_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    with pytest.raises(RunFolderError, match="no such file"):
        read_checkpoint(path)
    write_checkpoint(path, {"weight": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RunFolderError, match="may be truncated"):
        read_checkpoint(path)
    for version, words in ((4, "newer than 3"), (2, "format version 2, wanted 3: an older connectome_sim wrote it")):
        monkeypatch.setattr("connectome_sim.records.checkpoint.FORMAT_VERSION", version)
        write_checkpoint(path, {"weight": torch.ones(100)})
        monkeypatch.undo()
        with pytest.raises(RunFolderError, match=words):
            read_checkpoint(path)


def test_the_newest_whole_checkpoint_is_used_and_the_damaged_ones_are_said(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", Manifest.start())
    for step in (1, 2, 3):
        folder.write_checkpoint(step, {"step": step}, keep=3)
    paths = sorted(folder.checkpoints.iterdir())
    said: list[str] = []
    paths[2].write_bytes(b"")
    paths[1].unlink()
    assert folder.last_checkpoint(say=said.append) == (1, {"step": 1})
    assert [path.name in text and "goes on from step 1" in text for path, text in zip(paths[:0:-1], said, strict=True)]
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    with pytest.raises(RunFolderError, match="step_00000003.safetensors: got SHA-256"):
        folder.last_checkpoint(say=said.append)


def test_checkpoints_of_later_steps_go_once_a_run_has_gone_on_from_an_earlier_one(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", Manifest.start())
    for step in (10, 20, 30):
        folder.write_checkpoint(step, {"step": step}, keep=3)
    folder.write_checkpoint(11, {"step": 11})
    assert [path.name[-14:-12] for path in sorted(folder.checkpoints.iterdir())] == ["10", "11"]
