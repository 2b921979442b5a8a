"""``bench train`` for segmenters: the recipe with its sources, and what is refused."""

import json

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.papers import registry
from claimbench.bench.papers.recipe import Recipe
from claimbench.bench.tasks.semantic_segmentation.train import rows, train

BASE = "segvit_vit_b_512_base"


def shown(variant):
    return {name: (value, source) for name, value, source in rows(registry.paper("dtop").recipe.resolve(variant))}


def test_the_recipe_of_a_base_shows_that_its_decay_ends_after_its_training():
    found = shown(BASE)
    assert found["iterations"][0] == "40000"
    assert found["decay iterations"][0] == "160000"
    assert found["lr factors"][0] == "head 10"
    assert found["batch"] == ("not stated", "no source states it")
    assert any("stops at a high learning rate" in note for note in registry.paper("dtop").recipe.notes)


def test_each_variant_names_its_own_file():
    found = shown("dtop_vit_l_512_coco10k")
    assert found["iterations"] == ("20000", "prune_segvit_cocostuff10k.py")
    assert found["classes"] == ("171", "prune_segvit_cocostuff10k.py")


def test_a_dry_run_is_printed_as_json(capsys):
    assert train(TrainRequest("dtop", dry_run=True, json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["variant"] == BASE
    assert {"name": "device batch", "value": "4", "source": registry.paper("dtop").recipe.source} in found["values"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (TrainRequest("dtop"), f"not trained here: --dry-run shows the recipe of {BASE}"),
        (
            TrainRequest("dtop", "setr_vit_b_512_base", dry_run=True),
            "no source states a recipe for setr_vit_b_512_base",
        ),
        (TrainRequest("deeplab", dry_run=True), "no source states a recipe for vgg16_largefov of deeplab"),
        (TrainRequest("dtop", "dtop_vit_b", dry_run=True), "unknown variant 'dtop_vit_b'"),
        (TrainRequest("dtop", epochs=3, dry_run=True), "training for semantic segmentation takes no --epochs"),
    ],
)
def test_what_cannot_be_shown_is_refused(request_, message):
    with pytest.raises(UserError, match=message):
        train(request_)


def test_steps_stand_for_epochs():
    stated = {"source": "s", "batch": 4, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.0, "schedule": "poly"}
    assert Recipe(**stated, iterations=10).epochs is None
    with pytest.raises(ValueError, match="epochs is missing"):
        Recipe(**stated)
