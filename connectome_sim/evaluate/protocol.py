"""The numbers of the held-out protocol and what they are for. Knows no network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from connectome_sim.errors import ConfigError
from connectome_sim.evaluate.noise import FIRST_S
from connectome_sim.tasks import n_steps

SPEEDS_DEG_PER_S = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 400.0, 500.0)  # the project's protocol
POSITIVE = (
    "cue_amplitude",
    "cue_concentration",
    "linear_tolerance",
    "jump_tolerance_deg",
    "input_step_s",
    "noise_current_sd",
    "noise_correlation_s",
)
FINER = 4  # an evaluation steps at least this many times finer than the fit did


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Held-out probes: walking, constant velocity, rest, cue jump and a noise current.

    A trial starts from the silent network: a cue for ``cue_duration_s``, then ``settle_duration_s`` without any input;
    then it is t = 0, and the heading decoded there is the initial one. All values not marked otherwise are chosen.

    Attributes:
        n_headings: headings of the walking and of the rest probe, evenly spaced.
        duration_s: length of the walking and of the rest trials, s.
        error_times_s: when the walking error is read, s.
        constant_speeds_deg_per_s: speeds of the constant probe, run in both directions, deg/s.
        constant_headings: headings per velocity.
        constant_duration_s: s.
        constant_transient_s: the gain is measured from here to the end of the trial, s.
        linear_tolerance: a speed counts as linear where the gain is this close to 1 in both directions.
        moving_gain: a bump counts as moved where the gain is above this in both directions.
        jump_offsets_deg: where the cue appears, from the bump, deg.
        jump_headings: headings per offset.
        jump_duration_s: the cue stays on for the whole trial, s.
        jump_tolerance_deg: the bump has arrived when its heading is this close to the cue, deg.
        noise_headings: headings of the noise probe.
        noise_repeats: noise realisations per heading. With 16 headings, 8 of them know an RMS displacement to 6 %.
        noise_duration_s: at least the second that the diffusion is read from, s.
        noise_times_s: when the displacement is read, s.
        noise_current_sd: SD of the current into every neuron, in units of its input, 1.
        noise_correlation_s: correlation time of that current (Ornstein-Uhlenbeck, held over each input step), s.
        noise_rate_percent: a second view: the current is scaled so that the SD of the rates that are read is so many
            percent of the bump's height; 0: no such view.
        cue_amplitude: current at the centre of the cue, 1.
        cue_concentration: of the von Mises profile of the cue, 1.
        cue_duration_s: s.
        settle_duration_s: s.
        input_step_s: velocities and noise are held for this long, and headings read this often, s.
        bump_min_vector_length: a bump is present where it is the only one, the population vector is at least this long
            (0 for a flat profile, 0.5 for a cosine),
        bump_min_amplitude: and its amplitude over the ring is at least this.

    Raises:
        ConfigError: a value out of range, or times that do not fit each other.
    """

    n_headings: int = 64
    duration_s: float = 60.0
    error_times_s: tuple[float, ...] = (1.0, 5.0, 10.0, 20.0, 60.0)
    constant_speeds_deg_per_s: tuple[float, ...] = SPEEDS_DEG_PER_S
    constant_headings: int = 16
    constant_duration_s: float = 3.0
    constant_transient_s: float = 0.5
    linear_tolerance: float = 0.1
    moving_gain: float = 0.1
    jump_offsets_deg: tuple[float, ...] = (45.0, 90.0, 135.0, 180.0)
    jump_headings: int = 16
    jump_duration_s: float = 2.0
    jump_tolerance_deg: float = 15.0
    noise_headings: int = 16
    noise_repeats: int = 8
    noise_duration_s: float = 10.0
    noise_times_s: tuple[float, ...] = (1.0, 5.0, 10.0)
    noise_current_sd: float = 0.16
    noise_correlation_s: float = 0.02
    noise_rate_percent: float = 2.5
    cue_amplitude: float = 5.0
    cue_concentration: float = 4.0
    cue_duration_s: float = 0.5
    settle_duration_s: float = 1.0
    input_step_s: float = 0.01
    bump_min_vector_length: float = 0.2
    bump_min_amplitude: float = 0.05

    def __post_init__(self) -> None:
        counts = ("n_headings", "constant_headings", "jump_headings", "noise_headings", "noise_repeats")
        self._refuse_below("counts", 1.0, *counts)
        least = ("noise_rate_percent", "moving_gain", "bump_min_vector_length", "bump_min_amplitude")
        self._refuse_below("values", 0.0, *least)
        self._refuse_below("a duration in s", FIRST_S, "noise_duration_s")
        for name in POSITIVE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"protocol, {name}: got {value}, wanted more than 0")
        for name in (
            "duration_s",
            "constant_duration_s",
            "constant_transient_s",
            "jump_duration_s",
            "noise_duration_s",
        ):
            self._refuse_odd_length(name, getattr(self, name))
        for name in ("cue_duration_s", "settle_duration_s"):
            self._refuse_odd_length(name, getattr(self, name))
        for name in ("error_times_s", "noise_times_s"):
            for time in getattr(self, name):
                self._refuse_odd_length(name, time)
        self._refuse_contradictions()

    def _refuse_below(self, what: str, low: float, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= low:
                raise ConfigError(f"protocol, {name}: got {getattr(self, name)}, wanted {what} of {low:g} or more")

    def _refuse_odd_length(self, name: str, duration: float) -> None:
        try:
            n_steps(duration, self.input_step_s)
        except ConfigError as error:
            raise ConfigError(f"protocol, {name}: {error}") from error

    def _refuse_contradictions(self) -> None:
        speeds, offsets = self.constant_speeds_deg_per_s, self.jump_offsets_deg
        for name, last in (("error_times_s", self.duration_s), ("noise_times_s", self.noise_duration_s)):
            times = getattr(self, name)
            if not times or list(times) != sorted(set(times)) or times[-1] > last:
                raise ConfigError(f"protocol, {name}: got {times}, wanted increasing times up to {last} s")
        if not speeds or list(speeds) != sorted(set(speeds)) or speeds[0] <= 0:
            raise ConfigError(f"protocol, constant_speeds_deg_per_s: got {speeds}, wanted increasing positive speeds")
        if not offsets or min(offsets) <= 0 or max(offsets) > 180:
            raise ConfigError(f"protocol, jump_offsets_deg: got {offsets}, wanted angles above 0 and up to 180")
        if self.constant_transient_s >= self.constant_duration_s:
            raise ConfigError(
                f"protocol, constant_transient_s: got {self.constant_transient_s}, wanted less than the trial's "
                f"constant_duration_s of {self.constant_duration_s}"
            )


FULL = Protocol()
# For demos and tests: the same probes with fewer headings and shorter trials; its figures are noisier.
QUICK = Protocol(
    n_headings=16,
    duration_s=20.0,
    error_times_s=(1.0, 5.0, 10.0, 20.0),
    constant_headings=4,
    jump_headings=4,
    noise_headings=4,
    noise_repeats=4,
)


def check_step(step: float, *, fit_step: float | None) -> None:
    """Refuses an evaluation that would share the fit's discretisation error.

    Args:
        step: integration step of the evaluation, s.
        fit_step: integration step of the fit, s; None where the network was not fitted here.

    Raises:
        ConfigError: ``step`` is not positive or not at least four times finer than the fit's.
    """
    if not (math.isfinite(step) and step > 0):
        raise ConfigError(f"evaluation step: got {step} s, wanted more than 0")
    if fit_step is not None and step * FINER > fit_step * (1 + 1e-9):
        raise ConfigError(
            f"evaluation step: got {step} s, wanted at most {fit_step / FINER:g} s, a quarter of the fit's "
            f"{fit_step} s; a coarser one would repeat the fit's own integration error"
        )
