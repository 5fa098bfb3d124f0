"""From the end of training to the saved weights: selected, finished by the techniques, measured."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from finetune.errors import RunFailed
from finetune.measurement.thresholds import Threshold, choose_thresholds
from finetune.models.outputs import Outputs
from finetune.records.schema import Calibration, Checkpoint, Evaluation, Thresholds
from finetune.techniques import KeptWeights, ModelChanges, implementations
from finetune.training.interpolation import PretrainedPath
from finetune.training.observer import RunObserver
from finetune.training.prepare import Prepared
from finetune.training.results import calibration_record, checkpoint_record, threshold_record
from finetune.training.run_warnings import technique_problems, unpredicted_warnings
from finetune.training.selection import selected_weights, upwards
from finetune.training.trainer import RegularizedTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """Metrics and outputs at the end of training.

    Attributes:
        selected: Metrics of the final weights.
        last: Metrics of the last checkpoint.
        calibration: Calibration of the final weights; None for tasks other than single_label.
        thresholds: Thresholds of labels, chosen with the final weights on validation; None for tasks other than
            multi_label.
        outputs: "selected" and "last" -> split -> outputs of each row.
    """

    selected: Checkpoint
    last: Checkpoint
    calibration: Calibration | None
    thresholds: Thresholds | None
    outputs: dict[str, dict[str, Outputs]]


class FinalWeights:
    """Turns the trained model into the weights that are saved, and measures both the last checkpoint and the result.

    Args:
        prepared: Preparation of the run.
        trainer: Trainer after training; its model is changed.
        observer: Holds the history of the run.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        checkpoints: Folder of the run's checkpoints.
    """

    def __init__(
        self,
        prepared: Prepared,
        trainer: RegularizedTrainer,
        observer: RunObserver,
        pretrained: Mapping[str, Tensor],
        checkpoints: Path,
    ) -> None:
        self._prepared = prepared
        self._trainer = trainer
        self._observer = observer
        self._pretrained = pretrained
        self._checkpoints = checkpoints

    def measure(self) -> Results:
        """Measure the last checkpoint, then the final weights; test is opened here and nowhere else.

        Raises:
            RunFailed: The selected checkpoint is damaged.
        """
        last, selected = self._observer.history[-1], self._observer.selected()
        at_end = self._trainer.last_outputs or self._gap_outputs()
        at_selected = dict(at_end)
        if selected.step != last.step:
            at_selected = self._restore(selected)
        at_selected, fraction = self._finish(at_selected)
        self._warn()
        if "test" in self._prepared.measured:
            at_selected["test"] = self._trainer.split_outputs(self._prepared.measured["test"])
        final = self._checkpoint(selected, at_selected).model_copy(update={"share": fraction})
        is_last = selected.step == last.step and fraction is None
        return Results(
            selected=final,
            last=final.model_copy(update={"test": None}) if is_last else self._checkpoint(last, at_end),
            calibration=calibration_record(at_selected, self._prepared.data.task, self._prepared.held_out),
            thresholds=self._thresholds(at_selected),
            outputs={"selected": at_selected, "last": at_end},
        )

    def _restore(self, selected: Evaluation) -> dict[str, Outputs]:
        """Load the selected weights, and check that they are those measured in training."""
        self._trainer.load_parameters(selected_weights(self._checkpoints, selected.step))
        outputs = self._gap_outputs()
        validation = outputs["validation"]
        if self._trainer.evaluate_in_bf16:  # else fp32 is what it was measured in
            validation = self._trainer.split_outputs(self._prepared.measured["validation"], bf16=True)
        loss = self._prepared.measure.loss
        again, before = self._prepared.meter.measure(*validation)[loss], selected.validation[loss]
        # Another machine that resumes a run rounds differently; damage is larger.
        if before is None or not math.isclose(again, before, rel_tol=1e-2, abs_tol=1e-4):
            raise RunFailed(
                f"the restored weights of step {selected.step} measure {loss} {again} on validation, but measured "
                f"{before} in training: the selected checkpoint is damaged."
            )
        return outputs

    def _finish(self, outputs: dict[str, Outputs]) -> tuple[dict[str, Outputs], float | None]:
        """Let techniques finish the selected weights; measure again where they did.

        Returns:
            Outputs of the final weights, and the fraction of the fine-tuned weights if they were interpolated.
        """
        techniques = self._prepared.recipe.techniques.values()
        finishing = implementations(techniques, ModelChanges.finish_model)
        if finishing:
            self._trainer.writer.finish()  # it still asks the model for its configuration
        for finish_model in finishing:
            finish_model(self._trainer.model)
        interpolations = implementations(techniques, KeptWeights.interpolations)
        fractions = sorted({fraction for fractions_of in interpolations for fraction in fractions_of()})
        if not fractions:
            return (self._gap_outputs() if finishing else outputs), None
        if self._prepared.interpolation is not None:
            fractions = [self._prepared.interpolation]
        path = PretrainedPath(self._trainer.model, self._pretrained)
        fraction = path.move_to_best(fractions, self._validation_quality)
        return self._gap_outputs(), fraction

    def _validation_quality(self) -> tuple[float, float]:
        """Metric and loss of the present weights on validation, both with "higher is better"."""
        prepared = self._prepared
        measure = prepared.measure
        scores = prepared.meter.measure(*self._trainer.split_outputs(prepared.measured["validation"]))
        metric = prepared.metric or measure.selects
        return upwards(metric, scores[metric]), upwards(measure.loss, scores[measure.loss])

    def _gap_outputs(self) -> dict[str, Outputs]:
        return {name: self._trainer.split_outputs(split) for name, split in self._trainer.measured.items()}

    def _warn(self) -> None:
        for name, technique in self._prepared.recipe.techniques.items():
            for problem in technique_problems(name, technique.export_warnings(self._trainer.model)):
                logger.warning("%s", problem.for_command_line())

    def _thresholds(self, outputs: Mapping[str, Outputs]) -> Thresholds | None:
        """Choose them on validation (of a refit: as predicted before), and warn of labels that are never predicted."""
        prepared = self._prepared
        labels = prepared.data.labels
        if prepared.data.task != "multi_label" or labels is None:
            return None
        validation = outputs["validation"]
        plain = [Threshold(0.0, "default")] * len(labels)
        chosen_on = prepared.chosen_on(validation)
        chosen = plain if chosen_on is None else choose_thresholds(*chosen_on)
        for problem in unpredicted_warnings(prepared.recipe, labels, validation, plain, chosen):
            logger.warning("%s", problem.for_command_line())
        return threshold_record(outputs, prepared.data.task, labels, chosen)

    def _checkpoint(self, evaluation: Evaluation, outputs: dict[str, Outputs]) -> Checkpoint:
        task, measure = self._prepared.data.task, self._prepared.meter.measure
        return checkpoint_record(evaluation.step, evaluation.epoch, outputs, task, measure)
