"""The models by name: listing, facts, errors, and what can be imported from the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import claimbench
from claimbench.bench.papers import registry
from tests.library.smallest import CLASSIFIERS, OTHERS

ROOT = Path(__file__).parents[2]


def test_importing_and_listing_load_no_torch():
    code = (
        "import sys, claimbench\n"
        "assert claimbench.list_models('van*')[0] == claimbench.model_info('van_b0').name\n"
        "print(*{'torch', 'timm', 'torchvision', 'onnx'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.stdout, found.stderr) == ("\n", "")


def test_every_public_name_can_be_imported_and_is_seen_by_type_checkers():
    tree = ast.parse(Path(claimbench.__file__).read_text())
    [shown] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in shown.body for alias in node.names}
    assert typed == {name: f"claimbench.{place}" for name, place in claimbench._PLACES.items()}
    assert sorted(typed) == sorted(claimbench.__all__)
    assert set(claimbench.__all__) <= set(dir(claimbench))
    assert all(getattr(claimbench, name).__name__ == name for name in claimbench.__all__)
    assert (Path(claimbench.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        claimbench.creat_model  # noqa: B018


def test_names_are_those_of_all_variants_and_each_belongs_to_one_paper():
    names = claimbench.list_models()
    assert names == sorted(variant for entry in registry.entries().values() for variant in entry.variants)
    assert len(set(names)) == len(names)


def test_models_are_found_by_pattern_paper_task_weights_and_features():
    assert claimbench.list_models("van_b?") == [f"van_b{i}" for i in range(7)]
    assert claimbench.list_models(["van_b0", "*_xxs"]) == ["attnet_xxs", "van_b0"]
    assert claimbench.list_models("nothing*") == []
    assert claimbench.list_models("van_*", weights=True) == [f"van_b{i}" for i in range(4)]
    assert claimbench.list_models(task="super-resolution") == claimbench.list_models(paper="drct")
    assert "sit_s2" not in claimbench.list_models(paper="attnet", features=True)
    with pytest.raises(claimbench.UserError, match="unknown paper 'vann'; did you mean van"):
        claimbench.list_models(paper="vann")


def test_the_facts_of_a_model_are_those_of_its_paper():
    info = claimbench.model_info("overlock_t")
    assert (info.paper, info.arxiv, info.task) == ("overlock", "2502.20087", "image-classification")
    assert (info.form, info.input_shape, info.features) == ("merged", (3, 224, 224), True)
    assert info.forms == ("training", "plain", "merged_aux", "merged")
    assert info.weights.endswith("overlock_t_in1k_224.pth")
    assert info.reported["params_m"] == "33"
    assert info.preprocessing["crop_pct"] == 0.95


def test_a_name_that_several_papers_have_is_asked_for_with_its_paper(serve):
    serve("served_s", "van_b0")
    assert claimbench.list_models("van_b0") == ["served/van_b0", "van/van_b0"]
    assert claimbench.create_model("served/van_b0").paper == "served"
    assert claimbench.model_info("van/van_b0").paper == "van"
    with pytest.raises(claimbench.ModelError, match="ask for served/van_b0 or van/van_b0"):
        claimbench.create_model("van_b0")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vanb0", "unknown model 'vanb0'; did you mean van_b0"),
        ("zzzz", r" and \d{3} more"),
        ("vann/van_b0", "unknown paper 'vann'"),
        ("van/dinat_mini", "unknown model 'van/dinat_mini'"),
        ("dinat", "'dinat' is a paper: ask for one of its models, dinat_mini, .* and 17 more"),
        ("dinat_mini_upernet", r"create_model\('dinat_mini', features_only=True\)"),
        (3, "named by text such as 'dinat_mini', got int"),
    ],
)
def test_a_wrong_name_is_one_sentence_that_helps(name, said):
    with pytest.raises(ValueError, match=said) as error:
        claimbench.model_info(name)
    assert isinstance(error.value, claimbench.UserError)
    assert "\n" not in str(error.value)


def test_the_models_of_these_tests_are_of_every_paper():
    assert {claimbench.model_info(name).paper for name in (*CLASSIFIERS, *OTHERS)} == set(registry.entries())
