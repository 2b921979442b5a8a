"""Models made by name: heads, channels, maps, weights, gradient checkpointing, and what makes no sense."""

import copy
import pickle

import pytest
import torch
from torch import nn

import claimbench
from claimbench.bench.measure.golden import golden_state
from claimbench.bench.papers.models.state import load_state
from claimbench.reproductions.ninformer.official import from_official
from tests.bench import served_paper
from tests.library.smallest import BACKBONES, CLASSIFIERS, OTHERS
from tests.reproductions.support import config_of, golden


def picture(side, channels=3, batch=2):
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_takes_other_classes_and_channels(name):
    model = claimbench.create_model(name, num_classes=3, in_chans=1)
    assert model.training
    assert model.num_classes == 3
    x = picture(CLASSIFIERS[name], channels=1)
    with torch.no_grad():
        assert model(x).shape == (2, 3)  # plain logits in train mode too
        model.reset_classifier(5)
        assert model.get_classifier().training
        assert model.eval()(x).shape == (2, 5)
    assert isinstance(model.get_classifier(), nn.Linear)
    assert model.num_features == model.get_classifier().in_features
    assert model.get_classifier().weight.std() < 0.03


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_its_maps(name):
    model = claimbench.create_model(name, features_only=True, out_indices=(1, 3), in_chans=2).eval()
    side = BACKBONES[name]
    with torch.no_grad():
        maps = model(picture(side, channels=2, batch=1))
    assert model.feature_info.reduction() == [8, 32]
    assert [tuple(each.shape) for each in maps] == [
        (1, width, -(-side // stride), -(-side // stride))
        for width, stride in zip(model.feature_info.channels(), (8, 32), strict=True)
    ]


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_model_is_made_and_says_what_makes_no_sense(name):
    model = claimbench.create_model(name).eval()
    info = claimbench.model_info(name)
    assert (model.name, model.paper, model.form) == (name, info.paper, info.form)
    assert model.default_cfg["input_size"] == info.input_shape
    with pytest.raises(claimbench.ModelError, match="so features_only makes no sense for it"):
        claimbench.create_model(name, features_only=True)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("drct_srx2", {"num_classes": 4}, "drct_srx2 has no classifier"),
        ("sit_s2", {"num_classes": 4}, "sit_s2 has no classifier"),
        ("contmix_block", {"num_classes": 4}, "contmix_block has no classifier"),
        ("sasrec_ml1m", {"in_chans": 1}, r"takes inputs of the shape \[200\] only"),
        (
            "ninformer_mnist",
            {"drop_path": 0.1, "form": "plain"},
            "unknown form of ninformer_mnist 'plain'; known: model",
        ),
        ("vgg16_largefov", {"drop_path": 0.1}, "vgg16_largefov has no stochastic depth"),
        ("van_b0", {"num_classes": -1}, "num_classes must be at least 0, got -1"),
        ("van_b0", {"in_chans": 0}, "in_chans must be at least 1, got 0"),
        ("van_b0", {"out_indices": (1,)}, "out_indices chooses among the maps of features_only"),
        ("van_b0", {"features_only": True, "out_indices": (4,)}, r"out_indices are of 0 \(stride 4\) to 3"),
        ("van_b0", {"weights": 3}, "weights must be None, 'official' or the name of a file, got int"),
        ("van_b0", {"weights": "nowhere.pt"}, "weights file nowhere.pt does not exist"),
        ("van_b4", {"weights": "official"}, "no official weights of van/van_b4 are published"),
        ("volo_d1", {"num_classes": 0}, "volo_d1 has 2 classifiers: num_classes must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(name, arguments, said):
    with pytest.raises(claimbench.UserError, match=said) as error:
        claimbench.create_model(name, **arguments)
    assert "\n" not in str(error.value)


def test_a_classifier_can_be_left_out():
    model = claimbench.create_model("ninformer_cifar10", num_classes=0).eval()
    assert model(picture(32)).shape == (2, model.num_features)
    assert model.num_classes == 0
    model.reset_classifier(4)
    assert model(picture(32)).shape == (2, 4)


def test_convolutions_that_score_positions_are_replaced_too():
    model = claimbench.create_model("resnet101_largefov", num_classes=3).eval()
    model.reset_classifier(2)
    with torch.no_grad():
        assert model(picture(33, batch=1)).shape[1] == 2
    with pytest.raises(claimbench.ModelError, match="scores every position"):
        model.get_classifier()


def test_the_rate_of_stochastic_depth_is_that_of_the_last_block():
    model = claimbench.create_model("dhvt_tiny_cifar_patch4", drop_path=0.4)
    assert model.network.blocks[-1].drop_path.drop_prob == pytest.approx(0.4)


def test_a_form_can_be_chosen():
    model = claimbench.create_model("overlock_xt", form="training")
    assert model.form == "training"
    assert sorted(model(picture(64))) == ["aux", "main"]


def test_official_weights_come_from_the_cache(serve):
    serve("served_s")
    official = claimbench.create_model("served_s", "official").network
    given = served_paper.state()
    assert all(torch.equal(tensor, given[name]) for name, tensor in official.state_dict().items())


def test_a_file_of_official_weights_gives_all_but_another_head(tmp_path):
    file = tmp_path / "official.pt"
    torch.save(golden_state(golden("ninformer", "ninformer_cifar10")), file)
    whole = claimbench.create_model("ninformer_cifar10", file)
    model = claimbench.create_model("ninformer_cifar10", file, num_classes=7)
    expected = from_official(config_of("ninformer", "ninformer_cifar10"), load_state(file)).float().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in whole.network.state_dict().items())
    assert {n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, expected[n])} == {
        "head.weight",
        "head.bias",
    }


def test_weights_fit_more_channels_as_timm_makes_them_fit(tmp_path):
    whole = claimbench.create_model("ninformer_cifar10")
    whole.save(tmp_path / "whole.safetensors")
    stem = whole.network.embed.weight
    one = claimbench.create_model("ninformer_cifar10", tmp_path / "whole.safetensors", in_chans=1)
    torch.testing.assert_close(one.network.embed.weight, stem.sum(1, keepdim=True))
    five = claimbench.create_model("ninformer_cifar10", tmp_path / "whole.safetensors", in_chans=5)
    torch.testing.assert_close(five.network.embed.weight[:, 3:], stem[:, :2] * 3 / 5)
    assert torch.equal(five.get_classifier().weight, whole.get_classifier().weight)


def test_saved_weights_remember_their_classes(tmp_path):
    model = claimbench.create_model("ninformer_cifar10", num_classes=4).eval()
    model.save(tmp_path / "four.safetensors")
    again = claimbench.create_model("ninformer_cifar10", tmp_path / "four.safetensors").eval()
    assert torch.equal(again(picture(32)), model(picture(32)))
    other = claimbench.create_model("ninformer_cifar10", tmp_path / "four.safetensors", num_classes=6)
    assert other.num_classes == 6
    assert torch.equal(other.network.embed.weight, model.network.embed.weight)
    with pytest.raises(claimbench.UserError, match="holds ninformer_cifar10 of ninformer, not ninformer_cifar100"):
        claimbench.create_model("ninformer_cifar100", tmp_path / "four.safetensors")


def test_a_state_dict_is_read_again_and_its_classes_are_asked_for(tmp_path):
    model = claimbench.create_model("ninformer_cifar10", num_classes=4).eval()
    file = tmp_path / "state.pt"
    torch.save(model.state_dict(), file)
    again = claimbench.create_model("ninformer_cifar10", file, num_classes=4).eval()
    assert torch.equal(again(picture(32)), model(picture(32)))
    with pytest.raises(claimbench.ModelError, match=r"head.(weight|bias) is \[4.*is expected: give num_classes"):
        claimbench.create_model("ninformer_cifar10", file)
    torch.save({"surplus": torch.zeros(1)}, file)
    with pytest.raises(claimbench.ModelError, match="does not fit ninformer_cifar10: the checkpoint does not fit"):
        claimbench.create_model("ninformer_cifar10", file)


@pytest.mark.parametrize("name", ["dhvt_tiny_cifar_patch4", "overlock_xt"])
def test_gradient_checkpointing_changes_neither_gradients_nor_statistics(name):
    model = claimbench.create_model(name)
    other = copy.deepcopy(model)
    other.set_grad_checkpointing()
    calls = []
    block = next(part for part in other.modules() if "forward" in part.__dict__)
    block.register_forward_hook(lambda *_: calls.append(1))
    x = picture(32)
    for each in (model, other):
        torch.manual_seed(0)
        each(x).square().mean().backward()
    for (label, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=label)
    for (label, a), b in zip(model.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=label)
    other.set_grad_checkpointing(False)
    assert not any("forward" in part.__dict__ for part in other.modules())


def test_gradient_checkpointing_keeps_less_for_the_backward_pass():
    def kept(model):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(picture(32))
        return sum(sizes)

    model = claimbench.create_model("dhvt_tiny_cifar_patch4")
    whole = kept(model)
    model.set_grad_checkpointing()
    assert kept(model) < 0.2 * whole
    with pytest.raises(claimbench.ModelError, match="ninformer_cifar10 has no residual blocks with stochastic depth"):
        claimbench.create_model("ninformer_cifar10").set_grad_checkpointing()


def test_a_model_can_be_copied_and_pickled():
    model = claimbench.create_model("dhvt_tiny_cifar_patch4", num_classes=4).eval()
    model.set_grad_checkpointing()
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(picture(32)), model(picture(32)))
    again.reset_classifier(2)
    assert again.num_classes == 2


def test_facts_stand_where_timm_has_them():
    facts = claimbench.create_model("van_b0").default_cfg
    assert (facts["input_size"], facts["crop_pct"], facts["interpolation"]) == ((3, 224, 224), 0.9, "bicubic")
    assert facts["mean"] == facts["std"] == (0.5, 0.5, 0.5)
    assert facts["architecture"] == "van_b0"
