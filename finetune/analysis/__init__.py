"""Run records in, numbers out: pairing, intervals, verdicts, quality gates, learning curves. No torch."""
