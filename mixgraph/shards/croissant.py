"""Writes `croissant.json`, the machine-readable description of a data set (MLCommons Croissant 1.0)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mixgraph.shards.fields import AUDIO, DRY, GRAPH, META, MIX, PARAMETERS, REQUIRED, TRACE
from mixgraph.shards.index import Index, IndexShard

# The JSON-LD context of the standard, complete, since readers compare it.
_TERMS = [
    "citeAs",
    "column",
    "conformsTo",
    "equivalentProperty",
    "extract",
    "field",
    "fileProperty",
    "fileObject",
    "fileSet",
    "format",
    "includes",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
]
CITATION = (
    "@inproceedings{lee2024searching, "
    "title={Searching For Music Mixing Graphs: A Pruning Approach}, "
    "author={Lee, Sungho and Mart\\'inez-Ram\\'irez, Marco A. and Liao, Wei-Hsiang and Uhlich, Stefan and "
    "Fabbro, Giorgio and Lee, Kyogu and Mitsufuji, Yuki}, "
    "booktitle={Proceedings of the International Conference on Digital Audio Effects (DAFx)}, year={2024}}"
)
"""The paper whose method made the graphs."""

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_FIELDS = {
    GRAPH: ("application/json", "sc:Text", "nodes and edges, with dry/wet weights and loss increases"),
    PARAMETERS: ("application/octet-stream", "sc:Text", "safetensors: TYPE.NAME, (nodes of the type, ...)"),
    TRACE: ("application/json", "sc:Text", "every trial of the search"),
    META: ("application/json", "sc:Text", "source, licence, hashes, losses, ratios, configuration"),
    DRY: ("audio/flac", "sc:AudioObject", "the dry tracks end to end, each with a scale in meta.json"),
    MIX: ("audio/flac", "sc:AudioObject", "the engineer's mix"),
}


def croissant(
    index: Index,
    name: str,
    description: str,
    licences: Sequence[str],
    has_audio: bool,
    cite_as: str = CITATION,
    date_published: str = "",
) -> bytes:
    """Returns the metadata as JSON-LD: every tar with its sha256, a file set and a record set for each sample field.

    A record has the sample's key and the field's content; records with the same key belong to one sample.

    Args:
        index: the index of the data set.
        name: the name of the data set.
        description: a paragraph that describes the data set to people.
        licences: the licences of the songs.
        has_audio: True if any sample has audio fields.
        cite_as: the publication to cite, as BibTeX.
        date_published: a date such as 2026-11-29; left out if empty.
    """
    names = (*REQUIRED, *AUDIO) if has_audio else REQUIRED
    record = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "license": list(licences) or ["not stated"],
        "citeAs": cite_as,
        **({"datePublished": date_published} if date_published else {}),
        "version": "1.0.0",
        "distribution": [*map(_file_object, index.shards), *(_file_set(field, index) for field in names)],
        "recordSet": [_record_set(field, index) for field in names],
    }
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _file_object(shard: IndexShard) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.shard,
        "name": shard.shard,
        "contentUrl": shard.shard,
        "contentSize": f"{shard.size} B",
        "encodingFormat": "application/x-tar",
        "sha256": shard.sha256,
    }


def _file_set(field: str, index: Index) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files-{field}",
        "name": f"files-{field}",
        "containedIn": [{"@id": shard.shard} for shard in index.shards],
        "encodingFormat": _FIELDS[field][0],
        "includes": f"*.{field}",
    }


def _record_set(field: str, index: Index) -> dict[str, Any]:
    content = {
        "@type": "cr:Field",
        "@id": f"{field}/content",
        "name": "content",
        "description": _FIELDS[field][2],
        "dataType": _FIELDS[field][1],
        "source": {"fileSet": {"@id": f"files-{field}"}, "extract": {"fileProperty": "content"}},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": field,
        "name": field,
        "description": f"{_FIELDS[field][2]}, of each of the {len(index.samples)} samples",
        "key": {"@id": f"{field}/key"},
        "field": [_key_field(field), content],
    }


def _key_field(field: str) -> dict[str, Any]:
    key_field = {
        "@type": "cr:Field",
        "@id": f"{field}/key",
        "name": "key",
        "description": "of the sample",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"files-{field}"},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": "^([^.]*)"},
        },
    }
    return key_field if field == META else key_field | {"references": {"field": {"@id": f"{META}/key"}}}
