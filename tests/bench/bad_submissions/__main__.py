"""Writes every bad submission, and what is expected of each."""

import json

from tests.bench import made_up_gpu
from tests.bench.bad_submissions import CASES, EXPECTED, FOLDER, GPU, MEMORY, TIMES
from tests.bench.submission_draft import read

GPU.write_bytes(made_up_gpu.make(read(TIMES), read(MEMORY)).seal())
folder = FOLDER / "bad"
folder.mkdir(exist_ok=True)
for old in folder.iterdir():
    old.unlink()
for case in CASES:
    (folder / case.file).write_bytes(case.make())
expected = {case.file: {"rule": case.rule, "says": case.says} for case in CASES}
EXPECTED.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="utf-8")
