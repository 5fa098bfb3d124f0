"""README.md of a model folder: what the hub reads, what a reader needs, and nothing of the user's texts."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

import finetune
from finetune.records.predictions import read_run
from finetune.records.schema import Finding, FinishedRecord
from finetune.records.store import RunFolder
from finetune.reports.model_card import model_card
from finetune.workflows.model_cards import own_evaluation
from tests.analysis.making import Run, write_run
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, write_csv

Write = Callable[..., Path]


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
def test_a_run_leaves_a_card_that_the_hub_can_read(write_recipe: Write, tmp_path: Path, task: str) -> None:
    labels = {"single_label": "{0}", "multi_label": "{0}|x", "regression": "{1}.5"}[task]
    rows = [(text, labels.format(label, index % 9)) for index, (text, label) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "secret-folder.csv", ["text", "label"], rows)
    result = finetune.run(write_recipe(data={"source": str(source), "task": task}), output=tmp_path / "run")
    text = (result.model / "README.md").read_text(encoding="utf-8")
    card = ModelCard.load(result.model / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-classification")
    name, results = model_index_to_eval_results(yaml.safe_load(text.split("---\n")[1])["model-index"])
    assert name == card.data.model_name
    measured = result.record.selected.test or {}
    for each in results:
        key = next(key for key, value in measured.items() if value == pytest.approx(each.metric_value, abs=1e-6))
        assert each.dataset_split == "test"
        assert key in ("accuracy", "macro_f1", "micro_f1", "mcc", "brier", "average_precision", *measured)
    assert {each.metric_type for each in results} == set(card.data.metrics)
    assert not any(row in text for row, _ in rows), "a text of the user's data is in the card"
    assert str(tmp_path) not in text, "a path of this machine is in the card"
    for heading in ("How to use it", "Results", "Training data", "Training", "Limits", "How to reproduce it"):
        assert f"\n## {heading}\n" in text
    assert ("\n## Labels\n" in text) == (task != "regression")


def test_its_code_and_its_recipe_work(write_recipe: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(tmp_path / "run")
    finetune.run(write_recipe(), output=run.path)
    text = (run.model / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```(python|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[::-1])
    codes = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(codes) == 2
    for number, code in enumerate(codes):
        script = tmp_path / f"code{number}.py"
        script.write_text(code.replace("path/to/this/folder", str(run.model)), encoding="utf-8")
        runpy.run_path(str(script))
        assert re.search("good|bad", capsys.readouterr().out)
    recipe = yaml.safe_load(blocks["yaml"])
    record = run.read()
    assert record is not None
    recipe["data"]["source"], recipe["model"]["id"] = (
        record.recipe["data"]["source"],
        record.recipe["model"]["id"],
    )
    assert recipe == {name: record.recipe[name] for name in recipe}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert invoke("validate", tmp_path / "again.yaml").exit_code == 0


def test_no_path_of_this_machine_is_in_a_card_and_no_setting_is_cut(tmp_path: Path) -> None:
    """Paths of data, model, metrics and helper models of any system; a template keeps its lines, at any length."""
    template = "{title}\n" + "Answer with one word. " * 20 + "{body}"
    recipe = {
        "model": {"id": r"C:\Users\alice\models\bert"},
        "data": {
            "source": "/home/alice/reviews/train.csv",
            "test": "~/held-out/test.csv",
            "split_file": "/srv/alice/split.json",
            "template": template,
            "long_texts": "head",
            "max_length": 32,
        },
        "training": {"metrics": ["/home/alice/metrics/mine.py"], "batch_size": 8, "learning_rate": 0.001},
    }
    techniques = {"contextual": {"model": "/home/alice/models/helper"}}
    finding = Finding(
        check="leaks", level="problem", text="/srv/alice/split.json: 3 rows", advice="See ~/held-out/test.csv"
    )
    folder = RunFolder(write_run(tmp_path / "run", Run(recipe=recipe, techniques=techniques, findings=[finding])))
    record, arrays = read_run(folder)
    assert isinstance(record, FinishedRecord)
    data = record.data.model_copy(update={"classes": {**record.data.classes, "train": {"bad": 50, "good": 50}}})
    record = record.model_copy(update={"data": data})
    card = model_card(record, own_evaluation(record, arrays, folder.model), {}, True)
    for part in ("alice", "/home", "/srv", "Users", "held-out", str(tmp_path)):
        assert part not in card, part
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    again = yaml.safe_load(text)
    assert (again["model"]["id"], again["data"]["source"], again["data"]["test"]) == ("bert", "train.csv", "test.csv")
    assert again["training"]["metrics"] == ["mine.py"]
    assert again["techniques"] == {"contextual": {"model": "helper"}}
    assert again["data"]["template"] == template


def test_a_comparison_has_a_card_beside_its_model(write_recipe: Write, tmp_path: Path, without_plots: None) -> None:
    result = finetune.compare(
        write_recipe(training={"epochs": 1}),
        presets=["none", "light"],
        seeds=1,
        executor="inline",
        output=tmp_path / "c",
        final="best",
    )
    assert result.model is not None
    assert "## How to use it" in (result.model / "README.md").read_text(encoding="utf-8")
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], labelled_texts(24, 900))
    report = finetune.evaluate(tmp_path / "c", rows).report
    assert report.recorded is not None, "the run that the model comes from lies in cells/"
    assert report.missing == []
