"""One network, three questions: what each of them may depend on, and what it is trained with."""

import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Batch

from mixgraph import __main__ as entry
from mixgraph.estimators import EstimatorData, EstimatorModule, load_estimator, prediction
from mixgraph.estimators.cache import ExampleMaker, ExampleSettings
from mixgraph.estimators.data import AskedExamples
from mixgraph.estimators.examples import console_data, console_of_subgroups
from mixgraph.estimators.features import CUE_PARTS, FeatureExtractor
from mixgraph.estimators.prediction import estimate, estimate_without_mix, reference_mix
from mixgraph.estimators.questions import Question, ReferenceMix, asked, level_distribution, without_mix
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.estimators.weights import save_weights
from mixgraph.processors.thresholds import moved_thresholds
from mixgraph.shards import read_shards
from mixgraph.songs.clips import cut
from mixgraph.songs.loudness import level_for

TASK = EstimatorTask(8000, 2.0, "esgd", "cgr")
SMALL = NetworkSettings(width=16, num_layers=2, dropout=0.0, questions=True)
CONSOLE = console_of_subgroups({"a": ["t0", "t1"], "b": ["t2"]}, "esgd", "cgr", "song")


@pytest.fixture
def module(examples) -> EstimatorModule:
    module = EstimatorModule(TASK, SMALL).eval()
    module.standardise(training_statistics(examples, TASK.types))
    return module


@pytest.fixture
def tracks() -> torch.Tensor:
    levels = torch.tensor([0.1, 0.05, 0.08]).view(3, 1, 1)
    return levels * torch.randn(3, 2, TASK.num_samples, generator=torch.Generator().manual_seed(2))


def answers_of(module: EstimatorModule, data) -> torch.Tensor:
    """Everything that the network says, in one row."""
    answers = module.network(data)
    parts = (answers.keep, answers.weight, *answers.codes.values(), *answers.positions.values())
    return torch.cat([part.flatten() for part in parts])


def segment(tracks: torch.Tensor):
    return console_data(CONSOLE, FeatureExtractor(8000).without_mix(tracks, CONSOLE.groups), TASK.types)


@dataclass(frozen=True)
class Audio:
    """A sample's audio with other tracks and another mix."""

    all_tracks: torch.Tensor
    whole_mix: torch.Tensor
    sample_rate: int = 8000
    num_samples: int = TASK.num_samples

    def tracks(self, start: int, stop: int) -> torch.Tensor:
        return cut(self.all_tracks, start, stop - start)

    def mix(self, start: int, stop: int) -> torch.Tensor:
        return cut(self.whole_mix, start, stop - start)


def test_without_a_mix_nothing_depends_on_it_nor_on_the_level_that_it_gives_the_tracks(module, shards) -> None:
    maker = ExampleMaker(ExampleSettings(TASK))
    sample = next(iter(read_shards(shards / "train")))
    tracks, mix = sample.audio.tracks(0, 16000), sample.audio.mix(0, 16000)

    def made(gain_db: float, mix: torch.Tensor):
        factor = 10 ** (gain_db / 20)
        parameters = moved_thresholds(maker.processors, sample.parameters, gain_db)
        ((_, data),) = maker.make(replace(sample, audio=Audio(factor * tracks, factor * mix), parameters=parameters))
        return data

    noise = 0.05 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(3))
    data, others = made(0.0, mix), [made(6.0, mix), made(-6.0, mix), made(0.0, tracks[0] + noise)]
    for question in (Question.NOTHING, Question.REFERENCE):
        reference = None if question == Question.NOTHING else reference_mix(module, mix)
        ours = asked(data, question, reference)
        for other in others:
            theirs = asked(other, question, reference)
            for key, value in ours.to_dict().items():  # features and labels
                assert float((value.double() - theirs[key]).abs().max()) < 1e-3, (question, key)
    with torch.no_grad():
        ours, theirs = (answers_of(module, asked(d, Question.OWN_MIX)) for d in (data, others[-1]))
    assert float((ours - theirs).abs().max()) > 0.05  # the question about the own mix does depend on it


def test_examples_without_a_mix_are_what_the_network_sees_in_use(module, shards, monkeypatch) -> None:
    maker, seen = ExampleMaker(ExampleSettings(TASK)), []
    monkeypatch.setattr(prediction, "predict", lambda module, console, examples, *_: seen.extend(examples))
    sample = next(iter(read_shards(shards / "train")))
    ((_, data),) = maker.make(sample)
    console, tracks = maker.console(sample.graph), sample.audio.tracks(0, TASK.num_samples)
    level = level_for(tracks.sum(dim=0), 8000, -16.0).factor
    estimate_without_mix(module, console, level * tracks[list(console.order)])
    expected = asked(data, Question.NOTHING)
    for key in ("mels", "cues", "lags", "mix_mels", "question"):
        assert torch.allclose(seen[0][key], expected[key], atol=1e-5), key


def test_without_a_mix_no_gradient_reaches_it_and_with_a_reference_its_spectrum_alone(module, tracks) -> None:
    data, seen = segment(tracks), reference_mix(module, tracks[1])
    for reached in (False, True):
        mels, statistics = seen.mels.clone().requires_grad_(), seen.statistics.clone().requires_grad_()
        changed = without_mix(data, ReferenceMix(mels, statistics) if reached else None)
        if not reached:
            changed.mix_mels = mels
        changed.lags = changed.lags.clone().requires_grad_()
        answers_of(module, changed).sum().backward()
        assert bool((mels.grad != 0).any()) == reached
        assert not bool(changed.lags.grad.any())
        assert not reached or bool((statistics.grad != 0).any())


def test_with_a_reference_the_gains_are_those_from_the_dry_sum_to_it_shared_out(module, tracks) -> None:
    seen = {}
    module.network.cue_encoder.register_forward_pre_hook(lambda _, inputs: seen.update(cues=inputs[0]))
    spread, mean = module.network.cue_spread, module.network.cue_mean
    for gain_db in (0.0, 6.0):
        reference = reference_mix(module, tracks.sum(0) * 10 ** (gain_db / 20))
        with torch.no_grad():
            module.network(without_mix(segment(tracks), reference))
        cues = seen["cues"] * spread + mean
        left, energy = cues[:, CUE_PARTS["left"]], cues[:, CUE_PARTS["energy"]]
        expected = gain_db / 10 * 10**energy  # white noise: every band has the same shares
        inside = ((left - mean[CUE_PARTS["left"]]) / spread[CUE_PARTS["left"]]).abs() < 4.9  # not cut
        assert torch.allclose(left[inside], expected[inside], atol=0.03)
        assert torch.allclose(left[-1], torch.full_like(left[-1], gain_db / 10), atol=0.03)


def test_a_reference_may_begin_anywhere_and_have_any_length(module, tracks) -> None:
    mels = torch.randn(1, 2, 40, 75, generator=torch.Generator().manual_seed(1))
    expected = level_distribution(mels, 50)
    assert torch.equal(level_distribution(mels.roll(31, dims=-1), 50), expected)
    repeated = level_distribution(mels.repeat(1, 1, 1, 40), 50)
    assert float((repeated - expected).abs().mean()) < 0.05  # the same levels, read between other neighbours
    noise = 0.1 * torch.randn(2, 20 * 8000, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        short, long = (
            estimate_without_mix(module, CONSOLE, tracks, noise[:, : seconds * 8000]).probability for seconds in (3, 20)
        )
        other = estimate_without_mix(module, CONSOLE, tracks, noise[:, 1:] - noise[:, :-1]).probability
    assert torch.allclose(short, long, atol=2e-3)
    assert float((short - other).abs().max()) > 2 * float((short - long).abs().max())
    with pytest.raises(ValueError, match="reference: a mix that sounds is needed, got a silent one"):
        estimate_without_mix(module, CONSOLE, tracks, torch.zeros(2, 16000))


def test_questions_mix_in_a_batch(module, examples) -> None:
    data = [
        asked(examples[0], Question.NOTHING),
        asked(examples[1], Question.REFERENCE, ReferenceMix(examples[0].mix_mels, examples[0].cues[0, -9:-2])),
        asked(examples[2], Question.OWN_MIX),
    ]
    together = module(Batch.from_data_list(data)).keep
    alone = [module(song).keep for song in data]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert torch.allclose(alone[2], module(examples[2]).keep, atol=1e-6)  # an example without a question asks this one
    with pytest.raises(ValueError, match="one for the question REFERENCE and none for others, got NOTHING"):
        asked(examples[0], Question.NOTHING, ReferenceMix(examples[0].mix_mels, examples[0].cues[0, -9:-2]))


def test_an_estimator_of_one_question_answers_as_before_and_refuses_the_others(tracks, examples, tmp_path) -> None:
    old = EstimatorModule(TASK, replace(SMALL, questions=False)).eval()
    old.standardise(training_statistics(examples, TASK.types))
    save_weights(old, tmp_path / "old.safetensors")
    loaded = load_estimator(tmp_path / "old.safetensors")
    assert loaded.questions == (Question.OWN_MIX,)
    # The same network with questions, whose embedding says nothing of this one, gives the same.
    new = EstimatorModule(TASK, SMALL).eval()
    new.load_state_dict(loaded.state_dict(), strict=False)
    torch.nn.init.zeros_(new.network.question_embedding.weight)
    mix = tracks.sum(0)
    predictions = [estimate(m, CONSOLE, tracks, mix) for m in (loaded, new)]
    assert torch.equal(predictions[0].probability, predictions[1].probability)
    with pytest.raises(
        ValueError, match=r"trained on songs with their own mixes alone, and cannot mix without one\. HINT"
    ):
        estimate_without_mix(loaded, CONSOLE, tracks)
    with pytest.raises(ValueError, match="cannot mix without one"):
        loaded.network(asked(examples[0], Question.NOTHING))
    save_weights(new, tmp_path / "new.safetensors")
    assert load_estimator(tmp_path / "new.safetensors").questions == tuple(Question)


def test_training_asks_by_seed_and_epoch_and_takes_references_that_keep_the_label(shards, tmp_path) -> None:
    data = EstimatorData(str(shards), cache_dir=str(tmp_path), cache_workers=1, reference_share=0.4, nothing_share=0.3)
    data.prepare(TASK)
    (files,) = data.splits["train"]
    files.items = [replace(item, engineer=str(i // 3)) for i, item in enumerate(files.items)]
    now = {"epoch": 0}
    ask = AskedExamples([files], 0.4, 0.3, 1, lambda: now["epoch"])
    counts, references = torch.zeros(3), {}
    for now["epoch"] in range(25):
        for index in range(len(ask)):
            example = ask[index]
            counts[int(example.question)] += 1
            if int(example.question) == Question.REFERENCE:
                references.setdefault(index, []).append(example.mix_mels)
    assert torch.allclose(counts / counts.sum(), torch.tensor([0.3, 0.4, 0.3]), atol=0.12)  # 3 standard errors
    for index, shown in references.items():  # both other songs of its engineer, or a half of its own mix
        frames = shown[0].shape[-1]
        allowed = [
            level_distribution(files.reference(other).mels, frames)
            for other in range(len(files))
            if other != index and other // 3 == index // 3
        ]
        hits = [sum(torch.equal(mels, other) for mels in shown) for other in allowed]
        own = files[index].mix_mels
        halves = [
            level_distribution(own[..., first : first + frames // 2], frames)
            for first in range(frames - frames // 2 + 1)
        ]
        hits.append(sum(any(torch.equal(mels, half) for half in halves) for mels in shown))
        assert sum(hits) == len(shown)
        assert sum(hits[:-1])
        assert hits[-1]
    again = AskedExamples([files], 0.4, 0.3, 1, lambda: now["epoch"])
    first, second = [[a[i].question.item() for i in range(len(a))] for a in (ask, again)]
    assert first == second
    files.items = [replace(item, engineer="") for item in files.items]
    alone = AskedExamples([files], 1.0, 0.0, 1, lambda: 0)
    whole, half = files[0].mix_mels, alone[0].mix_mels  # of the only mix in its style: a half of its frames
    assert half.shape == whole.shape
    assert float(half.amax()) <= float(whole.amax())
    assert not torch.equal(half, level_distribution(whole, whole.shape[-1]))


def test_shares_that_cannot_be_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="reference_share: 0 to 1 is needed, got 2"):
        EstimatorData(str(tmp_path), reference_share=2)
    with pytest.raises(ValueError, match=r"reference_share, nothing_share: at most 1 together, got 1\.2"):
        EstimatorData(str(tmp_path), reference_share=0.6, nothing_share=0.6)
    module = EstimatorModule(TASK, replace(SMALL, questions=False))
    module._trainer = SimpleNamespace(datamodule=EstimatorData(str(tmp_path), nothing_share=0.5))
    with pytest.raises(ValueError, match=r"network\.questions: true is needed with data\.reference_share"):
        module.setup("fit")


@pytest.mark.long
def test_the_configuration_trains_all_three_questions_and_the_same_each_time(shards, tmp_path, monkeypatch) -> None:
    def fit(name: str) -> EstimatorModule:
        changes = {
            "data.path": shards, "data.cache_dir": tmp_path / "cache", "data.cache_workers": 1, "data.batch_size": 3,
            "model.task": "{sample_rate: 8000, segment_seconds: 2.0, track_chain: esgd, subgroup_chain: cgr}",
            "model.network": "{width: 16, num_layers: 1, dropout: 0.2, questions: true}", "trainer.max_epochs": 2,
            "trainer.logger": "false", "trainer.accelerator": "cpu", "trainer.callbacks.dirpath": tmp_path / name,
            "trainer.callbacks.monitor": "null", "trainer.enable_progress_bar": "false",
            "trainer.log_every_n_steps": 1,
        }  # fmt: skip
        words = ["mixgraph", "fit", "--config=automix.yaml", *(f"--{k}={v}" for k, v in changes.items())]
        monkeypatch.setattr(sys, "argv", words)
        entry.main()
        return load_estimator(tmp_path / name / "best.ckpt")

    module = fit("whole")
    assert module.questions == tuple(Question)
    assert 0 < float(module.threshold_of(Question.NOTHING)) < 1
    residuals = [module.get_buffer(f"residual_{t}") for t in TASK.types]
    assert any(not torch.equal(residual, torch.ones_like(residual)) for residual in residuals)
    again = fit("again")
    assert torch.equal(module.network.question_embedding.weight, again.network.question_embedding.weight)
