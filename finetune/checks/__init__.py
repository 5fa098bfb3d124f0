"""Checks for what ruins results on small data, before a run: one check per module; and simple baselines."""

from finetune.checks.inspect import Inspection, inspect_data

__all__ = ["Inspection", "inspect_data"]
