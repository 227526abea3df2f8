"""Functions of the operating system, which know nothing of songs, graphs or torch models.

- `files`: files that are complete or absent, and errors that name them.
- `locks`: one process at a time at a place, and who holds it.
- `memory`: freed memory that is kept for the next step.
- `termination`: SIGTERM ends a process as Ctrl-C does.
- `threads`: the number of threads that torch computes with.
"""
