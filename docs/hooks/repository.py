"""What lies elsewhere in the repository and belongs to the site: pictures of results, CONTRIBUTING.md, CHANGELOG.md.

Pages link to these as they lie in the repository (`../../configs/search/mnist.png`), so that the links also work where
a Markdown file is read by itself. This hook adds the files to the site and points the links there.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {"CONTRIBUTING.md": "project/contributing.md", "CHANGELOG.md": "project/changelog.md"}
PICTURE = re.compile(r"\]\((?:\.\./)+(configs/[\w./-]+\.png)\)")
ROOT_PAGE = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, PAGES))})\)")
NARROW = "\u00a0±\u00a0"  # no line break
INTO_DOCS = re.compile(r"\]\(docs/([\w./#-]+)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every picture under `configs/`, and the pages that lie in the root."""
    root = Path(config.docs_dir).parent
    for picture in sorted(root.glob("configs/*/*.png")):
        name = picture.relative_to(root).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    for source, place in PAGES.items():
        text = INTO_DOCS.sub(r"](../\1)", (root / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files outside `docs/` to their place in the site, and keep `89.3 ± 0.7` on one line."""
    up = "../" * page.file.src_uri.count("/")
    markdown = markdown.replace(" ± ", NARROW)
    markdown = PICTURE.sub(rf"]({up}\1)", markdown)
    return ROOT_PAGE.sub(lambda link: f"]({up}{PAGES[link[1]]})", markdown)
