"""The charts as Vega-Lite specifications, made with Altair. The pages put in the data and the titles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

EVIDENCE = ("measured", "measured, score reported", "reported")
"""The evidence of a point, told apart by shape and by filling, so that no meaning is in the colour alone."""

_SHAPES = ("circle", "triangle-up", "diamond")

Spec = dict[str, Any]


def charts() -> dict[str, Spec]:
    """Return every chart by name; each names the data sets that it draws."""
    return {"scatter": scatter(), "history": history(), "roofline": roofline(), "speedups": speedups()}


def scatter() -> Spec:
    """Any figure against any other: ``points`` with their intervals, and the Pareto ``front`` of each group."""
    x, y = _plain("x"), _plain("y", "y")
    colour = (
        alt.Color("group:N")
        .title(None)
        .legend(orient="bottom", columns=1, labelLimit=520, symbolType="stroke", symbolOpacity=1)
    )
    front = alt.Chart(alt.NamedData("front")).mark_line(interpolate="step-after", strokeWidth=1.5, opacity=0.75)
    lines = front.encode(x=x, y=y, color=colour, detail="group:N")
    points = alt.Chart(alt.NamedData("points"))
    across = points.mark_rule(opacity=0.45).encode(x="x_low:Q", x2="x_high:Q", y=y, color=colour)
    along = points.mark_rule(opacity=0.45).encode(y="y_low:Q", y2="y_high:Q", x=x, color=colour)
    figures = (("model", "Model"), ("x_text", "x"), ("y_text", "y"))
    tips = (*figures, ("evidence", "Evidence"), ("where", "Conditions"), ("paper", "Paper"))
    dots = points.mark_point(size=64, strokeWidth=1.6, cursor="pointer").encode(
        x=x,
        y=y,
        color=colour,
        fill=alt.Fill("group:N").legend(None),
        fillOpacity=alt.condition("datum.evidence == 'reported'", alt.value(0), alt.value(0.55)),
        shape=alt.Shape("evidence:N")
        .scale(domain=list(EVIDENCE), range=list(_SHAPES))
        .title(None)
        .legend(orient="bottom", labelLimit=300, symbolFillColor="transparent"),
        tooltip=_shown(tips),
    )
    names = (
        points.transform_filter("datum.named")
        .mark_text(align="left", dx=8, dy=-7, fontSize=11, limit=150)
        .encode(x=x, y=y, text="model:N")
    )
    return _spec(alt.layer(lines, across, along, dots, names), 420)


def history() -> Spec:
    """One figure from run to run, a line a configuration, with its interval as a band."""
    chart = alt.Chart(alt.NamedData("runs"))
    x = alt.X("time:T").title("run")
    colour = alt.Color("line:N").title(None).legend(orient="bottom", columns=1, labelLimit=520, symbolOpacity=1)
    band = chart.mark_errorband(opacity=0.2).encode(x=x, y=alt.Y("low:Q").scale(zero=False), y2="high:Q", color=colour)
    line = chart.mark_line(strokeWidth=1.6).encode(x=x, y=_plain("value", "y"), color=colour)
    tips = (("line", "Line"), ("text", "Value"), ("run", "Run"), ("commit", "Commit"))
    dots = chart.mark_point(filled=True, size=55).encode(
        x=x,
        y=_plain("value", "y"),
        color=colour,
        shape=alt.Shape("line:N").legend(None),
        tooltip=_shown(tips),
    )
    return _spec(alt.layer(band, line, dots), 280)


def roofline() -> Spec:
    """Speed against arithmetic intensity under the ceilings of the machine that were measured in the same run."""
    x = alt.X("x:Q").scale(type="log", nice=False).title("FLOPs a byte").axis(grid=True)
    y = alt.Y("y:Q").scale(type="log").title("GFLOP/s")
    dashes = alt.StrokeDash("ceiling:N").title(None).legend(orient="bottom", columns=1, labelLimit=520)
    ceilings = alt.Chart(alt.NamedData("roof")).mark_line(strokeWidth=1.5, opacity=0.8)
    roof = ceilings.encode(x=x, y=y, detail="ceiling:N", strokeDash=dashes)
    tips = (("implementation", "Implementation"), ("case", "Problem"), ("text", "Speed"), ("share", "Of the roofline"))
    dots = alt.Chart(alt.NamedData("points")).mark_point(filled=True, size=70, opacity=0.85).encode(
        x=x,
        y=y,
        color=alt.Color("implementation:N").title(None).legend(orient="bottom", columns=2),
        shape=alt.Shape("implementation:N").title(None),
        tooltip=_shown(tips),
    )  # fmt: skip
    return _spec(alt.layer(roof, dots), 320)


def speedups() -> Spec:
    """The speed-up of each backend over plain PyTorch and over torch.compile, with intervals."""
    chart = alt.Chart(alt.NamedData("speeds"))
    y = alt.Y("problem:N").title(None).axis(labelLimit=300, grid=False)
    offset = alt.YOffset("against:N")
    x = alt.X("ratio:Q").title("times as fast (1 is equal)").scale(zero=True)
    colour = alt.Color("against:N").title("against").legend(orient="bottom", columns=1)
    tips = (("problem", "Problem"), ("against", "Against"), ("text", "Speed"), ("verdict", "Verdict"))
    bars = chart.mark_bar(opacity=0.75).encode(
        x=x,
        y=y,
        yOffset=offset,
        color=colour,
        tooltip=_shown(tips),
    )
    spread = chart.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q", y=y, yOffset=offset)
    one = alt.Chart(alt.NamedData("one")).mark_rule(strokeDash=[4, 3]).encode(x="ratio:Q")
    return _spec(alt.layer(bars, spread, one), None)


def _shown(fields: Iterable[tuple[str, str]]) -> list[alt.Tooltip]:
    """Return what is shown over a point: fields with their titles."""
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in fields]


def _plain(field: str, axis: str = "x") -> alt.X | alt.Y:
    channel = alt.X if axis == "x" else alt.Y
    return channel(f"{field}:Q").scale(zero=False, nice=True).title("")


def _spec(chart: alt.LayerChart | alt.FacetChart, height: int | None) -> Spec:
    sized = chart.properties(width="container", height=height) if height else chart.properties(width="container")
    spec: Spec = sized.configure_view(stroke=None).to_dict()
    spec.pop("$schema", None)  # an address: pages hold none that they do not need
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
