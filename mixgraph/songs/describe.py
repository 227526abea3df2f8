"""A description of a song as text, for people."""

from __future__ import annotations

from mixgraph.songs.align import MIN_CONFIDENCE, TrackAlignment
from mixgraph.songs.load import NOTABLE_OFFSET_SECONDS
from mixgraph.songs.song import Song


def describe(song: Song) -> list[str]:
    """Lines on a song's tracks, their offsets and polarities against the mix, and its warnings."""
    seconds = song.num_samples / song.sample_rate
    counts = f"{len(song.tracks)} tracks, {len(song.subgroups)} subgroups"
    band = f"read at {song.sample_rate} Hz (up to {song.sample_rate / 2000:g} kHz)"
    groups = (f"{name} ({', '.join(members)})" for name, members in song.subgroups.items())
    lines = [f"{song.title or song.name}: {counts}, {seconds:.1f} s, {band}", f"  subgroups: {', '.join(groups)}"]
    lines += [f"  {track.track}: {_describe_alignment(track, song.sample_rate)}" for track in song.alignment]
    notable = NOTABLE_OFFSET_SECONDS * song.sample_rate  # below it, it may be the phase of an equalizer in the mix
    clear = [track for track in song.alignment if track.confidence >= MIN_CONFIDENCE and not track.applied]
    if any(abs(track.offset_samples) > notable or track.polarity < 0 for track in clear):
        lines.append("  (offsets are left as they are; --data.apply_alignment=true corrects them)")
    return lines + [f"  warning: {warning.text}" for warning in song.warnings]


def _describe_alignment(track: TrackAlignment, sample_rate: int) -> str:
    if track.confidence < MIN_CONFIDENCE:
        return f"no clear offset against the mix (confidence {track.confidence:.2f})"
    late = track.offset_samples
    milliseconds = 1000 * abs(late) / sample_rate
    offset = f"{abs(late)} samples ({milliseconds:.2f} ms) {'late' if late > 0 else 'early'}" if late else "in time"
    flipped = ", polarity flipped" if track.polarity < 0 else ""
    corrected = ", corrected" if track.applied else ""
    return f"against the mix {offset}{flipped} (confidence {track.confidence:.2f}{corrected})"
