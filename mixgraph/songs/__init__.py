"""Reading of songs: audio files, data layouts, alignment, level. Without Lightning."""

from mixgraph.songs.align import Alignment, TrackAlignment, estimate_alignment
from mixgraph.songs.audio import WrittenAudio, read_audio, write_audio
from mixgraph.songs.clips import Window, read_window
from mixgraph.songs.layouts import LAYOUTS, detect_layout, find_songs, song_files
from mixgraph.songs.load import load_song
from mixgraph.songs.manifest import SongFiles, TrackFile
from mixgraph.songs.resample import resample
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
