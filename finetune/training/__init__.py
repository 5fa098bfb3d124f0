"""One Trainer subclass, its arguments and checkpoints, and `runner.run_seed`, which connects all parts of a run."""
