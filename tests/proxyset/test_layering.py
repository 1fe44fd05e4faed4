"""Who imports whom: arrows between rooms run one way, the core stands alone, start-up stays light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("proxyset", "search", "continual")
ROOMS = ("data", "nets", "compute", "train", "methods", "artefact", "report", "cli")
"""Each imports only those before it."""
COMMAND_LINES = ("proxyset/cli/", "search/cli", "search/commands", "search/use", "continual/cli", "continual/commands")
RAY = (
    "proxyset/compute/parallel.py",
    "proxyset/compute/dispatch.py",
    "proxyset/compute/ray_local.py",
    "search/tune.py",
)
LIGHT = (
    *(f"proxyset.{name}" for name in ("errors", "settings", "registry", "files", "progress", "data.choice")),
    *(f"proxyset.{name}" for name in ("nets.arch", "train.recipe", "train.protocols", "methods.base")),
    *(f"proxyset.methods.{name}" for name in ("registry", "synthesis", "dsa", "coreset", "krr")),
    *PACKAGES,
)


def imports_of(file: Path) -> set[str]:
    """The full names of everything that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def files_of(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def top(name: str) -> str:
    return name.split(".")[0]


def room_of(name: str) -> str | None:
    """The room that a module, or what is imported from it, belongs to; None for the modules under all rooms."""
    parts = name.split(".")
    return parts[1] if parts[0] == "proxyset" and len(parts) > 1 and parts[1] in ROOMS else None


def test_there_are_no_other_rooms() -> None:
    folders = {entry.name for entry in (ROOT / "proxyset").iterdir() if (entry / "__init__.py").exists()}
    assert folders == set(ROOMS)


def test_arrows_between_rooms_run_one_way() -> None:
    back = []
    for file in files_of("proxyset"):
        room = room_of(place(file).replace("/", "."))
        for name in imports_of(file) if room is not None else ():
            target = room_of(name)
            if target is not None and room is not None and ROOMS.index(target) > ROOMS.index(room):
                back.append(f"{place(file)} imports {name}")
    assert not back


def test_what_lies_under_all_rooms_imports_none_of_them() -> None:
    """`testing` is for authors of methods, and stands on artefacts; `__init__` and `__main__` lead into the rooms."""
    for file in sorted((ROOT / "proxyset").glob("*.py")):
        if file.stem in ("__init__", "__main__"):
            continue
        allowed = ROOMS[: ROOMS.index("artefact") + 1] if file.stem == "testing" else ()
        for name in imports_of(file):
            assert room_of(name) in (None, *allowed), f"{place(file)} imports {name}"


def test_no_library_stands_on_a_command_line() -> None:
    for file in files_of("search", "continual"):
        if place(file).startswith(COMMAND_LINES) or file.stem == "__main__":
            continue
        for name in imports_of(file):
            assert room_of(name) != "cli", f"{place(file)} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_search_and_continual_build_on_proxyset_and_never_on_each_other(package: str) -> None:
    allowed = {package, "proxyset"}
    for file in files_of(package):
        for name in imports_of(file):
            assert top(name) not in set(PACKAGES) - allowed, f"{place(file)} imports {name}"


def test_the_library_itself_needs_neither_tyro_nor_ray() -> None:
    """Only command lines use tyro; only what runs jobs or trials at once uses ray."""
    for file in files_of(*PACKAGES):
        used = {top(name) for name in imports_of(file)}
        assert "ray" not in used or place(file) in RAY, place(file)
        assert "tyro" not in used or place(file).startswith(COMMAND_LINES), place(file)


def test_no_file_seeds_a_global_generator() -> None:
    """Every random choice takes a generator. Foreign code that cannot may run where the global state is put back."""
    for file in files_of(*PACKAGES):
        assert not seedings(parse(file)), place(file)


def seedings(node: ast.AST) -> list[str]:
    """Calls that seed a global generator, outside of `with torch.random.fork_rng(...)`."""
    if isinstance(node, ast.With) and any("fork_rng" in ast.unparse(item) for item in node.items):
        return []
    found = [call for child in ast.iter_child_nodes(node) for call in seedings(child)]
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name in ("torch.manual_seed", "torch.seed", "random.seed", "np.random.seed", "torch.cuda.manual_seed_all"):
            found.append(name)
    return found


# Size.


def test_no_file_is_over_300_lines() -> None:
    files = files_of(*PACKAGES, "benchmarks", "tests")
    assert not [place(file) for file in files if len(file.read_text(encoding="utf-8").splitlines()) > 300]


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file in files_of(*PACKAGES, "benchmarks"):
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{place(file)}: {node.name}", node


def test_no_function_is_over_50_lines_or_takes_too_many_arguments() -> None:
    """Six without their names, eight in all."""
    long, greedy = [], []
    for name, node in functions():
        assert node.end_lineno is not None
        if node.end_lineno - node.lineno >= 50:
            long.append(name)
        unnamed = [one for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")]
        named = [one for one in (*node.args.kwonlyargs, node.args.vararg, node.args.kwarg) if one is not None]
        if len(unnamed) > 6 or len(unnamed) + len(named) > 8:
            greedy.append(name)
    assert not long
    assert not greedy


def test_messages_of_the_library_name_settings_and_no_flags() -> None:
    """The command line turns the one into the other."""
    for file in files_of("proxyset"):
        if place(file).startswith("proxyset/cli/"):
            continue
        tree = parse(file)
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                flags = re.findall(r"(?<![\w-])--[a-z][\w-]*", node.value)
                assert not flags, f"{place(file)}, line {node.lineno}: {flags}"


# In a fresh interpreter.


def python(code: str, *forbidden: str) -> str:
    """Run code in a fresh interpreter and fail if it imported any of these packages."""
    check = f"import sys; found = {set(forbidden)!r} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_settings_can_be_read_without_torch_and_numpy() -> None:
    """For --help, module by module: what the first imports is there for the next, so the first to blame is named."""
    code = "import importlib, sys\n" + "".join(
        f"importlib.import_module({module!r})\nassert not {{'torch', 'numpy'}} & set(sys.modules), {module!r}\n"
        for module in LIGHT
    )
    python(code, "torch", "numpy", "tyro", "ray", "pandas", "sklearn", "matplotlib")


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_help_needs_neither_torch_nor_ray(argv: list[str]) -> None:
    code = (
        "from proxyset.cli.app import main\n"
        "try:\n"
        f"    main({argv!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code"
    )
    assert python(code, "torch", "torchvision", "ray", "sklearn", "matplotlib", "pandas")


def test_import_is_light_and_the_library_works_without_tyro_and_ray() -> None:
    python("import proxyset", "torch", "tyro", "ray", "rich")
    code = (
        "import sys\n"
        "sys.modules['tyro'] = sys.modules['ray'] = None\n"  # as on a machine that has neither
        "import proxyset\n"
        "data = proxyset.load('digits')\n"
        "made = proxyset.build(data, proxyset.METHODS['random'](), 1)\n"
        "protocol = proxyset.Evaluation(nets=1, epochs=1)\n"
        "assert proxyset.evaluate(made.data, data.test, data.spec, protocol, net='mlp').mean > 0\n"
        "assert callable(proxyset.build) and callable(proxyset.evaluate)\n"
        "del sys.modules['tyro'], sys.modules['ray']"
    )
    python(code, "tyro", "ray", "search", "continual")
