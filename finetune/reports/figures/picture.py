"""The description of a figure before it is drawn. Does not import matplotlib, which pages with tables only do not
need."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        title: Name for readers who cannot see it.
        text: Description of what it shows, in numbers.
        width, height: In px.
        draw: Function that draws on a figure or a part of one.
    """

    title: str
    text: str
    width: int
    height: int
    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Picture:
    """Panels that belong together, and their key.

    Attributes:
        columns: Panels in a row of the PNG.
        presets: Presets in the key.
        lines: Further entries of the key: matplotlib's line properties, and the meaning.
    """

    panels: list[Panel]
    columns: int = 1
    presets: list[str] = field(default_factory=list)
    lines: list[tuple[dict[str, Any], str]] = field(default_factory=list)
