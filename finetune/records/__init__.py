"""The run record: what a run leaves. Reading it needs no torch and no training code."""
