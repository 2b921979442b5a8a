"""The one small network, and parameters made equal."""

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.training.study import subjects
from claimbench.bench.training.study.network import Network, equal_widths, parameters, widths
from claimbench.bench.training.study.setting import DATASETS, EFFORTS, setting


def convolution(kernel, groups=0):
    return lambda dim, size: nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=groups or dim)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("effort", EFFORTS)
def test_every_setting_gives_each_mixer_maps_of_the_side_it_was_made_for(effort, dataset):
    how = setting(effort, dataset)
    sides = []

    class Watch(nn.Module):
        def __init__(self, dim, size):
            super().__init__()
            self.expected = (dim, size, size)

        def forward(self, x):
            sides.append(x.shape[2])
            assert tuple(x.shape[1:]) == self.expected
            return x

    network = Network(Watch, how, widths(how, 1), 10).eval()
    assert network(torch.zeros(2, 1, how.size, how.size)).shape == (2, 10)
    assert tuple(dict.fromkeys(sides)) == how.sides()


@pytest.mark.parametrize("kernels", [(7, 1), (1, 7), (3, 3)])
def test_the_counterparts_mlps_make_up_for_its_mixers(kernels):
    how = setting("quick", "fashion-mnist")
    first, second = (convolution(kernel) for kernel in kernels)
    plain = widths(how, how.mlp_ratio)
    block, counterpart = (parameters(Network(mixer, how, plain, 10)) for mixer in (first, second))
    hidden = equal_widths(how, block, counterpart)
    assert parameters(Network(second, how, hidden, 10)) == pytest.approx(block, rel=0.01)
    if kernels == (3, 3):
        assert hidden == plain


def test_arms_that_no_width_makes_equal_are_refused():
    how = setting("quick", "fashion-mnist")
    plain = widths(how, how.mlp_ratio)
    block = parameters(Network(convolution(1), how, plain, 10))
    dense = parameters(Network(convolution(7, groups=1), how, plain, 10))
    with pytest.raises(UserError, match=r"cannot be compared: \d+ and \d+ parameters .* apart, and 2%"):
        equal_widths(how, block, dense)


def test_resnet18_has_its_usual_size():
    how = setting("default", "fashion-mnist")
    assert parameters(subjects.baseline("resnet18", how)) == pytest.approx(11.17e6, rel=0.001)
    with pytest.raises(UserError, match="resnet18"):
        subjects.baseline("resnet19", how)


def test_a_study_that_is_not_there_is_said_in_a_sentence(fake_papers, monkeypatch):
    assert subjects.study_module("fake").block(4, 8)
    monkeypatch.setattr(registry, "module", lambda paper: "json")
    with pytest.raises(UserError, match=r"it has no study\.py"):
        subjects.study_module("fake")
