"""The live gap on stderr: a bar on a terminal, one line per evaluation elsewhere."""

import sys
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from finetune.measurement.scores import Measure
from finetune.reports.terminal import live_scores


class LiveGap(TrainerCallback):
    """Shows steps done and, after each evaluation, train probe, validation and their gap.

    Args:
        title: What is running.
        measure: Decides which scores are shown.
    """

    def __init__(self, title: str, measure: Measure) -> None:
        self._title = title
        self._measure = measure
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc=self._title,
                unit="step",
                file=sys.stderr,
                disable=not sys.stderr.isatty(),
                dynamic_ncols=True,
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is None:
            return
        metrics = kwargs["metrics"]
        train, validation = (
            {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}
            for prefix in ("eval_train_probe_", "eval_validation_")
        )
        line = live_scores(self._measure, train, validation)
        if self._bar.disable:
            sys.stderr.write(f"{self._title}: epoch {state.epoch:g}/{args.num_train_epochs:g}: {line}\n")
            sys.stderr.flush()
        else:
            self._bar.set_postfix_str(line)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
