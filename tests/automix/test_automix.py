"""Mixes of songs without a mix: what is read, what is proposed, what is said, and what the folder can be used for."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.automix import Heard, odd_tracks, propose, read_reference_mix, tell_apart
from mixgraph.automix.proposals import LOUDNESS_LUFS, levelled, smooth_moves
from mixgraph.automix.words import hardly_heard, hear, said_levels
from mixgraph.automix.write import PROPOSALS
from mixgraph.cli.automix import _parser, _refine_settings, main
from mixgraph.cli.export import main as export
from mixgraph.cli.render import main as render
from mixgraph.cli.report import main as report
from mixgraph.estimators import EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.weights import save_weights
from mixgraph.page.material import NO_TARGET, read_material
from mixgraph.render import render_song
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.publish import Place
from mixgraph.songs import load_song, read_audio
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.unmixed import CLIPPED_TRACK, is_clipped, load_unmixed
from mixgraph.style import mix_statistics

RATE = 8000
TASK = EstimatorTask(RATE, 1.0, "esgc", "cgr")


@pytest.fixture(scope="module")
def network() -> EstimatorModule:
    """Not trained: it holds everything for about as likely as not."""
    torch.manual_seed(0)
    module = EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1, questions=True)).eval()
    module.about = {"max_tracks": 2}
    return module


@pytest.fixture
def bare(tiny_song, tmp_path) -> Path:
    """The tiny song without its mix."""
    folder = Path(shutil.copytree(tiny_song, tmp_path / "bare"))
    (folder / "mix.wav").unlink()
    return folder


def test_a_song_is_read_alike_with_and_without_its_mix(tiny_song, bare, tmp_path) -> None:
    song = load_unmixed(bare, RATE)
    assert integrated_loudness(song.mix, RATE) == pytest.approx(-16, abs=0.05)
    assert torch.allclose(song.mix, song.sources.sum(0))
    mixed = load_song(tiny_song, RATE)
    assert song.subgroups == mixed.subgroups
    length = mixed.num_samples
    assert torch.allclose(song.sources[..., :length] / song.level, mixed.sources / mixed.level, atol=1e-6)
    beside = load_unmixed(tiny_song, RATE)
    assert torch.equal(beside.sources, song.sources)
    assert odd_tracks(beside) == ["The song's own mix, mix.wav, is there and is not used."]
    (said,) = odd_tracks(beside, reference_beside="mix.wav")
    assert said.startswith("The reference is the song's own mix: its statistics alone are used.")
    assert odd_tracks(beside, reference_beside="other.wav") == odd_tracks(beside)
    assert odd_tracks(song) == []
    loose = load_unmixed(Path(shutil.copytree(bare / "tracks", tmp_path / "loose")), RATE)
    assert sorted(loose.tracks) == sorted(song.tracks)
    with pytest.raises(FileNotFoundError, match="is not a folder; one with the dry tracks is needed"):
        load_unmixed(tmp_path / "none", RATE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="tracks: files with suffix"):
        load_unmixed(tmp_path / "empty", RATE)
    soundfile.write(tmp_path / "short.wav", np.ones(1000), RATE)
    (tmp_path / "blip").mkdir()
    shutil.move(tmp_path / "short.wav", tmp_path / "blip")
    with pytest.raises(ValueError, match=r"at least 0\.4 s of tracks, .* are needed, got 0\.12 s"):
        load_unmixed(tmp_path / "blip", RATE)
    with pytest.raises(ValueError, match=r"got loose\. HINT: audio is in loose; it has to lie in one folder"):
        load_unmixed(Path(shutil.move(tmp_path / "loose", tmp_path / "empty" / "loose")).parent, RATE)


def test_proposals_follow_from_tracks_and_seed_alone_and_have_the_loudness_of_a_search(network, bare) -> None:
    song = load_unmixed(bare, RATE)
    ours, again, others = (propose(network, song, count=3, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(ours, again, strict=True):
        assert torch.equal(a.mix, b.mix)
    assert torch.equal(ours[0].mix, others[0].mix)  # the likely one
    assert not torch.equal(ours[1].mix, others[1].mix)
    assert not torch.equal(ours[1].mix, ours[2].mix)
    for one in ours:
        assert integrated_loudness(one.mix, RATE) == pytest.approx(LOUDNESS_LUFS, abs=0.05)
        values = one.values
        mix = render_song(values.graph, network.processors, one.song.sources, values.parameters, values.weights)[0]
        # Thresholds moved with the level: the same mix, but for the floor of the detectors.
        assert float((mix - one.mix).square().mean().sqrt()) < 1e-3 * float(one.mix.square().mean().sqrt())
    # The mix that stands in the song is not heard.
    deaf = propose(network, replace(song, mix=song.mix * 0))[0]
    assert torch.equal(deaf.mix, ours[0].mix)
    moved = propose(network, replace(song, sources=song.sources * 0.1, mix=song.mix * 0.1))[0]  # nor is its level
    assert torch.allclose(moved.mix, ours[0].mix, atol=1e-4)
    likely, still = propose(network, song, count=2, variety=0.0)
    shared = set(likely.values.graph.count()) & set(still.values.graph.count())
    assert shared
    for one in (likely, still):
        assert one.values.weights.min() > 0
    with pytest.raises(ValueError, match="variety: 0 to 2 is needed, got 3"):
        propose(network, song, variety=3)
    with pytest.raises(ValueError, match="song: 8000 Hz is needed, as in training, got 16000 Hz"):
        propose(network, load_unmixed(bare, 16000))


def test_a_reference_is_taken_at_any_rate_length_and_level_and_its_style_alone_counts(network, bare, tmp_path) -> None:
    song = load_unmixed(bare, RATE)
    noise = 0.1 * np.random.default_rng(0).standard_normal((5 * RATE, 2))
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "softer.wav", noise * 0.03, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", noise[:, 0].repeat(2), 2 * RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", noise * 0, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", noise[:4000], RATE, subtype="FLOAT")
    first, softer, mono = (read_reference_mix(tmp_path / f"{name}.wav", RATE) for name in ("a", "softer", "mono"))
    assert first.notes == ()
    assert [note.split(":")[0].split(" from")[0] for note in mono.notes] == [
        "The reference was resampled",
        "The reference has one channel",
    ]
    mixes = [propose(network, song, reference.audio)[0].mix for reference in (first, softer, mono)]
    assert torch.allclose(mixes[0], mixes[1], atol=1e-4)
    assert not torch.allclose(mixes[0], mixes[2], atol=1e-3)
    with pytest.raises(ValueError, match=r"reference: .*silent\.wav: a mix that sounds is needed, got a silent one"):
        read_reference_mix(tmp_path / "silent.wav", RATE)
    with pytest.raises(ValueError, match=r"reference: .*short\.wav: at least 1 s are needed, got 0\.50 s"):
        read_reference_mix(tmp_path / "short.wav", RATE)
    soundfile.write(tmp_path / "constant.wav", np.full((60 * RATE, 2), 0.3), RATE, subtype="FLOAT")  # its start sounds
    assert re.search(
        "sounds in 1?[0-9]% of its length only", read_reference_mix(tmp_path / "constant.wav", RATE).notes[0]
    )
    dull = read_reference_mix(tmp_path / "a.wav", 48000).notes[-1]
    assert re.fullmatch(r"The reference has nothing above [\d.]+ kHz: the mix it asks for is dark\.", dull)
    with pytest.raises(FileNotFoundError, match="the audio file of a mix is needed, got a folder"):
        read_reference_mix(tmp_path, RATE)
    with pytest.raises(ValueError, match=r"a\.wav: at most 4 GB of decoded audio expected"):  # at the rate of its use
        read_reference_mix(tmp_path / "a.wav", 10**9)


def test_an_offset_of_days_makes_no_song_of_days(bare) -> None:
    text = (bare / "song.yaml").read_text()
    (bare / "song.yaml").write_text(text + "tracks: {kick.wav: {offset_seconds: -1.0e+6}}\n")
    with pytest.raises(ValueError, match=r"bare: a length near that of the audio, 9 s, is needed, got 1,000,003 s"):
        load_unmixed(bare, RATE)


def test_all_tracks_together_have_a_bound(bare, monkeypatch) -> None:
    monkeypatch.setattr("mixgraph.songs.unmixed._MOST_BYTES", 5 * 3 * RATE * 4)  # two and a half tracks of 3 s
    with pytest.raises(ValueError, match=r"GB of tracks, as stereo at 8000 Hz, are needed, got \S+ GB or more"):
        load_unmixed(bare, RATE)


def test_tracks_that_are_all_louder_or_softer_give_the_same_mix(network, bare, tmp_path) -> None:
    song = load_unmixed(bare, RATE)
    for gain_db in (6.0, -6.0):
        folder = tmp_path / f"{gain_db:g}"
        (folder / "tracks").mkdir(parents=True)
        for path in (bare / "tracks").iterdir():
            samples, rate = soundfile.read(path)
            soundfile.write(folder / "tracks" / path.name, samples * 10 ** (gain_db / 20), rate, subtype="FLOAT")
        moved = load_unmixed(folder, RATE)
        assert song.level / moved.level == pytest.approx(10 ** (gain_db / 20), rel=1e-4)
        for reference in (None, song.sources[0]):
            ours, theirs = (propose(network, one, reference)[0].mix for one in (song, moved))
            assert torch.allclose(ours, theirs, atol=1e-4)


def test_odd_tracks_are_said(network, bare, tmp_path) -> None:
    song = load_unmixed(bare, RATE)
    one = replace(
        song,
        subgroups={"other": ("take_7",)},
        sources=song.sources[:1],
        mono=song.mono[:1],
        placements=song.placements[:1],
        alignment=song.alignment[:1],
    )
    said = " ".join(odd_tracks(one))
    assert "One track: there is nothing to balance it with" in said
    assert "No instrument is known by the name of take_7" in said
    assert integrated_loudness(propose(network, one)[0].mix, RATE) == pytest.approx(LOUDNESS_LUFS, abs=0.05)
    assert "3 tracks: the network was trained on songs of at most 2" in " ".join(odd_tracks(song, 2))
    names = ("drum_mix", "kick_bounce", "mix_2")
    called = replace(song, subgroups={"other": names}, sources=torch.randn(3, 2, song.num_samples))
    assert "mix_2: by name or sound a mix" in " ".join(odd_tracks(called))
    assert "drum_mix" not in " ".join(note for note in odd_tracks(called) if "by name or sound" in note)
    sources = torch.cat((song.sources[:2], 0.5 * song.sources[:2].sum(0, keepdim=True)))
    assert f"{song.tracks[2]}: by name or sound a mix of the other tracks" in " ".join(
        odd_tracks(replace(song, sources=sources))
    )
    silent = replace(song, sources=torch.cat((song.sources[:2], song.sources[2:] * 0)))
    assert f"Silent: {song.tracks[2]}." in odd_tracks(silent)
    time = torch.arange(3 * RATE) / RATE
    loud = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (110.0, 331.0)]).mul(3).clamp(-0.5, 0.5)
    stems = replace(
        one,
        warnings=tuple(SongWarning(CLIPPED_TRACK, f"{name} is cut off") for name in ("drums", "bass")),
        subgroups={"all": ("drums", "bass")},
        sources=loud.unsqueeze(1).expand(-1, 2, -1),
        mix=loud.sum(0).expand(2, -1),
        level=1.0,
        mono=(True, True),
        placements=((0, 1),) * 2,
        alignment=song.alignment[:2],
    )
    (sentence,) = odd_tracks(stems)
    assert sentence.startswith("The tracks seem to be mixed already (their plain sum peaks at 0.0 dBFS, ")
    assert "2 of 2 tracks are cut off at their peaks" in sentence
    assert "their names (drums, bass) are those of stems" in sentence


def test_tracks_that_are_cut_off_are_noticed_at_the_rate_of_their_files(tmp_path) -> None:
    time = np.arange(44100) / 44100
    for name, most, hertz in (("kick", 0.5, 220), ("bass", 0.4, 330), ("vox", 9.0, 441)):
        sine = np.sin(2 * np.pi * hertz * time) * np.linspace(0.5, 1, len(time))  # two peaks are never equal
        soundfile.write(tmp_path / f"{name}.wav", sine.clip(-most, most), 44100, subtype="PCM_16")
    low = torch.from_numpy(np.sin(2 * np.pi * 50 * time)).mul(0.1 * 32768).round().unsqueeze(0) / 32768
    assert not is_clipped(low)  # flat for several samples, in whole numbers
    assert is_clipped(low.clamp(-0.08, 0.08))
    song = load_unmixed(tmp_path, RATE)
    said = odd_tracks(song)
    assert len(said) == 1
    assert "2 of 3 tracks are cut off at their peaks" in said[0]
    (tmp_path / "bass.wav").unlink()
    assert "kick is cut off at its peaks." in odd_tracks(load_unmixed(tmp_path, RATE))
    (tmp_path / "vox.wav").unlink()
    said = odd_tracks(load_unmixed(tmp_path, RATE))
    assert "kick is cut off at its peaks." in said
    assert not any("tracks are cut off" in sentence for sentence in said)


def test_a_silent_proposal_is_named(network, bare) -> None:
    one = propose(network, load_unmixed(bare, RATE))[0]
    silent = replace(one, number=3, song=replace(one.song, sources=0 * one.song.sources))
    with pytest.raises(ValueError, match=r"proposal 3: a mix that sounds is needed, .* \(silent_mix\)\. HINT"):
        levelled(silent, network)


def test_curves_of_any_length_are_moved_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    for width in (1, 2, 3, 64):
        moves = smooth_moves(20000, width, generator)
        assert moves.shape == (20000, width)
        assert float(moves.square().mean()) == pytest.approx(1, abs=0.04)


def test_the_first_proposals_refinement_does_not_depend_on_the_seed() -> None:
    settings = {
        (seed, number): _refine_settings(_parser("automix").parse_args(["s", "--out", "o", "--seed", seed]), number)
        for seed in ("0", "1")
        for number in (1, 2)
    }
    assert settings["0", 1] == settings["1", 1]
    assert settings["0", 2] != settings["1", 2]


def test_a_users_files_in_a_proposals_folder_are_kept(tmp_path) -> None:
    for number in (1, 2):
        (tmp_path / "several" / f"proposal_{number}").mkdir(parents=True)
        (tmp_path / "several" / f"proposal_{number}" / "automix.json").write_text("{}")
    (tmp_path / "several" / "proposals.txt").touch()
    place = Place(tmp_path / "several", PROPOSALS, "out", "give --overwrite")
    place.check(overwrite=True)
    (tmp_path / "several" / "proposal_2" / "mine.flac").touch()
    with pytest.raises(FileExistsError, match=r"it holds proposal_2/mine\.flac"):
        place.check(overwrite=True)


def test_what_a_proposals_folder_lacks_is_said_beside_what_it_is(network, bare, tmp_path) -> None:
    one = propose(network, load_unmixed(bare, RATE))[0]
    values, song = one.values, one.song
    graph = FoundGraph(
        values.graph,
        network.processors,
        values.parameters,
        values.weights,
        RATE,
        song.level,
        song.num_samples,
        dict(zip(song.tracks, song.placements, strict=True)),
    )
    graph.save(tmp_path / "mixed")
    (tmp_path / "mixed" / "automix.json").write_text('{"about": ["One."], "tracks": "../gone"}')
    assert read_material(tmp_path / "mixed", None).missing == (
        NO_TARGET,
        "One.",
        "The audio file mix_found cannot be heard (it is not in the result folder).",
        "The dry tracks: their folder is not where it was in the search. HINT: --tracks FOLDER",
    )


def test_an_estimator_of_one_question_is_refused_before_anything_is_read(tmp_path) -> None:
    file = tmp_path / "old.safetensors"
    save_weights(EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1)), file)
    with pytest.raises(ValueError, match="trained on songs with their own mixes alone, and cannot mix without one"):
        main(["automix", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--checkpoint", str(file)])
    assert not (tmp_path / "out").exists()


def test_what_tells_proposals_apart_is_said_in_words() -> None:
    noise = 0.1 * torch.randn(2, 4 * RATE, generator=torch.Generator().manual_seed(0))
    narrow = torch.stack((noise[0] + 0.3 * noise[1], noise[0] - 0.3 * noise[1]))
    plain = mix_statistics(narrow, RATE)
    one = Heard(1, {"compressor": 4, "reverb": 1}, {"vox": -3.0, "kick": -6.0, "gone": -float("inf")}, plain)
    two = Heard(2, {"compressor": 2, "reverb": 2}, {"vox": -6.2, "kick": -6.5, "gone": -float("inf")}, plain)
    assert tell_apart([one, two]) == [
        "Proposal 1 (5 processors): 2 more compressors; 1 fewer reverb; vox 3 dB louder.",
        "Proposal 2 (4 processors): 2 fewer compressors; 1 more reverb; vox 3 dB softer.",
    ]
    assert tell_apart([one, replace(one, number=2)])[1] == "Proposal 2 (5 processors): hardly differs from the others."
    wide = replace(one, number=2, statistics=mix_statistics(noise, RATE))
    assert "wider" in tell_apart([one, wide])[1]
    assert "narrower" in tell_apart([one, wide])[0]
    assert hardly_heard(replace(one, levels={"vox": -50.0, "kick": -6.0, "gone": -float("inf")})) == [
        "Hardly heard, more than 35 LU below the mix in the loudest 10 s of the plain sum: vox."
    ]


def test_proposals_are_compared_in_the_part_in_which_the_dry_tracks_are_loudest(network, bare) -> None:
    song = load_unmixed(bare, RATE)
    sounding, silent = song.sources.tile(2), torch.zeros(len(song.tracks), 2, 10 * RATE)
    sources = torch.cat((0.1 * sounding, silent, sounding, silent), dim=-1)
    sources[0, :, sounding.shape[-1] :] = 0  # the first track is in the soft part alone
    (proposal,) = propose(network, replace(song, sources=sources, mix=sources.sum(dim=0)))
    heard = hear(proposal, network.processors)
    other = hear(replace(proposal, mix=proposal.mix.flip(-1)), network.processors)
    assert other.levels == heard.levels  # whatever a proposal makes loud
    assert heard.elsewhere == (song.tracks[0],)
    assert said_levels(heard)[1] == f"Silent in these 10 s, which say nothing of them: {song.tracks[0]}."


def test_levels_of_tracks_are_said_beside_those_in_the_plain_sum(network, bare) -> None:
    song = load_unmixed(bare, RATE)
    (proposal,) = propose(network, song)
    heard = hear(proposal, network.processors)
    assert said_levels(replace(heard, levels={}, plain={})) == []
    (said,) = said_levels(
        replace(heard, levels={"vox": -9.0, "kick": -4.26, "gone": -float("inf")}, plain={"vox": -3.0, "kick": -5.0})
    )
    assert said == (
        "Loudness of each track against the mix (and in the plain sum), in the loudest 10 s of the plain sum, in LU: "
        "kick -4.3 (-5.0), vox -9.0 (-3.0)."
    )
    long = torch.nn.functional.pad(song.sources, (0, 10 * RATE - song.num_samples))
    whole = integrated_loudness(long.sum(dim=0), RATE)
    for name, source in zip(song.tracks, long, strict=True):  # one gain for all tracks changes no difference
        assert heard.plain[name] == pytest.approx(integrated_loudness(source, RATE) - whole, abs=0.01)


@pytest.mark.long
def test_a_proposed_mix_is_a_folder_that_can_be_rendered_exported_and_shown(
    network, bare, tiny_song, tmp_path, capsys
) -> None:
    weights = tmp_path / "network.safetensors"
    save_weights(network, weights, network.about)
    out = tmp_path / "mixed"
    words = ["automix", str(bare), "--out", str(out), "--checkpoint", str(weights), "--refine-steps", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "3 tracks: the network was trained on songs of at most 2" in printed
    assert "report.html is its page" in printed
    assert "Refined in 5 steps: the distance of its statistics to the mean of" in printed
    found = load_result(out)
    assert len(found.graph.inputs) == 3
    assert not list(out.glob("mix_target*"))
    mix = read_audio(next(out.glob("mix_found.*")), RATE).expand(2, -1)
    assert integrated_loudness(mix, RATE) == pytest.approx(LOUDNESS_LUFS, abs=0.2)
    assert NO_TARGET in read_material(out, None).missing  # the tracks are found by themselves
    page = (out / "report.html").read_text()
    assert "There is no target" in page
    assert re.search(r'"types": ?\[\{[^]]*"console": ?null', page)  # there was no search that left some of them
    assert render([str(out), "--tracks", str(bare), "--out", str(tmp_path / "again.wav")]) == 0
    again = read_audio(tmp_path / "again.wav", RATE).expand(2, -1)
    assert torch.allclose(again * found.level, mix, atol=1e-3)
    apart = 20 * np.log10(found.level)
    where = "above" if apart > 0 else "below"
    said = f"The file mix_found is {abs(apart):.1f} dB {where} what render and export make"
    assert (said in (out / "settings.txt").read_text()) == (abs(apart) >= 0.1)
    assert export([str(out), "--to", "stems", "--tracks", str(bare), "--out", str(tmp_path / "stems")]) == 0
    assert (tmp_path / "stems").is_dir()
    assert report([str(out), "--out", str(tmp_path / "page.html")]) == 0
    with pytest.raises(FileExistsError, match="exists and is kept"):
        main(["automix", str(bare), "--out", str(out), "--checkpoint", str(weights)])
    several = tmp_path / "several"
    audio, rate = soundfile.read(tiny_song / "mix.wav")
    audio, rate = audio.repeat(2, axis=0), 2 * rate
    audio[:: rate // 2] += 2.0  # clicks, which no FLAC holds at the loudness of a search
    soundfile.write(tmp_path / "clicks.wav", audio, rate, subtype="FLOAT")
    words = ["--reference", str(tmp_path / "clicks.wav"), "--proposals", "2", "--refine-steps", "2"]
    assert main(["transfer", str(bare), "--out", str(several), "--checkpoint", str(weights), *words]) == 0
    assert "reference.wav: written as float32 WAV" in capsys.readouterr().out
    said = (several / "proposals.txt").read_text()
    assert "Proposal 1 (" in said
    assert "Proposal 2 (" in said
    lines = said.splitlines()
    assert [line.split()[:1] for line in lines[-3:]] == [["proposal"], ["1"], ["2"]]
    assert len({len(line) for line in lines[-3:]}) == 1  # the columns stand below their heads
    assert {path.name for path in several.iterdir()} == {"proposals.txt", "proposal_1", "proposal_2"}
    assert "Refined in" in (several / "proposal_2" / "settings.txt").read_text()
    record = json.loads((several / "proposal_2" / "automix.json").read_text())
    assert record["reference_sha256"] == hashlib.sha256((tmp_path / "clicks.wav").read_bytes()).hexdigest()
    assert record["network_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (record["subgrouping"], record["threshold"]) == ("auto", float(network.other_thresholds[1]))
    assert record["refinement"]["distance_after_db"] <= record["refinement"]["distance_before_db"]
    written = next((several / "proposal_2").glob("reference.*"))
    assert soundfile.info(written).frames == len(audio)
    assert soundfile.info(written).samplerate == rate != RATE  # its own
    shown = read_material(several / "proposal_2", None)
    assert shown.target_is_reference
    assert '["target", "Reference"]' in (several / "proposal_2" / "report.html").read_text()
    metrics = several / "proposal_2" / "metrics.json"  # that lies about a length which no audio of it has
    metrics.write_text(re.sub(r'"num_samples": ?\d+', '"num_samples": 600000000', metrics.read_text()))
    with pytest.raises(ValueError, match="a length near that of the audio"):
        read_material(several / "proposal_2", None)
    moved = bare.rename(tmp_path / "moved")
    assert read_material(several / "proposal_2", None).target is None
    moved.rename(bare)
    with pytest.raises(ValueError, match="proposals: at least 1, got 0"):
        main(["automix", str(bare), "--out", str(out), "--proposals", "0"])
