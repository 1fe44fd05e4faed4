"""Who imports whom: the core stands alone, the library needs no command-line packages, start-up stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("proxyset", "search", "continual")


def imports_of(file: Path) -> set[str]:
    """The full names of everything that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def top(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_search_and_continual_build_on_proxyset_and_never_on_each_other(package: str) -> None:
    allowed = {package, "proxyset"}
    for file in files_of(package):
        for name in imports_of(file):
            assert top(name) not in set(PACKAGES) - allowed, f"{file} imports {name}"


def test_the_library_itself_needs_neither_tyro_nor_ray() -> None:
    """Only the command line and the loader of its settings use tyro; only what runs trials or seeds at once, ray."""
    for package in PACKAGES:
        for file in files_of(package):
            name = file.relative_to(ROOT).as_posix()
            used = {top(imported) for imported in imports_of(file)}
            assert "ray" not in used or name in ("search/tune.py", "continual/compare.py"), name
            if package == "proxyset":
                assert "tyro" not in used or name in ("proxyset/cli.py", "proxyset/config.py"), name


def test_no_file_seeds_a_global_generator() -> None:
    """Every random choice takes a generator. Foreign code that cannot may run where the global state is put back."""
    for package in PACKAGES:
        for file in files_of(package):
            assert not seedings(ast.parse(file.read_text(encoding="utf-8"))), file


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


def python(code: str, *forbidden: str) -> str:
    """Run code in a fresh interpreter and fail if it imported any of these packages."""
    check = f"import sys; found = {set(forbidden)!r} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_help_needs_neither_torch_nor_ray(argv: list[str]) -> None:
    code = (
        "from proxyset.cli import main\n"
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


def test_the_public_surface_is_what_it_says() -> None:
    import proxyset

    for name in proxyset.__all__:
        assert callable(getattr(proxyset, name)) or name == "METHODS"
    assert proxyset.evaluate.__name__ == "evaluate"
    assert proxyset.build.__name__ == "build"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = proxyset.nothing
