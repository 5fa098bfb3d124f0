"""What a recipe may say. Every default is here or in a YAML file, with its unit; none is hidden in code."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializeAsAny

from finetune.techniques import Technique

TaskName = Literal["auto", "single_label", "multi_label", "regression"]


def _check_size(size: float) -> float:
    if not (isinstance(size, int) and size >= 1) and not (isinstance(size, float) and 0 < size < 1):
        raise ValueError("expected a whole number of rows from 1, or a share between 0 and 1")
    return size


Size = Annotated[int | float, AfterValidator(_check_size)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every random generator takes


class Section(BaseModel):
    """Strict: an unknown key or a value of the wrong kind is an error, never a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelSection(Section):
    id: str = Field(
        min_length=1, description="A hub id, a local folder, or package:NAME/folder inside an installed package."
    )
    revision: str | None = Field(None, description="Commit or tag on the hub; a commit makes the run repeatable.")
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="What model.safetensors must hash to; checked before loading.",
    )


class DataSection(Section):
    source: str = Field(
        min_length=1,
        description="A .csv, .tsv, .json, .jsonl or .parquet file; a folder with train/validation/test files, or one "
        "that datasets saved; a hub id (hub:NAME); or package:NAME/file.",
    )
    config: str | None = Field(None, description="Configuration of a hub data set, such as sst2 of hub:nyu-mll/glue.")
    revision: str | None = Field(None, description="Commit or tag of a hub data set; a commit makes it repeatable.")
    split_names: dict[str, str | None] = Field(
        {},
        description="Which split of a hub or saved data set is train, validation or test, where it has other names; "
        "null leaves one out.",
    )
    validation: str | None = Field(None, description="File with the validation split, when it is not in source.")
    test: str | None = Field(None, description="File with the test split, when it is not in source.")
    text: str | None = Field(None, description="Column with the text; recognised by its name when left out.")
    template: str | None = Field(
        None, min_length=1, description="Joins several columns to the text, as in '{title}: {body}'; instead of text."
    )
    text_pair: str | None = Field(None, description="Column with the second text of a pair.")
    label: str | list[str] | None = Field(
        None,
        min_length=1,
        description="Column with the label; recognised by its name when left out. A list: one 0/1 column a label.",
    )
    label_map: dict[str, str] = Field(
        {}, description="Label as the file has it -> its name, for every label: {0: negative, 1: positive}."
    )
    task: TaskName = Field("auto", description="What is predicted; auto tells it from the labels and says so.")
    label_separator: str = Field("|", min_length=1, description="What stands between labels of a multi-label cell.")
    labels: list[str] | None = Field(None, min_length=1, description="Label names in the order of the logits.")
    drop_labels: list[str] = Field([], description="Rows with these labels are left out.")
    minimum: dict[str, float] = Field({}, description="Keep rows whose number in this column is at least this.")
    deduplicate: bool = Field(
        False, description="Keep one row per text (case and spacing aside); drop texts with two labels."
    )
    drop_leaks: bool = Field(
        False,
        description="Leave out of training what is (nearly) a validation or test row, and of validation what is "
        "(nearly) a test row.",
    )
    skip_bad_rows: bool = Field(
        False, description="Leave out rows that cannot be read, counted and named, instead of stopping at the first."
    )
    encoding: str | None = Field(None, description="Text encoding of the files; told from their bytes when left out.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="CSV delimiter; told from the first rows when left out."
    )
    group: str | None = Field(
        None, description="Column such as author: rows of one group are never on both sides of a split."
    )
    order_by: str | None = Field(
        None, description="Column with dates or numbers: train is what came first, test what came last."
    )
    split_file: str | None = Field(
        None, description="The split.json of an earlier run: the same rows in the same splits."
    )
    train_size: Size | None = Field(None, description="Rows (or share) to train on; all that is left, if unset.")
    validation_size: Size | None = Field(
        None, description="Rows (or share) of validation: split off, or kept of its own file."
    )
    test_size: Size | None = Field(
        None, description="Rows (or share) of the final test: split off, or kept of its own file."
    )
    folds: int | None = Field(
        None, ge=2, description="Cross-validation: rows are cut into this many folds; each is the test split once."
    )
    fold: int | None = Field(None, ge=0, description="The fold that is the test split of this run, from 0.")
    split_seed: Seed = Field(0, description="Who is in which split. Independent of the run's seed.")
    subset: int | None = Field(
        None,
        ge=1,
        description="Train on this many of the training rows; of one subset_seed, the smaller ones lie in the larger.",
    )
    subset_seed: Seed = Field(0, description="Who is in the subset.")
    probe_size: int | None = Field(
        None, ge=1, description="Training rows measured like validation; as many as validation, if unset."
    )
    max_length: int = Field(128, ge=4, description="Tokens that the model sees at once; what is longer is cut.")
    long_texts: Literal["head", "tail", "head_tail", "windows"] = Field(
        "head",
        description="What is kept of a text over max_length: its start, its end, a quarter from the start and the rest "
        "from the end, or all of it in windows: training draws one a text and epoch, measuring averages their logits. "
        "Pairs: head only.",
    )
    overlap: int | None = Field(
        None, ge=0, description="Tokens that neighbouring windows share (long_texts: windows); 32 when left out."
    )
    check: bool = Field(
        True, description="Look for leaks, conflicting labels, shift and more before a run, and measure baselines."
    )


class TrainingSection(Section):
    epochs: int = Field(10, ge=1, le=10_000, description="Passes over the training rows.")
    batch_size: int = Field(
        16, ge=1, description="Rows per optimizer step, over all processes and accumulation steps together."
    )
    accumulation: int = Field(1, ge=1, description="Forward passes that share one optimizer step (saves memory).")
    group_by_length: bool = Field(
        False,
        description="Put texts of like length into one batch: less padding, so faster; order stays random.",
    )
    eval_batch_size: int = Field(64, ge=1, description="Rows per forward pass when measuring.")
    learning_rate: float = Field(5e-5, gt=0, lt=1, description="Peak learning rate of AdamW; linear decay to 0.")
    warmup: float = Field(
        0.1, ge=0, description="Rising steps: a share of all steps below 1, a number of steps from 1."
    )
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are scaled down to this norm; 0 turns it off.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Of the training passes; auto takes bf16 where the hardware has it. What a run reports in the end "
        "is measured in fp32.",
    )
    kernels: Literal["fast", "plain"] = Field(
        "fast",
        description="fast: our own code where it computes the same up to rounding in less time (dropout, attention, "
        "last layer); bf16 runs keep logits in fp32 and are measured in bf16 until they end. plain: transformers' "
        "code alone.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced weighs a row by n / (classes × rows of its class) in the training objective.",
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="shuffled: every row once an epoch. balanced: as many rows an epoch, drawn so that all classes "
        "come equally often.",
    )
    score: Literal["auto", "accuracy", "macro_f1", "mcc"] = Field(
        "auto",
        description="Main score of classes: it selects, and reports lead with it. auto: accuracy, or macro_f1 where "
        "one class has more than 60 % of the training rows.",
    )
    seeds: list[Seed] = Field([0], min_length=1, description="One run each: head, batch order, dropout, augmentation.")
    metrics: list[str] = Field([], description="Paths of your own `evaluate` modules, measured beside the built-in.")


class Recipe(Section):
    """A resolved recipe: what `finetune show` prints and every run record holds.

    `techniques` maps names of the registry to their settings; a technique that is not there is off. Where `rules` make
    settings depend on the size of the data, `at_size` puts in those that hold for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    name: str
    preset: str | None = None
    model: ModelSection
    data: DataSection
    training: TrainingSection = TrainingSection()
    techniques: dict[str, SerializeAsAny[Technique]] = {}
    rules: dict[str, Any] = Field(
        {}, description="Settings as written, of all techniques, where some depend on the size of the data."
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON, defaults included; `rules` only where there are any."""
        return self.model_dump(mode="json", exclude=None if self.rules else {"rules"})
