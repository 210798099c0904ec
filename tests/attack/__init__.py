"""Generated attacks, with a table of what came of them: `python -m tests.attack`."""
