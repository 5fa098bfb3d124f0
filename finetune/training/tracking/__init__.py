"""Experiment trackers: the metrics of a run are passed to transformers' own callbacks, under stable names.

A tracker changes nothing in a run: random states are restored, a tracker that fails is left out with a warning, and no
record or content key names it. It writes on this machine, unless its own settings name a server.
"""
