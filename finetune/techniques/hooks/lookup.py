"""Which techniques of a run do something in a hook.

A hook is identified by the function of its group, such as `Losses.train_loss`. A class has the hook if it has a
method of that name, whether it inherits from the group or not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def overrides(technique: object, hook: Callable[..., Any]) -> bool:
    """Whether a technique does anything in a hook."""
    return getattr(type(technique), hook.__name__, hook) is not hook


def has_hook(techniques: Iterable[object], *hooks: Callable[..., Any]) -> bool:
    """Whether any technique does anything in one of these hooks."""
    return any(overrides(technique, hook) for technique in techniques for hook in hooks)


def hook_of(technique: object, hook: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
    """A technique's own hook, or what the group does by default."""
    default: Callable[P, R] = functools.partial(hook, technique)
    own: Callable[P, R] = getattr(technique, hook.__name__, default)
    return own


def implementations(techniques: Iterable[object], hook: Callable[Concatenate[Any, P], R]) -> list[Callable[P, R]]:
    """A hook of those techniques that do anything in it, in their order."""
    return [hook_of(technique, hook) for technique in techniques if overrides(technique, hook)]
