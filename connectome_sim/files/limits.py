"""How large a file of each kind may be, so that one that pretends to be huge costs nothing. All chosen, generous.

The largest that a run of this project wrote was a tenth of each or less.
"""

from __future__ import annotations

TEXT_BYTES = 16 * 2**20
"""Configurations, checksums."""

JSON_BYTES = 64 * 2**20
"""Manifests, metrics, findings."""

TABLE_BYTES = 512 * 2**20
"""Comma-separated tables."""

PICTURE_BYTES = 64 * 2**20
"""One picture of a report."""
