"""A kept network outside this toolkit, and pictures that it classifies."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.nets.build import build_net
from proxyset.train.evaluate import accuracy, predict
from search.export import MODEL, Format, check_format, export, script
from search.finals import append_final, network_path
from search.folder import RunFolder
from search.network import Network, OnPixels
from search.predict import classify
from search.use import pick
from tests.search.test_cli import RUN, run, search

NAME = "convnet-w4-d1-relu-instance-avg"
ALONE = """
import runpy, sys
sys.modules |= dict.fromkeys(("proxyset", "search", "continual"))  # they cannot be imported
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def network(tiny: Dataset, generator: torch.Generator) -> Network:
    net = build_net(NAME, **tiny.spec.shape, generator=generator)
    return Network(NAME, tiny.spec, net.state_dict(), facts={"test": 0.5})


def classes_by_the_script(folder: Path, pixels: Path) -> list[str]:
    """What the script prints, in a process that cannot import this toolkit."""
    words = [sys.executable, "-c", ALONE, str(folder / "classify.py"), str(pixels)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.slow
def test_torch_alone_reproduces_the_test_accuracy(network: Network, tiny: Dataset, tmp_path: Path) -> None:
    export(network, network.build(), "torch", tmp_path / "model")
    torch.save(tiny.test.images, tmp_path / "pixels.pt")
    names = classes_by_the_script(tmp_path / "model", tmp_path / "pixels.pt")
    labels = torch.tensor([tiny.spec.class_names.index(name) for name in names])
    assert torch.equal(labels, predict(network.build(), tiny.test, tiny.spec))
    assert (labels == tiny.test.labels).float().mean().item() == accuracy(network.build(), tiny.test, tiny.spec)


def test_torchscript_gives_the_same_logits_for_any_number(network: Network, tiny: Dataset, tmp_path: Path) -> None:
    net = network.build()
    export(network, net, "torchscript", tmp_path / "model")
    loaded = torch.jit.load(str(tmp_path / "model" / MODEL["torchscript"]))
    for count in (1, 5):
        pixels = tiny.test.images[:count] / 255
        with torch.no_grad():
            assert torch.allclose(loaded(pixels), OnPixels(net, tiny.spec)(pixels), atol=1e-6)


@pytest.mark.slow
def test_onnx_gives_the_same_logits_for_any_number(network: Network, tiny: Dataset, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = network.build()
    export(network, net, "onnx", tmp_path / "model")
    session = onnxruntime.InferenceSession(tmp_path / "model" / MODEL["onnx"])
    for count in (1, 5):
        pixels = tiny.test.images[:count] / 255
        (logits,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            assert np.allclose(logits, OnPixels(net, tiny.spec)(pixels), atol=1e-5)


@pytest.mark.parametrize("form", ["torch", "onnx", "torchscript"])
def test_the_script_is_ten_lines_of_python_that_need_no_toolkit(form: Format, network: Network) -> None:
    text = script(network, form)
    compile(text, "classify.py", "exec")
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 11
    assert "proxyset" not in text
    assert '"class2"' in text


def test_a_network_whose_name_is_code_is_not_run_without_trust(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(RunFolder, "open", lambda path: RunFolder(path))
    replace(network, name="evil:make").save(network_path(Path("run"), "evil:make"))
    row = {"name": "evil:make", "place": 0, "validation": 0.5, "test": 0.5, "epoch": 1, "seconds": 1.0, "threads": 1}
    append_final(Path("run"), row | {"error": None})
    with pytest.raises(InputError, match="evil:make; if you trust it: `trust=True`"):
        pick(Path("run"), None, False, "")
    assert pick(Path("run"), None, True, "").name == "evil:make"


def test_a_name_cannot_get_out_of_the_script(network: Network) -> None:
    evil = Network('x"\nimport os # \\', network.spec, network.weights)
    assert "\nimport os #" not in script(evil, "torch")


def test_onnx_that_is_not_installed_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.export.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx and onnxscript: pip install 'proxyset\[onnx\]'"):
        check_format("onnx")


def test_a_network_that_no_exporter_knows_is_one_line(network: Network, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("too odd")

    with pytest.raises(InputError, match="`format=torchscript` cannot hold this network"):
        export(network, Odd(), "torchscript", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_any_size_are_classified(network: Network, tiny: Dataset, tmp_path: Path) -> None:
    for number, image in enumerate(tiny.test.images[:3]):
        picture = Image.fromarray(image[0].numpy())
        (picture if number else picture.resize((16, 16), Image.Resampling.NEAREST)).save(tmp_path / f"{number}.png")
    rows = classify(network, [tmp_path / f"{number}.png" for number in range(3)], top=2)
    expected = predict(network.build(), tiny.test[:3], tiny.spec)
    assert [row["classes"][0][0] for row in rows[1:]] == [tiny.spec.class_names[label] for label in expected[1:]]
    assert all(one["classes"][0][1] >= one["classes"][1][1] > 0 for one in rows)


def test_from_a_search_to_a_model_and_a_picture(
    images: Path, capsys: pytest.CaptureFixture[str], make_dataset: Callable[..., Dataset]
) -> None:
    """A finished run is asked for a network, and its folder for what can be done with it."""
    assert run(images, "--proxy", "random", "--final-epochs", "2") == 0
    assert "to train, test and keep it: search run --resume runs/run --promote 1" in capsys.readouterr().out
    assert search("export", str(RUN)) == 2
    assert "keeps no network; to train one: search run --resume runs/run --promote 1" in capsys.readouterr().err
    assert search("run", "--resume", str(RUN), "--promote", "1", "--workers", "0") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "best found: convnet-w32" in out
    assert "to use it: search predict runs/run PICTURE, or search export runs/run" in out
    assert search("export", str(RUN), "--format", "torchscript", "--json") == 0
    assert {path.name for path in (RUN / "export-torchscript").iterdir()} > {"model.pt", "classify.py"}
    assert search("export", str(RUN), "--format", "torchscript") == 2
    assert search("export", str(RUN), "--arch", "convnet-w33") == 2
    Image.fromarray(make_dataset(counts=12).test.images[0, 0].numpy()).save("picture.png")
    capsys.readouterr()
    assert search("predict", str(RUN), "picture.png") == 0
    assert capsys.readouterr().out.startswith("picture.png: ")
    assert search("predict", str(RUN), "nothing.png") == 2
    assert search("predict", str(RUN)) == 2
