"""report.json, version 3: everything that the report of a comparison shows. Renderers read this and compute nothing.

Scores are in [0, 1] or [-1, 1], losses in nats (or label units squared), gaps positive where the model overfits.
A number that is undefined (one seed, no test split, a constant) is null.
"""

from typing import Any, Literal

from pydantic import Field

from finetune.records.comparison import SeedLook
from finetune.records.explained import ExplainedAnswer
from finetune.records.facts import Decision, RateChoice
from finetune.records.frame import ReportFrame
from finetune.records.frozen import Frozen
from finetune.records.schema import Baseline

REPORT_VERSION = 3  # 1 had other words in `verdict`, `change` and `kind`; 2 had `refit` instead of `final`

Verdict = Literal[
    "healthy",  # a gap of the score of 5 points or more is ruled out; the loss has none that is significant
    "overconfident only",  # the loss has a gap, the score has none that is significant
    "overfits",  # the score has a gap
    "underfits",  # train is below the baseline's validation
    "did not learn",  # half of the runs or more are no better than the same prediction for every text
    "not enough evidence",
    "failed",
]
Change = Literal[
    "baseline",
    "better",  # the reported score rose
    "smaller gap, score maintained",  # a loss of more than a point is ruled out
    "smaller gap, score unclear",
    "smaller gap, lower score",
    "worse",  # the score fell and the gap did not shrink
    "larger gap",
    "score and loss gaps disagree",  # they changed in opposite directions
    "no significant difference",
    "not enough evidence",
    "failed",
]


class Summary(Frozen):
    """A metric of one variant over its finished runs."""

    mean: float | None
    sd: float | None = Field(description="Standard deviation over runs; null with one run.")
    low: float | None = Field(
        None,
        description="95 % interval of the mean, over seeds and rows (or folds), within the possible range; null also "
        "if two repetitions give an interval that covers half of that range.",
    )
    high: float | None = None
    values: list[float | None] = Field(description="One per finished run, in the order of `runs`.")


class Difference(Frozen):
    """Variant - baseline, paired by seed and fold."""

    mean: float | None
    values: list[float | None] = Field(description="One per pair, in the order of `pairs`.")
    low: float | None = Field(None, description="95 % interval over seeds and rows; with folds: Nadeau-Bengio.")
    high: float | None = None
    seeds_low: float | None = Field(None, description="95 % t-interval over seeds alone: for exactly these rows.")
    seeds_high: float | None = None
    p: float | None = Field(None, description="Two-sided p-value, consistent with [low, high].")
    p_holm: float | None = Field(
        None, description="Adjusted (Holm) over all variants; reported score, its gap and the loss gap are one family."
    )
    distinguishable: bool | None = Field(None, description="p_holm < 0.05; null if there is no p.")
    tests: int | None = Field(None, description="Number of tests that p_holm is adjusted for; null if there is no p.")
    seeds_needed: int | None = Field(
        None,
        description="Seeds needed to detect a difference of this size with 80 % power, at 5 % divided by `tests`; "
        "null if it is 0 or undefined.",
    )


class Decomposition(Frozen):
    """What changed the gap. closed = train_fell + validation_rose; positive is better."""

    closed: Difference = Field(description="Gap of the baseline - gap of the variant.")
    train_fell: Difference
    validation_rose: Difference


class RunEntry(Frozen):
    """One run of a variant."""

    seed: int
    fold: int | None
    status: str = Field(description="finished, failed, interrupted, running or missing.")
    error: str | None
    folder: str
    selected_step: int | None = None
    last_step: int | None = None
    planned_steps: int | None = None
    seconds: float | None = None
    degenerate: bool = Field(False, description="No better than the same prediction for every text.")
    learning_rate: RateChoice | None = Field(
        None, description="How the learning rate was chosen, if the recipe says auto."
    )
    choice_seconds: float | None = Field(None, description="Seconds of the choice; part of `seconds`.")


class Curve(Frozen):
    """The history of one finished run."""

    seed: int
    fold: int | None
    steps: list[int]
    train: dict[str, list[float | None]] = Field(description="Metric -> train sample, one per step.")
    validation: dict[str, list[float | None]]
    selected_step: int


class ClassScore(Frozen):
    label: str
    support: int = Field(description="Rows of the reported split (all folds together).")
    f1: Summary
    difference: Difference | None


class Confusion(Frozen):
    """Rows of one class that are predicted as one class."""

    true: str
    predicted: str
    rows: float = Field(description="Rows of the reported split, averaged over seeds (folds together).")


class ReliabilityBin(Frozen):
    """Predictions of similar confidence, all finished runs together."""

    confidence: float
    accuracy: float
    rows: int


class WeightSummary(Frozen):
    """Statistics of a group of weights after training; means over finished runs."""

    parameters: int
    norm: float
    distance: float | None
    zero_share: float = Field(description="Fraction of weights that are exactly 0.")
    magnitudes: list[float] = Field(description="Fraction of weights by log10 |w|: 40 bins of 0.25 from -8 to 2.")


class VariantReport(Frozen):
    """The results of one variant."""

    name: str
    baseline: str | None = Field(description="The variant it is compared with; null for the baseline.")
    technique: str | None = Field(description="Ablation: the technique that is left out or alone.")
    techniques: dict[str, Any] = Field(description="Technique -> settings.")
    preset: str | None = Field(None, description="The preset that `settings` are added to.")
    settings: dict[str, Any] = Field({}, description="Own settings in addition to that preset: dotted key -> value.")
    decisions: list[Decision] = Field([], description="Choices, with reasons, of a preset that chooses by the data.")
    cost: float = Field(description="Declared training time as a multiple of plain fine-tuning.")
    seconds: float | None = Field(description="Mean seconds of a finished run.")
    seconds_ratio: float | None = Field(description="Ratio of these seconds to the baseline's.")
    runs: list[RunEntry]
    failed: int
    degenerate: int
    verdict: Verdict
    verdict_reason: str
    change: Change
    change_reason: str
    dominated_by: str | None = Field(description="A variant with a higher score and a smaller gap, both on average.")
    train: dict[str, Summary] = Field(description="Metric -> summary on the train sample at the selected checkpoint.")
    validation: dict[str, Summary]
    test: dict[str, Summary] = Field(description="Empty without a test split.")
    gap: dict[str, Summary] = Field(description="Gap at the selected checkpoint, which becomes the final model.")
    gap_last: dict[str, Summary] = Field(description="Gap at the end of training.")
    temperature: Summary | None
    pairs: list[list[int | None]] = Field(description="[seed, fold] of each pair with the baseline.")
    differences: dict[str, dict[str, Difference]] = Field(
        description="train, validation, test, gap, gap_last -> metric -> difference; empty for a baseline."
    )
    decomposition: dict[str, Decomposition] = Field(description="Metric -> parts; empty for a baseline.")
    curves: list[Curve]
    classes: list[ClassScore] = Field(description="On the reported split; single- and multi-label.")
    confusions: list[Confusion] = Field(
        [], description="On the reported split, without pairs that never occur; single-label."
    )
    reliability: list[ReliabilityBin] = Field(description="On the reported split; single-label.")
    weights: dict[str, WeightSummary] = Field(description="encoder, head, encoder.layer.0, … -> statistics.")
    outcomes: list[str] = Field([], description="Effect that each technique reports for the first finished run.")


class Disagreement(Frozen):
    """A row of the reported split that variants predict differently."""

    row: str = Field(description="Row number in the source, from 1.")
    id: str | None = Field(None, description="Name of the row by data.id.")
    fold: int | None
    text: str | None = Field(description="Shortened; null if the texts were not kept.")
    pair: str | None
    target: str
    answers: dict[str, str] = Field(description="Variant -> majority prediction over its runs (numbers: the mean).")
    right: dict[str, float] = Field(description="Variant -> fraction of runs that are correct (numbers: mean |error|).")
    explained: ExplainedAnswer | None = Field(
        None, description="Words that influenced the prediction of the exported model, if `--explain` requested them."
    )


class ModelScore(Frozen):
    """A score of one model, or the difference of two models on the same rows."""

    value: float | None
    low: float | None = Field(None, description="95 % bootstrap interval over rows, for exactly this model.")
    high: float | None = None

    @property
    def mean(self) -> float | None:
        """The value, under the name in `measurement.units.Estimate`."""
        return self.value


class ScoredModel(Frozen):
    """One model that the comparison could end with, or a reference for it."""

    kind: str = Field(description="best, refit, soup, distil; members (mean of their scores), ensemble.")
    about: str = Field(description="Description in words.")
    run: str | None = Field(None, description="Its folder; null if there is none.")
    problem: str | None = Field(None, description="Why it could not be made.")
    validation: dict[str, ModelScore] = Field(
        {}, description="Metric -> score on validation; empty for a refit, which trained on it."
    )
    test: dict[str, ModelScore] = Field({}, description="Empty without a test split.")
    difference: dict[str, ModelScore] = Field(
        {}, description="Metric -> score on the reported split - mean of the members' scores, paired by row."
    )


class FinalModel(Frozen):
    """The final model of the comparison, and the alternatives."""

    asked: str = Field(description="As `--final`: best, refit, soup, distil, auto.")
    kind: str = Field(description="The model that was taken: best if the requested one could not be made.")
    run: str = Field(description="Folder of its run.")
    rule: str
    seeds: list[int] = Field(
        description="Seeds of the members: the finished runs of the recommended preset (and fold)."
    )
    candidates: list[ScoredModel]
    references: list[ScoredModel] = Field(description="Members' mean and ensemble; empty with a single member.")


class Recommendation(Frozen):
    """The variant to take, by a stated rule."""

    variant: str
    seed: int
    fold: int | None
    run: str = Field(description="Folder of the run whose model is recommended.")
    model: str | None = Field(description="Folder of its model; null if it was not kept.")
    reason: str
    rule: str
    final: FinalModel | None = None


class SeedRule(Frozen):
    """The rule that adds seeds until every verdict is settled."""

    most: int = Field(description="The most seeds of a preset.")
    text: str
    looks: list[SeedLook]


class Group(ReportFrame):
    """One recipe on one data set. Numbers of different groups are never averaged."""

    kind: Literal["compare", "ablate", "runs"]
    folds: int | None
    seed_rule: SeedRule | None = Field(
        None,
        description="The rule by which seeds were added (`--seeds auto`), if they were. Intervals and p-values of "
        "differences on train, validation and gaps are then adjusted for its looks.",
    )
    recommendation: Recommendation | None
    variants: list[VariantReport]
    disagreements: list[Disagreement]
    classes: dict[str, dict[str, int]]
    fingerprints: list[str] = Field(description="sha256 of the data, one per fold.")
    majority: float | None = Field(description="Fraction of the most frequent class in the reported split.")
    resolvable: dict[str, float] = Field(
        description="Split -> half-width of the 95 % interval of the main score that follows from its rows alone; "
        "accuracy only."
    )
    baselines: list[Baseline] = Field([], description="Simple models on the same rows (folds: the mean).")


class Report(Frozen):
    """The whole report: one group per recipe and data set."""

    report_version: int = REPORT_VERSION
    title: str
    groups: list[Group]
    skipped: list[str] = Field(description="Records that could not be read, with the reason.")
