"""What the readers make of damaged files: so many seeded damages of every kind, in folders with and without checksums.

    python -m benchmarks.damage --damages 200

prints a table for each of both. With checksums nothing may be silent; nowhere may there be another exception than a
typed error, nor a hang. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.damage import HANG, MODES, OTHER, SILENT, cases, table, tried
from tests.damaged_folders import make


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=200, help="of each kind")
    parser.add_argument("--mode", choices=MODES, action="append", help="both if not given")
    parser.add_argument("--kind", action="append", default=[], help="all if not given")
    given = parser.parse_args()
    bad = 0
    for mode in given.mode or MODES:
        with tempfile.TemporaryDirectory() as root:
            make(Path(root))
            results = []
            for case, outcome, words in tried(Path(root), cases(mode, given.damages, tuple(given.kind))):
                results.append((case, outcome, words))
                if outcome in (OTHER, HANG) or (outcome == SILENT and mode == "listed"):
                    bad += 1
                    print(f"{case.kind}, {mode}, damage {case.number}: {outcome}: {words[:300]}", file=sys.stderr)
        print(f"\n{mode}:\n\n{table(results)}", flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
