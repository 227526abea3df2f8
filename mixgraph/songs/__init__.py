"""Reading of songs, from folders to tensors; without Lightning.

- `song`, `describe`: a song in memory, and its description as text.
- `load`: reads a whole song, and checks it.
- `layouts`, `folder`, `medleydb`, `mixing_secrets`, `musdb`: which files of a folder are a song's tracks and mix.
- `manifest`, `subgroup_rule`, `song_warning`: the files of a song, completed and checked; subgroups by track names.
- `track_files`: which file is which track of a found graph.
- `audio`, `decode`, `formats`, `containers`, `mpeg`, `parts`: audio files, decoded with true lengths; writing.
- `wav_writer`: WAV files that are written piece by piece. `stretches`: files that are read so.
- `own_rate`: the files of a song once more, at their own sample rate.
- `clips`, `training_clips`: stretches of songs.
- `align`, `common_offset`: offsets and polarities of tracks against the mix.
- `loudness`: the level of a song.
- `stem_rule`: which stem of a mix a track belongs to. `group_targets`: stems as targets of groups of subgroups.
- `read_like`: files that belong to a mix, at its rate and length.
- `store`: decoded songs on disk, for songs above the memory limit.
- `text_files`, `safe_numbers`: YAML, JSON and arrays from strangers, read as data.
"""

from mixgraph.dsp.resample import resample
from mixgraph.songs.align import Alignment, TrackAlignment, estimate_alignment
from mixgraph.songs.audio import WrittenAudio, read_audio, write_audio
from mixgraph.songs.clips import Window, read_window
from mixgraph.songs.layouts import LAYOUTS, detect_layout, find_songs, song_files
from mixgraph.songs.load import load_song
from mixgraph.songs.manifest import SongFiles, TrackFile
from mixgraph.songs.song import Song
from mixgraph.songs.song_warning import SongWarning

__all__ = [
    "LAYOUTS",
    "Alignment",
    "Song",
    "SongFiles",
    "SongWarning",
    "TrackAlignment",
    "TrackFile",
    "Window",
    "WrittenAudio",
    "detect_layout",
    "estimate_alignment",
    "find_songs",
    "load_song",
    "read_audio",
    "read_window",
    "resample",
    "song_files",
    "write_audio",
]
