"""MixingSecrets ("Mixing Secrets" Free Multitrack Download Library), as the published code prepares it.

    SONG/mix.wav
    SONG/correspondence.yaml     {subgroup: [file names of its dry tracks]}
    SONG/alignment.json          or alignment.pickle; {"mix.wav": seconds, "rough_mix.wav": seconds}
    SONG/<one folder>/*.wav      the dry tracks

With o = a["mix.wav"] - a["rough_mix.wav"], the dry tracks are read at the mix's position + o: a positive o means
that they are late. alignment.json wins where both exist.
"""

from __future__ import annotations

from pathlib import Path

from mixgraph.names import normal_form, shown_value
from mixgraph.songs.folder import MAX_OFFSET_SECONDS, find_mix, is_names, list_audio
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile, use_once
from mixgraph.songs.safe_numbers import read_numbers
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.text_files import read_json, read_yaml, to_number

LICENCE = "see the data set (Cambridge-MT: educational use)"
ALIGNMENT_FILES = ("alignment.json", "alignment.pickle")
ALIGNMENT_KEYS = ("mix.wav", "rough_mix.wav")
# Songs left out of a data set by default, as by the published code; 472 of its 512 songs are usable then.
DEFAULT_SKIP = (
    "BolzAndKnecht_Summertime",
    "Fergessen_NosPalpitants",
    "Hazael_ResistenciaParaUnNuevoComenzar",
    "HowToKillAConversation_Showmonster",
    "JeffHirata_Sunshine",
    "Kangoro_Rockshow",
    "PurpleHatMob_AccessDenied",
    "Trafficker_MyFatherNeverLovedMe",
    "WesleyMorgan_FleshAndBone",
    "AlbertKader_Ubiquitous",
    "AmyHelmAndTheHandsomeStrangers_RescueMe",
    "Avalon_AllIKnow",
    "BigHeadToddAndTheMonsters_HeyDelilah",
    "BronzeRadioReturn_MisterMister",
    "ColebrookRoad_BrightAngel",
    "DavidTyo_LongWayHome",
    "EJRios_Echo",
    "EveningDarling_PassengerSide",
    "FriendzWorldMusic_Triba-Bao-Kuku",
    "Fruition_SantaFe",
    "IkebeShakedown_TheLastStand",
    "IlmariKontia_Funkkihillo",
    "JohnAArdelli_Asiza",
    "KungFu_JoyRide",
    "McLovins_BuildinItUp",
    "MikaelaDavis_HomeInTheCountry",
    "Ripe_4OutOf10",
    "Skelpolu_HumanMistakes",
    "SpeakSoftly_BrokenMan",
    "TheTimezone_GOTGF",
    "UncleDad_WhoIAm",
    "SunshineGarciaBand_ForIAmTheMoon",
)
UNUSUAL_OFFSET_SECONDS = 60.0  # the published 472 songs: 99 % are below 47.3 s; the 3 above 60 s look wrong


def read_mixing_secrets(folder: Path, problems: Problems) -> SongDraft:
    """Reads the MixingSecrets layout; what is wrong goes to `problems`."""
    draft = SongDraft(folder.name, LICENCE, find_mix(folder, "mix", problems), [], None)
    groups = _correspondence(folder / "correspondence.yaml", problems)
    offset = _offset_seconds(folder, problems)
    if abs(offset) > UNUSUAL_OFFSET_SECONDS:
        text = f"the alignment reads the dry tracks at {offset:+.1f} s, which is unusually far"
        draft.warnings.append(SongWarning("unusual_offset", text))
    listed = {file for files in groups.values() for file in files}
    dry_folder = _dry_folder(folder, listed, problems)
    if dry_folder is None:
        return draft
    draft.subgroups = use_once(groups, draft.warnings)
    for path in list_audio(dry_folder, draft.warnings):
        if normal_form(path.name) in listed:
            draft.tracks.append(TrackFile(path, path.stem, offset_seconds=offset))
        else:
            text = f"{dry_folder.name}/{path.name}: left out, since correspondence.yaml does not name it"
            draft.warnings.append(SongWarning("not_listed", text))
    return draft


def _correspondence(path: Path, problems: Problems) -> dict[str, list[str]]:
    if not path.is_file():
        problems.add("correspondence.yaml: expected, got none")
        return {}
    try:
        groups: dict[str, list[str]] = read_yaml(path)
    except ValueError as error:
        problems.add(str(error))
        return {}
    if not isinstance(groups, dict) or not groups or not all(is_names(files) for files in groups.values()):
        problems.add(f"correspondence.yaml: {{subgroup: [file names]}} expected, got {shown_value(groups)}")
        return {}
    return groups


def _offset_seconds(folder: Path, problems: Problems) -> float:
    path = next((folder / name for name in ALIGNMENT_FILES if (folder / name).is_file()), None)
    if path is None:
        problems.add(
            f"{' or '.join(ALIGNMENT_FILES)}: one expected, got none. "
            'HINT: for tracks that are aligned already, write {"mix.wav": 0.0, "rough_mix.wav": 0.0}'
        )
        return 0.0
    try:
        alignment = read_json(path) if path.suffix == ".json" else read_numbers(path)
    except ValueError as error:
        problems.add(str(error))
        return 0.0
    stated = [alignment.get(key) if isinstance(alignment, dict) else None for key in ALIGNMENT_KEYS]
    mix, rough_mix = (None if isinstance(x, str) else to_number(x, MAX_OFFSET_SECONDS) for x in stated)
    if mix is None or rough_mix is None:
        allowed = f"finite seconds (up to {MAX_OFFSET_SECONDS:.0e}) at {' and '.join(ALIGNMENT_KEYS)}"
        problems.add(f"{path.name}: {allowed} expected, got {shown_value(stated)}")
        return 0.0
    return mix - rough_mix


def _dry_folder(folder: Path, listed: set[str], problems: Problems) -> Path | None:
    """The only sub-folder with a listed file in it; the only one with any audio, to report what is missing from it."""
    audio = {
        path: {normal_form(file.name) for file in path.iterdir() if is_audio_file(file)}
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    candidates = [path for path, names in audio.items() if names & listed] or [
        path for path, names in audio.items() if names
    ]
    if len(candidates) == 1:
        return candidates[0]
    problems.add(
        "dry tracks: one sub-folder with the files of correspondence.yaml expected, got "
        f"{', '.join(path.name for path in candidates) or 'none'}"
    )
    return None
