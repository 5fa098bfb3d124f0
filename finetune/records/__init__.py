"""The run record, written by every run. Reading it needs no torch and no training code."""
