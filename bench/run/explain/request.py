"""What a user asks to have explained: figures of a paper's models, or of a model and a figure of the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.rounding import Printed
from claimbench.bench.core.text import split
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Baseline, Paper, Variant
from claimbench.bench.report.explain import AskedFigure, figures_of

_SCALES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_FIGURE = re.compile(r"(?P<number>[0-9.]+(?:e[+-]?[0-9]{1,3})?)\s*(?P<scale>[kKMGBT]?)(?:FLOPS?|FLOP|MACS?|MAC)?", re.I)
LARGEST_SIDE = 100_000


@dataclass(frozen=True)
class Wanted:
    """A model whose figures are to be explained.

    Attributes:
        title: its name.
        jobs: one for each form and input that a figure describes; the first is how the paper counts it.
        figures: the printed figures; empty for a model of which all counts are wanted.
        others: jobs for its further forms, in which it is counted if nothing else explains a figure.
        paper: the paper that prints the figures; empty for a model of the user's own.
    """

    title: str
    jobs: tuple[Job, ...]
    figures: tuple[AskedFigure, ...]
    others: tuple[Job, ...] = ()
    paper: str = ""


def of_papers(paper_id: str, variants: Iterable[str] = ()) -> list[Wanted]:
    """Return the models of a paper, or of ``all``, for which figures are printed; see :func:`of_paper`."""
    if paper_id != "all":
        return of_paper(paper_id, variants)
    if asked := [name for name in split(list(variants)) if name != "all"]:
        raise UserError(f"--variant {asked[0]} needs its paper: name it in place of all")
    papers = [name for name, entry in registry.entries().items() if not entry.problem]
    return [model for name in papers for model in of_paper(name, variants)]


def of_paper(paper_id: str, variants: Iterable[str] = ()) -> list[Wanted]:
    """Return the models of a paper for which figures are printed.

    Args:
        paper_id: the paper.
        variants: names of variants, networks, and baselines that timm has; ``all`` for every one, none for the
            paper's variants.

    Raises:
        UserError: there is no such paper or variant, or nothing is printed for those named.
    """
    paper = registry.paper(paper_id)
    asked = split(list(variants))
    known: dict[str, Variant | Baseline] = {v.name: v for v in paper.models}
    known |= {b.model: b for b in paper.baselines if b.timm}
    for name in asked:
        if name not in known and name != "all":
            raise unknown("variant", name, known)
    chosen = list(known) if "all" in asked else asked or [variant.name for variant in paper.variants]
    for needed in dict.fromkeys(paper.task_of(v) for v in paper.networks if v.name in chosen):
        tasks.get(needed).require()
    found = [_of_model(paper, known[name]) for name in chosen]
    wanted = [model for model in found if model.figures]
    if not wanted and asked:
        raise UserError(f"{paper_id} reports neither FLOPs nor parameters for {', '.join(chosen)}")
    return wanted


def _of_model(paper: Paper, model: Variant | Baseline) -> Wanted:
    """Return the figures of one model, and the jobs on which they can be counted."""
    if isinstance(model, Baseline):
        job = Job("", f"timm:{model.timm}", "", "flops", Settings())
        return Wanted(model.model, (job,), figures_of(model.reported, "", ()), paper=paper.id)
    options = tasks.model_options(paper, model)
    shape = tuple(model.input.counted or options.sample_shape)
    default = paper.default_form(model)
    figures = figures_of(model.reported, default, shape)
    forms = model.forms or tuple(form.name for form in paper.forms)
    counted = [figure for figure in figures if figure.quantity == "operations"] or figures
    needed = dict.fromkeys((figure.form, figure.input) for figure in counted)

    def at_input(form: str, at: tuple[int, ...]) -> Job:
        settings = Settings(input_size=at[1:] if at != shape else ())
        return Job(paper.id, model.name, form, "flops", settings, options=replace(options, sample_shape=shape))

    jobs = tuple(at_input(*place) for place in needed)
    others = tuple(at_input(form, shape) for form in forms if (form, shape) not in needed)
    return Wanted(model.name, jobs, figures, others, paper.id)


def of_own(model: str, shape: str, operations: str, parameters: str) -> Wanted:
    """Return a model that belongs to no paper: ``<file.py>:<factory>`` or ``timm:<name>``.

    Args:
        model: its name.
        shape: of one sample, ``3x224x224``; empty for a timm model's own.
        operations, parameters: the printed figures, such as ``4.5G`` and ``27M``; empty for none.

    Raises:
        UserError: a figure is no number, or the input is missing or no shape.
    """
    if ":" not in model:
        raise UserError(f"--model takes <file.py>:<factory> or timm:<name>, not {model!r}")
    sizes = _shape(shape)
    if not sizes and not model.startswith("timm:"):
        raise UserError(f"say on which input {model} is to be counted: --input 3x224x224")
    figures = []
    for text, quantity, option in ((operations, "operations", "--reported"), (parameters, "parameters", "--params")):
        if text:
            figures.append(figure(text, quantity, option))
    size = sizes[1:] if model.startswith("timm:") else ()
    job = Job("", model, "", "flops", Settings(input_size=size), options=Options(sample_shape=sizes))
    return Wanted(model, (job,), tuple(figures))


def figure(text: str, quantity: str, option: str) -> AskedFigure:
    """Return a figure as a user types it: ``4.5G``, ``4.5 GFLOPs``, ``4500M``, ``27.1M``.

    Raises:
        UserError: it is no number.
    """
    match = _FIGURE.fullmatch(text.strip())
    printed = Printed.parse(match["number"]) if match else None
    if match is None or printed is None or printed.value <= 0:
        raise UserError(f"{option} takes a figure as it is printed, such as 4.5G or 27.1M, not {text!r}")
    scale = match["scale"].upper()
    return AskedFigure(printed, Decimal(_SCALES[scale]), scale, quantity)


def _shape(text: str) -> tuple[int, ...]:
    sides = text.lower().split("x") if text else []
    if not all(side.isascii() and side.isdigit() and 1 <= int(side) <= LARGEST_SIDE for side in sides):
        raise UserError(f"--input takes the shape of one sample, such as 3x224x224, not {text!r}")
    return tuple(int(side) for side in sides)
