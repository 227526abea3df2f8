"""Pictures and pages that show what a search found.

- `settings`: the settings of all processors as text.
- `readings`: readings of processors as text and as numbers with units, by kind of reading.
- `panels`: readings of processors as pictures, by kind of reading.
- `closeness`: how far a mix is from its target in level, octaves, width and peak.
- `findings`: what a mix could not follow, and the option that would help.
- `verdict`: closeness in words.
- `progress`: processors left, weights and loss over a search.
- `spectrograms`: a target, its matches and their errors, by an STFT.
- `ragged_spectrogram`: the same in bands that differ in rate, as the ear has them.
- `figures`: figures are written whole or not at all.
- `drawing`: the picture of a graph.
"""
