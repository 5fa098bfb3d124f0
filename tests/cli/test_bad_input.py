"""`finetune run` with whatever can be wrong: exit 2, one line for each problem, and nothing left on the disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.recipe import resolve
from finetune.records.facts import CodeVersion, Device, ModelFacts, RunBudget
from finetune.records.schema import Checkpoint, DataFacts, RunRecord, Status
from finetune.records.store import RunFolder
from finetune.workflows.run import _OneSeed
from tests.cli.invoking import error_lines, invoke, listing, program
from tests.conftest import labelled_texts, write_csv

Write = Callable[..., Path]
really_run = _OneSeed.run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder: the default output is runs/ below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gets through all checks must fail the test, not train for seconds."""

    def fail(*arguments: Any) -> None:
        pytest.fail("training was started")

    monkeypatch.setattr(_OneSeed, "run", fail)


def problems_of_run(*arguments: object, output: object = "out") -> list[str]:
    """Complaints of a run that must be refused and must leave the disk as it was."""
    before = listing(Path.cwd())
    folders = sorted(path for path in Path.cwd().rglob("*") if path.is_dir())
    options = [] if output is None else ["--output", output]
    result = invoke("run", *arguments, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert listing(Path.cwd()) == before
    assert sorted(path for path in Path.cwd().rglob("*") if path.is_dir()) == folders
    errors = error_lines(result.stderr)
    assert errors
    return [line.removeprefix("error: ") for line in errors]


def only_problem_of_run(*arguments: object, output: object = "out") -> str:
    problems = problems_of_run(*arguments, output=output)
    assert len(problems) == 1, problems
    return problems[0]


# --- recipes and options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tweet"], "'tweet' is not a recipe. Did you mean tweets?"),
        (["nope.yaml"], "nope.yaml: no such recipe file."),
        (["tweets", "--preset", "strng"], "'strng' is not a preset. Did you mean strong?"),
        (["tweets", "--preset", "nope.yaml"], "nope.yaml: no such preset file."),
        (["tweets", "--set", "training.epochs=0"], "--set training.epochs: "),
        (["tweets", "--set", "training.epoch=3"], "--set training.epoch: unknown key. Did you mean epochs?"),
        (["tweets", "--set", "trainig.epochs=3"], "'trainig' is not a section of a recipe. Did you mean training?"),
        (["tweets", "--set", "epochs=3"], "Did you mean training.epochs?"),
        (["tweets", "--set", "l1=1"], "Did you mean techniques.l1?"),
        (["tweets", "--set", "l1.strength=1"], "Did you mean techniques.l1.strength?"),
        (["tweets", "--set", "training.epochs"], "expected dotted.key=value"),
        (["tweets", "--set", "training.seeds=[1"], "not valid YAML"),
        (["tweets", "--set", "techniques.dropot.hidden=0.1"], "Did you mean dropout or r_drop?"),
        (["tweets", "--seed", "1", "--seed", "1"], "--seed: training.seeds: [1, 1] repeats a seed"),
        (["tweets", "-p", "strong", "--set", "techniques.early_stopping.min_epochs=4"], "early_stopping.min_epochs"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments: list[str], expected: str) -> None:
    assert expected in only_problem_of_run(*arguments)


def test_a_seed_that_no_generator_takes_is_refused(write_recipe: Write) -> None:
    result = invoke("run", write_recipe(), "--seed", 2**32, "--output", "out")
    assert result.exit_code == 2
    assert "seed" in result.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["model.id: is missing", "data.source: is missing"]),
        ("- a\n", ["expected 'key: value' lines, found a list"]),
        ("model: {id: m\n", ["not valid YAML"]),
        ("model: {id: m}\nmodel: {id: n}\n", ["'model' is given twice, in lines 1 and 2"]),
        (
            "model: {id: m}\ndata: {source: d.csv}\ntraining: {epochs: ten, seeds: []}\nfoo: 1\n",
            ["epochs", "seeds", "foo"],
        ),
    ],
)
def test_a_broken_recipe_is_refused_with_every_problem(here: Path, content: str, expected: list[str]) -> None:
    (here / "mine.yaml").write_text(content, encoding="utf-8")
    problems = problems_of_run("mine.yaml")
    assert len(problems) == len(expected)
    for words in expected:
        assert sum(words in problem for problem in problems) == 1, (words, problems)


def test_a_recipe_that_is_not_utf8_is_refused(here: Path) -> None:
    (here / "mine.yaml").write_bytes(b"model: {id: caf\xe9}\n")
    assert "mine.yaml: cannot be read as UTF-8" in only_problem_of_run("mine.yaml")


def test_a_preset_with_a_section_is_refused(here: Path) -> None:
    (here / "own.yaml").write_text("training: {epochs: 3}\n", encoding="utf-8")
    assert "'training' is not a technique" in only_problem_of_run("tweets", "--preset", "own.yaml")


# --- data ------------------------------------------------------------------------------------------------------

GOOD = "text,label\n" + "".join(f"{text},{label}\n" for text, label in labelled_texts(80))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"text,label\n", "has columns but no rows"),
        (GOOD.replace("text,label", "text,text").encode(), "Columns: text (column 1), text (column 2)"),
        (GOOD.replace("text,label", ",label").encode(), "column 1 has no name"),
        (GOOD.replace(",", ";").encode() + b"short\n", "The delimiter looks like ';'"),
        (GOOD.replace("text,label", "foo,bar").encode(), "no column that is recognised as the text"),
        (b"text,foo,bar\none,a,b\n", "no column that is recognised as the label"),
        (GOOD.encode() + b"one,two,three\n", "line 82: 3 cells where the header has 2"),
        (GOOD.encode() + b"one\n", "line 82: 1 cells where the header has 2"),
        (GOOD.encode() + b"\xc3\xa9\xc3\xa9,good\ncaf\xe9,good\n", "line 83: byte 0xe9 is not utf-8"),
        (GOOD.encode() + b"o\0ne,good\n", "line 82: holds a NUL character"),
        (GOOD.replace(",bad", ",good").encode(), "at least two classes are needed"),
        (b"text,label\none,a\n", "data."),
        (b"text,label\n" + b"".join(b"%d,%d\n" % (i, i % 2) for i in range(80)), "holds numbers, not texts"),
        (b"text,label\n" + b"".join(b"same,%d\n" % (i % 2) for i in range(80)), "same text, different labels"),
    ],
    ids=[
        "empty",
        "blank",
        "header only",
        "repeated column",
        "nameless column",
        "delimiter",
        "no text column",
        "no label column",
        "long row",
        "short row",
        "encoding",
        "nul",
        "one class",
        "one row",
        "numbers",
        "contradictions",
    ],
)
def test_bad_data_is_refused_in_one_line(write_recipe: Write, here: Path, content: bytes, expected: str) -> None:
    path = here / "bad.csv"
    path.write_bytes(content)
    assert expected in only_problem_of_run(write_recipe(data={"source": str(path), "deduplicate": True}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a", "label": "x"}\n{bad}\n', "line 2: not JSON"),
        ('{"text": "a", "label": "x"}\n[1]\n', "line 2: expected an object"),
        ('{"text": "a", "label": "x"}\n{"text": ["b"], "label": "y"}\n', "holds ['b'], which is not a text (row 2)"),
        ('{"text": "a", "label": {"x": 1}}\n{"text": "b", "label": {"x": 2}}\n', "A label is 1 or 0"),
        ('{"text": "a"}\n', "no column that is recognised as the label"),
    ],
    ids=["no json", "no object", "two kinds", "objects", "no label"],
)
def test_bad_json_lines_are_refused_in_one_line(write_recipe: Write, here: Path, content: str, expected: str) -> None:
    path = here / "bad.jsonl"
    path.write_text(content, encoding="utf-8")
    assert expected in only_problem_of_run(write_recipe(data={"source": str(path)}))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("bad.parquet", b"PAR1 half a file", "cannot be read as Parquet"),
        ("bad.json", b'[{"text": "a", "label": "x"}', "line 1: not JSON"),
        ("bad.json", b'{"text": "a", "label": "x"}', "is one object with no list of objects"),
        ("bad.ndjson", b'{"text": "a", "text": "b"}\n', "key 'text' is given twice"),
        ("bad.tsv", b"text\tlabel\none\n", "line 2: 1 cells where the header has 2"),
    ],
    ids=["half a Parquet file", "half a JSON file", "one JSON object", "repeated key", "ragged TSV"],
)
def test_a_bad_file_of_any_format_is_refused_in_one_line(
    write_recipe: Write, here: Path, name: str, content: bytes, expected: str
) -> None:
    (here / name).write_bytes(content)
    assert expected in only_problem_of_run(write_recipe(data={"source": name}))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"source": "nope.csv"}, "data.source: no file or folder 'nope.csv'"),
        ({"source": "package:no_such_package/x.csv"}, "package 'no_such_package' is not installed"),
        ({"source": "."}, "holds no train file"),
        ({"source": "tiny.yaml"}, "expected the NLU data of Rasa… A recipe is given without --data"),
        ({"source": "hub:nobody/nothing"}, "no data set 'nobody/nothing' from the hub"),
        ({"config": "small"}, "data.config: has no meaning"),
        ({"test": "nope.csv"}, "data.test: no file or folder 'nope.csv'"),
        ({"text": "txt"}, "data.text: … has no column 'txt'. Did you mean text?"),
        ({"label": "lable"}, "data.label: … has no column 'lable'. Did you mean label?"),
        ({"text_pair": "second"}, "data.text_pair: … has no column 'second'"),
        ({"minimum": {"confidence": 0.5}}, "data.minimum: … has no column 'confidence'"),
        ({"encoding": "klingon"}, "data.encoding: Python has no text encoding 'klingon'"),
        ({"delimiter": "::"}, "data.delimiter: string should have at most 1 character"),
        ({"task": "regression"}, "is not a number, but data.task is regression"),
        ({"labels": ["good", "badd"]}, "data.labels: lacks 'bad'"),
        ({"drop_labels": ["bad"]}, "at least two classes are needed"),
        ({"drop_labels": ["bad", "good"]}, "no rows are left"),
        ({"test_size": 80}, "data.test_size: "),
        ({"validation_size": 70}, "data.validation_size: "),
        ({"train_size": 1000}, "data.train_size: "),
        ({"max_length": 1000}, "data.max_length: 1000 tokens, but this model takes at most 64"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_data_settings_that_do_not_fit_the_file_are_refused(
    write_recipe: Write, settings: dict[str, Any], expected: str
) -> None:
    problem = only_problem_of_run(write_recipe(data=settings))
    for words in expected.split("… "):  # the file's path stands in between
        assert words in problem


# --- model, metrics, budget ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("/no/such/folder", "model.id: no folder '/no/such/folder'"),
        ("./nope", "model.id: no folder './nope'"),
        (".", "holds no config.json"),
        ("no-such-owner/no-such-model", "no-such-owner/no-such-model"),
        ("two words", "two words"),
        ("package:no_such_package/model", "package 'no_such_package' is not installed"),
        ("package:json/model", "package 'json' is installed but has no 'model'"),
    ],
)
def test_a_model_that_cannot_be_had_is_refused(write_recipe: Write, model: str, expected: str) -> None:
    problem = only_problem_of_run(write_recipe(), "--model", model)
    assert problem.startswith("model.id: ")
    assert expected in problem


def test_a_model_with_another_hash_is_refused(write_recipe: Write) -> None:
    problem = only_problem_of_run(write_recipe(), "--set", f"model.sha256='{'0' * 64}'")
    assert problem.startswith("model.sha256: ")
    assert "not the model of this recipe" in problem


@pytest.fixture
def model_copy(here: Path, tiny_model: Path) -> Path:
    """A model folder that a test may damage."""
    return Path(shutil.copytree(tiny_model, here / "model"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "nonsense"}'),
        ("config.json", '{"model_type": "vit"}'),
        ("config.json", '{"model_type": "bert", "hidden_size": 7, "num_attention_heads": 2}'),
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", "{"),
    ],
    ids=[
        "half",
        "nothing",
        "list",
        "unknown",
        "no text head",
        "sizes",
        "half tokenizer",
        "no tokenizer",
        "half settings",
    ],
)
def test_a_damaged_model_folder_is_refused(write_recipe: Write, model_copy: Path, file: str, content: str) -> None:
    (model_copy / file).write_text(content, encoding="utf-8")
    assert only_problem_of_run(write_recipe(), "--model", "model").startswith("model.id: ")


def test_a_model_folder_without_a_tokenizer_is_refused(write_recipe: Write, model_copy: Path) -> None:
    """transformers makes an empty vocabulary then, and every word of every text is unknown."""
    for path in model_copy.glob("tokenizer*"):
        path.unlink()
    assert only_problem_of_run(write_recipe(), "--model", "model").startswith("model.id: ")


def test_a_tokenizer_that_cannot_pad_is_refused(write_recipe: Write, model_copy: Path) -> None:
    path = model_copy / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["pad_token"]
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert "pad" in only_problem_of_run(write_recipe(), "--model", "model")


@pytest.mark.parametrize("weights", [None, b"", b"no weights"], ids=["missing", "empty", "damaged"])
def test_a_model_without_weights_is_refused_and_leaves_no_folder(
    write_recipe: Write, model_copy: Path, monkeypatch: pytest.MonkeyPatch, weights: bytes | None
) -> None:
    monkeypatch.setattr(_OneSeed, "run", really_run)
    (model_copy / "model.safetensors").unlink()
    if weights is not None:
        (model_copy / "model.safetensors").write_bytes(weights)
    assert only_problem_of_run(write_recipe(), "--model", "model").startswith("model.id: ")


def test_a_folder_that_only_holds_a_lock_is_free(here: Path) -> None:
    """Left by a run that could not start: the same command must work once the reason is mended."""
    (here / "out").mkdir()
    (here / "out" / ".lock").touch()
    RunFolder(here / "out").check_free()


def test_a_missing_metric_is_refused(write_recipe: Write) -> None:
    assert "no evaluate module at 'nope.py'" in only_problem_of_run(write_recipe(), "--metric", "nope.py")


def test_a_metric_that_does_not_import_is_refused(write_recipe: Write, here: Path) -> None:
    (here / "broken.py").write_text("import no_such_module_anywhere\n", encoding="utf-8")
    assert "broken.py cannot be loaded" in only_problem_of_run(write_recipe(), "--metric", "broken.py")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["training.warmup=1000"], "training.warmup: 1000 warm-up steps in a run of 18 steps"),
        (["techniques.early_stopping={patience: 1, metric: acuracy}"], "Did you mean accuracy?"),
        (["data.task=multi_label", "techniques.label_smoothing={}"], "techniques.label_smoothing: has no meaning"),
        (["data.task=multi_label", "training.sampling=balanced"], "training.sampling"),
    ],
)
def test_settings_that_cannot_act_are_refused(write_recipe: Write, overrides: list[str], expected: str) -> None:
    arguments = [part for override in overrides for part in ("--set", override)]
    assert expected in only_problem_of_run(write_recipe(), *arguments)


def test_settings_that_cannot_act_on_this_data_are_refused(write_recipe: Write, here: Path) -> None:
    rows = [(text, index + 0.5) for index, (text, _) in enumerate(labelled_texts(80))]
    path = write_csv(here / "numbers.csv", ["text", "label"], rows)
    recipe = write_recipe(data={"source": str(path)}, techniques={"label_smoothing": {"smoothing": 0.1}})
    problems = problems_of_run(recipe, "--set", "training.class_weights=balanced", "--set", "training.warmup=1000")
    assert len(problems) == 3
    for key in ("techniques.label_smoothing", "training.class_weights", "training.warmup"):
        assert sum(problem.startswith(key) for problem in problems) == 1


# --- output ----------------------------------------------------------------------------------------------------


def write_record(folder: Path, recipe: Path, status: Status, seed: int = 0) -> None:
    """What a run of this recipe leaves when it ends with this status."""
    facts = DataFacts(
        task="single_label", labels=["bad", "good"], columns={}, rows={}, classes={}, dropped={}, notes=[], warnings=[],
        fingerprint="0" * 64,
    )  # fmt: skip
    record = RunRecord(
        status="running", recipe=resolve(str(recipe)).recipe.to_dict(), preset=None, seed=seed, data=facts,
        model=ModelFacts(architecture="Bert", parameters=10, dropout={}), techniques={}, versions={},
        budget=RunBudget(steps=1, steps_per_epoch=1, warmup_steps=0, processes=1, precision="fp32", cost=1),
        code=CodeVersion(version="1"), device=Device(kind="cpu", name="cpu", cpu_threads=1),
    )  # fmt: skip
    measured = Checkpoint(step=1, epoch=1.0, train_probe={}, validation={}, gap={})
    record = (
        record.finish(selected=measured, last=measured)
        if status == "finished"
        else record.model_copy(update={"status": status})
    )
    RunFolder(folder).write(record)


def test_an_output_that_is_a_file_is_refused(write_recipe: Write, here: Path) -> None:
    (here / "out").write_text("mine", encoding="utf-8")
    assert only_problem_of_run(write_recipe()) == "--output out: is a file. Choose a folder."


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["", "resume"])
@pytest.mark.parametrize("output", ["out", "out/below"])
def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_is_loaded(
    write_recipe: Write, here: Path, output: str, resume: list[str]
) -> None:
    (here / "out").write_text("mine", encoding="utf-8")
    recipe = write_recipe(data={"source": "nope.csv"})
    assert "--output out" in only_problem_of_run(recipe, *resume, output=output)


def test_a_folder_of_something_else_is_refused(write_recipe: Write, here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "thesis.txt").write_text("mine", encoding="utf-8")
    assert only_problem_of_run(write_recipe()) == (
        "--output out: is not empty and holds no run. Choose another folder."
    )
    assert "holds no run record" in only_problem_of_run(write_recipe(), "--resume")


def test_the_folder_of_a_finished_run_is_refused(write_recipe: Write, here: Path) -> None:
    write_record(here / "out", write_recipe(), "finished")
    assert only_problem_of_run(write_recipe()).startswith("--output out: holds a finished run. Choose another folder")


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_the_folder_of_an_unfinished_run_is_refused_and_resume_is_offered(
    write_recipe: Write, here: Path, status: Status
) -> None:
    write_record(here / "out", write_recipe(), status)
    problem = only_problem_of_run(write_recipe())
    assert problem.startswith(f"--output out: holds an unfinished run ({status}).")
    assert "--resume" in problem


def test_one_folder_in_use_stops_the_runs_of_all_seeds(write_recipe: Write, here: Path) -> None:
    write_record(here / "out" / "seed-2", write_recipe(), "finished", seed=2)
    problem = only_problem_of_run(write_recipe(), "--seed", 1, "--seed", 2)
    assert problem.startswith("--output out/seed-2: holds a finished run.")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 99}', '{"schema_version": 1}', "5"])
def test_a_damaged_record_is_refused_and_kept(write_recipe: Write, here: Path, content: str) -> None:
    (here / "out").mkdir()
    (here / "out" / "run.json").write_text(content, encoding="utf-8")
    for options in ([], ["--resume"]):
        assert only_problem_of_run(write_recipe(), *options).startswith("out/run.json: ")


def test_the_default_folder_does_not_collide_with_an_earlier_run(
    write_recipe: Write, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Path] = []

    def remember(one: _OneSeed) -> None:
        chosen.append(one.folder.path)
        raise KeyboardInterrupt

    monkeypatch.setattr(_OneSeed, "run", remember)
    for _ in range(3):
        assert invoke("run", write_recipe()).exit_code == 130
        chosen[-1].mkdir(parents=True)
    assert [str(path) for path in chosen] == [f"runs/tiny-own-seed0{suffix}" for suffix in ("", "-2", "-3")]


# --- resume ----------------------------------------------------------------------------------------------------


def test_resuming_without_any_run_is_refused(write_recipe: Write) -> None:
    problem = only_problem_of_run(write_recipe(), "--resume", output=None)
    assert problem == "--resume: runs/tiny-own-seed0 holds no run record. Leave it out, or name the folder of a run."


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "empty"])
def test_resuming_a_named_folder_without_a_run_is_refused(write_recipe: Write, here: Path, exists: bool) -> None:
    if exists:
        (here / "out").mkdir()
    assert "--resume" in only_problem_of_run(write_recipe(), "--resume")


def test_resuming_with_another_recipe_names_the_key_and_both_values(write_recipe: Write, here: Path) -> None:
    write_record(here / "out", write_recipe(), "interrupted")
    problem = only_problem_of_run(write_recipe(), "--resume", "--set", "training.epochs=7")
    assert problem.startswith("--resume: out is a run of another recipe: training.epochs: 3 then, 7 now.")


def test_resuming_with_another_seed_names_the_one_to_type(write_recipe: Write, here: Path) -> None:
    write_record(here / "out", write_recipe(), "interrupted", seed=4)
    assert only_problem_of_run(write_recipe(), "--resume", "--seed", 5).endswith("was run with seed 4. Try: --seed 4")


# --- the real program ------------------------------------------------------------------------------------------


def test_the_program_refuses_a_wrong_recipe_without_a_traceback(here: Path) -> None:
    done = program("run", "tweets", "--set", "training.epochs=0", "--output", "out", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert error_lines(done.stderr) == [
        "error: --set training.epochs: input should be greater than or equal to 1; found 0."
    ]
    assert list(here.iterdir()) == []


def test_the_program_refuses_bad_data_without_a_traceback(write_recipe: Write, here: Path) -> None:
    (here / "bad.jsonl").write_text('{"text": "a", "label": "x"}\n{bad}\n', encoding="utf-8")
    recipe = write_recipe(data={"source": "bad.jsonl"})
    before = listing(here)
    done = program("run", recipe, "--output", "out", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert error_lines(done.stderr)[0].startswith("error: bad.jsonl line 2: not JSON: ")
    assert len(error_lines(done.stderr)) == 1
    assert listing(here) == before
