"""Makes a synthetic set with known graphs from the dry tracks of songs, as shards with audio and a card.

    python -m tools.generate_synthetic SONGS/* --results dataset/results/*/run_0 --out data/synthetic --workers 2

Tracks of several songs are cast into subgroups and mixed by a sparse console whose processors are kept as often, and
set like, those of the graphs in `--results` (settings moved a little); without results, by the rules of
`mixgraph.synthetic.engineer`. Processors whose removal costs less than `--least-increase` are removed. Every track is
in one split only. The same arguments give the same bytes, with any number of workers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.progress import track as progress

from mixgraph.graph import build_console
from mixgraph.graph.io import GraphFile
from mixgraph.graph.types import MIX
from mixgraph.shards import CardTexts, Origin, pack_sample, write_card, write_shards
from mixgraph.synthetic import SPLITS, GeneratedSample, GenerationSettings, Plan, generate


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    defaults = GenerationSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", help="folders of songs; other paths among them are passed over")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set; an existing one is replaced")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="result folders of graphs found on songs")
    parser.add_argument("--test-songs", nargs="*", default=[], help="names of songs that only the test split may use")
    for split, count in zip(SPLITS, (3000, 200, 200), strict=True):
        parser.add_argument(f"--{split}", type=int, default=count, help=f"samples of this split (default {count})")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="length of a sample")
    parser.add_argument("--min-tracks", type=int, default=defaults.min_tracks)
    parser.add_argument("--max-tracks", type=int, default=defaults.max_tracks)
    parser.add_argument("--sample-rate", type=int, default=defaults.sample_rate)
    parser.add_argument(
        "--least-increase",
        type=float,
        default=defaults.least_increase,
        help="of the match loss, by removing a processor; below 0 nothing is measured (three times as fast)",
    )
    parser.add_argument("--rule-share", type=float, default=0.3, help="share of settings by rule, not by results")
    parser.add_argument("--jitter", type=float, default=0.3, help="how far settings move, in spreads of their type")
    parser.add_argument("--no-varispeed", action="store_true", help="play training tracks at their own speed only")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--cache-dir", type=Path, default=Path(".mixgraph_cache"), help="of decoded songs")
    parser.add_argument("--date-published", default="", help="such as 2026-11-29, for croissant.json; none by default")
    parser.add_argument("--max-count", type=int, default=100, help="samples of a shard")
    return parser.parse_args(arguments)


def plan_of(options: argparse.Namespace) -> Plan:
    settings = GenerationSettings(
        seed=options.seed,
        seconds=options.seconds,
        min_tracks=options.min_tracks,
        max_tracks=options.max_tracks,
        sample_rate=options.sample_rate,
        least_increase=None if options.least_increase < 0 else options.least_increase,
        varispeed=not options.no_varispeed,
    )
    return Plan(
        songs=tuple(path for path in options.songs if path.is_dir()),
        settings=settings,
        results=tuple(options.results),
        test_songs=tuple(options.test_songs),
        cache_dir=options.cache_dir,
        rule_share=options.rule_share,
        jitter=options.jitter,
    )


def pack(sample: GeneratedSample, settings: GenerationSettings) -> tuple[str, str, dict[str, bytes]]:
    """(split, key, fields) as `write_shards` takes them."""
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
