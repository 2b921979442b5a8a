"""``bench`` whose worker answers at once: for tests of everything around the measuring."""

import sys

import claimbench.bench.machine.process
from claimbench.bench.__main__ import main

claimbench.bench.run.jobs.WORKER = "tests.bench.fake_worker"
main(sys.argv[1:])
