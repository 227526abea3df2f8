"""The data of a search that knows only a mix: its stems, brought to a reference state, are the tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from mixgraph.blind import BlindSource, make_blind_song
from mixgraph.blind.song_folder import SHIPPED_REFERENCE, find_mix_file
from mixgraph.songs import Song
from mixgraph.songs.decode import file_rate
from mixgraph.songs.group_targets import NOT_STEMS
from mixgraph.songs.manifest import slug
from mixgraph.songs.own_rate import SongRate

from .song import SongData


class BlindData(SongData):
    """A song of which only the mix is known, with stems that a demixer made of it.

    Before the first use a folder is written, `normalised`, whose tracks are the stems in the reference state. It is a
    song as any other, which results, their pages and exports refer to; see `mixgraph.blind.song_folder`. The graph of
    such a song says how the mix differs from the reference state, never what its engineer did.

    Args:
        path: the folder of the mix, or its file.
        stems: folder of its stems, whoever wrote it: vocals.wav, drums.wav, ...
        demixer: checkpoint of a demixer that makes the stems, in place of `stems`.
        stem_names: name of a stem -> instrument of the reference state, where names do not say it.
        reference: `"shipped"`, the file of a reference state, or `"none"`: stems as they are, which is refused where
            their sum is the mix.
        normalised: the folder to write; None takes `normalised_stems/SONG`.
        overwrite: replace a folder there that was made of other files.
        sample_rate: sample rate of the search in Hz; `"song"` is that of the mix.
        song_settings: other settings of `SongData`.
    """

    def __init__(
        self,
        path: str,
        stems: str | None = None,
        demixer: str | None = None,
        stem_names: dict[str, str] | None = None,
        reference: str = SHIPPED_REFERENCE,
        normalised: str | None = None,
        overwrite: bool = False,
        sample_rate: SongRate = 30000,
        **song_settings: Any,
    ) -> None:
        self.mix_path, self.stems, self.demixer = path, stems, demixer
        self.stem_names, self.reference, self.overwrite = stem_names or {}, reference, overwrite
        if sample_rate == "song":
            sample_rate = rate_of_mix(path)
        if normalised is None:
            normalised = str(Path("normalised_stems") / slug(_name_of(Path(path).resolve())))
        super().__init__(
            path=normalised, layout="folder", subgrouping="auto", mix=None, sample_rate=sample_rate, **song_settings
        )

    def settings_of_song(self) -> dict[str, Any]:
        """The settings with which `SongData` reads the song of normalised stems, once it is written."""
        return {name: value for name, value in self.settings.items() if name != "seed"}

    def read(self) -> tuple[Song, ...]:
        """Writes the song of normalised stems, and reads it.

        Raises:
            FileExistsError, FileNotFoundError, ValueError: see `mixgraph.blind.make_blind_song`.
        """
        # Not before, for what is wrong is told in a line here, and in many by the parser that makes this object.
        source = BlindSource(
            Path(self.mix_path),
            None if self.stems is None else Path(self.stems),
            None if self.demixer is None else Path(self.demixer),
            self.stem_names,
            self.reference,
        )
        song = make_blind_song(source, self.paths[0], self.sample_rate, self.overwrite)
        for note in song.notes:
            rank_zero_info(note)
        return super().read()


def rate_of_mix(path: str) -> int:
    """Returns the sample rate in Hz of a mix, by its file or its folder.

    Raises:
        FileNotFoundError, ValueError: there is no mix, or it cannot be read.
    """
    return file_rate(find_mix_file(Path(path)))


def _name_of(path: Path) -> str:
    """The name of a song: its folder's, or that of the file of its mix, where that is not just called a mix."""
    if not path.is_file():
        return path.name
    return path.parent.name if path.stem.casefold() in NOT_STEMS else path.stem
