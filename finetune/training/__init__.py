"""One Trainer subclass, its arguments, checkpoints, and `runner.run_seed`, the only place where everything meets."""
