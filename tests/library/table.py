"""The table of docs/library.md, which models have what: ``python -m tests.library.table`` brings it up to date."""

from collections import defaultdict
from pathlib import Path

import claimbench
from claimbench._library.blueprint import Blueprint
from claimbench._library.model import blocks
from claimbench._library.names import find
from claimbench.bench.papers import registry

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
TITLES = (
    "paper",
    "models",
    "task",
    "official weights",
    "num_classes",
    "in_chans",
    "features_only",
    "gradient checkpointing",
)


def kinds():
    """The names of the models that are alike: of one paper, with hyper-parameters of the same names and one input."""
    found = defaultdict(list)
    for entry in registry.entries().values():
        paper = registry.paper(entry.id)
        for variant in paper.variants:
            shape = variant.input.sample_shape()
            served = paper.backbone is not None and paper.backbone.serves(variant.name)
            alike = "dim" in variant.config or "architecture" in variant.config, len(shape), shape[0] == 3, served
            found[entry.id, alike].append(variant.name)
    return list(found.values())


def row(names):
    """The cells of models that are alike, from the first of them."""
    info = claimbench.model_info(names[0])
    paper, variant = find(names[0])
    blueprint = Blueprint(paper, variant, info.form, variant.config)
    published = sum(bool(find(name)[1].checkpoint) for name in names)
    models = f"`{names[0]}`" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    abilities = (blueprint.classes, blueprint.channels, info.features, list(blocks(blueprint.outline())))
    said = ("yes" if ability else "no" for ability in abilities)
    return (paper.id, models, info.task, f"{published} of {len(names)}", *said)


def table():
    """The rows as Markdown."""
    rows = [TITLES, ["---"] * len(TITLES), *map(row, kinds())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def written():
    """The page's parts: before the table, the table, and after it."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    found, after = rest.split(END)
    return before, found, after


if __name__ == "__main__":
    before, _, after = written()
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")
