"""Bad submissions, each wrong in one way: ``python -m tests.bench.bad_submissions`` writes their folder anew."""

from tests.bench.bad_submissions import form, identity, physics, scores, spread, time, whole
from tests.bench.bad_submissions.cases import CASES, COUNTS, EXPECTED, FOLDER, GPU, MEMORY, TIMES

__all__ = ["CASES", "COUNTS", "EXPECTED", "FOLDER", "GPU", "MEMORY", "TIMES"]

PARTS = (form, whole, identity, physics, spread, scores, time)
"""The modules whose cases are in :data:`CASES`."""
