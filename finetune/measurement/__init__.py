"""Logits and labels -> scores, gaps and their intervals. numpy, no torch; `modules` loads the metrics of users."""
