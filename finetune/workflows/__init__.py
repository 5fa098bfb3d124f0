"""One function per command: run, compare, ablate, curve, check, report, run one job.

They raise `FinetuneError`s, return values and tell a `Listener`; they never print, exit, read `sys.argv` or change the
state of the process. The command line and `import finetune` are thin layers over them.
"""
