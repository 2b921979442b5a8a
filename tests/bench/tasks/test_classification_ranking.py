"""The same picture gives the same ranks, whatever it is computed together with."""

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.task import Subject
from claimbench.bench.tasks.image_classification.ranking import CLOSE, Ranker, logits_of, rank


def subject(model):
    return Subject(model.eval(), (3, 4, 4), "x", torch.device("cpu"), torch.float32)


class Noisy(nn.Module):
    """Scores that depend on the batch in their last digits, as sums over differently split kernels do."""

    def __init__(self, classes=10):
        super().__init__()
        self.head = nn.Linear(48, classes)

    def forward(self, x):
        scores = self.head(x.flatten(1))
        noise = torch.sin(torch.arange(scores.numel()).view_as(scores) * (1.0 + len(x)))
        return scores + (2e-6 * noise if scores.dtype == torch.float32 else 0)


def test_equal_scores_go_to_the_lower_class():
    ranked, near = rank(torch.tensor([[1.0, 3.0, 3.0, 0.0, 3.0, 2.0]]), 1e-4)
    assert ranked.tolist() == [[1, 2, 4, 5, 0]]
    assert near.tolist() == [True]


def test_only_neighbours_within_the_first_five_and_the_next_count_as_near():
    far = torch.tensor([[9.0, 7.0, 5.0, 3.0, 1.0, 0.5, 0.5]])
    assert rank(far, 1e-4)[1].tolist() == [False]
    assert rank(torch.tensor([[9.0, 7.0, 5.0, 3.0, 1.0, 1.0, 0.5]]), 1e-4)[1].tolist() == [True]
    assert rank(torch.tensor([[2.0, 1.0]]), 1e-4)[0].tolist() == [[0, 1]]
    assert rank(torch.tensor([[2.0]]), 1e-4)[0].tolist() == [[0]]


def test_classes_that_take_no_part_are_not_ranked():
    ranked, _ = rank(torch.tensor([[9.0, 1.0, 2.0, 8.0]]), 1e-4, torch.tensor([1, 2]))
    assert ranked.tolist() == [[2, 1]]


def test_ranks_do_not_depend_on_the_batch_though_the_scores_do():
    torch.manual_seed(0)
    model = Noisy()
    with torch.no_grad():
        model.head.weight[1] = model.head.weight[0]  # classes 0 and 1 differ by less than the noise
        model.head.bias[1] = model.head.bias[0] + 1e-7
    samples = torch.randn(60, 3, 4, 4)
    found = {}
    for size in (1, 7, 60):
        ranker = Ranker(subject(model), "fp32")
        found[size] = [top for part in samples.split(size) for top in ranker(part)[0]]
    assert found[1] == found[7] == found[60]
    plain = {
        size: [t for part in samples.split(size) for t in model(part).topk(5).indices.tolist()] for size in (1, 7, 60)
    }
    assert plain[1] != plain[60], "the noise of this test does not flip anything"
    in_order = [top.index(1) - top.index(0) for top in found[1] if {0, 1} <= set(top)]
    assert set(in_order) == {-1}, "float64 sees that class 1 is ahead"


def test_settling_changes_no_weights_and_counts_what_it_settled():
    model = Noisy()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    tops, settled = Ranker(subject(model), "fp32")(torch.randn(3, 3, 4, 4))
    assert (tops, settled) == ([[0, 1, 2, 3, 4]] * 3, [True] * 3)
    assert model.head.weight.dtype == torch.float32


def test_a_model_that_knows_no_float64_settles_alone_in_its_own():
    class Stubborn(Noisy):
        def forward(self, x):
            if x.dtype == torch.float64:
                raise RuntimeError("expected scalar type Float but found Double")
            return super().forward(x)

    model = Stubborn()
    nn.init.zeros_(model.head.weight)
    samples = torch.randn(6, 3, 4, 4)
    with torch.no_grad():
        model.head.bias.fill_(1.0)
    ranks = {size: [t for p in samples.split(size) for t in Ranker(subject(model), "fp32")(p)[0]] for size in (1, 4, 6)}
    assert ranks[1] == ranks[4] == ranks[6]


def test_scores_that_are_no_numbers_are_said():
    model = Noisy()
    nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(UserError, match="not finite numbers"):
        Ranker(subject(model), "fp32")(torch.randn(2, 3, 4, 4))


def test_the_scores_are_found_among_several_outputs():
    scores, features = torch.zeros(2, 10), torch.zeros(2, 5, 7)
    assert logits_of((features, scores)) is scores
    assert logits_of({"features": features, "logits": scores}) is scores
    for other in (features, [features], "text"):
        with pytest.raises(UnavailableError, match="accuracy needs scores for classes, and the model returns"):
            logits_of(other)


def test_less_exact_precisions_have_wider_bounds():
    assert CLOSE["fp32"] < CLOSE["tf32"] < CLOSE["fp16"] < CLOSE["bf16"]
