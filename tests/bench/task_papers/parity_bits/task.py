"""Bit parity: is the number of ones odd?"""

from pathlib import Path

from bench.errors import UserError
from bench.quantities import Answer, Quantity, Row
from bench.tasks.task import DataSet, Task

EXACT = (("parity_exact", "%"),)
DATASETS = {"bits": DataSet("bits", "a file of words", EXACT, needs="a text file, a word of 0 and 1 a line")}
ROWS = {"parity_exact": Row("Right parities", "quality", "%", better="higher")}
QUANTITIES = {"parity_exact": Quantity("Right parities", "quality", "%", (Answer("parity_exact"),), "higher")}


class BitParity(Task):
    name = "bit-parity"
    title = "Bit parity"
    sample = "words"
    datasets = DATASETS
    default = "bits"
    rows = ROWS
    quantities = QUANTITIES

    def size(self, shape):
        return f"{shape[0]} bits" if shape else ""

    def example(self, shape, batch, generator, config):
        import torch

        return torch.randint(0, 2, (batch, *shape), generator=generator)

    def evaluate(self, subject, job):
        import torch

        from bench.measure import UnavailableError
        from bench.records import Measurement

        if "data" not in job.options:
            raise UnavailableError("needs a file of words: give it with --data")
        words = Path(job.options["data"]).read_text().split()
        if any(set(word) - {"0", "1"} for word in words):
            raise UserError("a word holds something else than 0 and 1")
        bits = torch.tensor([[int(bit) for bit in word] for word in words])
        right = (subject.model(bits) > 0) == (bits.sum(1) % 2 == 1)
        return [Measurement("parity_exact", 100 * right.float().mean().item(), "%", f"{len(words)} words")]


TASK = BitParity()
