"""The card of a data set: README.md for Hugging Face, croissant.json, and pictures of its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mixgraph.report.drawing.palette import node_letter, type_order
from mixgraph.report.figures import save_figure
from mixgraph.shards.croissant import croissant
from mixgraph.shards.hugging_face import front_matter
from mixgraph.shards.index import Index, load_index
from mixgraph.shards.meta import UNKNOWN_SETTINGS
from mixgraph.shards.pictures import ratios_figure, sizes_figure
from mixgraph.shards.read import read_raw
from mixgraph.shards.sample import decode_sample
from mixgraph.shards.statistics import (
    SongFigures,
    markdown,
    song_figures,
    table_3,
    table_losses,
    table_sizes,
)
from mixgraph.shards.texts import CardTexts
from mixgraph.system.files import write_atomically

_FOUND = "The graphs are labels found by a search, not what the engineer did."
_MADE = "The mixes were made by these graphs from dry tracks of other songs: the graphs are the truth."
_EFFECTS = (
    " {count} of them were made by other effects instead (recursive equalizers, attack and release, feedback delays and"
    " reverbs; in words in `extra` of their meta.json, where `unknown_settings` is true): their graphs tell the types"
    " and places of the processors, their parameters and weights tell nothing."
)
_BODY = """
# {name}

{description}

{samples} graph-audio pairs of {songs} songs: for each, the audio processing graph that turns its dry tracks into its
mix, every parameter, dry/wet weights, what the match loss rises by without each processor{trials},
and {audio}. Made with mixgraph, following *Searching For Music Mixing Graphs: A Pruning
Approach* (Lee et al., DAFx 2024). {origin}

{splits}

A song, and an artist where one is known, is in one split only.

## Loading

```python
from mixgraph.shards import read_shards

for sample in read_shards("{folder}/train"):  # or datamodules.GraphShards, with Lightning
    print(sample.key, sample.graph.count(), sample.weights, sample.meta["losses"]{loading})
```

Hugging Face's `datasets` reads this folder with `datasets.load_dataset("{folder}")`: the head of this card declares the
type of every field, so that all samples have the same columns, and what a sample lacks (audio, or a value that is not
known) is None. FLAC and safetensors come as bytes.

Each sample has `graph.json` (nodes, edges, weights), `params.safetensors` (a tensor a type and parameter; row `r`
belongs to the `r`-th node of the type), `trace.json` and `meta.json`{audio_fields}. `index.json` says where each sample
is, `croissant.json` describes them for machines, `SHA256SUMS` is read by `sha256sum --check`, and `python -m mixgraph
validate-shards` checks everything.

## Statistics

{sizes}

![tracks, subgroups and processors of the songs](pictures/sizes.png)

Losses are means over songs. The public code of the paper divides by the prediction's norm.

{losses}

Share of processors that was pruned, over all types and by type (letters: {letters}):

{table}

![pruning ratios and losses](pictures/ratios.png)

## Licences of the sources

{licences}
"""


@dataclass
class _Contents:
    """The facts about the samples that the card needs; the figures of songs are in order of the index."""

    songs: dict[tuple[str, str], SongFigures] = field(default_factory=dict)
    extras: list[dict[str, Any]] = field(default_factory=list)
    num_with_audio: int = 0
    searched: bool = False


def write_card(out: str | Path, texts: CardTexts | None = None, *, index: Index | None = None) -> list[SongFigures]:
    """Writes README.md, croissant.json and pictures/ into the folder of a data set.

    Args:
        out: the folder of the data set.
        texts: the texts of the card that do not follow from the samples.
        index: the index of the data set; read from the folder by default.

    Returns:
        The figures of every song, as the tables and pictures show them.

    Raises:
        FileNotFoundError, ValueError: not a data set, or a damaged one.
    """
    out, texts = Path(out), texts or CardTexts()
    index = index or load_index(out)
    name = texts.name or out.resolve().name
    contents = _read(out, index)
    songs = list(contents.songs.values())
    description = texts.description or ("Mixing graphs of songs." if contents.searched else "Mixes with known graphs.")
    (out / "pictures").mkdir(exist_ok=True)
    save_figure(sizes_figure(songs), out / "pictures" / "sizes.png")
    save_figure(ratios_figure(songs), out / "pictures" / "ratios.png")
    head = _yaml(front_matter(index, name, songs, contents.extras))
    body = _readme(out, index, name, description, songs, contents)
    write_atomically(out / "README.md", f"---\n{head}---\n{body}{texts.choice}".encode())
    licences = sorted({song.licence for song in songs if song.licence})
    record = croissant(
        index, name, description, licences, contents.num_with_audio > 0, texts.cite_as, texts.date_published
    )
    write_atomically(out / "croissant.json", record)
    return songs


class _PlainDumper(yaml.SafeDumper):
    """Writes equal values out instead of using YAML aliases, which some readers of cards do not support."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(head: Mapping[str, Any]) -> str:
    return yaml.dump(head, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)


def _read(out: Path, index: Index) -> _Contents:
    contents = _Contents()
    for shard in index.shards:
        for raw in read_raw(out / shard.shard):
            sample = decode_sample(raw)
            contents.num_with_audio += sample.audio is not None
            contents.searched |= sample.meta["losses"] is not None
            contents.extras.append(sample.meta["extra"])
            figures = song_figures(sample.meta, sample.graph, shard.split)
            contents.songs.setdefault((figures.dataset, figures.song), figures)
    return contents


def _readme(
    out: Path, index: Index, name: str, description: str, songs: Sequence[SongFigures], contents: _Contents
) -> str:
    types = type_order({node_type for song in songs for node_type in song.counts})
    samples = len(index.samples)
    splits = [["split", "songs", "samples", "shards"]] + [
        [
            split,
            str(sum(song.split == split for song in songs)),
            str(index.num_samples(split)),
            str(sum(shard.split == split for shard in index.shards)),
        ]
        for split in index.splits
    ]
    with_audio, complete = contents.num_with_audio, contents.num_with_audio == samples
    effects = sum(bool(extra.get(UNKNOWN_SETTINGS)) for extra in contents.extras)
    hashes = "the hashes by which the audio is found in your own copy of the songs"
    some = "" if complete else f" ({with_audio} samples have them)"
    return _BODY.format(
        name=name,
        description=description,
        samples=samples,
        songs=len(songs),
        trials=", every trial of the search" if contents.searched else "",
        origin=_FOUND if contents.searched else _MADE + (_EFFECTS.format(count=effects) if effects else ""),
        audio=("the audio" if complete else f"the audio of {with_audio}, and {hashes}") if with_audio else hashes,
        loading="" if complete else ')\n    # with audio: read_shards(..., audio_root="folder of the songs"',
        audio_fields=f", `dry.flac` (the tracks end to end) and `mix.flac`{some}" if with_audio else "",
        folder=out.resolve().name,
        splits=markdown(splits),
        sizes=markdown(table_sizes(songs)),
        losses=markdown(table_losses(songs)),
        letters=", ".join(f"{letter} {t.replace('_', '/')}" for t, letter in _letters(types).items()),
        table=markdown(table_3(songs, types)),
        licences=markdown(_licence_table(songs)),
    )


def _letters(types: Sequence[str]) -> dict[str, str]:
    return {node_type: node_letter(node_type) for node_type in types}


def _licence_table(songs: Sequence[SongFigures]) -> list[list[str]]:
    counts: dict[tuple[str, str], int] = {}
    for song in songs:
        key = (song.dataset, song.licence or "not stated")
        counts[key] = counts.get(key, 0) + 1
    return [["data set", "licence", "songs"], *([*key, str(count)] for key, count in sorted(counts.items()))]
