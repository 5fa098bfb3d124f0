"""What a figure is before it is drawn. Without matplotlib, which what holds tables only does not need."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        title: Names it for those who do not see it.
        text: Says what it shows, in numbers.
        width, height: In px.
        draw: Draws on a figure or a part of one.
    """

    title: str
    text: str
    width: int
    height: int
    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Picture:
    """Panels that belong together, and what their signs mean.

    Attributes:
        columns: Panels in a row of the PNG.
        presets: Presets in the key.
        lines: Further entries of the key: matplotlib's properties of a line, and its meaning.
    """

    panels: list[Panel]
    columns: int = 1
    presets: list[str] = field(default_factory=list)
    lines: list[tuple[dict[str, Any], str]] = field(default_factory=list)
