"""Verdicts on claims of several parts, by one rule for all papers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from claimbench.bench.papers.claims import ClaimResult, ClaimVerdict, Evidence

__all__ = ["concluded", "grown", "judge", "linear", "measured", "quadratic", "said"]

Parts = Mapping[str, bool | None]
"""The parts of a claim by name, a noun phrase each: whether it holds, or None if it was not tested or not decided."""

EXACT, TIMED = 0.05, 0.2
"""The largest distance from one of a linear exponent: of exact counts, and of times."""

QUADRATIC = 1.5
"""The least exponent of a cost that counts as quadratic; linear projections keep it below two."""


def judge(parts: Parts, main: Collection[str] = ()) -> ClaimVerdict:
    """Return the verdict that the parts of a claim add up to.

    The claim ``holds`` if every part was tested and holds, and ``fails`` if no part that was tested holds or one of
    ``main`` does not. It is ``untested`` if no part was tested, and otherwise true ``partly``.
    """
    tested = [holds for holds in parts.values() if holds is not None]
    if not tested:
        return "untested"
    if not any(tested) or any(parts[name] is False for name in main):
        return "fails"
    return "holds" if len(tested) == len(parts) and all(tested) else "partly"


def measured(ratio: float | None, of: str, holds: Callable[[float], bool]) -> dict[str, bool | None]:
    """Return the part of a claim that a ratio decides, named by the ratio and ``of``; open if there is no ratio."""
    return {of: None} if ratio is None else {f"{ratio:.2f}x {of}": holds(ratio)}


def said(parts: Parts) -> str:
    """Return a phrase that names the parts that hold, those that do not, and those that are open."""
    endings = ((True, ("holds", "hold")), (False, ("does not", "do not")), (None, ("not checked",) * 2))
    phrases = []
    for state, (one, many) in endings:
        names = [name for name, holds in parts.items() if holds is state]
        if names:
            phrases.append(f"{', '.join(names)} {many if len(names) > 1 else one}")
    return "; ".join(phrases)


def concluded(
    parts: Parts, evidence: Iterable[Evidence], limits: str, main: Collection[str] = (), stand_in: str = ""
) -> ClaimResult:
    """Return the result of an experiment whose verdict follows from the parts of the claim.

    Args:
        parts: of the claim.
        evidence: the figures behind them.
        limits: the questions that stay open, in sentences; a phrase on the parts goes before them unless all hold.
        main: the parts without which the claim fails.
        stand_in: what the experiment was run on in place of what the claim is about, one phrase. Such an experiment
            shows a part at most, and refutes nothing.
    """
    verdict = judge(parts, main)
    phrase = said(parts)
    if stand_in:
        verdict = {"holds": "partly", "fails": "untested"}.get(verdict, verdict)  # type: ignore[assignment]
        phrase = f"{stand_in}: {phrase}"
    return ClaimResult(verdict, tuple(evidence), limits if verdict == "holds" else f"{phrase}. {limits}".strip())


def grown(name: str, powers: Mapping[str, float | None]) -> list[Evidence]:
    """Return the evidence on the exponents of :func:`claimbench.reproductions.costs.growths` for one layer."""
    return [Evidence(f"{name}: {cost}, exponent of their growth with the positions", p) for cost, p in powers.items()]


def linear(powers: Mapping[str, float | None], owner: str = "") -> dict[str, bool | None]:
    """Return the parts of the claim that costs are linear, named by the cost after ``owner``.

    A time that grows more slowly than linearly is undecided: fixed costs or noise are in it.
    """
    parts: dict[str, bool | None] = {}
    for cost, power in powers.items():
        band = TIMED if cost == "time" else EXACT
        undecided = power is None or (cost == "time" and power < 1 - band)
        parts[f"{owner} {cost}".strip()] = None if power is None or undecided else abs(power - 1) <= band
    return parts


def quadratic(powers: Mapping[str, float | None], owner: str = "") -> dict[str, bool | None]:
    """Return the parts of the claim that costs are quadratic, named by the cost after ``owner``."""
    return {f"{owner} {cost}".strip(): None if p is None else p > QUADRATIC for cost, p in powers.items()}
