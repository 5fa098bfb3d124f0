"""Runs to make: which, in what order, by whom, and what is left at the end."""
