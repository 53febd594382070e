"""Check that a built site fetches nothing from elsewhere: `python scripts/check_site.py FOLDER`; 1 if it does."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

# What a browser fetches by itself. A link that somebody has to click is not among it.
_FETCHED = {
    "script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"),
    "video": ("src", "poster"), "audio": ("src",), "embed": ("src",), "object": ("data",), "track": ("src",),
    "use": ("href", "xlink:href"), "image": ("href", "xlink:href"), "input": ("src",), "base": ("href",),
}  # fmt: skip
_ELSEWHERE = re.compile(r"(?:^|[\s,])(?:https?:|wss?:|ftp:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?:https?:)?//[^"')\s]*""", re.IGNORECASE)
# Where the theme's script finds these it fetches: a library for diagrams, the stars of a repository.
_SWITCHES = ("mermaid", "md-source__repository")


class _Page(HTMLParser):
    """Collects what a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        fetched = [*_FETCHED.get(tag, ())]
        if tag == "link" and values.get("rel") not in {"canonical", "next", "prev", "edit"}:
            fetched.append("href")
        self.found += [
            f"<{tag} {name}={values[name]}>" for name in fetched if _ELSEWHERE.search(values.get(name, ""))
        ]
        self.found += _IN_STYLES.findall(values.get("style", ""))
        classes = values.get("class", "").split()
        self.found += [f'<{tag} class="{name}">' for name in _SWITCHES if name in classes]
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._style:
            self.found += _IN_STYLES.findall(data)


def requests(file: Path) -> list[str]:
    """What an HTML or CSS file would have a browser fetch from another host."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".css":
        return _IN_STYLES.findall(text)
    page = _Page()
    page.feed(text)
    return page.found


def main(folder: Path) -> int:
    """Print every request; 1 if there is one, or no page."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".html", ".css"})
    found = [(file, request) for file in files for request in requests(file)]
    for file, request in found:
        print(f"{file.relative_to(folder)}: {request}")
    pages = sum(file.suffix == ".html" for file in files)
    print(f"{pages} pages, {len(found)} requests to other machines")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
