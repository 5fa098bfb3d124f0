"""The interface of a format of another runtime."""

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
        name: Name that users type.
        title: Name on pages.
        file: File of the model in its folder; files beside it may belong to it.
        to_write: Packages needed for writing: name of the import -> name for pip.
        to_open: Packages needed for opening.
        extra: Extra of finetune that installs all of them.
        write: Graph (an .onnx file) and folder -> the files.
        quantize: Graph and folder -> the files, with weights in int8; returns a description of the changes.
        open: Folder and threads -> a function that runs the model in fp32 arithmetic, except in quantized layers.
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
