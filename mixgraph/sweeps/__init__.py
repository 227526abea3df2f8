"""Sweeps without a server: a sweep file of Weights & Biases, read, drawn from, and its trials kept on this machine.

- `yaml_lines`: a YAML file whose values know their lines.
- `space`: parameters, and the values that a grid, chance or Optuna takes for them.
- `sweep_file`: a sweep file, checked before its first trial.
- `study`: Optuna's memory of a sweep: what to try next, and which trials to stop.
- `folder`: the folder of a sweep, in which every trial is complete or absent.
- `table`: the trials as a table, a CSV file and a JSON file; the best one, the Pareto front.
- `picture`: the trials as a picture.

`tools/sweep.py` runs the trials.
"""
