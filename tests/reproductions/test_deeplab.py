"""DeepLab against golden records of the port and of the authors' layer tables, its sizes, and atrous convolution."""

import pytest
import torch
from torch.nn import functional as F

from claimbench.bench.measure.flops import count
from claimbench.reproductions.deeplab import model as deeplab
from claimbench.reproductions.deeplab.atrous import by_phases, gradient_span, span, with_holes_as_zeros
from claimbench.reproductions.deeplab.backbones import VGG16, ResNet
from claimbench.reproductions.deeplab.heads import Branch
from claimbench.reproductions.deeplab.official import from_official, outputs
from tests.reproductions import support

PARAMETERS = {
    "vgg16_largefov": 20505429,
    "vgg16_7x7_r4": 134346581,
    "vgg16_4x4_r4": 65140565,
    "vgg16_4x4_r8": 65140565,
    "vgg16_aspp_s": 37877652,
    "vgg16_aspp_l": 37877652,
    "resnet101": 42500160 + 2048 * 21 + 21,
    "resnet101_largefov": 42500160 + 9 * 2048 * 21 + 21,
    "resnet101_aspp_l": 44048532,
}
TINY = {"n_classes": 3, "n_blocks": [1, 1, 1, 1], "atrous_rates": [1, 2], "kernel": 3}
TINY_VGG = {"n_classes": 3, "atrous_rates": [2], "pool_kernel": 3, "average_pool": True, "kernel": 3, "hidden": 8}


@pytest.fixture(params=["single", "msc"])
def tiny(request):
    torch.manual_seed(0)
    model = deeplab.build(TINY, request.param)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model


@pytest.mark.parametrize("name", support.goldens("deeplab"))
def test_equals_the_golden_record(name):
    support.check_golden("deeplab", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("deeplab", "resnet101")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_those_of_the_layer_tables(name):
    with torch.device("meta"):
        model = deeplab.build(support.config_of("deeplab", name))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("deeplab").variants} == PARAMETERS.keys()


@pytest.mark.parametrize(("size", "macs"), [(321, 75135808704), (513, 188885763264)])
def test_multiply_adds_of_resnet101_are_those_of_the_port(size, macs):
    with torch.device("meta"):
        model = deeplab.build(support.config_of("deeplab", "resnet101_aspp_l"))
    assert count(model, (1, 3, size, size)).flops == 2 * macs


SIZES = {"resnet": {321: 41, 513: 65, 320: 41, 97: 13}, 3: {321: 41, 513: 65, 320: 41, 97: 13}, 2: {306: 41, 514: 67}}


@pytest.mark.parametrize(("kind", "size"), [(kind, size) for kind, sizes in SIZES.items() for size in sizes])
def test_score_sizes_are_those_of_caffe(kind, size):
    with torch.device("meta"):
        backbone = ResNet([1, 1, 1, 1]) if kind == "resnet" else VGG16(kind)
        found = backbone(torch.zeros(1, 3, size, size)).shape[2:]
    assert tuple(found) == (SIZES[kind][size],) * 2


@pytest.mark.parametrize(("kernel", "rate"), [(3, 12), (3, 2), (4, 4), (4, 8), (7, 4)])
def test_branches_keep_the_size_of_the_map(kernel, rate):
    assert Branch(2, 4, 3, kernel, rate)(torch.zeros(1, 2, 41, 37)).shape == (1, 3, 41, 37)


@pytest.mark.processors
@pytest.mark.parametrize(("kernel", "rate"), [(3, 1), (3, 2), (3, 5), (4, 3), (2, 7), (1, 4)])
@pytest.mark.parametrize("size", [(13, 9), (31, 20)])
def test_atrous_convolution_is_the_zero_stuffed_one_and_the_phase_split_one(kernel, rate, size):
    torch.manual_seed(0)
    padding = span(kernel, rate) // 2
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = torch.randn(4, 3, kernel, kernel, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=padding, dilation=rate)
    torch.testing.assert_close(with_holes_as_zeros(x, weight, rate, padding), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_phases(x, weight, rate, padding), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kernel", "rate"), [(3, 12), (4, 8), (7, 4), (4, 4)])
def test_span_is_what_the_gradient_reaches(kernel, rate):
    layer = torch.nn.Conv2d(2, 3, kernel, padding=span(kernel, rate) // 2, dilation=rate)
    assert gradient_span(layer, 2, 61) == span(kernel, rate) == kernel + (kernel - 1) * (rate - 1)


@pytest.mark.processors
def test_fusion_is_the_maximum_over_scales(tiny):
    x = torch.randn(1, 3, 65, 49)
    if isinstance(tiny, deeplab.MultiScale):
        tiny.eval()
        full, *smaller = tiny.scores(x)
        assert [tuple(s.shape[2:]) for s in (full, *smaller)] == [(9, 7), (5, 4), (7, 5)]
        resized = [F.interpolate(s, size=full.shape[2:], mode="bilinear") for s in smaller]
        assert torch.equal(tiny(x), torch.stack([full, *resized]).amax(0))


@pytest.mark.processors
def test_upsampling_puts_each_score_on_every_eighth_pixel():
    scores = torch.randn(1, 2, 5, 4, dtype=torch.float64)
    full = deeplab.upsample(scores, (33, 25))
    torch.testing.assert_close(full[..., ::8, ::8], scores)
    torch.testing.assert_close(full[..., 0, 4], (scores[..., 0, 0] + scores[..., 0, 1]) / 2)
    torch.testing.assert_close(deeplab.upsample(scores, (30, 20)), full[..., :30, :20])
    assert torch.equal(deeplab.upsample(scores, (35, 25))[..., -1, :], full[..., -1, :])


@pytest.mark.processors
def test_upsampling_cuts_the_position_off_that_padded_2x2_pools_add():
    """The authors' test.prototxt of the 4x4 form: 306 pixels, 41 scores, 321 pixels, less 7 before and 8 after."""
    scores = torch.randn(1, 2, 41, 41, dtype=torch.float64)
    full = deeplab.upsample(scores, (306, 306))
    torch.testing.assert_close(full[..., 1::8, 1::8], scores[..., 1:-1, 1:-1])
    assert torch.equal(full, deeplab.upsample(scores, (321, 321))[..., 7:-8, 7:-8])
    assert torch.equal(deeplab.upsample(scores, (306, 321)), deeplab.upsample(scores, (321, 321))[..., 7:-8, :])


@pytest.mark.parametrize(("kernel", "over"), [(3, range(8)), (2, range(8, 16))])
def test_how_far_a_map_stands_over_tells_its_pools(kernel, over):
    with torch.device("meta"):
        backbone = VGG16(kernel)
        for size in range(8, 120):
            side = size
            for pool in backbone.pools:
                side = pool(torch.zeros(1, 1, side, side)).shape[-1]
            assert 8 * (side - 1) + 1 - size in over


@pytest.mark.processors
@pytest.mark.parametrize("branches", [1, 4])
@pytest.mark.parametrize("last", ["fc8", "fc8_voc12", "fc8_pascal"])
def test_loads_caffe_names_of_vgg(branches, last):
    config = TINY_VGG | {"atrous_rates": list(range(1, branches + 1))}
    torch.manual_seed(1)
    ours = deeplab.build(config)
    number = [f"_{k + 1}" if branches > 1 else "" for k in range(branches)]
    state = {
        f"conv{i + 1}_{j + 1}.{name}": value
        for i, stage in enumerate(ours.backbone.stages)
        for j, layer in enumerate(stage)
        for name, value in layer.state_dict().items()
    }
    for k, branch in enumerate(ours.head.branches):
        for name, layer in (("fc6", branch.fc6), ("fc7", branch.fc7), (last, branch.fc8)):
            state |= {f"{name}{number[k]}.{n}": value for n, value in layer.state_dict().items()}
    x = torch.randn(1, 3, 33, 33)
    found = outputs(from_official(config, state).eval(), x)
    assert torch.equal(found["logits"], ours.eval()(x))
    assert found["output"].shape == (1, 3, 33, 33)
    wrong = dict(state)
    del wrong[f"{last}{number[-1]}.bias"]
    with pytest.raises(ValueError, match=rf"{last}{number[-1]}\.bias is missing"):
        from_official(config, wrong)


def test_batch_norms_stay_frozen(tiny):
    norms = [m for m in tiny.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    tiny.train()(torch.randn(2, 3, 33, 33))
    assert tiny.training
    assert all(torch.equal(a, b.running_mean) for a, b in zip(before, norms, strict=True))


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="crf"):
        deeplab.build(TINY, "crf")


@pytest.mark.parametrize("size", [(37, 61), (1, 1), (8, 3)])
def test_takes_any_size(size):
    for config in (TINY, TINY_VGG):
        model = deeplab.build(config).eval()
        scores = model(torch.randn(1, 3, *size))
        assert deeplab.upsample(scores, size).shape == (1, 3, *size)


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 33, 33))


def test_vgg_trains():
    torch.manual_seed(0)
    support.check_training(deeplab.build(TINY_VGG), torch.randn(2, 3, 33, 33))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 33, 33))


def test_compiles_whole():
    torch.manual_seed(0)
    support.check_compile(deeplab.build(TINY, "msc"), torch.randn(2, 3, 33, 33))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 33, 33))
