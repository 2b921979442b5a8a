"""The process that looks at a study before anything is trained: do both arms work, and are they of equal size?

A question as JSON on stdin (``paper``, empty for a baseline, ``subject``, ``setting``), the answer as one JSON line on
``--out-fd``: for each arm ``hidden`` (MLP widths), ``parameters``, ``flops`` (or null and why); or
``{"problem": sentence}``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.process import open_answer
from claimbench.bench.training.study.setting import Setting

TRIED = 4
"""Pictures in the batch on which each arm is tried."""


def main(argv: list[str] | None = None) -> int:
    """Answer the question on stdin."""
    with open_answer(argv) as file:
        given = json.load(sys.stdin)
        setting = Setting.from_json(given["setting"])
        file.write(json.dumps(_answer(given, setting)) + "\n")
    return 0


def _answer(given: dict[str, Any], setting: Setting) -> dict[str, Any]:
    try:
        if not given["paper"]:
            return {"baseline": _baseline(given["subject"], setting)}
        return _arms(given["paper"], setting)
    except UserError as error:
        return {"problem": str(error)}
    except Exception as error:  # a paper's study may raise anything
        import traceback

        traceback.print_exc(file=sys.stderr)
        text = (str(error).splitlines() or ["no message"])[0][:300]
        return {"problem": f"the study of {given['subject']} fails before any training: {type(error).__name__}: {text}"}


def _baseline(name: str, setting: Setting) -> dict[str, Any]:
    from claimbench.bench.training.study import network, subjects

    model = subjects.baseline(name, setting)
    return {"hidden": [], "parameters": network.parameters(model), **_cost(model, setting)}


def _arms(paper: str, setting: Setting) -> dict[str, Any]:
    from claimbench.bench.training.study import network, subjects

    own = hasattr(subjects.study_module(paper), "network")
    block, counterpart = (network.parameters(subjects.build(paper, arm, setting)) for arm in subjects.ARMS)
    hidden: dict[str, tuple[int, ...]] = {"block": (), "counterpart": ()}
    try:
        if own:
            network.check_equal(block, counterpart, "in the networks of its study.py")
        else:
            hidden["block"] = network.widths(setting, setting.mlp_ratio)
            hidden["counterpart"] = network.equal_widths(setting, block, counterpart)
    except UserError as error:
        raise UserError(f"the study of {paper}: {error}") from error
    found = {}
    for arm in subjects.ARMS:
        model = subjects.build(paper, arm, setting, hidden[arm])
        _try(model, setting, f"the {arm} of {paper}")
        count = network.parameters(model)
        found[arm] = {"hidden": list(hidden[arm]), "parameters": count, **_cost(model, setting)}
    return found


def _try(model: Any, setting: Setting, name: str) -> None:
    """Run one step forward and backward, and refuse outputs that are not logits.

    Raises:
        UserError: they are not.
    """
    import torch

    from claimbench.bench.training.study.setting import KNOWN

    shape = (TRIED, KNOWN[setting.dataset].classes)
    logits = model.train()(torch.randn(TRIED, 1, setting.size, setting.size))
    if tuple(logits.shape) != shape or not logits.isfinite().all():
        raise UserError(f"{name} gives {tuple(logits.shape)}, expected {shape} finite numbers")
    logits.sum().backward()
    still = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if still:
        raise UserError(f"{name} has parameters that nothing trains, for example {still[0]}")
    with torch.no_grad():
        model.eval()(torch.randn(1, 1, setting.size, setting.size))


def _cost(model: Any, setting: Setting) -> dict[str, Any]:
    """Return the FLOPs of one picture forward, or the reason that there is no figure."""
    from claimbench.bench.measure import flops

    try:
        return {"flops": flops.count(model, (1, 1, setting.size, setting.size)).flops, "flops_reason": ""}
    except Exception as error:  # as the counter of `bench run`: whatever a model does, the row says why
        return {"flops": None, "flops_reason": (str(error).splitlines() or [type(error).__name__])[0][:300]}


if __name__ == "__main__":
    sys.exit(main())
