"""``bench`` whose worker answers at once: for tests of everything around the measuring."""

import sys

from claimbench.bench.__main__ import main
from claimbench.bench.run import jobs

jobs.WORKER = "tests.bench.fake_worker"
main(sys.argv[1:])
