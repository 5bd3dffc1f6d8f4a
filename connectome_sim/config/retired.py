"""What a configuration saved by an earlier version says that means nothing any more. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHITE_NOISE = ("noise_intensity", "noise_repeats", "noise_duration_s")
"""The former noise probe: white noise for a minute. Its figures have other names than those of the present one."""


def without_retired(config: Mapping[str, Any]) -> dict[str, Any]:
    """A fit's saved configuration with the present noise probe in the place of the former one, which it still names."""
    evaluation = config.get("evaluation")
    protocol = evaluation.get("protocol") if isinstance(evaluation, Mapping) else None
    if not (isinstance(evaluation, Mapping) and isinstance(protocol, Mapping) and _WHITE_NOISE[0] in protocol):
        return dict(config)
    kept = {name: value for name, value in protocol.items() if name not in _WHITE_NOISE}
    return {**config, "evaluation": {**evaluation, "protocol": kept}}
