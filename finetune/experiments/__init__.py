"""Experiments: which runs to make, in what order, by which executor, and which models to keep."""
