"""The command line.

- `commands`: the table of commands, and the help that needs neither torch nor Lightning.
- `short_help`: the options of fit, validate, test and predict that matter first.
- `command_parser`: the option parser of all other commands, which refuses abbreviations.
- `arguments`: rewrites the words of a command line before Lightning reads them.
- `search`: fit, validate, test and predict.
- `render`, `estimate`: renders a result; estimates a graph with a trained network.
"""
