"""The recipes of all papers, and the parts that are made of them."""

import math
from functools import cache

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.papers import registry
from claimbench.bench.papers.recipe import Annealed, Recipe, TokenLabelling
from claimbench.bench.tasks.image_classification.train import transforms
from claimbench.bench.tasks.image_classification.train.losses import Loss, smoothed, token_loss
from claimbench.bench.tasks.image_classification.train.show import rows
from claimbench.bench.tasks.image_classification.train.training_plan import resolve
from claimbench.bench.training import parts

PAPERS = (
    *("overlock", "van", "attnet", "focalnet", "spartan", "dinat", "halonet", "vsa", "volo"),
    *("davit", "rmt", "convit", "evit", "tnt", "moat", "dhvt", "ninformer"),
)
STEPS = 100


@cache
def stated(paper):
    """Every variant whose recipe the sources state, with it; a batch stands in where they give none."""
    found = []
    for variant in registry.paper(paper).variants:
        for batch in (0, 1024):
            try:
                found.append(resolve(TrainRequest(paper, variant.name, global_batch=batch), devices=8, on_gpu=True))
                break
            except UserError:
                continue
    return found


def rates(recipe):
    """The learning rate at the first step of every epoch that is trained."""
    optimizer = parts.optimizer_of(nn.Linear(2, 2), recipe)
    schedule = parts.Schedule(optimizer, recipe, STEPS)
    found = []
    for epoch in range(schedule.epochs):
        schedule.set(epoch, 0)
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_has_a_recipe_with_sources(paper):
    recipe = registry.paper(paper).recipe
    assert recipe is not None
    assert recipe.source
    for plan in stated(paper)[:1]:
        assert all(source for _, _, source in rows(plan))


@pytest.mark.parametrize("paper", PAPERS)
def test_parts_have_the_stated_values(paper):
    for plan in stated(paper):
        recipe = plan.recipe
        found = rates(recipe)
        scale = recipe.batch / recipe.lr_batch if recipe.lr_batch else 1
        ends = scale if recipe.scale_ends else 1
        assert len(found) == recipe.epochs + recipe.cooldown_epochs
        assert max(found) == pytest.approx(recipe.lr * scale, rel=0.02)
        if recipe.warmup_epochs:
            assert found[0] == pytest.approx(recipe.warmup_lr * ends)
            peak = recipe.warmup_epochs + recipe.lag_epochs
            assert found.index(max(found)) in (peak - 1, peak)
        if recipe.schedule != "constant":
            assert found[-1] == pytest.approx(recipe.min_lr * ends, rel=0.05 if recipe.cooldown_epochs else 30)
        mixing = parts.mixing_of(recipe, 10)
        assert (mixing is None) == (not recipe.mixup and not recipe.cutmix)
        if mixing is not None:
            assert (mixing.mixup_alpha, mixing.cutmix_alpha) == (recipe.mixup, recipe.cutmix)
            assert mixing.label_smoothing == recipe.label_smoothing
        text = str(transforms.training_transform(recipe, plan.input, plan.size))
        assert ("RandomCrop(" in text) == (recipe.crop == "padded")
        assert ("RandAugment(" in text) == bool(recipe.auto_augment)
        assert ("RandomErasing(" in text) == bool(recipe.erasing)
        assert f"{plan.size}" in text


@pytest.mark.parametrize(
    ("variant", "peak", "batch", "values"),
    [
        ("overlock_t", 2e-3, 2048, {"drop_path": 0.15, "auxiliary": 0.4, "ema": 0.9999, "clip": 5.0}),
        ("van_b3", 1e-3, 1024, {"drop_path": 0.2, "ema": None, "min_lr": 1e-6}),
        ("attnet_t2", 4e-3, 4096, {"drop_path": 0.2, "weight_decay": 0.05, "mixup": 0.8, "clip": None}),
        ("focalnet_base_srf", 2e-4, 1024, {"drop_path": 0.5, "clip": 5.0}),
        ("spartan_t", 2.5e-3, 2048, {"weight_decay": 0.03, "warmup_epochs": 20, "mixup": 0.2}),
        ("vitaev2_vsa_s", 1e-3, 1024, {"warmup_epochs": 10, "ema": 0.99996, "ema_batch": 512}),
        ("volo_d1", 1.6e-3, 1024, {"token_labelling": TokenLabelling(picture=1, positions=0.5, size=14), "mixup": 0}),
        ("davit_tiny", 1e-3, 1024, {"clip": 1.0, "drop_path": 0.1}),
        ("convit_base", 1e-3, 1024, {"repeats": 3, "ema": None}),
        ("rmt_s", 2e-3, 2048, {"epochs": 300, "drop_path": 0.15, "sync_batch_norm": True}),
        ("rmt_l_label", 2e-3, 2048, {"epochs": 310, "drop_path": 0.5, "repeats": 0, "mixup": 0}),
        ("evit_deit_small_k0.7_fused", 2e-3, 2048, {"ema": 0.99996, "epochs": 300, "cooldown_epochs": 0}),
        ("tnt_s_patch16_224", 1e-3, 1024, {"warmup_epochs": 5, "ema": 0.99996}),
        ("ptnt_s_patch16_256", 1e-3, 1024, {"warmup_epochs": 20, "size": 256}),
        ("dhvt_tiny_cifar_patch4", 1e-3, 512, {"crop": "padded", "classes": 100}),
        ("dhvt_small_cifar_patch2", 5e-4, 256, {"crop": "padded"}),
        ("dhvt_tiny_imagenet_patch16", 5e-4, 512, {"crop": "resized", "warmup_epochs": 10, "classes": 1000}),
        ("ninformer_cifar10", 1e-3, 128, {"optimizer": "adam", "epochs": 100, "auto_augment": None}),
    ],
)
def test_facts_of_the_papers(variant, peak, batch, values):
    paper = next(e.id for e in registry.entries().values() if variant in e.variants)
    recipe = resolve(TrainRequest(paper, variant), devices=8, on_gpu=True).recipe
    assert parts.peak_lr(recipe) == pytest.approx(peak)
    assert recipe.batch == batch
    assert {name: getattr(recipe, name) for name in values} == values


@pytest.mark.parametrize(
    ("paper", "variant", "sentence"),
    [
        ("dinat", "nat_mini", "no source states batch of dinat: say it with --global-batch"),
        ("volo", "volo_d5", "no source states lr of volo: say it with --lr"),
        ("halonet", "halonet_h0", "no source states epochs, batch, optimizer, lr, .* name a paper whose recipe"),
        ("moat", "moat_0", "no source states batch, optimizer"),
        ("vsa", "swin_t_vsa", "no source says how swin_t_vsa was trained"),
        ("overlock", "overlock_zz", "unknown variant of overlock 'overlock_zz'"),
    ],
)
def test_what_no_source_states_is_said(paper, variant, sentence):
    with pytest.raises(UserError, match=sentence):
        resolve(TrainRequest(paper, variant), devices=1, on_gpu=True)


def test_another_papers_recipe_is_a_deviation_that_leaves_the_model_its_own():
    plan = resolve(TrainRequest("halonet", "halonet_h1", recipe="overlock"), devices=8, on_gpu=True)
    assert plan.deviations == ("the recipe of overlock instead of halonet's own",)
    assert plan.form == "model"
    assert plan.recipe.auxiliary is None
    assert plan.recipe.ema == 0.9999
    with pytest.raises(UserError, match="unknown recipe 'overlok'; did you mean overlock"):
        resolve(TrainRequest("halonet", "halonet_h1", recipe="overlok"), devices=8, on_gpu=True)


def test_overrides_are_deviations():
    request = TrainRequest(
        "van", "van_b0", epochs=10, lr=0.5, global_batch=64, input_size=64, classes=7, precision="bf16"
    )
    plan = resolve(request, devices=2, on_gpu=True)
    assert plan.deviations == (
        "10 epochs instead of 300",
        "64 pictures a step instead of 1024",
        "64 pixels a side instead of 224",
        "7 classes instead of 1000",
        "0.5 as peak learning rate instead of 0.001",
        "bf16 instead of fp32",
    )
    assert plan.config["num_classes"] == 7
    assert parts.peak_lr(plan.recipe) == 0.5


def test_the_batch_of_the_recipe_is_kept_however_it_is_shared():
    for devices, batch, share, passes in ((1, 0, 128, 8), (8, 0, 128, 1), (4, 32, 32, 8), (16, 0, 64, 1)):
        plan = resolve(TrainRequest("van", "van_b0", batch=batch), devices=devices, on_gpu=True)
        assert (plan.share, plan.accumulate, plan.batch) == (share, passes, 1024)
        assert not plan.deviations
    with pytest.raises(UserError, match=r"1024 cannot be shared by 3 devices"):
        resolve(TrainRequest("van", "van_b0"), devices=3, on_gpu=True)
    with pytest.raises(UserError, match=r"1024 pictures a step cannot be cut into passes of 100"):
        resolve(TrainRequest("van", "van_b0", batch=100), devices=1, on_gpu=True)
    whole = resolve(TrainRequest("van", "van_b0", batch=8, accumulate=2), devices=2, on_gpu=True)
    assert whole.deviations == ("32 pictures a step instead of 1024",)


def test_the_rate_of_stochastic_depth_reaches_the_model():
    from timm.layers import DropPath

    from claimbench.bench.tasks.image_classification.train.learner import _build

    for paper in ("overlock", "focalnet", "davit", "evit", "rmt", "volo", "dhvt"):  # one for each name of the rate
        plan = stated(paper)[0]
        assert plan.recipe.drop_path, paper
        with torch.device("meta"):
            model = _build(plan)
        highest = max(module.drop_prob for module in model.modules() if isinstance(module, DropPath))
        assert highest == pytest.approx(plan.recipe.drop_path), paper


def test_the_average_decays_as_the_batch_says():
    recipe = resolve(TrainRequest("rmt", "rmt_s", global_batch=1024), devices=8, on_gpu=True).recipe
    assert parts.average_of(nn.Linear(2, 2), recipe).decay == pytest.approx(0.99996**2)


def test_learning_rates_are_those_of_the_published_logs():
    """RMT_log of the official repository: the schedule is asked with the number of the epoch before."""
    for variant, logged in (
        ("rmt_t", {0: 1e-6, 1: 1e-6, 2: 0.0004008, 5: 0.0016002, 6: 0.001998636387080776, 150: 0.0010154194251956715}),
        ("rmt_l", {250: 0.00014856168313107535, 298: 1.0490972436097076e-05, 299: 1.0218219942528794e-05}),
        ("rmt_s_label", {6: 0.0019987229246352088, 150: 0.0010654637196773169, 309: 1.0204368786659814e-05}),
    ):
        found = rates(resolve(TrainRequest("rmt", variant), devices=16, on_gpu=True).recipe)
        assert {epoch: found[epoch] for epoch in logged} == pytest.approx(logged, rel=1e-6), variant
        assert len(found) == (310 if "label" in variant else 300)


def test_no_path_is_dropped_where_the_official_script_fine_tunes_in_eval_mode():
    plan = resolve(TrainRequest("evit", "evit_deit_small_k0.7_fused", recipe="finetune"), devices=8, on_gpu=True)
    assert plan.config["drop_path"] == 0
    assert parts.peak_lr(plan.recipe) == pytest.approx(8e-5)


def test_the_keep_rate_falls_along_a_cosine():
    annealed = Annealed(argument="keep_rate", config="keep_rate", start=1.0, first_epoch=10, last_epoch=110)

    def value(epoch, step=0):
        return parts.annealed_value(annealed, 0.7, epoch, step, STEPS)

    assert (value(0), value(10), value(110), value(299)) == (1.0, 1.0, 0.7, 0.7)
    assert value(60) == pytest.approx(0.85)
    assert value(35, 50) == pytest.approx(0.7 + 0.3 * (math.cos(math.pi * 0.255) + 1) / 2)


def test_the_auxiliary_head_is_weighed():
    torch.manual_seed(0)
    recipe = resolve(TrainRequest("overlock", "overlock_t"), devices=8, on_gpu=True).recipe
    main, aux, target = torch.randn(4, 10), torch.randn(4, 10), torch.rand(4, 10).softmax(1)
    loss = Loss(recipe, 10, mixed=True)
    expected = sum(w * -(target * said.log_softmax(1)).sum(1).mean() for w, said in ((1, main), (0.4, aux)))
    assert torch.allclose(loss({"main": main, "aux": aux}, target), expected)


def test_token_labelling_mixes_the_picture_by_area_and_leaves_the_positions():
    from claimbench.reproductions.token_labels import MixBox, TokenLabels

    torch.manual_seed(0)
    said = TokenLabels(torch.randn(2, 5), torch.randn(2, 4, 5), MixBox(0, 1, 0, 2))  # half of 2 x 2 positions
    target = smoothed(torch.tensor([1, 3]), 5, 0.1)
    assert target.sum(1).tolist() == pytest.approx([1, 1])
    assert target[0, 1] == pytest.approx(0.92)
    mixed = 0.5 * target + 0.5 * target.flip(0)
    picture = -(mixed * said.cls.log_softmax(1)).sum(1).mean()
    positions = -(target[:, None] * said.tokens.log_softmax(2)).sum(2).mean()
    assert torch.allclose(token_loss(said, target, TokenLabelling()), picture + 0.5 * positions)


def test_augmentation_survives_every_draw():
    """RandAugment may ask to keep no bits at all, which newer versions of Pillow refuse."""
    from PIL import Image

    recipe = resolve(TrainRequest("van", "van_b0"), devices=8, on_gpu=True).recipe
    plan = resolve(TrainRequest("van", "van_b0", input_size=16), devices=8, on_gpu=True)
    transform = transforms.training_transform(recipe, plan.input, 16)
    torch.manual_seed(0)
    assert transforms._posterize(Image.new("RGB", (4, 4), "white"), 0).getextrema() == ((0, 0),) * 3
    for _ in range(300):
        assert transform(Image.effect_noise((20, 20), 50).convert("RGB")).shape == (3, 16, 16)


def test_pictures_that_are_as_small_as_the_input_are_validated_whole():
    from PIL import Image
    from torchvision.transforms.functional import normalize, to_tensor

    picture = Image.effect_noise((32, 32), 50).convert("RGB")
    for variant, mean in (("dhvt_tiny_cifar_patch4", "imagenet"), ("ninformer_cifar10", "inception")):
        paper = next(e.id for e in registry.entries().values() if variant in e.variants)
        plan = resolve(TrainRequest(paper, variant), devices=1, on_gpu=True)
        seen = transforms.validation_transform(plan.input, plan.size)(picture)
        assert torch.allclose(seen, normalize(to_tensor(picture), transforms.MEANS[mean], transforms.STDS[mean]))


def recipe_with(**changes):
    values = {"source": "s", "epochs": 1, "batch": 1, "optimizer": "adamw", "lr": 1, "weight_decay": 0}
    return Recipe(**{**values, "schedule": "cosine", **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": None}, "lr is missing: give it, or name it under `unknown`"),
        ({"sources": {"rate": "x"}}, "'rate' is no field of a recipe"),
        ({"variants": {"a": {"drop_path": 2}}}, "the changes for a: drop_path"),
        ({"alternatives": {"b": {"lrr": 2}}}, "the changes for b: lrr"),
    ],
)
def test_a_recipe_is_checked_when_it_is_read(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        recipe_with(**changes)


def test_changes_for_a_variant_bring_their_source():
    recipe = recipe_with(variants={"a": {"source": "Table 2", "lr": 2, "notes": ["n"]}, "b": {"unknown": ["lr"]}})
    assert recipe.resolve("a").lr == 2
    assert recipe.resolve("a").source_of("lr") == "Table 2"
    assert recipe.resolve("a").source_of("epochs") == "s"
    assert recipe.resolve("a").notes == ("n",)
    assert recipe.resolve("b").lr is None
    assert recipe.resolve("c") == recipe.model_copy(update={"variants": {}})
