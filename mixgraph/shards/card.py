"""The card of a data set: README.md for Hugging Face, croissant.json, and pictures of its statistics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixgraph.files import write_atomically
from mixgraph.graph.palette import node_letter, type_order
from mixgraph.report.figures import save_figure
from mixgraph.shards.croissant import croissant
from mixgraph.shards.index import Index, load_index
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

# Hugging Face's names of licences, by what songs say; everything else is "other", with the text beside it.
_LICENCES = {
    "cc0": "cc0-1.0", "cc01.0": "cc0-1.0", "cc-by-4.0": "cc-by-4.0", "ccby4.0": "cc-by-4.0",
    "ccbysa4.0": "cc-by-sa-4.0", "ccby-sa4.0": "cc-by-sa-4.0", "ccbyncsa4.0": "cc-by-nc-sa-4.0",
    "ccby-nc-sa4.0": "cc-by-nc-sa-4.0", "ccby3.0": "cc-by-3.0",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_BODY = """
# {name}

{description}

{samples} graph-audio pairs of {songs} songs: for each, the audio processing graph that turns its dry tracks into its
mix, every parameter, dry/wet weights, what the match loss rises by without each processor, every trial of the search,
and {audio}. Made with mixgraph, following *Searching For Music Mixing Graphs: A Pruning
Approach* (Lee et al., DAFx 2024). The graphs are labels found by a search, not what the engineer did.

{splits}

A song, and an artist where one is known, is in one split only.

## Loading

```python
from mixgraph.shards import read_shards

for sample in read_shards("{folder}/train"):  # or datamodules.GraphShards, with Lightning
    print(sample.key, sample.graph.count(), sample.weights, sample.meta["losses"]{loading})
```

Each sample has `graph.json` (nodes, edges, weights), `params.safetensors` (a tensor a type and parameter; row `r`
belongs to the `r`-th node of the type), `trace.json` and `meta.json`{audio_fields}. `index.json` says where each sample
is, `SHA256SUMS` is read by `sha256sum --check`, and `python -m mixgraph validate-shards` checks everything.

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


def write_card(
    out: str | Path,
    name: str | None = None,
    quality: Mapping[str, Any] | None = None,
    *,
    index: Index | None = None,
    description: str = "",
) -> list[SongFigures]:
    """Writes README.md, croissant.json and pictures/ into the folder of a data set.

    Args:
        out: the folder.
        name: of the data set; the folder's by default.
        quality: how songs were chosen and what was left out: title -> a table (a list of records, or a mapping) or a
            text.
        index: of the data set; read from the folder by default.
        description: a paragraph for people.

    Returns:
        The figures of every song, as the tables and pictures show them.

    Raises:
        FileNotFoundError, ValueError: not a data set, or a damaged one.
    """
    out = Path(out)
    index = index or load_index(out)
    name = name or out.resolve().name
    songs, has_audio = _read(out, index)
    (out / "pictures").mkdir(exist_ok=True)
    save_figure(sizes_figure(songs), out / "pictures" / "sizes.png")
    save_figure(ratios_figure(songs), out / "pictures" / "ratios.png")
    text = _readme(out, index, name, description, songs, has_audio) + _chosen(quality or {})
    write_atomically(out / "README.md", text.encode())
    licences = sorted({song.licence for song in songs if song.licence})
    write_atomically(out / "croissant.json", croissant(index, name, description, licences, has_audio))
    return songs


def _read(out: Path, index: Index) -> tuple[list[SongFigures], bool]:
    """One entry a song, in order of the index, and whether there is audio."""
    songs: dict[tuple[str, str], SongFigures] = {}
    has_audio = False
    for shard in index.shards:
        for raw in read_raw(out / shard.shard):
            sample = decode_sample(raw)
            has_audio |= sample.audio is not None
            figures = song_figures(sample.meta, sample.graph, shard.split)
            songs.setdefault((figures.dataset, figures.song), figures)
    return list(songs.values()), has_audio


def _readme(out: Path, index: Index, name: str, description: str, songs: Sequence[SongFigures], has_audio: bool) -> str:
    types = type_order({node_type for song in songs for node_type in song.found})
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
    body = _BODY.format(
        name=name,
        description=description or "Mixing graphs of songs.",
        samples=samples,
        songs=len(songs),
        audio="the audio" if has_audio else "the hashes by which the audio is found in your own copy of the songs",
        loading="" if has_audio else ')\n    # with audio: read_shards(..., audio_root="folder of the songs"',
        audio_fields=", `dry.flac` (the tracks end to end) and `mix.flac`" if has_audio else "",
        folder=out.resolve().name,
        splits=markdown(splits),
        sizes=markdown(table_sizes(songs)),
        losses=markdown(table_losses(songs)),
        letters=", ".join(f"{letter} {t.replace('_', '/')}" for t, letter in _letters(types).items()),
        table=markdown(table_3(songs, types)),
        licences=markdown(_licence_table(songs)),
    )
    head = yaml.safe_dump(_head(index, name, songs), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n{body}"


def _chosen(quality: Mapping[str, Any]) -> str:
    """A section on the choice of songs; nothing where nothing is said."""
    parts = []
    for title, value in quality.items():
        rows: list[list[str]] = []
        if isinstance(value, Mapping):
            rows = [["", ""], *([str(key), str(item)] for key, item in value.items())]
        elif isinstance(value, list | tuple) and value and all(isinstance(record, Mapping) for record in value):
            keys = list(dict.fromkeys(key for record in value for key in record))
            rows = [[str(key) for key in keys], *([str(record.get(key, "")) for key in keys] for record in value)]
        shown = markdown(rows) if rows else str(value) if value not in ([], ()) else "none"
        parts.append(f"### {str(title).replace('_', ' ').capitalize()}\n\n{shown}\n")
    return "\n## How songs were chosen\n\n" + "\n".join(parts) if parts else ""


def _letters(types: Sequence[str]) -> dict[str, str]:
    return {node_type: node_letter(node_type) for node_type in types}


def _licence_table(songs: Sequence[SongFigures]) -> list[list[str]]:
    counts: dict[tuple[str, str], int] = {}
    for song in songs:
        key = (song.dataset, song.licence or "not stated")
        counts[key] = counts.get(key, 0) + 1
    return [["data set", "licence", "songs"], *([*key, str(count)] for key, count in sorted(counts.items()))]


def _head(index: Index, name: str, songs: Sequence[SongFigures]) -> Mapping[str, object]:
    known = {_LICENCES.get(re.sub(r"[\s_]+", "", song.licence.lower()), "other") for song in songs}
    licence: dict[str, object] = {"license": known.pop() if len(known) == 1 else "other"}
    if licence["license"] == "other":
        licence["license_name"] = "see-the-sources"
    size = next((label for most, label in _SIZES if len(index.samples) < most), "n>1M")
    return {
        "pretty_name": name,
        **licence,
        "task_categories": ["graph-ml", "audio-to-audio"],
        "tags": ["music", "mixing", "audio-effects", "audio-processing-graph", "webdataset"],
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/*.tar"} for split in index.splits],
            }
        ],
    }
