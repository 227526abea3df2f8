"""The settings by which synthetic samples are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixgraph.processors import types_from_letters
from mixgraph.synthetic.devices import DEVICES
from mixgraph.synthetic.recording import RecordingSettings


@dataclass(frozen=True)
class MixingSettings:
    """How samples differ in what mixes them, and in which tracks are together.

    Attributes:
        effects_share: share of the samples that are mixed by the effects of `mixgraph.effects` in place of our own
            processors. Their graphs say which types were used, and where; their parameters and weights say nothing.
        one_song_share: share of the samples whose tracks are of one song, at the same place in it.
        random_subgroups: share of the samples whose tracks are dealt to subgroups at random.
        passages: every sample has so many passages of its tracks, one after another, all mixed by one graph.
        songs_per_engineer: so many samples, one after another, are mixed in one style (`engineer.Engineer`): the types
            that are used, and settings of our own processors by rule, are alike; `meta.json` names the engineer. With 1
            every sample has a style of its own.
        balanced_share: share of the samples whose engineers listen before they set the gains of tracks (`balance`);
            in the others gains are drawn at random, whatever the track is.
    """

    effects_share: float = 0.0
    one_song_share: float = 0.0
    random_subgroups: float = 0.0
    passages: int = 1
    songs_per_engineer: int = 1
    balanced_share: float = 0.0

    def problems(self) -> list[str]:
        """What is wrong with the settings, one text for each."""
        names = ("effects_share", "one_song_share", "random_subgroups", "balanced_share")
        shares = {name: getattr(self, name) for name in names}
        problems = [f"{name}: 0 to 1 expected, got {share:g}" for name, share in shares.items() if not 0 <= share <= 1]
        counts = {name: getattr(self, name) for name in ("passages", "songs_per_engineer")}
        return problems + [f"{name}: at least 1 expected, got {count}" for name, count in counts.items() if count < 1]


@dataclass(frozen=True)
class GenerationSettings:
    """The settings by which samples are made.

    Attributes:
        seed: seeds all random choices.
        seconds: length of a sample, or of each of its passages where `mixing` has several.
        min_tracks, max_tracks: the range of a sample's number of tracks; all numbers are equally likely.
        sample_rate: the sample rate in Hz.
        track_chain, subgroup_chain: processor letters of the full console, of which a part is kept.
        loudness_lufs: the loudness of the mix, as that to which a search brings songs.
        least_increase: removing any processor raises the match loss by at least this much, or it is removed; None
            keeps all that is drawn, and loss increases are not measured.
        varispeed: play tracks of the training split at random speeds.
        recording: levels, fades, bleed and noise of the dry tracks.
        mixing: how samples differ in what mixes them, and in which tracks are together.
    """

    seed: int = 0
    seconds: float = 6.0
    min_tracks: int = 2
    max_tracks: int = 6
    sample_rate: int = 30000
    track_chain: str = "ecnsgdr"
    subgroup_chain: str = "ecnsgdr"
    loudness_lufs: float = -16.0
    least_increase: float | None = 0.01
    varispeed: bool = True
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    mixing: MixingSettings = field(default_factory=MixingSettings)

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.min_tracks <= self.max_tracks:
            problems.append(f"tracks: 1 <= least <= most expected, got {self.min_tracks} and {self.max_tracks}")
        if not self.seconds >= 1:
            problems.append(f"seconds: at least 1, got {self.seconds}")
        if self.least_increase is not None and not self.least_increase >= 0:
            problems.append(f"least_increase: None or at least 0, got {self.least_increase}")
        problems += self.recording.problems() + self.mixing.problems()
        lacking = sorted(set(types_from_letters(self.track_chain + self.subgroup_chain)) - DEVICES.keys())
        if self.mixing.effects_share > 0 and lacking:
            problems.append(f"effects_share: 0 is needed with {', '.join(lacking)}: no other effect does their job")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def passage_samples(self) -> int:
        """The length of one passage."""
        return round(self.seconds * self.sample_rate)

    @property
    def num_samples(self) -> int:
        """The length of a sample."""
        return self.mixing.passages * self.passage_samples
