"""The version of the algorithm: what a finished run's numbers can be trusted to mean."""

ALGORITHM_VERSION = 3
"""Raise it when the same recipe on the same data would give other numbers, in training or in measuring.

Then finished runs are trained again. A change that leaves every number as it is (a docstring, a new message, a faster
way to the same result) leaves this one as it is, too: finished runs stay valid, and a comparison only warns that the
code differs. Say in CHANGELOG.md what changed with each version.
"""
