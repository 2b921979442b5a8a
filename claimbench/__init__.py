"""The suite as one package: tests whether the numbers of vision and attention papers hold today.

All that is public can be imported from here; docs/library.md and CONTRIBUTING.md say how it is used. A name is loaded
when it is first asked for, so that importing the package loads no torch.

``claimbench.bench`` is the engine, ``claimbench.reproductions`` the papers, ``claimbench.kernels`` their shared
operators. In a checkout they lie beside this folder as ``bench/``, ``reproductions/`` and ``kernels/``. The links in
here show them to mypy and editors under their import names.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claimbench._library.create import create_model
    from claimbench._library.export import Exported, export
    from claimbench._library.model import FeatureModel, Model
    from claimbench._library.names import ModelError, ModelInfo, list_models, model_info
    from claimbench._library.transform import create_transform
    from claimbench.bench.core.errors import UnavailableError, UserError
    from claimbench.bench.core.records import Measurement
    from claimbench.bench.core.task import DataSet, Score, Task
    from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence

__all__ = [
    "ClaimContext",
    "ClaimResult",
    "DataSet",
    "Evidence",
    "Exported",
    "FeatureModel",
    "Measurement",
    "Model",
    "ModelError",
    "ModelInfo",
    "Score",
    "Task",
    "UnavailableError",
    "UserError",
    "create_model",
    "create_transform",
    "export",
    "list_models",
    "model_info",
]

_PLACES = {
    "ClaimContext": "bench.papers.claims",
    "ClaimResult": "bench.papers.claims",
    "DataSet": "bench.core.task",
    "Evidence": "bench.papers.claims",
    "Exported": "_library.export",
    "FeatureModel": "_library.model",
    "Measurement": "bench.core.records",
    "Model": "_library.model",
    "ModelError": "_library.names",
    "ModelInfo": "_library.names",
    "Score": "bench.core.task",
    "Task": "bench.core.task",
    "UnavailableError": "bench.core.errors",
    "UserError": "bench.core.errors",
    "create_model": "_library.create",
    "create_transform": "_library.transform",
    "export": "_library.export",
    "list_models": "_library.names",
    "model_info": "_library.names",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
