"""The parts of `tools.benchmark`.

- `settings`: what a run measures
- `worker`: a process that measures one side
- `pool`: asks the worker processes in turns, with limits
- `parts`: steps, evaluations, trials, sweeps and memory
- `search`: whole searches, measured or extrapolated
- `extrapolation`: what a search takes, from the costs of its parts and their number
- `table`: rows of results as Markdown and JSON
- `picture`: cost against tracks and seconds
"""
