"""The sections of `tools.gpu_check`: measurements on a GPU, each section in a separate process.

- `plan`: the sections, their limits, and the packages that they need
- `parent`: runs the sections one after the other, with limits, and writes their results
- `rows`: one measured value; files of them
- `report`: results.json and results.md
- `probe`: checks that the GPU works, and describes the machine
- `section`: the process of a section
- `context`: the device, the rows and the error handling of a section
- `timing`: seconds of a call on a device; number formats of matrix products
- `workloads`: consoles, clips and songs, and training steps on them
- `equality`, `exactness`: results of the GPU compared with the CPU
- `steps`, `captured`, `compiled`: training steps; as CUDA graphs; compiled ones
- `searches`, `large_song`: trials, rounds, searches
- `many_songs`, `song_worker`: several songs on one GPU
- `networks`: the estimator, and the renderer's schedules
- `peer`: the training step of the peer (grafx)
"""
