"""Makes a synthetic set with known graphs from the dry tracks of songs, as shards with audio and a card.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rich.progress import track as progress

from mixgraph.graph import build_console
from mixgraph.graph.io import GraphFile
from mixgraph.graph.types import MIX
from mixgraph.shards import CardTexts, Origin, pack_sample, write_card, write_shards
from mixgraph.synthetic import (
    SPLITS,
    GeneratedSample,
    GenerationSettings,
    MixingSettings,
    Plan,
    RecordingSettings,
    generate,
)
from tools.options import generate_synthetic_parser


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    return generate_synthetic_parser().parse_args(arguments)


def plan_of(options: argparse.Namespace) -> Plan:
    settings = GenerationSettings(
        seed=options.seed,
        seconds=options.seconds,
        min_tracks=options.min_tracks,
        max_tracks=options.max_tracks,
        sample_rate=options.sample_rate,
        least_increase=None if options.least_increase < 0 else options.least_increase,
        varispeed=not options.no_varispeed,
        recording=RecordingSettings(options.level_db, options.fade_share, options.bleed_share, options.noise_share),
        mixing=MixingSettings(
            options.effects_share,
            options.one_song_share,
            options.random_subgroups,
            options.passages,
            options.songs_per_engineer,
            options.balanced_share,
        ),
    )
    return Plan(
        songs=tuple(path for path in options.songs if path.is_dir()),
        settings=settings,
        results=tuple(options.results),
        test_songs=tuple(options.test_songs),
        cache_dir=options.cache_dir,
        rule_share=options.rule_share,
        jitter=options.jitter,
        num_instrument_songs=options.instrument_songs,
        corpus_seed=options.corpus_seed,
    )


def pack(sample: GeneratedSample, settings: GenerationSettings) -> tuple[str, str, dict[str, bytes]]:
    """Packs a sample as (split, key, fields) for `write_shards`."""
    values, rate = sample.values, settings.sample_rate
    graph = values.graph
    members: dict[str, list[str]] = {graph.names[i]: [] for i in graph.nodes_of(MIX)}
    for node, group in zip(graph.inputs, graph.subgroups, strict=True):
        members[group].append(graph.names[node])
    console = build_console(members, settings.track_chain, settings.subgroup_chain)
    origin = Origin(
        dataset="synthetic",
        song=sample.key,
        num_samples=sample.mix.shape[-1],
        title=f"Synthetic mix {sample.key}",
        licence=sample.meta["licence"],
        console=console.count(),
        extra=sample.meta,
    )
    file = GraphFile(graph, rate, values.weights, sample.loss_increases, {})
    key, fields = pack_sample(sample.key, file, values.parameters, origin, tracks=sample.sources, mix=sample.mix)
    return sample.split, key, fields


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    plan = plan_of(options)
    texts = CardTexts(date_published=options.date_published)
    counts = {split: getattr(options, split) for split in SPLITS}

    def packed() -> Iterator[tuple[str, str, dict[str, bytes]]]:
        samples = generate(plan, counts, options.workers)
        for sample in progress(samples, "Samples", total=sum(counts.values())):
            yield pack(sample, plan.settings)

    write_card(options.out, texts, index=write_shards(packed(), options.out, max_count=options.max_count))


if __name__ == "__main__":
    main()
