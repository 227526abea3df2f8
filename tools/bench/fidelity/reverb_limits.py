"""How near our reverb and our multitap delay come to a reverb of other software, each alone and both together.

    python -m tools.bench.fidelity.reverb_limits SONG --table docs/results/reverb_limits.json

For every reverb of the song's truth.json on a track, or on a subgroup of one track, a song is made of this track with
this reverb alone (`juce.reverb_response`), and chains are trained to match it, without pruning. `other noise` is the
same reverb with the size of its short-time spectrum and the phases of noise, which is what a reverb that shapes noise
could reach at best.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from datamodules import SongData
from mixgraph.cli.command_parser import CommandParser
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import load_song, write_audio
from tools.bench.fidelity.juce import reverb_response
from tools.bench.machine import command_line, measured
from tools.result_tables import write_table

OTHER_NOISE = "other noise"
RATE, _FILE_RATE = 30000, 44100
_TITLE = "A reverb of other software, matched by our processors"
_SECONDS = 4.0  # of a response
_FRAME, _HOP = 384, 192  # samples, of the short-time spectrum of `other noise`


@dataclass(frozen=True)
class PlacedReverb:
    """A reverb of truth.json: its track, its place in words, and its settings."""

    track: str
    place: str
    settings: dict[str, float]


def placed_reverbs(song: Path) -> list[PlacedReverb]:
    """Reads the reverbs of a song that act on one track alone."""
    truth = json.loads((song / "truth.json").read_text(encoding="utf-8"))
    groups = load_song(song, RATE).subgroups
    alone = {group: tracks[0] for group, tracks in groups.items() if len(tracks) == 1}
    chains = [(Path(name).stem, "track", Path(name).stem, chain) for name, chain in truth["tracks"].items()]
    chains += [(alone[name], "subgroup", name, chain) for name, chain in truth["subgroups"].items() if name in alone]
    return [
        PlacedReverb(track, f"{level} {name}", dict(settings))
        for track, level, name, chain in chains
        for kind, settings in chain
        if kind == "reverb"
    ]


def responses(settings: dict[str, float]) -> tuple[Tensor, Tensor]:
    """The response of a reverb from the sum of both channels, and one with other phases, (2, samples) at 44.1 kHz."""
    samples = round(_SECONDS * _FILE_RATE)
    response = torch.fft.irfft(reverb_response(settings, 2 * samples, _FILE_RATE), 2 * samples)[:, :samples]
    noise = torch.randn(response.shape, generator=torch.Generator().manual_seed(0), dtype=response.dtype)
    window = torch.hann_window(_FRAME, dtype=response.dtype)
    size, phases = (torch.stft(audio, _FRAME, _HOP, window=window, return_complex=True) for audio in (response, noise))
    other = torch.istft(size.abs() * torch.exp(1j * phases.angle()), _FRAME, _HOP, window=window, length=samples)
    return response, other


def with_reverb(dry: Tensor, response: Tensor, settings: dict[str, float]) -> Tensor:
    """Adds the reverberation to twice the dry sound, as JUCE does; (2, samples) both."""
    n_fft = dry.shape[-1] + response.shape[-1]
    spectra = torch.fft.rfft(dry.double().sum(dim=0), n_fft) * torch.fft.rfft(response, n_fft)
    return 2 * settings["dry_level"] * dry.double() + torch.fft.irfft(spectra, n_fft)[:, : dry.shape[-1]]


def trained_loss(folder: Path, chain: str, stages: int, steps: int, seed: int) -> float:
    """Trains a chain on the only track of a song; returns the match loss."""
    module = ConsoleModule(track_chain=chain, subgroup_chain="", sample_rate=RATE, seed=seed)
    data = SongData(str(folder), sample_rate=RATE, steps_per_stage=steps, seed=seed, cache_dir=None)
    search(module, data, [], stages, "cpu", enable_progress_bar=False)
    return module.score(data.song).over(module.loss_settings.denominator)["full"]


def losses(
    song: Path, reverb: PlacedReverb, chains: Sequence[str], stages: int, steps: int, seed: int
) -> dict[str, float]:
    """Makes the song of a reverb and measures chains on it; name of the chain -> match loss."""
    whole = load_song(song, _FILE_RATE)
    dry = whole.sources[whole.tracks.index(reverb.track)]
    with TemporaryDirectory() as name:
        folders = [Path(name) / "reverb", Path(name) / "other"]
        for folder, response in zip(folders, responses(reverb.settings), strict=True):
            (folder / "tracks").mkdir(parents=True)
            write_audio(folder / "tracks" / f"{reverb.track}.wav", dry, _FILE_RATE)
            mix = with_reverb(dry, response, reverb.settings)
            write_audio(folder / "mix.wav", mix.float(), _FILE_RATE)
        found = {chain: trained_loss(folders[0], chain, stages, steps, seed) for chain in chains}
        made = load_song(folders[0], RATE)
        noise = load_song(folders[1], RATE, loudness_lufs=None).mix * made.level
    score = SongTarget(make_match_loss(RATE), made.mix).score(noise)
    return found | {OTHER_NOISE: score.loss["full"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the chains; returns the exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path, help="folder of the song, with truth.json")
    parser.add_argument("--chains", nargs="+", default=["g", "gr", "gd", "gdr"], help="chains to train (g gr gd gdr)")
    parser.add_argument("--reverbs", type=int, help="take the first so many reverbs only")
    parser.add_argument("--stages", type=int, default=4, help="stages; the learning rate falls in the last one (4)")
    parser.add_argument("--steps", type=int, default=50, help="steps of a stage (50)")
    parser.add_argument("--seed", type=int, default=0, help="seeds initial values and clips (0)")
    parser.add_argument("--table", type=Path, help="JSON file for the table, as docs/results holds it")
    options = parser.parse_args(arguments)
    rows = []
    for reverb in placed_reverbs(options.song)[: options.reverbs]:
        found = losses(options.song, reverb, options.chains, options.stages, options.steps, options.seed)
        rows.append([reverb.track, reverb.place, *(f"{loss:.3f}" for loss in found.values())])
        sys.stdout.write(f"{reverb.track}, reverb of {reverb.place}: {found}\n")
        sys.stdout.flush()
    if options.table is not None:
        line = command_line("tools.bench.fidelity.reverb_limits", arguments, ("--table",))
        columns = ["track", "reverb of", *(f"chain `{chain}`" for chain in options.chains), OTHER_NOISE]
        note = (
            "Match loss of the track with this reverb alone. Chains (g gain, d multitap delay, r reverb), trained for "
            f"{options.stages * options.steps} steps, the last {options.steps} with a falling learning rate, not "
            f"pruned. {OTHER_NOISE}: the true reverb with the size of its short-time spectrum and the phases of noise."
        )
        write_table(options.table, _TITLE, [measured(line, torch.get_num_threads())], columns, rows, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
