"""The rate equation and its parameters: wiring, bounded cell-type parameters, drive. Knows no solver and no loss."""

from connectome_sim.model.activation import Activation
from connectome_sim.model.bounds import Bounds
from connectome_sim.model.drive import Drive
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import RateNetwork, build_network
from connectome_sim.model.wiring import Wiring

__all__ = ["Activation", "Bounds", "Drive", "ParameterSpec", "Parameters", "RateNetwork", "Wiring", "build_network"]
