"""The files of a model folder that belong to the model, and paths in them that would reveal the machine."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

from finetune.errors import Change, ModelError

CARD = "README.md"
# What a model is loaded from, said with, and described by. Nothing else of a folder is sent.
WEIGHTS = ("*.safetensors", "*.onnx", "*.onnx_data", "*.onnx.data", "openvino_*.bin")
DESCRIBED = (
    *(CARD, "LICENSE*", "config.json", "generation_config.json", "finetune.json", "*.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("chat_template.jinja", "openvino_*.xml", "ort_config.json", "openvino_config.json"),
)
READ = (CARD, "config.json", "finetune.json", "tokenizer_config.json", "generation_config.json")  # for paths
MANY = 3  # places that a message names
_USERS = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\+Users\\+)[^\s\"'`<>|]+")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a folder that would be uploaded.

    Attributes:
        folder: Folder of the model.
        sizes: Name -> bytes, sorted by name.
        left_out: Names of other files in the folder.
    """

    folder: Path
    sizes: dict[str, int]
    left_out: list[str]

    @property
    def card(self) -> str | None:
        """The model card; None where there is none."""
        return (self.folder / CARD).read_text(encoding="utf-8") if CARD in self.sizes else None


def model_files(folder: Path) -> ModelFiles:
    """The files of a model, none of which contains a path of this machine.

    Raises:
        ModelError: There is no model, it has no weights that are safe to load, a file contains such a path, or the card
            is not in UTF-8.
    """
    if not (folder / "config.json").is_file():
        why = "is not a model folder: it has no config.json."
        run = Change(text="Name the folder of a run, of a comparison, or of a model.")
        raise ModelError(why, run, argument="model", found=str(folder))
    names = sorted(path.name for path in folder.iterdir())
    sent = {name: (folder / name).stat().st_size for name in names if _is_own(folder / name)}
    if not any(fnmatch.fnmatch(name, pattern) for name in sent for pattern in WEIGHTS):
        why = "has no weights as .safetensors or .onnx, and other formats are not uploaded: loading them can run code."
        raise ModelError(why, argument="model", found=str(folder))
    _refuse_paths(folder, [name for name in sent if name in READ])
    if CARD in sent:
        _check_text(folder / CARD)
    return ModelFiles(folder, sent, [name for name in names if name not in sent])


def _is_own(path: Path) -> bool:
    return path.is_file() and any(fnmatch.fnmatch(path.name, pattern) for pattern in (*WEIGHTS, *DESCRIBED))


def _check_text(card: Path) -> None:
    """The hub reads a card as UTF-8."""
    try:
        card.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        why = f"{CARD}:{line} is not in UTF-8, as the hub reads it."
        raise ModelError(why, Change(text="Save it as UTF-8."), argument="model", found=str(card.parent)) from None


def _refuse_paths(folder: Path, names: list[str]) -> None:
    """Home folders tell who trained it, and where."""
    own = {f"{place}/" for place in (Path.home(), Path.cwd()) if len(place.parts) > 1}
    found = []
    for name in names:
        lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            hit = _USERS.search(line)
            shown = hit[0] if hit is not None else next((place for place in own if place in line), None)
            if shown is not None:
                found.append(f"{name}:{number} ({shown})")
    if found:
        more = f" and {len(found) - MANY} more" if len(found) > MANY else ""
        why = f"contains paths of this machine: {', '.join(found[:MANY])}{more}."
        raise ModelError(why, Change(text="Remove them from these files."), argument="model", found=str(folder))
