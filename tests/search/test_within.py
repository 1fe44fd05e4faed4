"""A time limit: what fits is chosen by measured speed, the choice is what runs, and the limit ends the work."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DSA
from search.cli import load_data
from search.final import Finisher, Kept
from search.finals import read_finals
from search.folder import RunFolder
from search.jobs import estimate
from search.placement import place
from search.preparation import Display, Search, prepare
from search.settings import RankingSettings, SpaceChoice
from search.trial import Job, TrialContext
from search.within import Choice, Limit, TimeIsUp, choose_within, seconds_to_keep
from tests.search.test_cli import RUN, run, scores, search

SETTINGS = RankingSettings(ipc=2, epochs=40, whole_epochs=2, final_epochs=20, batch_size=8, truth="none")


@pytest.fixture
def searched(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Search]:
    """A search of so many architectures, on which an image takes a millisecond."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.within.seconds_per_image", lambda context, placement: 1e-3)

    def prepared(proxies: Sequence[Any] = ("random",), sample: int = 8) -> Search:
        space, display = SpaceChoice(where="width<=32,depth<=1", sample=sample), Display(False, lambda line: None)
        placement = place(None, Session(device="cpu"))
        return prepare(make_dataset(counts=12), proxies, space, SETTINGS, placement, display)

    return prepared


@pytest.fixture
def whole(searched: Callable[..., Search]) -> Search:
    return searched()


def test_what_fits_grows_with_the_time_up_to_what_was_asked(whole: Search) -> None:
    before = (0, 0)
    for seconds in (4, 8, 16, 32, 1000):
        choice = choose_within(whole, seconds, building=[])
        assert sum(choice.seconds.values()) <= seconds
        now = (choice.settings["sample"], choice.settings["promote"] * choice.settings["final_epochs"])
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        before = now
    assert choice.settings == {"sample": 8, "epochs": 40, "promote": 3, "final_epochs": 20}
    assert "8 architectures, 40 epochs on a proxy set, then 3 of each ranking's best" in str(choice)


def test_epochs_shrink_before_architectures(whole: Search) -> None:
    """Eight architectures × 6 images × 40 epochs × 1 ms are 2 s: half of that is half of the epochs."""
    choice = choose_within(whole, 3.2, building=[])
    assert choice.settings["sample"] == 8
    assert 10 <= choice.settings["epochs"] < 40


def test_what_cannot_fit_is_refused_before_any_work(whole: Search) -> None:
    with pytest.raises(InputError, match="`within` is too short: one epoch on the whole set"):
        choose_within(whole, 0.05, building=[])
    with pytest.raises(InputError, match="`within` is too short: building the proxy sets"):
        choose_within(whole, 10, building=[(0, 1e9)])


def test_the_least_that_building_takes_is_said(searched: Callable[..., Search]) -> None:
    """A second before the steps, and one of them, which takes ten; not all hundred."""
    search = searched([DSA(iterations=100, net="mlp")])
    with pytest.raises(InputError, match="fewest iterations, takes 11 s"):
        choose_within(search, 10, [(1.0, 1000.0)])


def test_fewer_iterations_are_never_more_than_a_method_has(searched: Callable[..., Search]) -> None:
    """Of one method a step takes 0.1 s, of the other 1 ms; half a second goes to other work, whatever is chosen."""
    search = searched([DSA(iterations=1000, net="mlp"), DM(iterations=20_000, net="mlp"), "random"])
    building = [(0.2, 100.0), (0.0, 20.0), (0.0, 0.3)]
    choice = choose_within(search, 200, building)
    iterations = choice.settings["iterations"]
    assert choice.seconds["building"] == pytest.approx(0.101 * iterations + 0.5)
    assert 0.9 < choice.seconds["building"] / (0.3 * 0.85 * 200) <= 1
    assert choose_within(search, 450, building).settings["iterations"] == 1000
    assert "iterations" not in choose_within(search, 600, building).settings


def test_of_few_architectures_no_more_are_kept_than_there_are(searched: Callable[..., Search]) -> None:
    assert choose_within(searched(sample=2), 1000, []).settings["promote"] == 2


def test_a_limit_ends_the_trials_and_leaves_time_for_what_is_kept() -> None:
    Limit(time.time() + 100, keeping=50).left_for_trials()
    with pytest.raises(TimeIsUp):
        Limit(time.time() + 100, keeping=101).left_for_trials()


def test_time_that_the_machine_sleeps_does_not_count(context: TrialContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lid is closed for three hours, then for ten minutes of work the limit of an hour goes on."""
    limit, finisher = (
        Limit(time.time() + 3600, keeping=600),
        Finisher(context, Session(device="cpu"), until=time.time() + 60),
    )
    kept, net = Kept(finisher.bench, lambda done: None, finisher.limit), nn.Flatten()
    clock, monotonic = time.time, time.monotonic
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: clock() + 3 * 3600)
        assert limit.left_for_trials() == pytest.approx(3000, abs=60)
        assert limit.end == pytest.approx(time.time() + 3600, abs=60)
        kept(net, 1)
        patch.setattr(time, "monotonic", lambda: monotonic() + 3100)
        assert limit.left() > 0
        with pytest.raises(TimeIsUp):
            limit.left_for_trials()
        with pytest.raises(TimeIsUp):
            kept(net, 2)


def test_reading_the_data_counts(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes 100 of 300 seconds, so that what is planned fits into 200."""
    ahead, monotonic = [0.0], time.monotonic
    planned: list[float] = []

    def slow(command: Any) -> Dataset:
        ahead[0] += 100
        return load_data(command)

    def note(search: Search, seconds: float, building: Any) -> Choice:
        planned.append(seconds)
        return choose_within(search, seconds, building)

    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead[0])
    monkeypatch.setattr("search.cli.load_data", slow)
    monkeypatch.setattr("search.within.choose_within", note)
    flags = ("--proxy", "random", "--no-free", "--final-epochs", "1", "--promote", "1")
    assert run(images, *flags, "--within", "5min") == 0
    assert planned == [pytest.approx(200, abs=20)]
    assert run(images, *flags, "--within", "90s", "--force") == 2
    assert "--within is too short: reading the images" in capsys.readouterr().err


def test_what_costs_no_training_passes_images_too(searched: Callable[..., Search]) -> None:
    """Two look at all 33 training images, and one at one; a millisecond each."""
    with_free, without = searched(sample=2), searched(sample=2)
    settings = without.settings.model_copy(update={"free": False})
    trials = [
        choose_within(one, 1000, []).seconds["trials"] for one in (with_free, replace(without, settings=settings))
    ]
    assert trials[0] - trials[1] == pytest.approx(2 * (33 + 33 + 1) * 1e-3)


def test_the_estimate_counts_what_costs_no_training(context: TrialContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.jobs.seconds_per_image", lambda context, placement: 1e-3)
    jobs = [Job(source, name) for source in ("params", "jacobian") for name in context.candidates]
    assert estimate(jobs, context, place(None, Session(device="cpu"))) == pytest.approx(3 * 36 * 1e-3)


class Passed(Limit):
    """A time limit that is over as soon as it begins."""

    def __init__(self, end: float, keeping: float) -> None:
        super().__init__(0.0)


def test_the_choice_is_kept_with_the_run_and_a_resumed_one_has_it(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit passes after the first trial. No network is trained in a hurry: it would stay for good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.within.seconds_per_image", lambda context, placement: 1e-3)
        patch.setattr("search.within.Limit", Passed)
        flags = ("--proxy", "random", "--within", "5min", "--no-free", "--final-epochs", "3")
        assert run(images, *flags) == 0
    out, err = capsys.readouterr()
    assert "what fits: 4 architectures, 2 epochs on a proxy set" in err
    assert "the time for trials is up: trials are left, which --resume takes up" in err
    assert len(scores()) == 1
    assert "the time is up: networks are left, which --resume takes up" in err
    assert read_finals(RUN) == []
    settings = RunFolder.open(RUN).settings()
    assert (settings["sample"], settings["truth"], settings["promote"]) == (4, "none", 3)
    assert "within" not in settings
    hint = "search run --resume runs/run --promote 1 --within 5min (trials that are left run first)"
    assert f"to train, test and keep it: {hint}" in " ".join(out.split())
    assert search("predict", str(RUN), "picture.png") == 2
    assert f"keeps no network; to train one: {hint}" in capsys.readouterr().err
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0
    assert len(scores()) == 4
    assert {row["error"] for row in read_finals(RUN)} == {None}


def test_a_run_that_goes_on_leaves_time_for_the_networks_that_it_has_not(
    whole: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.within.seconds_per_image", lambda context, placement: 1e-3)
    settings = whole.settings.model_copy(update={"promote": 2, "final_epochs": 10})
    asked = replace(whole, settings=settings)
    first, later = seconds_to_keep(asked, 1e6, 0), seconds_to_keep(asked, 1e6, 1)
    assert 0 < later < first
    assert seconds_to_keep(asked, 1e6, 1000) == 0
    assert seconds_to_keep(asked, 10.0, 0) == pytest.approx(4.0)
