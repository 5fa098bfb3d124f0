"""What ruins results on small data, told before an hour is spent: one check a file, and baselines to beat."""

from finetune.checks.inspect import Inspection, inspect_data

__all__ = ["Inspection", "inspect_data"]
