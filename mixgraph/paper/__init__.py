"""The tables and figures of the paper, made of results, with the published values beside ours.

- `published`: the values that the paper prints.
- `subsets`: which songs of a data set are taken.
- `readings`: what a table or a figure takes of a finished search, and what it refuses.
- `table`: a table as a value, and its files: Markdown, LaTeX, CSV, JSON.
- `losses_table`: Tables 1 and 5, consoles that are trained and not pruned.
- `pruning_table`: Tables 2 and 6, samplers and tolerances.
- `dataset_table`: Table 3, a built data set before and after its quality rules.

They read finished results; `tools/paper_tables.py` runs the searches.
"""
