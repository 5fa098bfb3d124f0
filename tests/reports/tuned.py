"""The report of a tune, made up: a default, a best setting, a stopped and a failed one."""

from __future__ import annotations

from pathlib import Path

from finetune.analysis.tune import RULE, with_words
from finetune.records.frame import ReportFrame
from finetune.records.report import Difference, Summary
from finetune.records.tune import Dimension, Tested, TrialReport, TuneReport
from tests.reports.sample import sample_report

KEYS = ("training.learning_rate", "techniques.weight_decay.total_shrink", "techniques.dropout.classifier")
DEFAULTS = dict(zip(KEYS, (5e-5, 0.02, 0.3), strict=True))


def tuned_report(is_beaten: bool = False) -> TuneReport:
    """Whether the best setting beats the default beyond chance."""
    low = 0.004 if is_beaten else -0.021
    best = {"difference": 0.023, "low": low, "high": 0.067, "p": 0.02 if is_beaten else 0.71}
    worse = {"difference": -0.21, "low": -0.29, "high": -0.13, "p": 0.0}
    trials = [
        TrialReport(
            number=0, stage="default", settings=DEFAULTS, status="complete", score=0.752, fold_scores=[0.75] * 3
        ),
        TrialReport(
            number=1,
            stage="learning rate",
            settings={**DEFAULTS, KEYS[0]: 2.45e-4},
            status="complete",
            score=0.775,
            fold_scores=[0.77] * 3,
            **best,
        ),
        TrialReport(
            number=2,
            stage="learning rate",
            settings={**DEFAULTS, KEYS[0]: 1.04e-5},
            status="stopped",
            fold_scores=[0.54],
            reason="worse than trial-1 beyond chance after 1 of 3 folds",
            **worse,
        ),
        TrialReport(
            number=3,
            stage="strengths",
            settings={KEYS[0]: 2.45e-4, KEYS[1]: 0.213, KEYS[2]: 0.0712},
            status="failed",
            reason="its process was killed (signal 9), most likely for want of memory. Try: --jobs 1",
        ),
    ]
    difference = Difference(mean=0.008, values=[0.01, 0.006], low=-0.004, high=0.02, p=0.13, p_holm=0.13)
    difference = difference.model_copy(update={"distinguishable": False})
    frame = sample_report().groups[0]
    report = TuneReport(
        title="tweets: tuning medium",
        name="tweets",
        preset="medium",
        command="finetune tune --preset medium --trials 3",
        task="single_label",
        score="accuracy",
        folds=3,
        seed=0,
        seeds=[0, 1, 2],
        rows={"train": 1000, "validation": 500, "test": 2000, "fold": 667},
        space=[
            Dimension(key=KEYS[0], low=1e-5, high=2.5e-4, is_log=True, default=5e-5, is_rate=True),
            Dimension(key=KEYS[1], low=0.001, high=0.3, is_log=True, default=0.02, is_rate=False),
            Dimension(key=KEYS[2], low=0.0, high=0.6, is_log=False, default=0.3, is_rate=False),
        ],
        trials=trials,
        tried=2,
        trained=7,
        spared=2,
        best="trial-1",
        chosen="trial-1" if is_beaten else "default",
        rule=RULE,
        tested=[
            Tested(
                name="default",
                inner=0.752,
                test=Summary(mean=0.749, sd=None, values=[0.749], low=0.73, high=0.768),
                optimism=0.003,
            ),
            Tested(
                name="trial-1",
                inner=0.775,
                test=Summary(mean=0.757, sd=None, values=[0.757], low=0.738, high=0.776),
                optimism=0.018,
                difference=difference,
            ),
        ],
        headline="",
        conditions=ReportFrame(**{key: getattr(frame, key) for key in ReportFrame.model_fields}),
        recipe=str(Path("runs/tune-tweets-medium/tuned.yaml")),
        model="runs/tune-tweets-medium/model",
    )
    return with_words(report)
