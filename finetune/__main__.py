"""`python -m finetune` is the same program as `finetune`."""

from finetune.cli import main

if __name__ == "__main__":
    main()
