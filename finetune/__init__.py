"""Fine-tune encoders on few labelled texts and measure what regularization does to the overfitting gap.

The functions below have the names of the commands: `finetune.compare(data=frame, presets=["none", "strong"])`. They are
imported on first use; torch is imported when something trains.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.errors import DataError, FinetuneError, HubError, ModelError, OutputError, RecipeError, RunFailed
    from finetune.inference.classifier import load
    from finetune.listener import Listener
    from finetune.recipe import Recipe, load_recipe
    from finetune.records.curve import CurveReport
    from finetune.records.report import Report
    from finetune.records.schema import RunRecord
    from finetune.records.sweep import SweepReport
    from finetune.records.tune import TuneReport
    from finetune.techniques import Technique, use_technique
    from finetune.training.gap_callback import GapCallback
    from finetune.workflows.ablate import ablate
    from finetune.workflows.cell import cell
    from finetune.workflows.check import check
    from finetune.workflows.compare import compare
    from finetune.workflows.curve import curve
    from finetune.workflows.demo import demo
    from finetune.workflows.diagnose import diagnose
    from finetune.workflows.evaluate import evaluate
    from finetune.workflows.explain import explain
    from finetune.workflows.export import export
    from finetune.workflows.predict import predict
    from finetune.workflows.push import push
    from finetune.workflows.report import report
    from finetune.workflows.run import run
    from finetune.workflows.sweep import sweep
    from finetune.workflows.tune import tune
    from finetune.workflows.work import work

__version__ = "0.1.0"

_HOMES = {
    "run": "workflows.run",
    "compare": "workflows.compare",
    "ablate": "workflows.ablate",
    "curve": "workflows.curve",
    "sweep": "workflows.sweep",
    "tune": "workflows.tune",
    "check": "workflows.check",
    "diagnose": "workflows.diagnose",
    "demo": "workflows.demo",
    "predict": "workflows.predict",
    "push": "workflows.push",
    "evaluate": "workflows.evaluate",
    "explain": "workflows.explain",
    "export": "workflows.export",
    "load": "inference.classifier",
    "report": "workflows.report",
    "cell": "workflows.cell",
    "work": "workflows.work",
    "load_recipe": "recipe",
    "Recipe": "recipe",
    "RunRecord": "records.schema",
    "Report": "records.report",
    "CurveReport": "records.curve",
    "SweepReport": "records.sweep",
    "TuneReport": "records.tune",
    "Technique": "techniques",
    "use_technique": "techniques",
    "GapCallback": "training.gap_callback",
    "Listener": "listener",
    "FinetuneError": "errors",
    "RecipeError": "errors",
    "DataError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "HubError": "errors",
    "RunFailed": "errors",
}

__all__ = [
    "CurveReport",
    "DataError",
    "FinetuneError",
    "GapCallback",
    "HubError",
    "Listener",
    "ModelError",
    "OutputError",
    "Recipe",
    "RecipeError",
    "Report",
    "RunFailed",
    "RunRecord",
    "SweepReport",
    "Technique",
    "TuneReport",
    "ablate",
    "cell",
    "check",
    "compare",
    "curve",
    "demo",
    "diagnose",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_recipe",
    "predict",
    "push",
    "report",
    "run",
    "sweep",
    "tune",
    "use_technique",
    "work",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'finetune' has no attribute '{name}'")
    return getattr(importlib.import_module(f"finetune.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
