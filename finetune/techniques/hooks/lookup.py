"""Which techniques of a run implement a hook.

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
    """Whether a technique implements a hook."""
    return getattr(type(technique), hook.__name__, hook) is not hook


def has_hook(techniques: Iterable[object], *hooks: Callable[..., Any]) -> bool:
    """Whether any technique implements one of these hooks."""
    return any(overrides(technique, hook) for technique in techniques for hook in hooks)


def hook_of(technique: object, hook: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
    """A technique's own hook, or the default of the group."""
    default: Callable[P, R] = functools.partial(hook, technique)
    own: Callable[P, R] = getattr(technique, hook.__name__, default)
    return own


def implementations(techniques: Iterable[object], hook: Callable[Concatenate[Any, P], R]) -> list[Callable[P, R]]:
    """The implementations of a hook, in the order of the techniques."""
    return [hook_of(technique, hook) for technique in techniques if overrides(technique, hook)]
