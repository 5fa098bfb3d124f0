"""Experiment trackers: what a run measures is handed to transformers' own callbacks, under names that stay.

A tracker is told of a run and changes nothing in it: random streams are put back, one that fails is left out with a
warning, and no record or content key names it. It writes on this machine, unless its own settings name a server.
"""
