"""`proxyset push`."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field, field_validator

from proxyset.cli.app import say
from proxyset.cli.options import AsJson, Command
from proxyset.cli.parse import parse
from proxyset.cli.sets import load_set
from proxyset.errors import InputError


class Pushed(AsJson):
    """Where it goes."""

    to: Annotated[str, Field(title="OWNER/NAME")] = Field("", description="the dataset's repository on the hub")
    public: bool = Field(
        False,
        description="a new repository is for everybody to see (default: private); one that is there stays as it is",
    )

    @field_validator("to")
    @classmethod
    def _is_a_repository(cls, value: str) -> str:
        if value and not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
            raise ValueError("must be OWNER/NAME")
        return value


class Push(Command):
    """Upload a proxy set with its card to the Hugging Face hub, where your token for it is set up. Nothing says where
    on your disk the real images lie. A repository that is there gets a new version.
    """

    examples = ("proxyset push proxysets/digits-dsa-ipc1-seed0.safetensors --to me/digits-condensed",)

    file: tyro.conf.Positional[Path] = Field(Path(), title="FILE", description="proxy set")
    output: Pushed = Field(Pushed(), title="where it goes")


def push_command(argv: list[str]) -> None:
    command = parse(Push, argv, "proxyset push")
    from proxyset.artefact.export import export
    from proxyset.registry import library

    if not command.output.to:
        raise InputError("no repository given: `to=OWNER/NAME` names one")
    proxy, hub = load_set(command.file), library("huggingface_hub", "hub")
    with tempfile.TemporaryDirectory(prefix="proxyset-push-") as folder:
        place = Path(folder, "repository")
        export(proxy, place, "hub")
        count = sum(file.stat().st_size for file in place.rglob("*"))
        address = upload(hub, place, command.output.to, command.output.public)
    say(f"{address}: {len(proxy.data)} images, {count / 1024:,.0f} KiB")
    if command.output.as_json:
        print(json.dumps({"address": address}))


def upload(hub: object, folder: Path, name: str, public: bool) -> str:
    """Upload a folder as a dataset; returns its address.

    Raises:
        InputError: there is no token, or the hub cannot be reached or refuses.
    """
    from proxyset.errors import one_line
    from proxyset.folders import MARKER

    try:
        client = hub.HfApi()  # type: ignore[attr-defined]
        address = client.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        client.upload_folder(repo_id=name, folder_path=str(folder), repo_type="dataset", ignore_patterns=[MARKER])
    except Exception as error:  # of the network, of the hub, of a missing token
        raise InputError(f"cannot upload to {name!r}: {one_line(error)} (`hf auth login` sets up a token)") from None
    return str(address)
