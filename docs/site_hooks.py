"""What the site shows of files outside docs/: README's table, CONTRIBUTING, CHANGELOG; and links.

Links to code lead to the public repository, which `repo_url` names; without one the words stay.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
TABLE = "<!-- table of the README -->"
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the root of the repository."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    """Put README's table in, and see to links that lead out of docs/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("<!-- table -->\n")[2].partition("<!-- end -->")[0]

    def link(found: re.Match[str]) -> str:
        words, path = found.groups()
        return f"[{words}]({config.repo_url}/blob/main/{path})" if config.repo_url else words

    return _OUTSIDE.sub(link, markdown.replace(TABLE, table))
