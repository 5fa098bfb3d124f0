"""Logits and labels -> scores, gaps and their intervals. Plain numpy; no torch, no files."""
