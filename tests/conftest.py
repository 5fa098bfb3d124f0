"""Shared fixtures: tiny models of every architecture built from config, a word-level tokenizer, small data files."""

from __future__ import annotations

import csv
import gc
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before any library reads them: nothing is fetched, and nothing is cached in the home folder.
os.environ["HF_HUB_OFFLINE"] = "1"
_CACHE = tempfile.TemporaryDirectory(prefix="finetune-tests-", ignore_cleanup_errors=True)
os.environ["HF_HOME"] = _CACHE.name
os.environ["FINETUNE_CACHE"] = str(Path(_CACHE.name) / "finetune")
os.environ["XDG_STATE_HOME"] = str(Path(_CACHE.name) / "state")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.pop("COLUMNS", None)  # what is printed is as for a pipe, whatever terminal runs the tests
# A shell starts background jobs with Ctrl-C ignored, and children inherit that: tests that press it would wait on.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine an example may take any time: no test fails for being slow.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# What a report's plots are where they are not looked at: drawing takes most of a report's time.
BLANK_SVG = '<svg viewBox="0 0 1 1" role="img"></svg>'
BLANK_PNG = b"\x89PNG"

WORDS = [
    "good",
    "great",
    "fine",
    "nice",
    "lovely",
    "bad",
    "awful",
    "poor",
    "sad",
    "nasty",
    "movie",
    "film",
    "plot",
    "scene",
    "actor",
    "the",
    "a",
    "was",
    "is",
    "it",
    "not",
    "very",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MARKS = list(".,;:!?")

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "deberta-v2",
    "modernbert",
    "mpnet",
    "albert",
    "xlm-roberta",
)


def tiny_config(architecture: str, **changes: Any) -> Any:
    """A two-layer configuration of 16 hidden units."""
    from transformers import AutoConfig

    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
    }
    if architecture == "distilbert":
        sizes = {
            "vocab_size": 64,
            "dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "max_position_embeddings": 66,
        }
    if architecture in ("albert", "electra"):
        sizes["embedding_size"] = 16
    if architecture == "modernbert":
        sizes |= {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    if architecture in ("roberta", "xlm-roberta", "mpnet"):
        sizes["pad_token_id"] = 0
    return AutoConfig.for_model(architecture, **(sizes | changes))


def save_tiny_model(folder: Path, architecture: str = "bert", **changes: Any) -> Path:
    """Save a randomly initialised encoder with a word-level tokenizer, as a user's local model folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoModel, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *MARKS, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inputs = ["input_ids", "attention_mask"]
    if architecture in ("bert", "electra", "albert", "deberta-v2"):
        inputs.insert(1, "token_type_ids")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=inputs,
    )
    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_config(architecture, **changes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def add_masked_head(folder: Path) -> Path:
    """Add a head for masked words to the weights of a model folder; those of the encoder stay as they are."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig, AutoModelForMaskedLM

    torch.manual_seed(1)
    whole = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder))
    prefix = f"{whole.base_model_prefix}."
    weights = {f"{prefix}{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    head = {name: value.clone() for name, value in whole.state_dict().items() if not name.startswith(prefix)}
    save_file(weights | head, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def name_pooling(folder: Path, mode: str = "mean_tokens") -> Path:
    """Say in a model folder, as sentence-transformers does, which pooling the encoder was trained with."""
    names = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{name}"} for name, path in names.items()]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    flags = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _short_runs() -> Iterator[None]:
    """One thread: tiny models gain nothing from more. Garbage is collected seldom: every 700 objects, as Python does by
    default, is forty times in a tiny run and a twentieth of its time. Files are not waited for until they lie on the
    disk, a dozen times a run: nobody pulls the plug. And without two habits of libraries that took an eighth of a run:
    accelerate collects garbage before every training, and datasets hashes all rows of every table that evaluate makes
    to compute a score."""
    import accelerate.utils.memory
    import datasets
    import torch

    import finetune.training.runner  # noqa: F401 - what is to be frozen

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # Python collects by itself: it need not walk through the modules of torch and transformers
    often = gc.get_threshold()
    gc.set_threshold(50_000, *often[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(accelerate.utils.memory, "gc", SimpleNamespace(collect=lambda: 0))
        patch.setattr(
            datasets.arrow_dataset, "generate_fingerprint", lambda _: datasets.fingerprint.generate_random_fingerprint()
        )
        yield
    gc.set_threshold(*often)
    gc.unfreeze()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT with dropout 0.1."""
    return add_masked_head(save_tiny_model(tmp_path_factory.mktemp("model") / "tiny-bert"))


@pytest.fixture(scope="session")
def pooled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT, said to have been trained with mean pooling."""
    return name_pooling(add_masked_head(save_tiny_model(tmp_path_factory.mktemp("model") / "pooled-bert")))


@pytest.fixture(scope="session")
def still_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT without dropout: its training is the same whatever the number of passes."""
    folder = tmp_path_factory.mktemp("model") / "still-bert"
    return add_masked_head(save_tiny_model(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def labelled_texts(rows: int, start: int = 0) -> list[tuple[str, str]]:
    """`rows` different texts, alternating good and bad, that a tiny model can learn."""
    good, bad = WORDS[:5], WORDS[5:10]
    rest = WORDS[10:]
    found = []
    for index in range(start, start + rows):
        words = good if index % 2 == 0 else bad
        number = index // 2
        length = 1 + number % 3
        text = [rest[(number // 3 + k) % len(rest)] for k in range(length)]
        found.append((f"{' '.join(text)} {words[number % 5]} {index}", "good" if index % 2 == 0 else "bad"))
    return found


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(list(header))
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of this process have blank plots. Real ones are tested in tests/reports."""
    monkeypatch.setattr("finetune.reports.figures.canvas.to_svg", lambda *_: BLANK_SVG)
    monkeypatch.setattr("finetune.reports.figures.canvas.to_png", lambda *_: BLANK_PNG)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A CSV of 80 labelled texts, two classes."""
    return write_csv(tmp_path / "reviews.csv", ["text", "label"], labelled_texts(80))


def add_unlabelled(recipe: dict[str, dict[str, Any]], folder: Path) -> None:
    """Name texts without labels where a technique of a recipe needs them: 40 that a tiny model can learn."""
    from finetune.techniques import TECHNIQUES

    used = [TECHNIQUES[name] for name in recipe["techniques"] if name in TECHNIQUES]
    if any(technique.unlabelled == "needed" for technique in used):
        texts = [[text] for text, _ in labelled_texts(40, start=1000)]
        recipe["data"].setdefault("unlabelled", str(write_csv(folder / "unlabelled.csv", ["text"], texts)))


@pytest.fixture
def write_recipe(tmp_path: Path, tiny_model: Path, reviews: Path) -> Callable[..., Path]:
    """Write a recipe of the tiny model on the small CSV; keyword arguments replace keys of a section."""

    def write(name: str = "tiny", model: Path = tiny_model, **sections: dict[str, Any]) -> Path:
        recipe: dict[str, dict[str, Any]] = {
            "model": {"id": str(model)},
            "data": {"source": str(reviews), "validation_size": 16, "test_size": 16, "max_length": 32},
            "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
            "techniques": {},
        }
        for section, values in sections.items():
            recipe[section] = {**recipe[section], **values}
        add_unlabelled(recipe, tmp_path)
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
        return path

    return write
