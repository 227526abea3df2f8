"""The estimator's network: an audio encoder, message passing over the console, a head for each processor type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from mixgraph.estimators.coding import POSITION_BINS, ParameterCode
from mixgraph.estimators.examples import vocabulary_of
from mixgraph.estimators.features import CUE_PARTS, NUM_CUES, NUM_LAGS, NUM_MELS, NUM_SEGMENTS
from mixgraph.estimators.questions import ENERGY, Question, mels_to_bands, pooled_level, seen_cues

_LEVELS = 3
_MOST_CHANGE = 2.0  # of a band, from the dry sum to a reference, in units of 10 dB
_RANGE = 5.0  # standardised cues are cut to this many spreads


@dataclass(frozen=True)
class Answers:
    """The network's output for the processors of a batch, in standardised coordinates.

    Attributes:
        keep: logits of the probability that a processor is kept, (processors,).
        weight: the logit of the dry/wet weight, standardised, (processors,).
        codes: type -> linear numbers of the code, (nodes of the type, size).
        positions: type -> logits, (nodes of the type, positions, POSITION_BINS), of types that have positions.
    """

    keep: Tensor
    weight: Tensor
    codes: dict[str, Tensor]
    positions: dict[str, Tensor]


class AudioEncoder(nn.Module):
    """Encodes the spectrograms of a signal and of its mix: (signals, 4, mels, frames) to (signals, width).

    Convolutions halve both axes; then the mean and the maximum over time are taken at each remaining frequency.
    """

    def __init__(self, width: int, channels: Sequence[int] = (24, 32, 48, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 4
        for count in channels:
            layers += [nn.Conv2d(last, count, 3, stride=2, padding=1), nn.GroupNorm(4, count), nn.GELU()]
            last = count
        self.layers = nn.Sequential(*layers)
        rows = NUM_MELS
        for _ in channels:
            rows = (rows + 1) // 2
        self.out = nn.Linear(2 * last * rows, width)

    def forward(self, mels: Tensor) -> Tensor:
        encoded = self.layers(mels)
        pooled: Tensor = self.out(torch.cat((encoded.mean(dim=-1), encoded.amax(dim=-1)), dim=1).flatten(1))
        return pooled


class LagEncoder(nn.Module):
    """Encodes how the unexplained part of the mix follows a signal: (signals, 2, NUM_LAGS) to (signals, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2, 16, 8, stride=4, padding=2), nn.GELU(), nn.Conv1d(16, 24, 4, stride=4), nn.GELU()
        )
        self.out = nn.Linear(24 * (NUM_LAGS // 16), width)

    def forward(self, lags: Tensor) -> Tensor:
        encoded: Tensor = self.out(self.layers(lags).flatten(1))
        return encoded


class ConsoleLayer(nn.Module):
    """One round of messages along the cables and along the tree of heads, both in both directions."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.relations = nn.ModuleList(SAGEConv(width, width, aggr="mean", root_weight=False) for _ in range(4))
        self.norm = nn.LayerNorm(width)
        self.update = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, nodes: Tensor, edges: Sequence[Tensor]) -> Tensor:
        normed = self.norm(nodes)
        arrived = torch.stack([conv(normed, e) for conv, e in zip(self.relations, edges, strict=True)]).sum(dim=0)
        updated: Tensor = nodes + self.update(torch.cat((normed, arrived), dim=1))
        return updated


class Head(nn.Module):
    """Predicts keep, weight and code of the nodes of one processor type."""

    def __init__(self, width: int, hidden: int, code: ParameterCode, dropout: float) -> None:
        super().__init__()
        self.size, self.num_positions = code.size, code.num_positions
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.out = nn.Linear(hidden, 2 + code.size)
        self.direct = nn.Linear(width, 2 + code.size)  # a band's gain is nearly an equalizer's own value
        nn.init.zeros_(self.direct.weight)
        if code.num_positions:
            # A tap sees the correlations in its own segment only; all taps share the layers.
            self.tap = nn.Sequential(nn.Linear(hidden + POSITION_BINS, 64), nn.GELU(), nn.Linear(64, POSITION_BINS))
            self.skip = nn.Parameter(torch.ones(()))

    def forward(self, nodes: Tensor, lags: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Maps nodes (n, width) and lags (n, 2, NUM_LAGS) to keep (n,), weight (n,), code (n, size) and positions."""
        hidden = self.layers(nodes)
        answers = self.out(hidden) + self.direct(nodes)
        positions = None
        if self.num_positions:
            correlations = lags.unflatten(2, (NUM_SEGMENTS, POSITION_BINS)).flatten(1, 2)  # left first, as in the taps
            shared = hidden.unsqueeze(1).expand(-1, self.num_positions, -1)
            positions = self.tap(torch.cat((shared, correlations), dim=2)) + self.skip * correlations
        return answers[:, 0], answers[:, 1], answers[:, 2:], positions


class EstimatorNetwork(nn.Module):
    """Maps an example (or a batch) to `Answers`.

    Args:
        codes: the codes of the console's processor types.
        width: the size of embeddings.
        num_layers: the number of rounds of messages.
        dropout: the dropout in the layers' updates and in the heads.
        questions: whether it also answers without the song's own mix, see `questions`.
        sample_rate: of the audio in Hz, which relates mel bands to the bands of cues.
    """

    def __init__(
        self,
        codes: Mapping[str, ParameterCode],
        width: int = 128,
        num_layers: int = 3,
        dropout: float = 0.1,
        questions: bool = False,
        sample_rate: int = 30000,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary_of(codes)
        self.encoder = AudioEncoder(width)
        self.lag_encoder = LagEncoder(width // 2)
        self.cue_encoder = nn.Sequential(nn.Linear(NUM_CUES, width), nn.GELU(), nn.Linear(width, width))
        self.signal = nn.Sequential(nn.LayerNorm(2 * width + width // 2), nn.Linear(2 * width + width // 2, width))
        self.type_embedding = nn.Embedding(len(self.vocabulary), width)
        self.level_embedding = nn.Embedding(_LEVELS, width)
        self.question_embedding = nn.Embedding(len(Question), width) if questions else None
        self.layers = nn.ModuleList(ConsoleLayer(width, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        total = 2 * width + NUM_CUES + _LEVELS
        self.heads = nn.ModuleDict({t: Head(total, width, code, dropout) for t, code in codes.items()})
        self.cue_mean: Tensor
        self.cue_spread: Tensor
        self.register_buffer("cue_mean", torch.zeros(NUM_CUES))
        self.register_buffer("cue_spread", torch.ones(NUM_CUES))
        self.seen: Tensor
        self.register_buffer("seen", seen_cues(), persistent=False)
        self.bands_of_mels: Tensor
        self.register_buffer("bands_of_mels", mels_to_bands(sample_rate), persistent=False)

    def forward(self, data: Data) -> Answers:
        songs = data.batch if data.batch is not None else torch.zeros_like(data.x)
        song_of_row = songs[data.signal_index]
        question = self._question(data)
        cues, lags, mix = data.cues.float(), data.lags.float(), data.mix_mels.float()
        if question is not None:
            cues = self._without_own_mix(cues, data.mels.float(), mix, question, song_of_row)
            lags = lags * (question == Question.OWN_MIX)[song_of_row].view(-1, 1, 1)
            mix = mix * (question != Question.NOTHING).view(-1, 1, 1, 1)
        cues = ((cues - self.cue_mean) / self.cue_spread).clamp(-_RANGE, _RANGE)
        if question is not None:
            cues = cues * self.seen[question[song_of_row]]
        encoded = self.encoder(torch.cat((data.mels.float(), mix[song_of_row]), dim=1))
        signals = self.signal(torch.cat((encoded, self.cue_encoder(cues), self.lag_encoder(lags)), dim=1))
        # The row of the features for every node is that of its chain's head.
        row = torch.zeros_like(data.x).index_copy(
            0, data.signal_index, torch.arange(len(data.signal_index), device=data.x.device)
        )[data.head_index]
        nodes = signals[row] + self.type_embedding(data.x) + self.level_embedding(data.level)
        if self.question_embedding is not None:
            asked = torch.zeros_like(data.x) if question is None else question[songs]
            nodes = nodes + self.question_embedding(asked)
        edges = [data.edge_index, data.edge_index.flip(0), data.tree_index, data.tree_index.flip(0)]
        for layer in self.layers:
            nodes = layer(nodes, edges)
        levels = F.one_hot(data.level, _LEVELS).to(nodes.dtype)
        features = torch.cat((self.norm(nodes), signals[row], cues[row], levels), dim=1)
        keep, weight = features.new_zeros(len(features)), features.new_zeros(len(features))
        codes, positions = {}, {}
        for node_type, head in self.heads.items():
            members = (data.x == self.vocabulary[node_type]).nonzero()[:, 0]
            type_keep, type_weight, codes[node_type], taps = head(features[members], lags[row[members]])
            keep, weight = keep.index_copy(0, members, type_keep), weight.index_copy(0, members, type_weight)
            if taps is not None:
                positions[node_type] = taps
        return Answers(keep[data.processor_index], weight[data.processor_index], codes, positions)

    def _question(self, data: Data) -> Tensor | None:
        """The question about each song, (songs,); None where all are about their own mixes.

        Raises:
            ValueError: the network was not made for other questions.
        """
        if "question" not in data:
            return None
        question: Tensor = data.question
        if self.question_embedding is None and bool((question != Question.OWN_MIX).any()):
            raise ValueError(ONE_QUESTION)
        return question

    def _without_own_mix(
        self, cues: Tensor, mels: Tensor, mix: Tensor, question: Tensor, song_of_row: Tensor
    ) -> Tensor:
        """Puts cues that need no own mix in the places of those that do, in rows of songs that are asked without it.

        With a reference, gains are those that would bring the dry sum, the last row of each song, to its spectrum,
        shared out: a signal gets that of a band times its share of the dry sum's energy there.
        """
        rows = torch.arange(len(cues), device=cues.device)
        last = rows.new_zeros(len(question)).scatter_reduce(0, song_of_row, rows, "amax")
        change = pooled_level(mix) - pooled_level(mels[last])  # (songs, 2, mels), log10 of a ratio of powers
        wanted = (change @ self.bands_of_mels).clamp(-_MOST_CHANGE, _MOST_CHANGE)[song_of_row]
        gains = 10 ** cues[:, ENERGY].clamp(max=0).unsqueeze(1) * wanted  # (rows, 2, bands)
        parts = {"left": gains[:, 0], "right": gains[:, 0], "width": gains[:, 1]}
        other = cues.clone()
        for name, values in parts.items():
            other[:, CUE_PARTS[name]] = values
        return torch.where((question != Question.OWN_MIX)[song_of_row].unsqueeze(1), other, cues)


ONE_QUESTION = (
    "this estimator was trained on songs with their own mixes alone, and cannot mix without one. HINT: train one with "
    "fit --config automix.yaml"
)
