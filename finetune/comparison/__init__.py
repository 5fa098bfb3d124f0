"""Presets × seeds × folds: what to run, running it, and what the numbers say."""
