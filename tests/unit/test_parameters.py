"""Claims about bounds and cell-type parameters: round trips, granularity, inert pairs, what trains, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from connectome_sim.errors import ParameterError
from connectome_sim.model import Bounds, Parameters, ParameterSpec
from connectome_sim.model.parameters import DEFAULT_BOUNDS, FAMILIES
from tests.unit.circuits import wiring

INTERVALS = [Bounds(-20.0, 20.0), Bounds(0.5, 0.6), Bounds(1e-3, 1e3, "log"), Bounds(0.02, 0.5, "log")]


@pytest.mark.parametrize("bounds", INTERVALS, ids=str)
@given(share=st.floats(1e-3, 1 - 1e-3))
def test_inverse_then_forward_is_the_identity(bounds: Bounds, share: float) -> None:
    value = torch.tensor(bounds.low + share * (bounds.high - bounds.low), dtype=torch.float64)
    torch.testing.assert_close(bounds.forward(bounds.inverse(value)), value, rtol=1e-10, atol=0)


@pytest.mark.parametrize("bounds", INTERVALS, ids=str)
@given(share=st.floats(-3, 3))
def test_forward_then_inverse_is_the_identity(bounds: Bounds, share: float) -> None:
    half = (bounds.inverse(torch.tensor(0.999 * bounds.high + 0.001 * bounds.low, dtype=torch.float64))).item() / 4
    raw = torch.tensor(share * half, dtype=torch.float64)
    torch.testing.assert_close(bounds.inverse(bounds.forward(raw)), raw, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bounds", INTERVALS, ids=str)
def test_slope_in_the_middle_is_one_on_the_scale_of_the_bounds(bounds: Bounds) -> None:
    """By hand: d tanh(x) / dx = 1 at 0, and d log v = dv / v."""
    raw = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = bounds.forward(raw)
    value.backward()
    assert raw.grad is not None
    assert raw.grad.item() == pytest.approx(value.item() if bounds.scale == "log" else 1.0, rel=1e-12)


@pytest.mark.parametrize("bounds", INTERVALS, ids=str)
def test_no_raw_value_leaves_the_bounds(bounds: Bounds) -> None:
    values = bounds.forward(torch.tensor([-1e6, -3.0, 0.0, 3.0, 1e6], dtype=torch.float64))
    assert (values >= bounds.low - 1e-12).all()
    assert (values <= bounds.high * (1 + 1e-12)).all()
    assert (values.diff() >= 0).all()


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0, 2.0, float("nan")])
def test_a_value_on_or_outside_the_bounds_has_no_raw_value(value: float) -> None:
    with pytest.raises(ParameterError, match="wanted more than 0 and less than 1"):
        Bounds(0.0, 1.0).inverse(torch.tensor([0.5, value]))


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [(1, 1, "linear"), (2, 1, "linear"), (0, 1, "log"), (0, 1, "cubic"), (0, float("inf"), "linear")],
)
def test_impossible_bounds_are_refused(low: float, high: float, scale: str) -> None:
    with pytest.raises(ParameterError, match="bounds"):
        Bounds(float(low), float(high), scale)


# Types EPG, PEN_a, Delta7; synapses (post<-pre): PEN_a<-EPG, Delta7<-EPG, EPG<-PEN_a, EPG<-Delta7, PEN_a<-Delta7
@pytest.mark.parametrize(("granularity", "wanted"), [("pair", 5), ("type", 3), ("ei", 2), ("global", 1)])
def test_number_of_gains_counts_connected_groups_only(granularity: str, wanted: int) -> None:
    parameters = Parameters(ParameterSpec(gains=granularity, trainable=frozenset({"gain"})), wiring())
    assert parameters.n_parameters == wanted == len(parameters.names("gain"))


def test_number_of_parameters_by_hand() -> None:
    """5 gains, 3 thresholds, 1 global time constant, 1 velocity gain (PEN_a)."""
    assert Parameters(ParameterSpec(time_constants="global"), wiring()).n_parameters == 5 + 3 + 1 + 1
    assert Parameters(ParameterSpec(trainable=frozenset()), wiring()).n_parameters == 0


def test_gain_table_places_each_gain_at_its_post_and_pre_type() -> None:
    parameters = Parameters(ParameterSpec(gains="pair"), wiring(), dtype=torch.float64)
    order = ["PEN_a<-EPG", "Delta7<-EPG", "EPG<-PEN_a", "EPG<-Delta7", "PEN_a<-Delta7"]
    gains = dict(zip(order, [2.0, 3.0, 4.0, 5.0, 6.0], strict=True))
    parameters.set_("gain", torch.tensor([gains[name] for name in parameters.names("gain")]))
    # rows post, columns pre, in the order EPG, PEN_a, Delta7; 1 where there is no synapse
    wanted = torch.tensor([[1.0, 4.0, 5.0], [2.0, 1.0, 6.0], [3.0, 1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(parameters.gain_table(), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("granularity", "names", "values", "wanted"),
    [
        ("type", ("PEN_a", "Delta7", "EPG"), (4.0, 5.0, 2.0), [[1, 4, 5], [2, 1, 5], [2, 1, 1]]),
        ("ei", ("excitatory", "inhibitory"), (2.0, 5.0), [[1, 2, 5], [2, 1, 5], [2, 1, 1]]),
        ("global", ("all",), (2.0,), [[1, 2, 2], [2, 1, 2], [2, 1, 1]]),
    ],
)
def test_coarse_gains_are_shared_as_their_name_says(
    granularity: str, names: tuple[str, ...], values: tuple[float, ...], wanted: list[list[float]]
) -> None:
    parameters = Parameters(ParameterSpec(gains=granularity), wiring(), dtype=torch.float64)
    assert parameters.names("gain") == names
    parameters.set_("gain", torch.tensor(values))
    torch.testing.assert_close(parameters.gain_table(), torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=0)


def test_inert_pairs_get_no_gradient_and_every_other_gain_gets_its_own() -> None:
    parameters = Parameters(ParameterSpec(gains="pair"), wiring(), dtype=torch.float64)
    weight = torch.arange(1.0, 10.0, dtype=torch.float64).view(3, 3)
    (weight * parameters.gain_table()).sum().backward()
    grad = parameters.raw["gain"].grad
    assert grad is not None
    # every gain is 1, where d gain / d raw = 1, so the gradient is the weight of its own entry
    position = {name: i for i, name in enumerate(parameters.names("gain"))}
    by_hand = {"EPG<-PEN_a": 2, "EPG<-Delta7": 3, "PEN_a<-EPG": 4, "PEN_a<-Delta7": 6, "Delta7<-EPG": 7}
    for name, value in by_hand.items():
        assert grad[position[name]].item() == pytest.approx(value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fixed_family_takes_no_gradient(family: str) -> None:
    parameters = Parameters(ParameterSpec(trainable=frozenset(FAMILIES) - {family}), wiring())
    assert [f for f in FAMILIES if not parameters.raw[f].requires_grad] == [family]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_set_values_come_back(family: str, dtype: torch.dtype) -> None:
    parameters = Parameters(ParameterSpec(), wiring(), dtype=dtype)
    parameters.set_(family, 0.2)
    torch.testing.assert_close(parameters.values(family), torch.full_like(parameters.raw[family], 0.2))
    assert parameters.values(family).dtype == dtype


def test_a_table_of_gains_must_be_as_coarse_as_the_granularity() -> None:
    table = torch.tensor([[9.0, 2.0, 5.0], [2.0, 9.0, 5.0], [2.0, 9.0, 9.0]])  # 9 where there is no synapse
    parameters = Parameters(ParameterSpec(gains="ei"), wiring())
    parameters.set_("gain", table)
    assert parameters.values("gain").tolist() == pytest.approx([2.0, 5.0])
    table[1, 2] = 6.0
    with pytest.raises(ParameterError, match="'inhibitory': got values from 5 to 6"):
        parameters.set_("gain", table)


@pytest.mark.parametrize(
    ("family", "values", "message"),
    [
        ("time_constant", -0.1, "time_constant: got -0.1, wanted more than 0.01"),
        ("time_constant", 0.0, "time_constant: got 0,"),
        ("gain", 1e4, "gain: got 10000"),
        ("gain", float("nan"), "gain: got nan"),
        ("gain", torch.ones(4), r"gain: got shape \(4,\)"),
        ("gain", torch.ones(2, 2), r"table of shape \(2, 2\), wanted \(3, 3\)"),
        ("leak", 1.0, "'family': got 'leak'"),
    ],
)
def test_values_out_of_range_or_shape_are_refused(family: str, values: float | torch.Tensor, message: str) -> None:
    parameters = Parameters(ParameterSpec(), wiring())
    before = {name: raw.clone() for name, raw in parameters.raw.items()}
    with pytest.raises(ParameterError, match=message):
        parameters.set_(family, values)
    assert all(torch.equal(before[name], raw) for name, raw in parameters.raw.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gains": "neuron"}, "'gains': got 'neuron'"),
        ({"thresholds": "pair"}, "'thresholds': got 'pair'"),
        ({"trainable": frozenset({"tau"})}, "'trainable': got 'tau'"),
        ({"bounds": {"tau": Bounds(0.0, 1.0)}}, "'bounds': got 'tau'"),
        ({"start": {"time_constant": -1.0}}, "start of time_constant: got -1"),
        ({"bounds": {"time_constant": Bounds(0.2, 0.5)}}, "start of time_constant: got 0.1"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ParameterSpec(**changes)  # type: ignore[arg-type]


def test_defaults_are_positive_where_the_equation_needs_it() -> None:
    assert all(DEFAULT_BOUNDS[family].low > 0 for family in ("gain", "time_constant", "velocity_gain"))


def test_state_goes_through_safetensors_unchanged(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    one, other = (Parameters(ParameterSpec(), wiring()) for _ in range(2))
    one.set_("gain", 3.0)
    safetensors.save_file(one.state_dict(), tmp_path / "parameters.safetensors")
    other.load_state_dict(safetensors.load_file(tmp_path / "parameters.safetensors"))
    assert set(one.state_dict()) == {f"raw.{family}" for family in FAMILIES}
    assert all(torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in one.state_dict())


def test_gains_of_single_connections_lie_where_the_connections_do() -> None:
    """8 connections in the circuit by hand (circuits.COUNTS), rows first."""
    parameters = Parameters(
        ParameterSpec(gains="synapse", trainable=frozenset({"gain"})), wiring(), dtype=torch.float64
    )
    assert parameters.n_parameters == len(parameters.names("gain")) == 8
    assert parameters.names("gain")[:3] == ("EPG[0]<-PEN_a[2]", "EPG[0]<-Delta7[4]", "EPG[1]<-PEN_a[3]")
    parameters.set_("gain", torch.arange(2.0, 10.0))
    wanted = torch.ones(5, 5, dtype=torch.float64)  # 1 where there is no synapse
    for value, (post, pre) in enumerate([(0, 2), (0, 4), (1, 3), (2, 0), (2, 4), (3, 1), (4, 0), (4, 1)], start=2):
        wanted[post, pre] = value
    torch.testing.assert_close(parameters.gain_table(), wanted, rtol=1e-12, atol=0)
    parameters.set_("gain", 1 + wanted)
    torch.testing.assert_close(parameters.values("gain"), torch.arange(3.0, 11.0, dtype=torch.float64))
