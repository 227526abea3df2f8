"""The figures of the paper, drawn of finished searches.

- `panels`: grids of panels, and the styles that the figures share.
- `graphs`: Figures 2 and 11, a console beside the found graph, and repeated searches of one song.
- `course`: Figure 3, what is left of each type and its mean weight over the steps, a line a song.
- `weights`: Figure 4, the weight of each processor against the loss increase on its removal.
- `spectrograms`: Figures 5, 7 and 15 to 18, a target and its matches, and their errors in mid and side.
- `statistics`: Figure 6, histograms of the songs, consoles and graphs of built data sets.
- `schedules`: Figure 8, the steps in which the nodes of a graph are processed; Figure 9, their number and their speed.
- `tradeoff`: Figure 10, the loss increase against what is left, by samplers and tolerances.
"""
