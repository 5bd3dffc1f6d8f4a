"""Numbers that others measured, to be drawn beside ours, with their sources. Knows no run."""

from __future__ import annotations

# Fly walking in darkness, computed from the raw data of Turner-Evans et al. 2017: gain, median fly and range over flies
FLY_GAIN = 0.80
FLY_GAIN_RANGE = (0.67, 0.90)
# The same flies: circular SD of bump minus gain x heading, deg, after s; median fly, imaging noise included
FLY_SPREAD_TIMES_S = (1.0, 5.0, 10.0, 20.0)
FLY_SPREAD_DEG = (43.0, 67.0, 77.0, 86.0)
FLY_SOURCE = "Turner-Evans 2017, raw data"
# Model of Vafidis et al. 2022: the gain curve is flat (the bump stays) below this speed, deg/s
VAFIDIS_FLAT_BELOW_DEG_PER_S = 30.0
