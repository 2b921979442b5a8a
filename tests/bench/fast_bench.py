"""``bench`` whose worker answers at once: for tests of everything around the measuring."""

import sys

import bench.process
from bench.__main__ import main

bench.process.WORKER = "tests.bench.fake_worker"
main(sys.argv[1:])
