"""Graphs from a mix alone: its stems are brought to a reference state, from which a search explains the mix.

- `reference`: the mean loudness and spectrum of instruments, in a file. `measure`: from multitrack songs.
- `spectrum`: long-term spectra in third-octave bands, and a zero-phase filter from one to another.
- `normalise`: a stem in the reference state.
- `stems`: stems in a folder, whoever wrote it: their names, and how far their sum is from the mix.
- `song_folder`: all of it, as a song's folder that any search reads.
"""

from mixgraph.blind.measure import measure_reference
from mixgraph.blind.normalise import NormalisedStem, normalise_stem
from mixgraph.blind.reference import InstrumentState, ReferenceSong, ReferenceState, read_reference, write_reference
from mixgraph.blind.song_folder import BlindSong, BlindSource, make_blind_song

__all__ = [
    "BlindSong",
    "BlindSource",
    "InstrumentState",
    "NormalisedStem",
    "ReferenceSong",
    "ReferenceState",
    "make_blind_song",
    "measure_reference",
    "normalise_stem",
    "read_reference",
    "write_reference",
]
