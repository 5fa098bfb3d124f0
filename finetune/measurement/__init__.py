"""Logits and labels -> scores, gaps and their intervals. numpy, no torch; `modules` loads the users' metrics."""
