"""A fit of the real core circuit comes out the same, to the last bit, on however many threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from connectome_sim.config import compose
from connectome_sim.connectome.anatomy import CORE, head_direction_circuit
from connectome_sim.connectome.io import hemibrain
from connectome_sim.fit import FitResult, fit
from connectome_sim.model import Wiring
from connectome_sim.model.activation import Activation

pytestmark = pytest.mark.real_data


def test_threads_do_not_change_a_fit(hemibrain_dir: Path) -> None:
    wiring = Wiring.from_connectome(head_direction_circuit(hemibrain.read(hemibrain_dir), classes=CORE))
    stages = (
        "{horizon_s: 0.5, iterations: 2, n_trials: 20, optimizer: adam}",
        "{horizon_s: 0.5, iterations: 2, n_trials: 20, optimizer: polish}",
    )
    config = compose(
        "fit",
        [
            "+experiment=hemibrain_core",
            "fit.candidates=1",
            "fit.starts=2",
            "fit.start_iterations=3",
            "fit.validation_trials=4",
            f"fit.stages=[{', '.join(stages)}]",
        ],
    )
    before = torch.get_num_threads()

    def fitted(threads: int) -> FitResult:
        torch.set_num_threads(threads)
        return fit(
            wiring,
            terms=config.terms,
            optimizers={"adam": config.adam, "polish": config.polish},
            spec=config.parameters,
            activation=Activation.named(config.activation),
            solve=config.solve,
            start=config.start,
            options=config.fit,
            seed=3,
        )

    try:
        one, *others = (fitted(threads) for threads in (1, 2, 3))
    finally:
        torch.set_num_threads(before)
    assert len(one.history) == 2 * 3 + 1
    for other in others:
        assert repr(other.history) == repr(one.history)  # some terms have no trial, which is NaN
        assert all(torch.equal(raw, other.parameters.raw[family]) for family, raw in one.parameters.raw.items())
