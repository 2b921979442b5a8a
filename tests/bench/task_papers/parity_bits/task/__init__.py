"""Bit parity: is the number of ones odd?"""

from claimbench.bench.core.task import Score, Task

from .catalogue import DATASETS

_NEEDS = "needs a file of words"


class BitParity(Task):
    """Bits (length,), and which of them count, to whether their number is odd."""

    def size(self, shape):
        return f"{shape[0]} bits" if shape else ""

    def example(self, shape, batch, generator, config):
        import torch

        bits = torch.randint(0, 2, (batch, *shape), generator=generator)
        return bits, torch.rand(bits.shape, generator=generator) < 0.5


TASK = BitParity(
    name="bit-parity",
    title="Bit parity",
    sample="words",
    datasets=DATASETS,
    default="bits",
    scores=(
        Score("parity_exact", "Right parities", "%", least=0, most=100, needs=_NEEDS),
        Score("parity_gain", "Gain over guessing", "bits", most=1, needs=_NEEDS),
    ),
)
