"""The `proxyset` command: build, eval, show, export. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import tyro
from pydantic import Field

from proxyset.config import Command, DataChoice, extract, parse, peek, read_yaml, run, say, with_fields
from proxyset.settings import Compute, InputError

if TYPE_CHECKING:
    from proxyset.data import Dataset
    from proxyset.engine import Engine
    from proxyset.methods import Method
    from proxyset.proxy import ProxySet

STORE = Path("proxysets")


def main(argv: list[str] | None = None) -> NoReturn:
    commands = {
        "build": ("condense a dataset into a few images per class", build_command),
        "eval": ("train fresh networks on proxy sets and test them", eval_command),
        "show": ("say what a proxy set is, and draw it", show_command),
        "export": ("write a proxy set as a folder, .npz or parquet", export_command),
    }
    run(
        "proxyset",
        "Condensed training sets: a few images per class that stand in for all of them.",
        commands,
        argv,
    )


# build


class Build(DataChoice, Command):
    """Condense a dataset. Flags of the chosen method follow the common ones."""

    method: str = Field("dsa", description="random, herding, k-center, forgetting, dc or dsa")
    ipc: int = Field(1, description="images per class")
    seeds: tuple[int, ...] = Field((), description="build one set for each of these seeds (in place of --seed)")
    nets: int = Field(0, ge=0, description="score each finished set with this many fresh networks (paper's protocol)")
    resume: bool = Field(False, description="go on where an interrupted run stopped; finished sets are kept")
    checkpoint_every: int = Field(10, ge=1, description="iterations (epochs for coresets) between two checkpoints")


def build_command(argv: list[str]) -> None:
    from proxyset.builder import engine_for, identity
    from proxyset.data import load
    from proxyset.engine import resolve_device
    from proxyset.methods import get_method

    name = peek(argv, "method") or read_yaml(peek(argv, "config")).get("method") or Build.model_fields["method"].default
    method_class = get_method(str(name))
    command = parse(with_fields(Build, method_class), argv, "proxyset build")
    method = extract(command, method_class)
    seeds = command.seeds or (command.seed,)
    compute = extract(command, Compute)
    resolve_device(command.device)  # refuses what is not there before anything is read
    dataset = load(command.dataset, data_root=command.data_root, **_choices(command))
    method.check(dataset.train, dataset.spec, command.ipc)
    paths = [_output(command, dataset.spec.name, seed) for seed in seeds]
    if command.nets and not len(dataset.test):
        raise InputError(f"{dataset.spec.name} has no test images to evaluate on: leave out --nets")
    engine = engine_for(dataset, method, command.ipc, compute)
    todo = [
        _must_build(command, path, identity(dataset, method, command.ipc, seed, engine))
        for seed, path in zip(seeds, paths, strict=True)
    ]
    _announce(command, dataset, method, engine, sum(todo))
    for seed, path, build_it in zip(seeds, paths, todo, strict=True):
        if build_it:
            _build_one(command, dataset, method, seed, path, argv)
        else:
            say(f"{path}: already built")
    if command.nets:
        from proxyset.evaluation import Evaluation

        _evaluate(paths, dataset, Evaluation(nets=command.nets), (), (), command.seed, compute, command.as_json)
    elif command.as_json:
        print(json.dumps([{"file": str(path), **_load(path).provenance} for path in paths]))
    for path in paths:
        say(f"{path}\n{path.with_suffix('.png')}")


def _choices(command: DataChoice) -> dict[str, Any]:
    return {name: getattr(command, name) for name in DataChoice.model_fields if name != "dataset"}


def _output(command: Build, dataset: str, seed: int) -> Path:
    """The artefact's file for one seed; `{seed}` in --out stands for it."""
    if command.out is None:
        return STORE / f"{dataset}-{command.method}-ipc{command.ipc}-seed{seed}.safetensors"
    if len(command.seeds) > 1 and "{seed}" not in str(command.out):
        raise InputError("with several --seeds, --out needs '{seed}' in its name, such as sets/mine-{seed}.safetensors")
    path = Path(str(command.out).replace("{seed}", str(seed)))
    if path.suffix != ".safetensors":
        raise InputError(f"--out names the artefact's file, which ends in .safetensors, got {str(path)!r}")
    return path


def _must_build(command: Build, path: Path, work: dict[str, Any]) -> bool:
    """Whether there is work to do for `path`; an error where doing it could lose something.

    --resume keeps a finished set of the same work, --force replaces one of other work; to go on after an
    interrupted --force takes both.
    """
    from proxyset.builder import checkpoint_path, is_same
    from proxyset.checkpoint import check_writable

    check_writable(path.parent)
    unfinished = checkpoint_path(path).exists()
    if command.resume and path.exists() and not unfinished and is_same(_load(path), work):
        return False
    if command.force:
        return True
    if path.exists() and not (command.resume and unfinished):
        raise InputError(f"{str(path)!r} exists: --force replaces it, --out names another place")
    if unfinished and not command.resume:
        raise InputError(
            f"an unfinished run left {str(checkpoint_path(path))!r}: --resume goes on, --force starts over"
        )
    return True


def _announce(command: Build, dataset: Dataset, method: Method, engine: Engine, sets: int) -> None:
    """Before the work: on what, how, how long, how much memory."""
    import torch

    from proxyset.progress import duration, size

    spec, device = dataset.spec, engine.device
    threads = torch.get_num_threads()
    where = f"{device}, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else str(device)
    how = f"{engine.precision}, compiled" if engine.compiled else engine.precision
    say(
        f"{spec.name}: {len(dataset.train)} training images {spec.channels}×{spec.size}×{spec.size}, "
        f"{spec.classes} classes → {method.name}, {command.ipc} per class, on {where}, {how}"
    )
    if sets:
        estimate = method.estimate(dataset.train, spec, command.ipc, engine)
        engine.check_memory(estimate)
        if estimate.seconds >= 1:
            each = f" for each of {sets} sets" if sets > 1 else ""
            without = f" ({duration(estimate.uncompiled)} without compiling)" if estimate.uncompiled else ""
            say(f"estimated: {duration(estimate.seconds)}{without}{each}, {size(estimate.memory)} of memory")


def _build_one(command: Build, dataset: Dataset, method: Method, seed: int, path: Path, argv: list[str]) -> None:
    from proxyset.builder import build_file
    from proxyset.plot import save_preview
    from proxyset.progress import ProgressLine, duration

    line = ProgressLine(path.stem)
    try:
        proxy = build_file(
            dataset,
            method,
            command.ipc,
            path,
            seed=seed,
            compute=extract(command, Compute),
            progress=line,
            every=command.checkpoint_every,
            fresh=command.force and not command.resume,
        )
    except KeyboardInterrupt as stop:
        again = [*(argument for argument in argv if argument != "--resume"), "--resume"]
        raise KeyboardInterrupt(f"{stop}; to go on: proxyset build {shlex.join(again)}") from None
    finally:
        line.close()
    save_preview(proxy, path.with_suffix(".png"))
    say(f"{path.stem}: built in {duration(proxy.provenance['seconds'])}")


# eval


class Eval(Command):
    """Train fresh networks on each proxy set and test them on the real test split. Scores are kept in the files."""

    files: tyro.conf.Positional[tuple[Path, ...]] = Field((), description="proxy sets")
    net: tuple[str, ...] = Field(
        (), description="networks, several for a cross-architecture table (none: the set's own)"
    )
    baseline: tuple[str, ...] = Field(
        (),
        description="what to measure beside them: random (a new draw for every network), herding, ..., whole",
    )
    whole_epochs: int = Field(100, ge=1, description="training epochs of the baseline `whole`")
    dataset: str | None = Field(None, description="where the real images are, if not where the set was built from")


def eval_command(argv: list[str]) -> None:
    from proxyset.engine import resolve_device
    from proxyset.evaluation import Evaluation

    command = parse(with_fields(Eval, Evaluation), argv, "proxyset eval")
    if not command.files:
        raise InputError("no proxy set given: proxyset eval FILE [FILE ...]")
    protocol = extract(command, Evaluation)
    compute = extract(command, Compute)
    resolve_device(command.device)  # refuses what is not there before anything is read
    dataset = _dataset_of([_load(path) for path in command.files], command)
    _evaluate(
        list(command.files),
        dataset,
        protocol,
        command.net,
        command.baseline,
        command.seed,
        compute,
        command.as_json,
        command.whole_epochs,
    )


def _load(path: Path) -> ProxySet:
    from proxyset.proxy import ProxySet

    if path == Path():
        raise InputError("no proxy set given: name its .safetensors file")
    return ProxySet.load(path)


def _dataset_of(proxies: list[ProxySet], command: Eval) -> Dataset:
    """The real data that the proxy sets were made from; an error where it is another, or they differ."""
    from proxyset.data import load

    for path, proxy in zip(command.files, proxies, strict=True):
        if "dataset" not in proxy.provenance:
            raise InputError(f"{str(path)!r} does not say which data it was built from, so it cannot be scored here")
    sources = [proxy.provenance["dataset"] for proxy in proxies]
    if any(source["sha256"] != sources[0]["sha256"] for source in sources):
        raise InputError("the proxy sets were built from different data: evaluate them in separate calls")
    choices = {key: sources[0][key] for key in ("size", "channels", "flip", "test_fraction")}
    dataset = load(command.dataset or sources[0]["source"], data_root=command.data_root, **choices)
    if dataset.train.sha256() != sources[0]["sha256"]:
        raise InputError(
            f"{dataset.spec.name} is not the data that {str(command.files[0])!r} was built from: name it with --dataset"
        )
    return dataset


def _evaluate(
    paths: list[Path],
    dataset: Dataset,
    protocol: Any,
    nets: tuple[str, ...],
    baselines: tuple[str, ...],
    seed: int,
    compute: Compute,
    as_json: bool,
    whole_epochs: int = 100,
) -> None:
    """Score the files and the baselines with every network, keep the files' scores, print the table."""
    from proxyset.compare import Contender, check_baselines, contenders, score_all
    from proxyset.nets import check_net

    proxies = [_load(path) for path in paths]
    own = proxies[0].provenance.get("settings", {}).get("net", "convnet")
    spec = dataset.spec
    for net in nets or (own,):
        check_net(net, **spec.shape)
    check_baselines(baselines)
    entries: list[Contender] = contenders(
        {str(path): proxy for path, proxy in zip(paths, proxies, strict=True)},
        baselines,
        dataset,
        seed,
        compute,
        whole_epochs,
    )
    rows = score_all(entries, nets or (own,), dataset, protocol, seed, compute)
    if as_json:
        print(json.dumps(rows))


# show


class Show(Command):
    """Say where a proxy set comes from and how it scored, and draw it (--out names the picture)."""

    file: tyro.conf.Positional[Path] = Field(Path(), description="proxy set")


def show_command(argv: list[str]) -> None:
    from proxyset.plot import save_preview

    command = parse(Show, argv, "proxyset show")
    proxy = _load(command.file)
    picture = command.out or command.file.with_suffix(".png")
    if command.out is not None and picture.exists() and not command.force:
        raise InputError(f"{str(picture)!r} exists: --force replaces it")
    if command.out is not None or not picture.exists():
        save_preview(proxy, picture)
    if command.as_json:
        print(json.dumps({"file": str(command.file), **proxy.provenance}))
        return
    from proxyset.compare import print_provenance

    print_provenance(proxy)
    say(str(picture))


# export


class Export(Command):
    """Write a proxy set for other tools; `load` and --dataset read the result back."""

    file: tyro.conf.Positional[Path] = Field(Path(), description="proxy set")
    format: Literal["folder", "npz", "parquet"] = Field("folder", description="PNGs by class, arrays, or a table")


def export_command(argv: list[str]) -> None:
    from proxyset.export import export

    command = parse(Export, argv, "proxyset export")
    proxy = _load(command.file)
    suffix = {"folder": "", "npz": ".npz", "parquet": "-parquet"}[command.format]
    out = command.out or command.file.with_name(command.file.stem + suffix)
    if command.format == "npz" and out.suffix != ".npz":
        raise InputError(f"--out must end in .npz, got {str(out)!r}")
    if out.exists() and (out.is_file() or os.listdir(out)):
        if not command.force:
            raise InputError(f"{str(out)!r} exists: --force replaces it, --out names another place")
        _clear(out)
    clipped = export(proxy, out, command.format)
    say(f"{out}: {len(proxy.data)} images; {clipped:.1%} of the values lay outside 0..255 and were clipped")
    if command.as_json:
        print(json.dumps({"out": str(out), "images": len(proxy.data), "clipped": clipped}))


def _clear(out: Path) -> None:
    """Remove an earlier export, and nothing that does not look like one."""
    import shutil

    if out.is_file():
        out.unlink()
    elif {entry.name for entry in out.iterdir()} <= {"train", "train.parquet"}:
        shutil.rmtree(out)
    else:
        raise InputError(f"{str(out)!r} holds more than an export: remove it yourself or name another --out")


if __name__ == "__main__":
    main(sys.argv[1:])
