"""A paper as data: ``paper.yaml`` validated. Reproductions and the engine share these types and nothing else.

Figures keep the text they were printed with, since "33" and "33.0" claim different precision.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import yaml_text
from claimbench.bench.papers.recipe import PaperSection, Recipe

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.@\-]*$", max_length=80)]


def _as_printed(value: Any) -> Any:
    """Keep a figure as text: YAML's 84.2 becomes "84.2"; text such as "84.20" stays as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number")
    text = str(value)
    if not math.isfinite(float(text)):
        raise ValueError("must be a finite number")
    return text


Figure = Annotated[str, BeforeValidator(_as_printed)]


class Reported(PaperSection):
    """One figure that a paper, its README or its code's output states.

    Attributes:
        metric: its name, for example ``params_m``, ``flops_g``, ``throughput_img_s``, ``imagenet1k_top1``.
        value: the figure as printed; None if the source gives none.
        source: the table, section or README line that states it.
        form: of the variant that it describes; empty for the paper's default form.
        approximate: read off a chart or rounded by a reader.
        device, precision, batch: of its measurement, if the source states them.
        note: a caution for comparisons.
    """

    metric: Name
    value: Figure | None
    source: str
    form: str = ""
    approximate: bool = False
    device: str = ""
    precision: str = ""
    batch: int | None = None
    input_size: int | None = None
    note: str = ""


class Form(PaperSection):
    """A form in which a variant can be built, for example as trained or re-parameterised.

    Attributes:
        name: as ``build(variant, form=name)`` takes it.
        note: a description, one phrase, shown in tables.
        default: whether times and memory are measured in this form unless the user says otherwise.
    """

    name: Name
    note: str
    default: bool = False


class Sliding(PaperSection):
    """A test in windows: a segmenter sees square crops of the picture, and scores are averaged where crops overlap.

    Attributes:
        crop: the side of a window.
        stride: the distance between windows; the last one ends with the picture.
        resize: the most pixels of the longer and of the shorter side, to which the picture is resized before, keeping
            its shape; None for none.
    """

    crop: int = Field(ge=1, le=8192)
    stride: int = Field(ge=1, le=8192)
    resize: tuple[int, int] | None = None


class InputSpec(PaperSection):
    """The input a variant is evaluated on, and the paper's preprocessing."""

    size: int = Field(default=224, ge=1, le=8192)
    channels: int = Field(default=3, ge=1)
    crop_pct: float | None = Field(default=None, gt=0, le=2)
    interpolation: str = "bicubic"
    mean: str | tuple[float, ...] = "imagenet"
    std: str | tuple[float, ...] = "imagenet"
    shape: tuple[int, ...] | None = None
    """The shape of one sample if it is not ``(channels, size, size)``."""
    counted: tuple[int, ...] | None = None
    """The shape of the sample on which the paper counts FLOPs, if that is another."""
    sliding: Sliding | None = None
    """The windows of a segmenter's test; None if it sees whole pictures."""

    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of one sample, without the batch axis."""
        return self.shape or (self.channels, self.size, self.size)


class Checkpoint(PaperSection):
    """The address and format of the official weights.

    Attributes:
        url: an http(s) address, that of a file on the Hugging Face hub, or ``hf:owner/repository[@revision]/file``.
        format: of the file's content.
        sha256: the digest that its publisher states; None if none is stated.
        note: for a reader, for example the name of the file in a shared folder.
    """

    url: str = Field(pattern=r"^(https?://|hf:)\S+$")
    format: str = ""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    note: str = ""


class OtherCheckpoint(Checkpoint):
    """Published weights of a model that no variant describes.

    Attributes:
        name: its publisher's.
        why: the reason that no variant describes it, one sentence.
    """

    name: str
    why: str


class Variant(PaperSection):
    """One model of the paper.

    Attributes:
        name: the official name.
        config: hyper-parameters, passed to the reproduction as they are.
        forms: the names of the forms it can take; empty for all of the paper's forms.
        default: whether a run without ``--variant`` measures it.
        headline: whether a run without ``--variant`` times it too; if none is, the first default one is timed.
        input: of its evaluation.
        task: its own, if that is not the paper's task. The task builds the network of an entry of ``networks``.
        checkpoint: the official weights, if published.
        reported: every figure stated for it.
        pretraining: the data that the model of its first reported scores was trained on before the data set of these;
            ``none`` if there were none. Empty if no source says.
        token_labels: whether its training used labels of positions beside those of pictures; None if no source says.
        distilled: whether it learned from a teacher's outputs; None if no source says.
        multiple: the sides of every input that it can take are multiples of it.
    """

    name: Name
    config: dict[str, Any] = Field(default_factory=dict)
    forms: tuple[str, ...] = ()
    default: bool = True
    headline: bool = False
    input: InputSpec = InputSpec()
    task: Name | None = None
    checkpoint: Checkpoint | None = None
    reported: tuple[Reported, ...] = ()
    pretraining: str = ""
    token_labels: bool | None = None
    distilled: bool | None = None
    multiple: int = Field(default=1, ge=1)
    note: str = ""


class Unbuilt(PaperSection):
    """A network of the paper that nothing here can build: its figures are rows without a measurement.

    Attributes:
        name: the official name, which golden records of its parts begin with.
        why: the reason that it cannot be built, one phrase.
        config: the hyper-parameters that the sources give; null for those that they do not.
        reported: every figure stated for it.
    """

    name: Name
    why: str = Field(min_length=1)
    config: dict[str, Any] = Field(default_factory=dict)
    reported: tuple[Reported, ...] = ()


class ReportedTable(PaperSection):
    """A table of a paper with a model a column: each cell is a reported figure of its model.

    Attributes:
        title: of the table.
        metric: the name of a row's metric, in which ``{}`` stands for the row.
        source: its place in the paper.
        rows: their names.
        columns: by model, as ``variants``, ``unbuilt`` or ``baselines`` name it, the figures of all rows as printed.
    """

    title: str
    metric: str = Field(pattern=r"\{\}")
    source: str
    rows: tuple[Name, ...] = Field(min_length=1)
    columns: dict[str, tuple[Figure | None, ...]] = Field(min_length=1)

    @model_validator(mode="after")
    def _full(self) -> ReportedTable:
        for model, figures in self.columns.items():
            if len(figures) != len(self.rows):
                raise ValueError(f"{model} has {len(figures)} figures for {len(self.rows)} rows")
        return self

    def reported(self, model: str) -> tuple[Reported, ...]:
        """Return the figures of a model; none if it has no column."""
        figures = zip(self.rows, self.columns.get(model, ()), strict=False)
        return tuple(Reported(metric=self.metric.format(r), value=value, source=self.source) for r, value in figures)


class Baseline(PaperSection):
    """A model that the paper compares itself with.

    Attributes:
        model: its name as the paper prints it.
        timm: timm's name for it, if timm has it; it is then measured beside the paper's models.
        default: whether a run measures it without being asked.
        reported: the figures the source states.
    """

    model: str
    timm: str | None = None
    default: bool = False
    reported: tuple[Reported, ...] = ()


class Claim(PaperSection):
    """A headline claim and its test.

    Attributes:
        id: a short name.
        text: the claim, in our words.
        source: its place in the paper.
        experiment: the function in the reproduction's ``claims.py`` that tests it; empty if nothing here can.
        needs: the requirements of a test, if ``experiment`` is empty (one sentence).
        check: the arithmetic on reported figures that the claim rests on.
        counts: whether the experiment takes seconds and rests on counts, shapes and equalities alone: it is then tested
            before anything is timed.
    """

    id: Name
    text: str
    source: str
    experiment: str = ""
    needs: str = ""
    check: str = ""
    counts: bool = False

    @model_validator(mode="after")
    def _testable_or_explained(self) -> Claim:
        if not self.experiment and not self.needs:
            raise ValueError("a claim needs an `experiment`, or `needs` saying what a test would take")
        return self


class Deviation(PaperSection):
    """A difference between the paper's text, the official code and the counters of this suite.

    Attributes:
        metrics: the metrics whose rows it explains; tables print ``text`` beside a difference there.
        text: the explanation, one or two sentences.
        relative: its effect on the figure, measured over reported minus one, if known: [low, high].
        source: the evidence for it.
    """

    text: str
    source: str
    metrics: tuple[str, ...] = ()
    relative: tuple[float, float] | None = None


class Official(PaperSection):
    """The official code a reproduction is checked against."""

    repo: str
    commit: str = ""
    license: str = ""
    files: tuple[str, ...] = ()


class Study(PaperSection):
    """A small-scale study of the paper's idea: one network trained twice, with its block and with a counterpart.

    The modules are in the reproduction's ``study.py``: ``block`` and ``counterpart``, or ``network``.

    Attributes:
        block: the paper's block, one phrase.
        counterpart: its replacement, one phrase.
        source: the place in the paper that makes or implies this comparison.
        dataset: the real data set that the study trains on unless the user says otherwise.
        note: the limits of the comparison.
    """

    block: str = Field(min_length=1)
    counterpart: str = Field(min_length=1)
    source: str = Field(min_length=1)
    dataset: Literal["fashion-mnist", "elpv", "digits"] = "fashion-mnist"
    note: str = ""


class BackboneFacts(PaperSection):
    """The use of the paper's networks as backbones of detectors and segmenters.

    Their models have ``forward_features(x)``, a list of maps (B, C, h, w); the last one at each of the strides 4, 8, 16
    and 32 goes to the neck or head.

    Attributes:
        source: the evidence for this.
        norm: whether each map passes a LayerNorm over its channels on its way out.
        not_for: variants that have no such maps; shell patterns.
        config: hyper-parameters that differ from classification, by task.
        notes: cautions for comparisons.
    """

    source: str = Field(min_length=1)
    norm: bool = False
    not_for: tuple[str, ...] = ()
    config: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def serves(self, variant: str) -> bool:
        """Whether ``variant`` has maps at all four strides."""
        return not any(fnmatchcase(variant, pattern) for pattern in self.not_for)


class Paper(PaperSection):
    """A whole ``paper.yaml``."""

    id: Name
    title: str
    task: Name
    arxiv: str = ""
    venue: str = ""
    official: Official | None = None
    forms: tuple[Form, ...] = (Form(name="model", note="as built", default=True),)
    variants: tuple[Variant, ...] = Field(min_length=1)
    unbuilt: tuple[Unbuilt, ...] = ()
    tables: tuple[ReportedTable, ...] = ()
    """Their cells are added to what their models report."""
    baselines: tuple[Baseline, ...] = ()
    claims: tuple[Claim, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    other_checkpoints: tuple[OtherCheckpoint, ...] = ()
    downstream: tuple[dict[str, Any], ...] = ()
    """Reported figures on other tasks; shown as not measured."""
    backbone: BackboneFacts | None = None
    networks: tuple[Variant, ...] = ()
    """Models of other tasks that are built around a variant: ``bench run --task``. Their ``config`` names
    ``backbone``, the variant, and ``network``, the neck and heads around it."""
    study: Study | None = None
    recipe: Recipe | None = None
    """The training recipe of the paper's models."""

    @property
    def models(self) -> tuple[Variant, ...]:
        """All that can be measured: the variants, and the networks around them."""
        return (*self.variants, *self.networks)

    @model_validator(mode="after")
    def _cells_are_reported(self) -> Paper:
        rows = {"variants": "name", "unbuilt": "name", "baselines": "model"}
        known = {getattr(each, name) for part, name in rows.items() for each in getattr(self, part)}
        if strangers := [model for table in self.tables for model in table.columns if model not in known]:
            raise ValueError(f"a table has a column for {strangers[0]!r}, which no variant or baseline is called")
        for part, name in rows.items():
            found = tuple(self._with_cells(each, getattr(each, name)) for each in getattr(self, part))
            object.__setattr__(self, part, found)  # the class is frozen
        return self
        return self

    def _with_cells(self, model: Any, name: str) -> Any:
        """Return a variant or baseline that also reports its cells of the tables, unless it does already."""
        cells = [cell for table in self.tables for cell in table.reported(name) if cell not in model.reported]
        return model.model_copy(update={"reported": (*model.reported, *cells)}) if cells else model

    @model_validator(mode="after")
    def _unique_variants(self) -> Paper:
        names = [*(v.name for v in self.models), *(v.name for v in self.unbuilt)]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"variant names must be unique, repeated: {', '.join(repeated)}")
        return self

    @model_validator(mode="after")
    def _networks_stand(self) -> Paper:
        own = {v.name for v in self.variants}
        for network in self.networks:
            if network.task in (None, self.task):
                raise ValueError(f"network {network.name} needs a `task` of its own")
            if network.config.get("backbone") not in own or not network.config.get("network"):
                raise ValueError(f"network {network.name} needs `config: {{backbone: a variant, network: a name}}`")
        return self

    @model_validator(mode="after")
    def _forms_exist(self) -> Paper:
        known = {f.name for f in self.forms}
        if sum(f.default for f in self.forms) != 1:
            raise ValueError("exactly one form must be the default")
        for variant in self.models:
            wrong = [f for f in (*variant.forms, *(r.form for r in variant.reported if r.form)) if f not in known]
            if wrong:
                raise ValueError(f"variant {variant.name} names the form {wrong[0]!r}, which `forms` does not list")
        return self

    @model_validator(mode="after")
    def _recipe_fits(self) -> Paper:
        if self.recipe is not None:
            known = {variant.name for variant in self.variants}
            if wrong := [name for name in self.recipe.variants if name not in known]:
                raise ValueError(f"the recipe names the variant {wrong[0]!r}, which `variants` does not list")
            if self.recipe.form and self.recipe.form not in {form.name for form in self.forms}:
                raise ValueError(f"the recipe trains the form {self.recipe.form!r}, which `forms` does not list")
        return self

    @property
    def headline(self) -> frozenset[str]:
        """The names of the variants that a run times without being asked."""
        named = [v.name for v in self.variants if v.headline]
        first = [v.name for v in self.variants if v.default][:1] or [self.variants[0].name]
        return frozenset(named or first)

    def task_of(self, variant: Variant) -> str:
        """Return the task of one variant: its own, or else the paper's."""
        return variant.task or self.task

    def default_form(self, variant: Variant) -> str:
        """Return the form that times and reported figures of ``variant`` refer to."""
        names = variant.forms or tuple(f.name for f in self.forms)
        default = next(f.name for f in self.forms if f.default)
        return default if default in names else names[0]


def load(path: Path) -> Paper:
    """Read and validate one ``paper.yaml``.

    Raises:
        UserError: the file cannot be read, is not YAML (or hides objects in it), or breaks a rule; names the place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    try:
        data = yaml_text.parse(text)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping (id, title, variants, ...), found {type(data).__name__}")
    try:
        return Paper.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}{more}") from error
