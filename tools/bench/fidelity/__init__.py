"""The parts of `tools.fidelity`: searches by our configurations and by the peer's rules, by common measures.

- `songs`: folders of songs, and synthetic songs that are written as folders
- `runs`: one search, and everything that is measured of it
- `curve`: losses in the course of a search
- `truth`: processors of a song's truth.json, and agreement with them
- `known_settings`: errors of settings against truth.json
- `juce`: responses of the processors that truth.json names
- `added_back`: what a found graph gains from processors that its search removed
- `reverb_limits`: how near our reverb and delay come to a reverb of other software
- `direct_sound`: third-octave bands, and factors of tracks in a mix
- `responses`: errors of gain, pan and equalizer of each track
- `recovery`: how much of the graph of a synthetic song is recovered
- `table`: medians over seeds and songs
- `report`: the tables as Markdown
- `picture`: the course and the ends of searches
"""
