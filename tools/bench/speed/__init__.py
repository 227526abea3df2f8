"""The parts of `tools.benchmark`.

- `settings`: the choice of what a run measures
- `worker`: a process that measures one side
- `pool`: asks the worker processes in turns, with limits
- `parts`: steps, evaluations, trials, sweeps and memory
- `search`: whole searches, measured or extrapolated
- `extrapolation`: estimates the time of a search from the costs and numbers of its parts
- `table`: rows of results as Markdown and JSON
- `picture`: cost against tracks and seconds
"""
