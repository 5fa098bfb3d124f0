"""The keys of a recipe. Every default is here or in a YAML file, with its unit; none is hidden in code."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SerializeAsAny

from finetune.recipe.choices import Choices, Decision
from finetune.recipe.section import Section
from finetune.techniques import Technique

TaskName = Literal["auto", "single_label", "multi_label", "regression"]


def _check_size(size: float) -> float:
    if not (isinstance(size, int) and size >= 1) and not (isinstance(size, float) and 0 < size < 1):
        raise ValueError("expected a number of rows (an integer of at least 1) or a fraction between 0 and 1")
    return size


AUTO = "auto"  # of training.learning_rate: chosen by folds of the training rows


def _check_rate(rate: float | str) -> float | str:
    if rate != AUTO and (isinstance(rate, str) or not 0 < rate < 1):
        raise ValueError("expected a valid number, above 0 and below 1, or auto")
    return rate


TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio", "comet_ml", "clearml", "dvclive", "swanlab"]


def _as_list(trackers: Any) -> Any:
    """One name may stand alone, and `none` is how transformers writes an empty list."""
    if trackers is None or trackers == "none":
        return []
    return [trackers] if isinstance(trackers, str) else trackers


SplitSize = Annotated[int | float, AfterValidator(_check_size)]
CellValue = str | int | float | bool
Rate = Annotated[float | str, AfterValidator(_check_rate)]
Trackers = Annotated[list[TrackerName], BeforeValidator(_as_list)]
# Keys of `training` that say who is told of a run. They decide nothing in it, and no record has them.
TELLING_KEYS = ("report_to",)
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every random generator takes


class ModelSection(Section):
    id: str = Field(
        min_length=1, description="A hub id, a local folder, or package:NAME/folder inside an installed package."
    )
    revision: str | None = Field(None, description="Commit or tag on the hub; a commit makes the run reproducible.")
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Expected SHA-256 of model.safetensors; checked before loading.",
    )
    pooling: Literal["auto", "cls", "mean", "attention"] = Field(
        "auto",
        description="Pooling that the head reads: the first token (cls), the mean of all tokens (mean), or their mean "
        "with learned weights (attention). auto: the pooling that the encoder was trained with, according to its "
        "modules.json or config.json, but cls for pairs of texts if it was trained on single texts; else cls.",
    )
    head: Literal["auto", "new", "kept"] = Field(
        "auto",
        description="For a checkpoint that is a classifier: new re-initialises its outputs; kept keeps their weights. "
        "auto: kept if it has the same classes by name, each with the weights of its name; else new.",
    )


# What `data.source` begins with for a set of the hub, and for data that was in memory.
HUB_PREFIX, MEMORY_PREFIX = "hub:", "memory:"
# Keys of `data` that say where its files lie. What they hold has a fingerprint, so paths make no run another.
PATH_KEYS = ("source", "validation", "test", "unlabelled")
# Keys of `data` that say how a file is read. What was read has a fingerprint, so they make no run another.
READING_KEYS = (
    *("quoting", "quote_char", "escape", "comment", "header", "columns"),
    *("format", "annotations", "texts", "decimal", "keep", "split_column", "id"),
)


def _mark_name(value: Any) -> Any:
    """The name of a decimal mark that is typed itself."""
    return {".": "point", ",": "comma"}.get(value, value) if isinstance(value, str) else value


class DataSection(Section):
    source: str = Field(
        min_length=1,
        description="A .csv, .tsv, .json, .jsonl, .parquet, .xlsx or .xls file, or the export of an annotation tool, "
        "also as .gz, .bz2, .xz or .zst; a folder or .zip with train, validation and test files; a folder with one "
        "file a text, or saved by datasets; a hub id (hub:NAME); or package:NAME/file.",
    )
    format: str | None = Field(
        None,
        min_length=1,
        description="Format of the files, such as label_studio, doccano, fasttext or csv. Default: recognised by "
        "suffix and content.",
    )
    annotations: Literal["majority", "first", "all", "soft"] = Field(
        "majority",
        description="Label of a text that several annotators labelled, in exports of annotation tools: the most "
        "frequent (ties are left out), the first, or a row for each; soft trains on the distribution of their labels.",
    )
    texts: str | None = Field(
        None, description="File with the texts, joined by id, for exports that hold ids only (Potato)."
    )
    config: str | None = Field(None, description="Configuration of a hub dataset, such as sst2 of hub:nyu-mll/glue.")
    revision: str | None = Field(None, description="Commit or tag of a hub dataset; a commit is reproducible.")
    split_names: dict[str, str | None] = Field(
        {},
        description="Names of the train, validation and test splits of a hub or saved dataset, or values of "
        "split_column, where they differ; null ignores a split.",
    )
    validation: str | None = Field(None, description="File with the validation split, if it is not part of source.")
    test: str | None = Field(None, description="File with the test split, if it is not part of source.")
    unlabelled: str | None = Field(
        None,
        min_length=1,
        description="File with unlabelled texts, in the same columns as the labelled ones, for techniques that learn "
        "from such texts. Texts of validation, test and train are left out.",
    )
    text: str | None = Field(None, description="Column with the text. Default: recognised by its name.")
    template: str | None = Field(
        None, min_length=1, description="Builds the text from several columns, as in '{title}: {body}'; replaces text."
    )
    text_pair: str | None = Field(None, description="Column with the second text of a pair.")
    label: str | list[str] | None = Field(
        None,
        min_length=1,
        description="Column with the label, or a list with one 0/1 column per label. Default: recognised by its name.",
    )
    label_map: dict[str, str] = Field(
        {}, description="Label in the file -> its name, for every label, such as {0: negative, 1: positive}."
    )
    task: TaskName = Field("auto", description="What is predicted; auto infers it from the labels and says so.")
    label_separator: str = Field("|", min_length=1, description="Separates the labels within a cell (multi-label).")
    labels: list[str] | None = Field(None, min_length=1, description="Label names in the order of the logits.")
    drop_labels: list[str] = Field([], description="Rows with these labels are dropped.")
    decimal: Annotated[Literal["point", "comma"] | None, BeforeValidator(_mark_name)] = Field(
        None, description="Decimal mark of the numbers in the label column. Default: detected and reported."
    )
    minimum: dict[str, float] = Field({}, description="Column -> minimum value; rows below it are dropped.")
    keep: dict[str, CellValue | list[CellValue]] = Field(
        {}, description="Column -> value or values; rows with another one are dropped, as in {answer: accept}."
    )
    deduplicate: bool = Field(
        False, description="Keep one row per text (ignoring case and whitespace); drop texts with conflicting labels."
    )
    drop_leaks: bool = Field(
        False,
        description="Drop training rows that duplicate, or nearly duplicate, a validation or test row, and validation "
        "rows that duplicate a test row.",
    )
    skip_bad_rows: bool = Field(
        False, description="Drop and report rows that cannot be read, instead of stopping at the first."
    )
    encoding: str | None = Field(None, description="Text encoding of the files. Default: detected from their bytes.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="CSV delimiter. Default: detected from the first rows."
    )
    quoting: Literal["auto", "none", "minimal", "all"] = Field(
        "auto",
        description="CSV: which cells are in quotes. none: quotes are characters of the texts; minimal: those that "
        "need it; all: every cell, so that quotes inside need not be doubled. auto: the way that fits the lines; a "
        "note says so if it is not minimal.",
    )
    quote_char: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description='CSV: quote character around a cell. Default: ", or the one that fits the lines.',
    )
    escape: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="CSV: escape character before a quote inside the text. Default: quotes are doubled, or a "
        "backslash if that fits the lines.",
    )
    comment: str | None = Field(
        None,
        min_length=1,
        description="CSV: start of a line that is not a row. Default: #, // and % above the header only.",
    )
    header: bool | Literal["auto"] = Field(
        "auto",
        description="CSV: whether the first line names the columns. auto: it does, and a line that looks like data is "
        "an error.",
    )
    columns: list[str] | None = Field(
        None, min_length=1, description="CSV: names of all columns, in order, instead of those in the first line."
    )
    id: str | None = Field(
        None,
        description="Column with names of the rows, shown next to row numbers in findings, disagreements, predictions "
        "and mistakes.",
    )
    group: str | None = Field(None, description="Column such as author; all rows of one group are in the same split.")
    order_by: str | None = Field(
        None, description="Column with dates or numbers; the earliest rows are train, the latest are test."
    )
    split_column: str | None = Field(
        None,
        description="Column that says which split a row is in: train, dev, test, or 0/1 in a column such as is_test.",
    )
    split_file: str | None = Field(
        None, description="split.json of an earlier run; assigns the same rows to the same splits."
    )
    train_size: SplitSize | None = Field(None, description="Training rows: a number or a fraction. Default: the rest.")
    validation_size: SplitSize | None = Field(
        None, description="Validation rows: a number or a fraction; split off, or sampled from a separate file."
    )
    test_size: SplitSize | None = Field(
        None, description="Test rows: a number or a fraction; split off, or sampled from a separate file."
    )
    folds: int | None = Field(
        None, ge=2, description="Cross-validation with this many folds; each fold is the test split once."
    )
    fold: int | None = Field(None, ge=0, description="Fold that is the test split of this run, from 0.")
    folds_of: Literal["train"] | None = Field(
        None,
        description="train: the folds are of the training rows, each is the validation split once, and the data's own "
        "validation and test rows are left out (what finetune tune chooses by). Default: all rows, each fold is test "
        "once.",
    )
    split_seed: Seed = Field(0, description="Seed of the splits, independent of the run's seed.")
    subset: int | None = Field(
        None,
        ge=1,
        description="Train on this many of the training rows. With the same subset_seed, smaller subsets are "
        "contained in larger ones.",
    )
    subset_seed: Seed = Field(0, description="Seed of the subset.")
    probe_size: int | None = Field(
        None, ge=1, description="Training rows in the train sample. Default: as many as validation has."
    )
    max_length: int = Field(128, ge=4, description="Tokens that the model reads at once; see long_texts.")
    long_texts: Literal["head", "tail", "head_tail", "windows"] = Field(
        "head",
        description="Part of a text longer than max_length that is kept: its start (head); its end (tail); a quarter "
        "from the start and the rest from the end (head_tail); or all of it, in windows: training draws one window "
        "per text and epoch, evaluation averages the logits of all. Text pairs: head only.",
    )
    overlap: int | None = Field(
        None, ge=0, description="Tokens that neighbouring windows share (long_texts: windows). Default: 32."
    )
    check: bool = Field(
        True, description="Run the data checks (leaks, conflicting labels, shift, …) and measure baselines."
    )


class TrainingSection(Section):
    epochs: int = Field(10, ge=1, le=10_000, description="Passes over the training rows.")
    min_steps: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Minimum number of optimizer steps: with few training rows the epochs are raised to reach it, but "
        "not above 100. 0: the epochs stay as they are. Epochs that are set for a run (--set training.epochs=3) "
        "are not raised.",
    )
    batch_size: int = Field(
        16, ge=1, description="Rows per optimizer step, over all processes and accumulation steps together."
    )
    accumulation: int = Field(1, ge=1, description="Forward passes that share one optimizer step (saves memory).")
    group_by_length: bool = Field(
        False,
        description="Batch texts of similar length: less padding, so faster; the order of batches stays random.",
    )
    eval_batch_size: int = Field(64, ge=1, description="Rows per forward pass in evaluation.")
    learning_rate: Rate = Field(
        5e-5,
        description="Peak learning rate of AdamW; decays linearly to 0. auto: each run chooses from 2e-5, 5e-5, 1e-4 "
        "and 2e-4 by cross-validation on its training rows, which takes about eight times as long as the run itself.",
    )
    warmup: float = Field(
        0.1, ge=0, description="Warm-up steps: below 1 a fraction of all steps, from 1 on a number of steps."
    )
    max_grad_norm: float = Field(1.0, ge=0, description="Maximum gradient norm (clipping); 0 turns clipping off.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Precision of training passes; auto uses bf16 where the hardware supports it. The final results of "
        "a run are measured in fp32.",
    )
    kernels: Literal["fast", "plain"] = Field(
        "fast",
        description="fast: faster implementations of dropout, attention and the last layer, equal up to rounding; bf16 "
        "runs keep logits in fp32 and evaluate in bf16 until the end. plain: only the code of transformers.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: the training objective weights a row by n / (classes × rows of its class); with "
        "several labels, each has n / (2 × rows with it) where a row has it and n / (2 × rows without it) "
        "elsewhere.",
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="shuffled: every row once per epoch. balanced: as many rows per epoch, drawn so that all classes "
        "are equally frequent.",
    )
    score: Literal["auto", "accuracy", "macro_f1", "mcc"] = Field(
        "auto",
        description="Main score of a classification task: selects checkpoints and comes first in reports. auto: "
        "accuracy, or macro_f1 if one class has more than 60 % of the training rows.",
    )
    seeds: list[Seed] = Field(
        [0],
        min_length=1,
        description="One run per seed. A seed determines head initialisation, batch order, dropout and augmentation.",
    )
    metrics: list[str] = Field(
        [], description="Paths of your own `evaluate` modules, measured in addition to the built-in metrics."
    )
    report_to: Trackers = Field(
        [],
        description="Experiment trackers that log every run, such as [tensorboard, mlflow]. They write locally unless "
        "their own settings name a server, and change nothing in a run.",
    )


class Recipe(Section):
    """A resolved recipe, as `finetune show` prints it and every run record holds it. Immutable.

    `techniques` maps names of the registry to their settings; a technique that is not listed is off. If `rules` make
    settings depend on the size of the data, `apply_rules` gives the settings for one size. If the preset chooses by the
    data (`choices`), `choose` gives the recipe for one data set, with its `decisions`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    name: str
    preset: str | None = None
    model: ModelSection
    data: DataSection
    training: TrainingSection = TrainingSection()
    techniques: dict[str, SerializeAsAny[Technique]] = Field({})
    rules: dict[str, Any] = Field(
        {}, description="Settings of all techniques as written, if some depend on the size of the data."
    )

    choices: Choices | None = Field(None, description="Rules of a preset that chooses by the data.")
    decisions: list[Decision] = Field([], description="Decisions of those rules.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, defaults included, from which `load_recipe` gives the same recipe; `rules`, `choices` and
        `decisions` if there are any."""
        absent = {key for key in ("rules", "choices", "decisions") if not getattr(self, key)}
        return self.model_dump(mode="json", exclude=absent)

    def recorded(self) -> dict[str, Any]:
        """Like `to_dict`, without the trackers: the form that a record holds and is compared with."""
        plain = self.to_dict()
        for key in TELLING_KEYS:
            del plain["training"][key]
        return plain
