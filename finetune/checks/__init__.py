"""Checks, before a run, for problems that ruin results on small data, one per module; and simple baselines."""

from finetune.checks.inspect import Inspection, inspect_data

__all__ = ["Inspection", "inspect_data"]
