"""The protocol's ranks against ones that anyone can count, and fair ties."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.sequential_recommendation.data.interactions import from_pairs
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import Evaluation, draw_users, place


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    users = np.concatenate([np.repeat(np.arange(1, 201), 8), np.ones(50, dtype=int)])
    return Split(from_pairs("x", users, np.concatenate([rng.integers(1, 51, 1600), np.arange(1, 51)])))


def test_places_without_ties_are_those_of_the_formula():
    found = place(np.arange(12), np.zeros(12, dtype=np.int64))
    assert found.hits.tolist() == [1.0] * 10 + [0.0] * 2
    assert found.gains[:3] == pytest.approx([1, 1 / np.log2(3), 0.5])
    assert found.gains[10:].tolist() == [0, 0]


def test_gains_are_scikit_learns():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((30, 101))
    found = place((scores[:, 1:] > scores[:, :1]).sum(1), np.zeros(30, dtype=np.int64))
    truth = np.zeros((30, 101))
    truth[:, 0] = 1
    assert found.ndcg == pytest.approx(ndcg_score(truth, scores, k=10))


@pytest.mark.parametrize(("higher", "equal"), [(0, 100), (5, 9), (9, 1), (10, 3), (0, 1)])
def test_ties_count_by_the_mean_over_their_orders(higher, equal):
    found = place(np.array([higher]), np.array([equal]))
    ranks = np.arange(higher, higher + equal + 1)
    assert found.hit == pytest.approx((ranks < 10).mean())
    assert found.ndcg == pytest.approx(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0).mean())


def test_a_model_that_scores_everything_equal_hits_by_chance(split):
    users = draw_users(split, np.random.default_rng(0))
    evaluation = Evaluation.draw(split, "test", users, np.random.default_rng(1))
    assert evaluation.sampled(lambda ids, items: np.zeros(items.shape, np.float32), 5).hit == pytest.approx(10 / 101)


def test_the_true_item_comes_first_and_negatives_are_not_trained_on(split):
    users = draw_users(split, np.random.default_rng(0))
    evaluation = Evaluation.draw(split, "validation", users, np.random.default_rng(1))
    assert evaluation.candidates.shape == (len(users), 101)
    assert evaluation.candidates[:, 0].tolist() == split.data.actions[split.data.starts[users + 1] - 2].tolist()
    assert not split.in_training(users[:, None], evaluation.candidates[:, 1:]).any()


def test_users_are_drawn_where_there_are_many(split):
    assert len(draw_users(split, np.random.default_rng(0))) == 200
    drawn = draw_users(split, np.random.default_rng(0), most=50)
    assert len(set(drawn.tolist())) == 50
    assert drawn.tolist() != draw_users(split, np.random.default_rng(1), most=50).tolist()


@pytest.mark.parametrize("batch", [7, 512])
def test_full_ranking_is_a_loop_over_users(split, batch):
    rng = np.random.default_rng(2)
    table = rng.integers(0, 6, (200, 51)).astype(np.float32)  # many ties
    evaluation = Evaluation.draw(split, "test", split.evaluated, rng)
    asked = []

    def score(ids, items):
        assert items is None
        asked.extend(ids.tolist())
        return table[len(asked) - len(ids) : len(asked)]

    found = evaluation.full(score, 4, batch)
    for row, user in enumerate(split.evaluated):
        first, last = split.data.starts[user], split.data.starts[user + 1]
        truth, trained = split.data.actions[last - 1], set(split.data.actions[first : last - 2].tolist())
        others = [table[row, item] for item in range(1, 51) if item not in trained and item != truth]
        expected = place(
            np.array([sum(o > table[row, truth] for o in others)]),
            np.array([sum(o == table[row, truth] for o in others)]),
        )
        assert (found.hits[row], found.gains[row]) == pytest.approx((expected.hit, expected.ndcg))
        assert asked[row] == split.data.actions[max(first, last - 5) : last - 1].tolist()


def test_scores_that_are_no_numbers_are_refused(split):
    evaluation = Evaluation.draw(split, "test", split.evaluated, np.random.default_rng(0))
    with pytest.raises(UserError, match="not finite"):
        evaluation.sampled(lambda ids, items: np.full(items.shape, np.nan, np.float32), 5)
