"""`croissant.json`: what is in a data set, for machines (MLCommons Croissant 1.0)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mixgraph.shards.fields import AUDIO, DRY, GRAPH, META, MIX, PARAMETERS, REQUIRED, TRACE
from mixgraph.shards.index import Index

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "key": "cr:key",
    "recordSet": "cr:recordSet",
    "sc": "https://schema.org/",
    "source": "cr:source",
}
_FIELDS = {
    GRAPH: ("application/json", "sc:Text", "nodes and edges, with dry/wet weights and loss increases"),
    PARAMETERS: ("application/octet-stream", "sc:Text", "safetensors: TYPE.NAME, (nodes of the type, ...)"),
    TRACE: ("application/json", "sc:Text", "every trial of the search"),
    META: ("application/json", "sc:Text", "source, licence, hashes, losses, ratios, configuration"),
    DRY: ("audio/flac", "sc:AudioObject", "the dry tracks end to end, each with a scale in meta.json"),
    MIX: ("audio/flac", "sc:AudioObject", "the engineer's mix"),
}


def croissant(index: Index, name: str, description: str, licences: Sequence[str], has_audio: bool) -> bytes:
    """The metadata as JSON-LD: every tar with its sha256, the fields as file sets, and one record set a sample."""
    names = (*REQUIRED, *AUDIO) if has_audio else REQUIRED
    tars = [
        {
            "@type": "cr:FileObject",
            "@id": shard.shard,
            "name": shard.shard,
            "contentUrl": shard.shard,
            "contentSize": f"{shard.size} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard.sha256,
        }
        for shard in index.shards
    ]
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"files-{field}",
            "name": f"files-{field}",
            "containedIn": [{"@id": shard.shard} for shard in index.shards],
            "encodingFormat": _FIELDS[field][0],
            "includes": f"*.{field}",
        }
        for field in names
    ]
    fields = [_key_field()] + [
        {
            "@type": "cr:Field",
            "@id": f"samples/{field}",
            "name": field,
            "description": _FIELDS[field][2],
            "dataType": _FIELDS[field][1],
            "source": {"fileSet": {"@id": f"files-{field}"}, "extract": {"fileProperty": "content"}},
        }
        for field in names
    ]
    record = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description or "Mixing graphs of songs.",
        "license": list(licences) or ["not stated"],
        "version": "1.0.0",
        "distribution": [*tars, *sets],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "description": f"{len(index.samples)} graph-audio pairs",
                "key": {"@id": "samples/key"},
                "field": fields,
            }
        ],
    }
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _key_field() -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": "samples/key",
        "name": "key",
        "description": "unique in the data set",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"files-{META}"},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": "^(.*?)\\."},
        },
    }
