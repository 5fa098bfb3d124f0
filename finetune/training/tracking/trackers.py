"""The adapter from each tracker to its transformers callback: a class and a line in `TRACKERS`."""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROJECT = "finetune"  # where runs go that are in no comparison
Ended = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True)
class TrackedRun:
    """Facts about a run that trackers get before it starts.

    Attributes:
        folder: Folder of the run; its last part is the name.
        group: The comparison, ablation, curve or sweep of the run.
        settings: Name -> value.
        ids: Tracker -> id of this run in it, from an earlier start; empty if it starts now.
        is_refit: Whether validation was trained on; its scores, which are not those of new texts, are then not logged.
    """

    folder: Path
    group: str | None
    settings: Mapping[str, Any]
    ids: Mapping[str, str]
    is_refit: bool = False

    @property
    def name(self) -> str:
        return self.folder.resolve().name


class Tracker:
    """A tracker without special handling: it gets what its callback logs.

    Args:
        name: Name in transformers.
        module: Module that must be installed.
        install: Argument of `pip install`.
        local: Environment variables that keep it from sending anything and from prompting; variables of the user take
            precedence.
        view: How to view what it has written.
    """

    def __init__(self, name: str, module: str, install: str, local: Mapping[str, str], view: str = "") -> None:
        self.name = name
        self.module = module
        self.install = install
        self.local = local
        self.view = view

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    def where(self, folder: Path, group: str | None) -> str:
        """How to view the runs of a folder."""
        return self.view

    def environment(self, run: TrackedRun) -> dict[str, str]:
        """Variables that tell it about the run; variables of the user take precedence."""
        return {}

    def callback(self, run: TrackedRun, step: int) -> Any:
        """transformers' callback.

        Args:
            run: Facts about the run.
            step: Optimizer step from which it continues; 0 if it starts.
        """
        from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

        return INTEGRATION_TO_CALLBACK[self.name]()

    def id_of(self, callback: Any, run: TrackedRun) -> str | None:
        """Id by which the started run can be continued; None if it cannot."""
        return None

    def end(self, callback: Any, how: Ended) -> None:
        """Close the run, after transformers' callback has been told that training ended."""


class TensorBoard(Tracker):
    """Event files in the folder of the run, or below TENSORBOARD_LOGGING_DIR."""

    def where(self, folder: Path, group: str | None) -> str:
        return f"tensorboard --logdir {os.environ.get('TENSORBOARD_LOGGING_DIR') or folder}"

    def callback(self, run: TrackedRun, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations.integration_utils import TensorBoardCallback

        chosen = os.environ.get("TENSORBOARD_LOGGING_DIR")
        shared = None if chosen is None else Path(chosen).expanduser() / (run.group or "") / run.name
        # What an interrupted session wrote after its last checkpoint is measured again.
        purged = step + 1 if self.name in run.ids else None
        return TensorBoardCallback(SummaryWriter(str(shared or run.folder / "tensorboard"), purge_step=purged))

    def id_of(self, callback: Any, run: TrackedRun) -> str | None:
        return "tensorboard"


class MLflow(Tracker):
    """A comparison is an experiment; preset, seed and group are tags."""

    STATUS: Mapping[Ended, str] = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}

    def where(self, folder: Path, group: str | None) -> str:
        # Which may hold a password.
        store = " with the store of MLFLOW_TRACKING_URI" if "MLFLOW_TRACKING_URI" in os.environ else ""
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", group or PROJECT)
        return f"mlflow ui{store}, experiment {experiment}"

    def environment(self, run: TrackedRun) -> dict[str, str]:
        about = {name: run.settings.get(name) for name in ("preset", "seed", "group")}
        tags = {f"finetune.{name}": str(value) for name, value in about.items() if value is not None}
        told = {"MLFLOW_EXPERIMENT_NAME": run.group or PROJECT, "MLFLOW_TAGS": json.dumps(tags)}
        return told | ({"MLFLOW_RUN_ID": run.ids[self.name]} if self.name in run.ids else {})

    def id_of(self, callback: Any, run: TrackedRun) -> str | None:
        return str(callback._ml_flow.active_run().info.run_id)

    def end(self, callback: Any, how: Ended) -> None:
        if callback._auto_end_run:  # else it is a run that the caller of `finetune.run` has begun
            callback._ml_flow.flush_async_logging()
            callback._ml_flow.end_run(self.STATUS[how])


class Wandb(Tracker):
    """A comparison is a group."""

    def where(self, folder: Path, group: str | None) -> str:
        is_online = os.environ.get("WANDB_MODE", "offline") == "online"
        sent = "sent to its server" if is_online else "offline, in wandb/; WANDB_MODE=online or wandb sync sends it"
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        return f"{sent}; project {project}{'' if group is None else f', group {group}'}"

    def environment(self, run: TrackedRun) -> dict[str, str]:
        told = {
            "WANDB_PROJECT": PROJECT,
            "WANDB_RUN_ID": run.ids.get(self.name, uuid.uuid4().hex[:12]),
            "WANDB_RESUME": "allow",
            "WANDB_TAGS": str(run.settings["preset"]),
        }
        return told if run.group is None else told | {"WANDB_RUN_GROUP": run.group}

    def id_of(self, callback: Any, run: TrackedRun) -> str | None:
        return str(callback._wandb.run.id)

    def end(self, callback: Any, how: Ended) -> None:
        # transformers leaves it open, and the next run of this process would go into it.
        callback._wandb.finish(exit_code=0 if how == "finished" else 1)


class Trackio(Tracker):
    """A comparison is a group. Trackio finds a run that is continued by its name."""

    def where(self, folder: Path, group: str | None) -> str:
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        return f"trackio show --project {project}{'' if group is None else f', group {group}'}"

    def callback(self, run: TrackedRun, step: int) -> Any:
        from transformers.integrations.integration_utils import TrackioCallback

        # Of a tracker that is added when the run is resumed, a run of this name is another one.
        is_known = self.name in run.ids

        class Grouped(TrackioCallback):
            def setup(self, args: Any, state: Any, model: Any, **kwargs: Any) -> None:
                self._trackio.init(
                    project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                    name=args.run_name,
                    group=run.group,
                    resume="allow" if is_known else "never",
                    config={key: value for key, value in args.to_dict().items() if not key.startswith("_")},
                )
                self._initialized = True

        return Grouped()

    def id_of(self, callback: Any, run: TrackedRun) -> str | None:
        return run.name


class Comet(Tracker):
    """transformers leaves its experiment open, so the next run of this process would be added to it."""

    def end(self, callback: Any, how: Ended) -> None:
        if callback._experiment is not None:
            callback._experiment.end()


class ClearML(Tracker):
    """Its `Task.init` seeds all random generators with 1337; the session restores them."""

    def environment(self, run: TrackedRun) -> dict[str, str]:
        return {"CLEARML_PROJECT": run.group or PROJECT, "CLEARML_TASK": run.name}


_QUIET_WANDB = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",  # what the program prints is none of its business
    "WANDB_ERROR_REPORTING": "false",
}
_QUIET_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of 7, a server that is gone costs four minutes
}
_QUIET_COMET = {"COMET_START_ONLINE": "0", "COMET_LOGGING_CONSOLE": "ERROR"}
_QUIET_CLEARML = {"CLEARML_OFFLINE_MODE": "1", "CLEARML_LOG_MODEL": "FALSE"}
TRACKERS: dict[str, Tracker] = {
    each.name: each
    for each in (
        TensorBoard("tensorboard", "tensorboard", '"finetune[logs]"', {}),
        MLflow("mlflow", "mlflow", '"finetune[mlflow]"', _QUIET_MLFLOW),
        Wandb("wandb", "wandb", '"finetune[wandb]"', _QUIET_WANDB),
        Trackio("trackio", "trackio", '"finetune[trackio]"', {"GRADIO_ANALYTICS_ENABLED": "False"}),
        Comet("comet_ml", "comet_ml", "comet-ml", _QUIET_COMET, "offline unless COMET_START_ONLINE=1"),
        ClearML("clearml", "clearml", "clearml", _QUIET_CLEARML, "offline unless CLEARML_OFFLINE_MODE=0"),
        Tracker("dvclive", "dvclive", "dvclive", {"DVC_NO_ANALYTICS": "true"}, "in dvclive/ of the current folder"),
        Tracker("swanlab", "swanlab", "swanlab", {"SWANLAB_MODE": "offline"}, "offline unless SWANLAB_MODE=cloud"),
    )
}
