"""A worker that answers at once, without torch; ``config["do"]`` of a job's options says how it misbehaves."""

import json
import os
import signal
import sys
import time
from dataclasses import asdict

from claimbench.bench.core.records import Measurement, read_job
from claimbench.bench.machine.process import Teller, open_answer
from claimbench.bench.run.expected_rows import rows


def main():
    with open_answer(None) as file:
        for data in json.load(sys.stdin):
            job = read_job(data)
            do = job.options.config.get("do", "")
            if do == "hang":
                time.sleep(600)
            time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
            if do == "moves":
                teller = Teller(file)
                for done in (0, 1, 2, 0):  # 1 and 2 come too soon to be told
                    teller.at(done, 9, f"stage {done}")
                time.sleep(0.6)
                teller.at(3, 9, "stage 3")
            if do == "abort":
                print("last words", file=sys.stderr, flush=True)
                os.abort()
            if do == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if do == "exit":
                sys.exit(3)
            if do == "garbage":
                file.write("not json\n")
                continue
            if do == "stranger":
                file.write('[{"metric": "params", "value": "many"}]\n')
                continue
            value = float(1 + job.round)
            found = [
                Measurement(name, value, unit, "fake", samples=(0.1,) * 8 if unit in ("s", "img/s") else ())
                for name, unit in rows(job)
            ]
            file.write(json.dumps([asdict(row) for row in found]) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
