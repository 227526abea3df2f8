"""Pictures and pages that show what a search found.

- `settings`: the settings of all processors as text.
- `readings`: readings of processors as text and as numbers with units, by kind of reading.
- `parametric`: settings in the few numbers of usual effects, with the error of that: `bands`, `echoes`, `rooms`.
- `panels`: readings of processors as pictures, by kind of reading.
- `closeness`: differences of a mix and its target in level, octaves, width and peak.
- `findings`: causes of differences between a mix and its target, and the option that would help.
- `verdict`: closeness in words.
- `loss_increases`: the weight of each processor against the loss increase on its removal.
- `progress`: processors left, weights and loss over a search.
- `spectrograms`: a target, its matches and their errors, by an STFT.
- `ragged_spectrogram`: spectrograms in bands whose time resolution rises with frequency, as the ear's does.
- `figures`: writing of figures, whole or not at all.
- `drawing`: the picture of a graph.
"""
