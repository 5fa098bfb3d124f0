"""README.md of a model folder: what the model is, how good it is and for what, how to use and reproduce it.

The metadata above the text is read by the Hugging Face hub: https://huggingface.co/docs/hub/model-cards. A card
contains no texts of the user's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from finetune.diagnosis.run_records import diagnose_run
from finetune.measurement.units import DASH, count_text, listed, metric_name, number_text, score_text
from finetune.portable import portable, without_folder
from finetune.records.evaluation import EvaluationReport
from finetune.records.schema import FinishedRecord
from finetune.reports import evaluation
from finetune.reports.blocks import Block, Bullets, Code, Facts, Prose, Section, Table
from finetune.reports.markdown import escape, section_lines
from finetune.reports.numbers import shorten
from finetune.reports.plan import excluded_rows
from finetune.reports.run_content import run_facts, scores_table, technique_lines

HUB_METRICS = {  # score -> what the hub calls it
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "mcc": "matthews_correlation",
    "average_precision": "average_precision",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "r2": "r_squared",
    "rmse": "rmse",
    "mae": "mae",
    "mse": "mse",
    "brier": "brier_score",
}
FOLDER = "path/to/this/folder"
PATHS = ("source", "validation", "test", "unlabelled", "split_file", "texts")  # keys of the data that may be paths
SECTIONS = ("model", "data", "training", "techniques")  # of a recipe file; what a preset chose is in them
FEW = 30  # training rows of a label below which the card says so
NAMED = 10  # labels in one sentence


def model_card(
    record: FinishedRecord, own: EvaluationReport, pipeline_arguments: Mapping[str, Any], sees_the_same: bool
) -> str:
    """The card of a run's model.

    Args:
        record: The record of the run.
        own: Evaluation of its test rows; of its validation rows if it has no test rows.
        pipeline_arguments: Arguments that transformers' pipeline must be called with.
        sees_the_same: Whether the pipeline reads a text of any length as training did.

    Returns:
        Markdown with metadata on top; the same record gives the same text.
    """
    lines = [f"# {escape(_name(record))}", "", escape(_about(record)), ""]
    for section in _sections(record, own, pipeline_arguments, sees_the_same):
        lines += section_lines(section)
    return f"---\n{card_metadata(record, own)}---\n\n" + "\n".join(lines).rstrip() + "\n"


def card_metadata(record: FinishedRecord, own: EvaluationReport) -> str:
    """The YAML on top, by the hub's own library."""
    from huggingface_hub import EvalResult, ModelCardData

    split = _split(own)
    base, source = str(record.recipe["model"]["id"]), str(record.recipe["data"]["source"])
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type=source.removeprefix("hub:") if source.startswith("hub:") else "own-data",
            dataset_name=shorten(str(record.recipe["name"]), 60),
            dataset_split=split,
            metric_type=HUB_METRICS[name],
            metric_name=metric_name(name),
            metric_value=round(score.value, 6),
        )
        for name, score in own.scores.items()
        if name in HUB_METRICS and score.value is not None
    ]
    data = ModelCardData(
        model_name=shorten(_name(record), 80),
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=base if _is_hub_id(base) else None,
        datasets=[source.removeprefix("hub:")] if source.startswith("hub:") else None,
        metrics=sorted({each.metric_type for each in results}),
        tags=["text-classification", "finetune", record.data.task.replace("_", "-")],
        eval_results=results,
    )
    return f"{data.to_yaml()}\n"


def _is_hub_id(name: str) -> bool:
    """Neither a folder nor a package: `bert-base-cased`, `microsoft/deberta-v3-base`."""
    return ":" not in name and name.count("/") <= 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _name(record: FinishedRecord) -> str:
    return f"{record.recipe['name']}, preset {record.preset or 'none'}, seed {record.seed}"


def _about(record: FinishedRecord) -> str:
    labels = record.data.labels
    what = {
        "single_label": f"A classifier of texts with one of {len(labels or ())} labels",
        "multi_label": f"A classifier of texts with any of {len(labels or ())} labels",
        "regression": "A model that predicts a number for a text",
    }[record.data.task]
    named = f" ({_labels(labels)})" if labels else ""
    pairs = " A row is a pair of texts." if "text_pair" in record.data.columns else ""
    shown = _shown_path(str(record.recipe["model"]["id"]))
    return f"{what}{named}, fine-tuned from {shown} with finetune {record.code.version}.{pairs}"


def _labels(labels: list[str]) -> str:
    shown = [shorten(label, 40) for label in labels[:NAMED]]
    return ", ".join(shown) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")


def _split(own: EvaluationReport) -> str:
    return own.recorded.split if own.recorded is not None else "test"


def _sections(
    record: FinishedRecord, own: EvaluationReport, pipeline_arguments: Mapping[str, Any], sees_the_same: bool
) -> list[Section]:
    found = [
        Section("use", "How to use it", _use(record, pipeline_arguments, sees_the_same)),
        Section("results", "Results", [scores_table(record), _own_scores(own), _remarks(record)]),
    ]
    if own.reliability:
        blocks: list[Block] = [Prose(text) for text in evaluation.calibration(own)]
        found.append(Section("calibration", "Calibration", [*blocks, evaluation.reliability_table(own.reliability)]))
    if own.classes:
        tables: list[Block] = [evaluation.classes_table(own)]
        if own.confusion is not None and len(own.confusion) <= evaluation.SHOWN_CLASSES:
            tables.append(evaluation.confusion_table(own))
        found.append(Section("classes", "Labels", tables))
    return [
        *found,
        Section("data", "Training data", _data(record)),
        Section("training", "Training", _training(record)),
        Section("limits", "Limits", [Bullets(_limits(record, own))]),
        Section("again", "How to reproduce it", _again(record)),
    ]


def _use(record: FinishedRecord, arguments: Mapping[str, Any], sees_the_same: bool) -> list[Block]:
    pair = "text_pair" in record.data.columns
    texts = '["a text"], ["its second text"]' if pair else '["a text", "another one"]'
    ours = f'import finetune\nclassifier = finetune.load("{FOLDER}")\nprint(classifier.predict({texts}).labels)\n'
    called = "".join(f", {name}={value!r}" for name, value in arguments.items())
    text = '{"text": "a text", "text_pair": "its second text"}' if pair else '"a text"'
    plain = (
        "from transformers import pipeline\n"
        f'classify = pipeline("text-classification", model="{FOLDER}")\n'
        f"print(classify({text}{called}))\n"
    )
    blocks: list[Block] = [
        Code("With finetune, as it was measured", ours, "python"),
        Code("Or for a file", f"finetune predict {FOLDER} --data new.csv\n", "bash"),
        Code("With transformers alone", plain, "python"),
    ]
    differs = []
    if record.calibration is not None:
        differs.append("probabilities that are not calibrated")
    if record.thresholds is not None:
        differs.append("probabilities of all labels, without the thresholds that were chosen on validation")
    if not sees_the_same:
        differs.append("a different part of texts that are too long for the model")
    if differs:
        blocks.append(Prose(f"With transformers alone you get {listed(differs)}."))
    return blocks


def _own_scores(own: EvaluationReport) -> Table:
    """With intervals, which the table of the run has of gaps alone."""
    table = evaluation.scores_table(own.model_copy(update={"recorded": None}))
    return replace(table, caption=f"All scores on the {_split(own)} rows")


def _remarks(record: FinishedRecord) -> Block:
    """What stands below a run's table, its diagnosis first."""
    facts = [(name, text) for name, text in run_facts(record) if name in ("Checkpoint", "Calibration", "Thresholds")]
    return Facts(
        [("Diagnosis", shorten(diagnose_run(record), 500)), *((name, shorten(text, 500)) for name, text in facts)]
    )


def _data(record: FinishedRecord) -> list[Block]:
    data = record.data
    rows = ", ".join(f"{name.replace('train_probe', 'train sample')} {count:,}" for name, count in data.rows.items())
    columns = ", ".join(f"{role}: {shorten(name, 60)}" for role, name in data.columns.items())
    entries = [("Source", _shown_path(str(record.recipe["data"]["source"]))), ("Rows", rows), ("Columns", columns)]
    if data.dropped:
        entries.append(("Left out", shorten(excluded_rows(data.dropped), 500)))
    if data.labels is not None:
        train = data.classes["train"]
        shown = [f"{shorten(name, 40)} {train[name]:,}" for name in data.labels[: 3 * NAMED]]
        entries.append(("Training rows of each label", ", ".join(shown)))
    entries.append(("Fingerprint", f"{data.fingerprint} (sha256 over texts and labels)"))
    found = [each for each in data.findings if each.level != "info"]
    warnings = [*data.warnings, *(f"{each.check.replace('_', ' ')}: {each.text} {each.advice}" for each in found)]
    title = "Warnings"
    portable = (_without_folders(text, record) for text in warnings)
    texts = [shorten(text, 400) for text in portable] or ["The data checks gave no warnings."]
    return [Facts(entries), Bullets(texts, user=True, title=title)]


def _training(record: FinishedRecord) -> list[Block]:
    budget, training = record.budget, record.recipe["training"]
    first, *further = technique_lines(record)
    rate = budget.learning_rate.value if budget.learning_rate is not None else training["learning_rate"]
    entries = [
        ("Preset", record.preset or "none"),
        ("Techniques", first),
        *((line.split()[0], " ".join(line.split()[1:])) for line in further),
        ("Steps", f"{budget.steps_done or budget.steps} of {budget.steps}, batches of {training['batch_size']}"),
        ("Learning rate", f"{rate:g}" if isinstance(rate, int | float) else str(rate)),
        ("Precision", budget.precision),
        ("Architecture", f"{record.model.architecture}, {record.model.parameters / 1e6:.1f} M parameters"),
        ("Pooling", record.model.pooling or DASH),
        ("Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    return [Facts([(name, shorten(text, 400)) for name, text in entries])]


def _limits(record: FinishedRecord, own: EvaluationReport) -> list[str]:
    score, split = own.scores[own.score], _split(own)
    section = record.recipe["data"]
    texts = [
        f"{metric_name(own.score).capitalize()} was measured on {count_text(own.rows, split + ' row')}: "
        f"{score_text(own.score, score.value)} is as uncertain as its interval above shows, and says nothing about "
        "texts of another kind. `finetune evaluate` measures the model on your own labelled rows, and shows how far "
        "they differ from the training rows.",
        "It is the model of one seed: another seed gives another model, with somewhat different scores.",
    ]
    if record.budget.trained_on_validation:
        texts.append(
            "It is a refit: the validation rows were training rows, too, so only test says how good it is. "
            "Temperature, thresholds and confidences were chosen on the predictions for them of the run that it "
            "repeats."
        )
    if split == "validation":
        texts.append("There was no test split: validation was also used for selection, so its scores are optimistic.")
    if section["long_texts"] != "windows":
        texts.append(f"Of a longer text only {section['max_length']} tokens are read (`{section['long_texts']}`).")
    if record.data.labels is not None:
        train = record.data.classes["train"]
        rare = [name for name in record.data.labels if train[name] < FEW]
        if rare:
            texts.append(f"Learned from fewer than {FEW} training rows each: {_labels(rare)}.")
    if record.calibration is not None and record.calibration.temperature > 1:
        temperature = number_text(record.calibration.temperature, 2)
        texts.append(f"Without its temperature ({temperature}) it is overconfident.")
    return [*texts, "The licence and the biases of the pretrained model and of the data apply to it, too."]


def _again(record: FinishedRecord) -> list[Block]:
    """The resolved recipe; paths of one machine are cut to the name of the file."""
    recipe = portable({name: record.recipe[name] for name in SECTIONS})
    code = record.code.version if record.code.commit is None else f"{record.code.version}, commit {record.code.commit}"
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    command = f"finetune run recipe.yaml --seed {record.seed}\n"
    how = ""
    if record.budget.trained_on_validation:
        how = (
            f" This trains the run that the refit repeats; a refit is made by `finetune compare`, here for "
            f"{record.budget.steps_done} steps on train and validation together."
        )
    return [
        Prose(
            "Save the following as `recipe.yaml`, replace the file names in it by your own paths, and run it with "
            f"finetune {code}. On a machine of the same kind with the same versions it gives the same numbers.{how}"
        ),
        Code("Command", command, "bash"),
        Code("Recipe", text, "yaml"),
        Facts([("Record", record.id)]),
    ]


def _shown_path(source: str) -> str:
    """Of a file its name alone, in one line."""
    return shorten(without_folder(source), 200)


def _without_folders(text: str, record: FinishedRecord) -> str:
    """A message that names files of this machine, with their names alone."""
    for path in filter(None, (record.recipe["data"].get(key) for key in PATHS)):
        text = text.replace(str(path), _shown_path(str(path)))
    return text
