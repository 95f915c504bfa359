"""This project beside what one would take instead, in one run on one machine: ``python -m benchmarks`` (docs/benchmarks.md).

Not packaged. Services come from the tests (``tests/services``): Apache Kafka from its jars, PostgreSQL from Debian's
packages, local processes on loopback. Only figures of one run are compared; a calibration stands beside each.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if str(ROOT / "tests") not in sys.path:
    sys.path.append(str(ROOT / "tests"))  # for the package ``services``; the rooms of the project come first
