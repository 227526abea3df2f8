"""The page of a demixed song: what it holds and names as missing, and its faders in a real browser."""

import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.cli.report import main
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings
from mixgraph.demixing.files import demix_file

RATE = 8000
HOSTILE = "</script><b>it's\u202e, a=b"
TARGETS = ("vocals", "drums", HOSTILE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder that `demix` wrote, by an untrained network, with the mix beside it: its second half is louder."""
    torch.manual_seed(0)
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
    demixer = Demixer(TARGETS, transform, network=NetworkSettings(6, 3, 2, exchange=5)).eval()
    for parameter in demixer.network.parameters():  # masks that differ
        parameter.data += 0.1 * torch.randn(parameter.shape)
    root = tmp_path_factory.mktemp("demixed")
    noise = 0.1 * np.random.default_rng(3).standard_normal((2 * RATE, 2)) * np.repeat([1, 2], RATE)[:, None]
    soundfile.write(root / "the mix.wav", noise, RATE, subtype="FLOAT")
    about = {"checkpoint": {"file": "best.ckpt", "sha256": "a"}}
    demix_file(demixer, root / "the mix.wav", root / "stems", {"drums": -6.0}, about=about)
    return root


@pytest.fixture
def demixed(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "stems"


def page_data(path) -> dict:
    text = path.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def written(folder, out, *words) -> dict:
    assert main([str(folder), "--out", str(out), "--overwrite", *words]) == 0
    return page_data(out)


def test_the_page_of_a_demixed_song_holds_its_stems_and_names_what_is_missing(demixed, tmp_path, capsys) -> None:
    out = tmp_path / "page.html"
    data = written(demixed, out, "--excerpts", "0.5-1.5")
    assert [stem["name"] for stem in data["stems"]] == ["vocals", "drums", HOSTILE.replace("\u202e", "\\u202e")]
    assert [stem["argument"] for stem in data["stems"]] == ["vocals", "drums", None]
    (excerpt,) = data["excerpts"]
    assert (excerpt["start"], excerpt["seconds"]) == (0.5, 1.0)
    assert set(excerpt["audio"]) == {"target", "stem 0", "stem 1", "stem 2"}
    assert set(excerpt["pictures"]) == {f"{name} {side}" for name in excerpt["audio"] for side in ("mid", "side")}
    assert data["distanceDb"] < -100
    assert data["voices"][0] == ["target", "Mix as it is"]
    assert data["notes"] == []
    text = out.read_text()
    assert text.count("<script") == 2
    assert "\u202e" not in text

    (demixed / "drums.wav").write_bytes(b"RIFF")
    soundfile.write(demixed.parent / "the mix.wav", np.zeros((2 * RATE, 2)), RATE)
    data = written(demixed, out, "--no-audio")
    assert [stem["name"] for stem in data["stems"]][0::2] == ["vocals"]
    assert "The stem drums cannot be read, so that the faders lack it (drums.wav: " in data["notes"][0]
    assert "The sum of the stems stands for the mix the mix.wav" in data["notes"][1]
    assert data["voices"][0] == ["target", "Sum of the stems as it is"]
    assert "audio" not in data["excerpts"][0]
    assert "The stem drums cannot be read" in capsys.readouterr().out


def test_a_folder_of_stems_that_cannot_be_shown_is_refused_in_a_line(demixed, tmp_path) -> None:
    out = ["--out", str(tmp_path / "page.html")]
    with pytest.raises(ValueError, match="a folder of stems is shown alone, got 2 folders"):
        main([str(demixed), str(demixed), *out])
    with pytest.raises(ValueError, match="a folder of stems has no dry tracks"):
        main([str(demixed), *out, "--tracks", str(tmp_path)])
    record = demixed / "demix.json"
    content = json.loads(record.read_text())
    for changes, message in [
        ({"stems": {"vocals": {"file": "../the mix.wav"}}}, "a file in the folder is needed for 'vocals'"),
        ({"stems": {}}, "at least one stem is needed, got none"),
        ({"stems": {name: {"file": "drums.wav"} for name in "ab"}}, "a file of its own is needed for each stem"),
        ({"samples": 10**11}, "at least one stem that can be read is needed .* 100000000000 samples at 8000 Hz"),
        ({"format": "other"}, "format: mixgraph demix 1 is needed, got 'other'"),
    ]:
        record.write_text(json.dumps(content | changes))
        with pytest.raises(ValueError, match=message):
            main([str(demixed), *out])
    assert not (tmp_path / "page.html").exists()


_OFFLINE = """async () => {
    const player = mixgraphPlayer, rate = player.rate, offline = new OfflineAudioContext(2, 3 * rate, rate);
    const resume = offline.resume.bind(offline);
    offline.resume = async () => {}; // rendering starts below
    player.context = offline; player.looping = false;
    Object.assign(player.faders.get("stem 0"), { db: -6 });
    Object.assign(player.faders.get("stem 1"), { db: 12 });
    Object.assign(player.faders.get("stem 2"), { mute: true });
    await player.hear("faders");
    await player.play(0);
    offline.suspend(1.024).then(() => {
        Object.assign(player.faders.get("stem 2"), { mute: false, solo: true, db: -20 });
        player.refresh(); resume();
    });
    offline.suspend(1.536).then(() => player.hear("target")).then(resume);
    const heard = await offline.startRendering();
    window.heard = { first: player.startFrame, sound: [0, 1].map((channel) => [...heard.getChannelData(channel)]) };
}"""


@pytest.mark.long
def test_the_sum_of_stems_through_faders_is_what_the_gains_say(demixed, tmp_path, open_page) -> None:
    out = tmp_path / "page.html"
    written(demixed, out)
    page = open_page(out)
    page.evaluate(_OFFLINE)
    heard = page.evaluate("window.heard")
    first, sound = heard["first"], np.transpose(heard["sound"])
    files = [demixed / stem["file"] for stem in json.loads((demixed / "demix.json").read_text())["stems"].values()]
    stems = [soundfile.read(file)[0] for file in files[:3]]
    mix = soundfile.read(demixed.parent / "the mix.wav")[0]
    gains = [10 ** (db / 20) for db in (-6, 12, -20)]
    expected = {
        (0.2, 1.02): gains[0] * stems[0] + gains[1] * stems[1],
        (1.06, 1.53): gains[2] * stems[2],
        (1.57, 2.0): mix,
    }
    for (start, stop), wanted in expected.items():
        here = slice(round(start * RATE), round(stop * RATE))
        error = sound[here] - wanted[here.start - first : here.stop - first]
        assert np.abs(error).max() < 3 * gains[1] * 2.0**-16  # files of 16 bits
    for at, share in ((1.024, 1.0), (1.029, 0.5)):  # gains go over in 10 ms
        here = slice(round(at * RATE), round(at * RATE) + 8)
        now, then = (wanted[here.start - first : here.stop - first] for wanted in list(expected.values())[:2])
        assert np.abs(sound[here] - share * now - (1 - share) * then).max() < 0.1 * np.abs(now - then).max()


@pytest.mark.long
def test_faders_by_keyboard_in_a_narrow_page(demixed, tmp_path, open_page, wait) -> None:
    out = tmp_path / "page.html"
    written(demixed, out)
    page = open_page(out)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator(".spectrum").count() == 4
    page.keyboard.press("Space")
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.voices['stem 0'] && mixgraphPlayer.now() > 0.1")
    page.get_by_role("slider", name="Level of vocals").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    wait(page, "Math.abs(mixgraphPlayer.voices['stem 0'].gain.gain.value - mixgraphPlayer.level('stem 0')) < 1e-4")
    assert page.evaluate("mixgraphPlayer.db('stem 0')") == -2
    assert page.get_by_role("button", name="Faders", exact=True).get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Mute drums").press("Enter")
    command = page.get_by_role("region", name="Command that renders the faders")
    assert command.inner_text() == (
        "python -m mixgraph demix best.ckpt 'the mix.wav' --out remixed --gains vocals=-2,drums=-inf"
    )
    assert "cannot be written in it" in page.locator("#command").inner_text()
    wait(page, "mixgraphPlayer.voices['stem 1'].gain.gain.value < 1e-4")
    page.get_by_role("button", name="Mix as it is").click()
    wait(page, "mixgraphPlayer.voices.target.gain.gain.value > 0.1")
    page.get_by_role("slider", name="Level of vocals").press("Home")
    assert "vocals=-inf," in command.inner_text()
    page.get_by_role("button", name="Reset the faders").click()
    assert command.inner_text().endswith("--gains vocals=0,drums=0")


@pytest.mark.long
def test_a_browser_without_audio_shows_the_rest_and_says_so(demixed, tmp_path, browser) -> None:
    out = tmp_path / "page.html"
    written(demixed, out)
    page = browser.new_page()
    page.add_init_script("delete window.AudioContext")
    page.goto(out.as_uri())
    assert "This browser has no Web Audio" in page.locator("#listen").inner_text()
    page.get_by_role("button", name="Solo drums").click()
    assert "vocals=-inf,drums=0" in page.locator("#command pre").inner_text()
    page.close()
