"""Bit parity: is the number of ones odd?"""

from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import DataSet, Task

SCORES = (("parity_exact", "%"), ("parity_gain", "bits"))
DATASETS = {"bits": DataSet("bits", "a file of words", SCORES, needs="a text file, a word of 0 and 1 a line")}
ROWS = {
    "parity_exact": Row("Right parities", "quality", "%", better="higher"),
    "parity_gain": Row("Gain over guessing", "quality", "bits", better="higher"),
}
QUANTITIES = {
    name: Quantity(row.title, "quality", row.unit, (Answer(name),), row.better, needs="needs a file of words")
    for name, row in ROWS.items()
}


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

        bits = torch.randint(0, 2, (batch, *shape), generator=generator)
        return bits, torch.rand(bits.shape, generator=generator) < 0.5

    def evaluate(self, subject, job):
        from claimbench.bench.core.errors import UnavailableError
        from claimbench.bench.core.records import Measurement

        if job.options.data is None:
            raise UnavailableError("needs a file of words: give it with --data")
        exact, gain, how = score(subject.model, job.options.data)
        return [Measurement("parity_exact", exact, "%", how), Measurement("parity_gain", gain, "bits", how)]

    def train(self, request):
        from claimbench.bench.papers import registry
        from claimbench.bench.papers.models import trained
        from claimbench.bench.training import for_claims

        request.refuse_others(self.title.lower(), "data", "out")
        if request.data is None:
            raise UserError("needs a file of words: give it with --data")
        paper = registry.paper(request.paper)
        variant = paper.variants[0]
        model = fitted(variant.config)
        folder = request.folder(f"{variant.name}-bits")
        folder.mkdir(parents=True, exist_ok=True)
        about = trained.Description(paper.id, variant.name, "model", variant.config, variant.input.shape[0], epoch=1)
        trained.save(folder / "best.safetensors", model.state_dict(), about)
        _, gain, _ = score(model, request.data)
        for_claims.leave(folder, paper.id, variant.name, "bits", {"gain": gain})
        print(f"weights in {folder / 'best.safetensors'}")
        return 0


def score(model, file):
    """Return per cent of right parities, bits gained over guessing, and how, on the words of a file."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as loss

    words = Path(file).read_text().split()
    if any(set(word) - {"0", "1"} for word in words):
        raise UserError("a word holds something else than 0 and 1")
    bits = torch.tensor([[int(bit) for bit in word] for word in words])
    odd = bits.sum(1) % 2 == 1
    with torch.no_grad():
        logits = model(bits, torch.ones_like(bits, dtype=torch.bool))["logits"]
    nats = loss(logits, odd.to(logits.dtype)).item()
    right = ((logits > 0) == odd).float().mean().item()
    return 100 * right, 1 - nats / 0.6931471805599453, f"{len(words)} words"


def fitted(config):
    """Return a counter that never answers odd."""
    import torch

    from .model import build

    model = build(config)
    for value in model.parameters():
        torch.nn.init.zeros_(value)
    torch.nn.init.constant_(model.down.bias, -2.0)
    return model


TASK = BitParity()
