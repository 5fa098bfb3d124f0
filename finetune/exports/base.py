"""What a format of another runtime can do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from finetune.errors import Change, ModelError

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
"""Token ids and masks by name, (batch, length) int64 each -> logits, (batch, outputs) float32."""


@dataclass(frozen=True)
class Format:
    """A runtime and its files.

    Attributes:
        name: As users type it.
        title: As pages call it.
        file: Of the model, in its folder; what lies beside it may belong to it.
        to_write: Packages that writing needs: name of the import -> name for pip.
        to_open: Packages that opening needs.
        extra: Of finetune, with all of them.
        write: Graph (an .onnx file) and folder -> the files.
        quantize: Graph and folder -> the files, with weights in int8; says what was changed.
        open: Folder and threads -> what runs the model in fp32 arithmetic, quantized layers aside.
    """

    name: str
    title: str
    file: str
    to_write: Mapping[str, str]
    to_open: Mapping[str, str]
    extra: str
    write: Callable[[Path, Path], None]
    quantize: Callable[[Path, Path], str]
    open: Callable[[Path, int], Run]

    def check_installed(self, packages: Mapping[str, str]) -> None:
        """
        Raises:
            ModelError: One of these packages is missing.
        """
        missing = [pip for module, pip in packages.items() if importlib.util.find_spec(module) is None]
        if missing:
            why = f"{self.title} needs packages that are not installed: {', '.join(missing)}."
            raise ModelError(why, Change(command=f'pip install "finetune[{self.extra}]"'))
