"""The script on a second animal reads the male CNS release as it is, and says what it cannot carry over."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import second_animal
from connectome_sim.connectome import statistics
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import DataError
from connectome_sim.records import Manifest, RunFolder, write_parameters

NEURONS = "bodyId,type,instance\n11,EPG,EPG(PB08)_L1\n12,Delta7,Delta7(PB15)_L1L9R8_R\n"


def folder(path: Path, weights: str) -> Path:
    (path / second_animal.NEURONS).write_text(NEURONS)
    (path / second_animal.WEIGHTS).write_text(weights)
    return path


def test_the_male_release_is_read_with_its_own_names_and_citation(tmp_path: Path) -> None:
    found = second_animal.animal(folder(tmp_path, "body_pre,body_post,weight\n11,12,7\n12,12,3\n"))
    assert found.neurons.type.tolist() == ["EPG", "Delta7"]
    assert found.dense().tolist() == [[0, 0], [7, 3]]  # [post, pre]: the EPG sends seven synapses to the Delta7
    assert (found.provenance.dataset, found.provenance.citation) == ("male CNS", second_animal.CITATION)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got columns 'body_post,body_pre,weight', wanted body_pre,body_post,weight"):
        second_animal.animal(folder(tmp_path, "body_post,body_pre,weight\n11,12,7\n"))


def test_a_parameter_that_the_fit_does_not_have_is_named(tmp_path: Path) -> None:
    hdf5.write(statistics.draw(statistics.load("hemibrain_core"), 0), tmp_path / "drawn.h5")
    config = second_animal.recipe(tmp_path / "drawn.h5", tmp_path / "run", 0, [])
    run = RunFolder.create(tmp_path / "run", Manifest.start())
    write_parameters(run.parameters, {})
    with pytest.raises(DataError, match="got no gain/EPG<-EPG, which .*drawn.h5 needs"):
        second_animal.carried_over(run, config, config)
