"""The sections of `tools.gpu_check`: what is measured on a GPU, each in a process of its own.

- `plan`: the sections, their limits, and the packages that they need
- `parent`: runs the sections one after the other, with limits, and writes their results
- `rows`: one measured value; files of them
- `report`: results.json and results.md
- `probe`: whether a GPU answers, and what machine this is
- `section`: the process of a section
- `context`: what a section works with: its device, its rows, its guard against failures
- `timing`: seconds of a call on a device; number formats of matrix products
- `workloads`: consoles, clips and songs, and training steps on them
- `equality`, `exactness`: the card against the CPU
- `steps`, `captured`, `compiled`: training steps; as CUDA graphs; compiled ones
- `searches`, `large_song`: trials, rounds, searches
- `many_songs`, `song_worker`: several songs on one card
- `networks`: the estimator, and the renderer's schedules
- `peer`: the step of grafx
"""
