"""What docs/library.md and README.md say is true."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import claimbench
from tests.library import table

ROOT = Path(__file__).parents[2]


def test_the_table_of_models_is_true():
    assert table.written()[1] == table.table(), "python -m tests.library.table"


@pytest.mark.slow
def test_models_of_one_row_are_alike():
    for names in table.kinds():
        for name in names:
            assert table.row([name])[4:] == table.row(names)[4:], name


def code_of(page):
    return re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[1]


def test_the_ten_lines_of_fine_tuning_train_and_keep_a_model(tmp_path, monkeypatch):
    """With a smaller model of random weights."""
    pixels = np.random.default_rng(0)
    for label in ("daisy", "rose", "tulip"):
        for i in range(3):
            (tmp_path / "flowers" / label).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(pixels.integers(0, 256, (48, 40, 3), dtype=np.uint8))
            picture.save(tmp_path / "flowers" / label / f"{i}.png")
    code = code_of("docs/library.md")
    lines = [line for line in code.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    smaller = code.replace("van_b0", "dhvt_tiny_cifar_patch4").replace('weights="official", ', "")
    names: dict = {}
    exec(smaller.replace("batch_size=32", "batch_size=4"), names)
    trained = names["model"].eval()
    again = claimbench.create_model("dhvt_tiny_cifar_patch4", weights="flowers.safetensors").eval()
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(again(x), trained(x))
    assert again(x).shape == (1, 3)
    fresh = claimbench.create_model("dhvt_tiny_cifar_patch4", num_classes=3)
    assert int(trained.network.embed.convs[0].weight.ne(fresh.network.embed.convs[0].weight).sum())


@pytest.mark.parametrize("page", ["docs/library.md", "README.md"])
def test_every_model_and_function_that_pages_name_exists(page):
    text = (ROOT / page).read_text()
    for name in re.findall(r'(?:create_model|create_transform|model_info)\("([^"]+)"', text):
        assert claimbench.model_info(name).name == name
    for name in re.findall(r"(?<![\w.])claimbench\.(\w+)\(", text):
        assert callable(getattr(claimbench, name))
