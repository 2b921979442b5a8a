"""The check before a run that the data are those that they should be, and whole; one sentence names every fault."""

from __future__ import annotations

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures.collection import Pictures, Problem, problem
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.listing import count_problems
from claimbench.bench.data.pictures.opening import open_pictures
from claimbench.bench.data.pictures.verification import unreadable

MOST = 6
"""The number of problems that a sentence lists."""


def checked(dataset: PictureSet, data: str, *, partial: bool = False, listener: Listener = SILENT) -> Pictures:
    """Return the pictures of a data set that is as expected.

    Args:
        dataset: the data set.
        data: its folder, archive or name, as the user gave it.
        partial: whether to go on if something is missing; pictures that cannot be read are then left out.
        listener: told while the files are read.

    Raises:
        UserError: something is wrong that ``partial`` does not excuse; one sentence names all of it.
    """
    pictures = open_pictures(dataset, data)
    problems = list(pictures.problems)
    if dataset.layout != "corruptions" and not dataset.several_labels and (len(pictures) or not problems):
        problems += count_problems(dataset, pictures)
    broken: dict[int, str] = {}
    if all(problem.excusable for problem in problems):  # else reading every file would only delay the answer
        broken = unreadable(pictures, listener)
        shown = [f"{pictures.names[number]} ({reason})" for number, reason in broken.items()]
        problems += problem(shown, "picture", "pictures", "cannot be read")
    if not len(pictures) and not problems:
        problems.append(Problem("it holds no pictures"))
    if problems and not (partial and len(pictures) and all(problem.excusable for problem in problems)):
        raise UserError(_sentence(dataset, pictures, problems, partial))
    if problems:
        pictures.leave_out(broken)
        if not len(pictures):
            raise UserError(f"{pictures.place}: none of its pictures can be read")
    return pictures


def check_classes(dataset: PictureSet, pictures: Pictures, classes: int, model: str) -> None:
    """Check that a model's classes are the data set's.

    Raises:
        UserError: they are not; a score would compare numbers that mean different things.
    """
    expected = dataset.classes or len(pictures.classes)
    highest = max((max(label) for label in pictures.labels if label), default=0)
    if (expected and classes != expected) or highest >= classes:
        raise UserError(
            f"{pictures.place} has {max(expected, highest + 1):,} classes and the model {model} {classes:,}: "
            "the labels would not match"
        )


def _sentence(dataset: PictureSet, pictures: Pictures, problems: list[Problem], partial: bool) -> str:
    """Return all problems as one sentence, those that cannot be excused first."""
    ordered = sorted(problems, key=lambda problem: problem.excusable)
    more = f"; and {len(ordered) - MOST} more problems" if len(ordered) > MOST else ""
    text = "; ".join(problem.text for problem in ordered[:MOST])
    if not partial and len(pictures) and all(problem.excusable for problem in problems):
        more += " (--partial evaluates what is there)"
    return f"{pictures.place} is not {dataset.title} as it should be: {text}{more}"
