"""The formats by name, and detection of the format in a folder."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import Change, RecipeError, suggest
from finetune.exports.base import Format
from finetune.exports.onnx import ONNX
from finetune.exports.openvino import OPENVINO

FORMATS = {each.name: each for each in (ONNX, OPENVINO)}
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # of torch: where they lie, too, they are what is loaded


def choose_format(name: str) -> Format:
    """
    Raises:
        RecipeError: There is no format of this name.
    """
    if name not in FORMATS:
        ways = [Change(arguments={"format": known}) for known in FORMATS]
        raise RecipeError(f"is not a known format.{suggest(name, FORMATS)}", *ways, argument="format", found=name)
    return FORMATS[name]


def find_format(folder: str | Path) -> Format | None:
    """The format of an exported model; None if it has torch weights, or there is no folder."""
    path = Path(folder)
    if not path.is_dir() or any(next(path.glob(pattern), None) for pattern in WEIGHTS):
        return None
    return next((each for each in FORMATS.values() if (path / each.file).is_file()), None)
