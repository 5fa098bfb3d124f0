"""Logs of training programs and trackers: one file per format, all read into a `Log`."""
