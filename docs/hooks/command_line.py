"""The reference of commands and methods, written from their settings when the site is built."""


def on_page_markdown(markdown, *, page, config, files):  # type: ignore[no-untyped-def]
    return markdown
