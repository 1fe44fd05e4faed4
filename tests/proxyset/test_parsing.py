"""One place where files are parsed: limits, schemas, checksums of rows, and names that other people chose."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from proxyset import parsing
from proxyset.errors import InputError
from proxyset.parsing import (
    Schema,
    checksummed,
    parse_json,
    read_bytes,
    read_row,
    read_rows,
    read_text,
)
from proxyset.plain_yaml import read_yaml_mapping


class Part(Schema):
    name: str
    seed: Annotated[int, Field(ge=0)] = 0


class Whole(Schema):
    parts: list[Part]
    share: float = 0.5


# JSON.


def test_a_sound_text_gives_its_value_and_its_model() -> None:
    text = '{"parts": [{"name": "naïve"}], "share": 1}'.encode()
    assert parse_json(text, "plan.json") == {"parts": [{"name": "naïve"}], "share": 1}
    assert parse_json(text, "plan.json", Whole) == Whole(parts=[Part(name="naïve")], share=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8 text, byte 0"),
        (b"[NaN]", "'NaN' is no finite number"),
        (b"[-Infinity]", "no finite number"),
        (b"[1e999]", "no finite number"),
        (b'{"a": 1, "a": 1}', "the key 'a' is there twice"),
        (b"[" * 65 + b"]" * 65, "nested too deeply"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[9223372036854775808]", "too large"),
        (b"9" * 10_000, "too large"),
        (b"[]", "all of it: must be a valid dictionary"),
        (b'{"share": 1}', "parts: field required"),
        (b'{"parts": [{"name": 7}]}', r"parts\.0\.name: must be a valid string, got 7"),
        (b'{"parts": [{"name": "a", "seed": true}]}', r"parts\.0\.seed: must be a valid integer, got True"),
        (b'{"parts": [{"name": "a", "seed": "1"}]}', r"parts\.0\.seed: must be a valid integer, got '1'"),
        (b'{"parts": [{"name": "a", "seed": -1}]}', r"parts\.0\.seed: must be greater than or equal to 0, got -1"),
        (b'{"parts": [], "new": 1}', "new: extra inputs are not permitted"),
        (b'{"parts": [1, 2, 3, 4, 5]}', r"parts\.2: .*; and 2 more"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_read_is_one_line_with_its_place(text: bytes, words: str) -> None:
    with pytest.raises(InputError, match=rf"plan\.json'.*{words}") as raised:
        parse_json(text, "'plan.json'", Whole)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_as_deep_as_allowed_and_as_large_as_allowed() -> None:
    assert parse_json("[" * 64 + "]" * 64, "x") is not None
    assert parse_json("[9223372036854775807, -9223372036854775807]", "x")[0] == 2**63 - 1


def test_too_many_values_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MOST_VALUES", 100)
    assert parse_json("[" + "1," * 50 + "1]", "x") == [1] * 51
    with pytest.raises(InputError, match="too many values"):
        parse_json("[" + "1," * 200 + "1]", "x")


# Files.


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "ten").write_bytes(bytes(10))
    assert read_bytes(tmp_path / "ten", 10) == bytes(10)
    with pytest.raises(InputError, match="too large: 10 bytes, at most 9"):
        read_bytes(tmp_path / "ten", 9)
    os.mkfifo(tmp_path / "pipe")
    for path, words in {tmp_path / "pipe": "not a regular file", tmp_path: "", tmp_path / "no": "No such file"}.items():
        with pytest.raises(InputError, match=f"cannot read .*{words}"):
            read_bytes(path)
    with pytest.raises(InputError, match="cannot read"):
        read_text(tmp_path / "\0")


def test_what_was_read_does_not_change_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    data = read_bytes(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"after!")
    assert data == b"before"


# Rows.

ROW = {"source": "dsa", "accuracy": 0.1 + 0.2, "name": "naïve\n", "seed": 2**53, "lost": None, "nets": ["a"]}


def test_a_row_comes_back_as_it_was() -> None:
    line = checksummed(ROW)
    assert "\n" not in line
    assert read_row(line) == (ROW, True)
    assert read_row(json.dumps(ROW)) == (ROW, False)


def test_every_changed_byte_of_a_row_is_noticed_or_changes_nothing() -> None:
    line = checksummed(ROW).encode()
    for place in range(len(line)):
        for bit in range(8):
            changed = line[:place] + bytes([line[place] ^ (1 << bit)]) + line[place + 1 :]
            try:
                row, sealed = read_row(changed)
            except InputError:
                continue
            assert row == ROW or not sealed, changed


@pytest.mark.parametrize("row", [{"a": float("nan")}, {"a": float("inf")}, {"sha256": "0"}])
def test_a_row_that_could_not_be_read_is_not_written(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        checksummed(row)


def test_rows_are_read_but_for_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{checksummed({'n': 1})}\n{checksummed({'n': 2})}\n{checksummed({'n': 3})[:-4]}")
    assert read_rows(path) == [{"n": 1}, {"n": 2}]
    path.write_text("")
    assert read_rows(path) == []


def test_a_row_without_its_checksum_among_others_is_refused(tmp_path: Path) -> None:
    """Files of older versions have none at all."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    assert read_rows(path) == [{"n": 1}, {"n": 2}]
    for lines in ((checksummed({"n": 1}), '{"n": 2}'), ('{"n": 1}', checksummed({"n": 2}))):
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(InputError, match=r"rows\.jsonl', line 2 was changed"):
            read_rows(path)


def test_rows_are_held_against_a_model(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n{"name": 1}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl', line 2: name: must be a valid string"):
        read_rows(path, Part)


@pytest.mark.parametrize("line", ["", "[]", "1", "null", "{", "[[[", '{"a": NaN}'])
def test_a_line_that_is_no_row_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1"):
        read_rows(tmp_path / "rows.jsonl")


# YAML.


def test_plain_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "lr-img: 0.5\nnets: [a, b]\nday: 2020-01-31\nout: null\nforce: true\nmethod.size: 2\n"
    )
    expected = {"lr_img": 0.5, "nets": ["a", "b"], "day": "2020-01-31", "out": None, "force": True, "method.size": 2}
    assert read_yaml_mapping(tmp_path / "c.yaml") == expected


def test_the_place_of_a_slip_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\nlr: 1\nseed: 2\n")
    with pytest.raises(InputError, match=r"c\.yaml.*'seed' is there twice.*line 3"):
        read_yaml_mapping(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("seeds: [1, {a: .inf}]\n")
    with pytest.raises(InputError, match=r"c\.yaml.*seeds\.1\.a: inf is no finite number"):
        read_yaml_mapping(tmp_path / "c.yaml")
