"""Renders whole songs with a trained graph, and compares the result with the songs' mixes."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import lightning as L
import torch
from torch import Tensor

from mixgraph.losses import LossSettings, MatchLoss, SongScore, SongTarget, clip_score, second_target
from mixgraph.processors import Processors
from mixgraph.render import render_song
from mixgraph.search.settings import RenderSettings
from mixgraph.search.trained_graph import TrainedGraph
from mixgraph.songs.song import Song


class WholeSongs(TrainedGraph, L.LightningModule):
    """A trained graph that renders and scores the songs which its Trainer validates, tests and predicts with."""

    processors: Processors
    match: MatchLoss
    loss_settings: LossSettings
    rendering: RenderSettings

    def __init__(self) -> None:
        super().__init__()
        self._targets: WeakKeyDictionary[Song, SongTarget] = WeakKeyDictionary()

    def target(self, song: Song) -> SongTarget:
        """Returns the features of a song's mix by window; they are cached as long as the song, up to a memory limit."""
        target = self._targets.get(song)
        if target is None or target.device != self.match.device:
            floor = self.loss_settings.silence_floor
            target = self._targets[song] = SongTarget(self.match, song.mix, floor, max_bytes=song.memory_limit)
        return target

    @torch.no_grad()
    def render(self, song: Song, block: int | None = None) -> Tensor:
        """Renders a song with the graph, at the song's length: (2, L), on the CPU."""
        return self._render_sources(song, song.sources, block or self.rendering.block).cpu()

    def _render_sources(self, song: Song, sources: Tensor, block: int, first: int = 0) -> Tensor:
        part = self.part(song)
        mono = song.mono_rows if self.rendering.shortcuts else ()
        values, method = (part.parameters, part.weights), self.rendering.schedule
        return render_song(part.graph, self.processors, sources, *values, block, mono, first, method)[0]

    def score(self, song: Song) -> SongScore:
        """Computes the match loss over every second of the song, each rendered with all the audio that precedes it."""
        return self.target(song).score(self.render(song))

    def second_loss(self, song: Song) -> float:
        """Computes the full match loss by a front end that training does not use; see `second_target`."""
        denominator = self.loss_settings.denominator
        return second_target(self.target(song)).score(self.render(song)).over(denominator)["full"]

    def paper_score(self, song: Song) -> SongScore:
        """Computes the loss by the paper's protocol, see `losses.clip_score`."""

        def render(sources: Tensor, first: int) -> Tensor:
            return self._render_sources(song, sources, self.rendering.block, first)

        return clip_score(self.match, render, song.sources, song.mix)

    def validation_step(self, batch: Song, batch_idx: int) -> None:
        self._log_score(batch, "song", self.score(batch).loss)

    def test_step(self, batch: Song, batch_idx: int) -> None:
        for prefix, score in (("song", self.score(batch)), ("paper", self.paper_score(batch))):
            self._log_score(batch, prefix, score.loss)
            self._log_score(batch, f"{prefix}_prediction_norm", score.loss_prediction)

    def _log_score(self, song: Song, prefix: str, losses: Mapping[str, float]) -> None:
        """Logs the mean over the songs, which Lightning reports, and each song's losses if there are several."""
        for suffix in dict.fromkeys(("", self.metric_suffixes()[self.song_number(song)])):
            self.log_dict({f"{prefix}/{name}{suffix}": value for name, value in losses.items()}, batch_size=1)

    def predict_step(self, batch: Song, batch_idx: int) -> Tensor:
        return self.render(batch)
