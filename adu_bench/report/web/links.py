"""The links of the web page: to files beside it in a copy of the repository, and to the boards' own numbers."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from adu_bench.leaderboard.board import Board


@dataclass(frozen=True)
class Link:
    """A link with its text; ``name`` is the name of the file that a download is saved as."""

    text: str
    address: str
    name: str = ""


def paper_address(paper: str) -> str:
    """Return the address of a paper that a card names as ``arXiv:2510.08132``; empty for anything else."""
    number = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", paper)
    return f"https://arxiv.org/abs/{number[1]}" if number else ""


def page_links(folder: Path | None) -> list[Link]:
    """Return the links of the whole page.

    Parameters
    ----------
    folder
        The folder of the page; what is not beside it has no link.
    """
    return _existing(
        folder,
        Link("Repository", "../README.md"),
        Link("Submit a method", "../CONTRIBUTING.md"),
        Link("Cite", "../CITATION.cff"),
    )


def suite_links(board: Board, folder: Path | None) -> list[Link]:
    """Return the links of a suite: its report with figures, its page of text, and the card of its data set."""
    if folder is None:
        return []
    return [
        # This page is written together with the one that links to it.
        Link("Page as text", quote(f"{board.suite}/README.md")),
        *_existing(
            folder,
            Link("Report", f"../reports/{board.suite}/report.html"),
            Link("Data card", f"../adu_bench/resources/{board.common.task.dataset}/card.md"),
        ),
    ]


def download(text: str, content: str, name: str, kind: str) -> Link:
    """Return a link that contains a whole file, so that it works wherever the page is."""
    return Link(text, f"data:{kind};base64,{base64.b64encode(content.encode()).decode()}", name)


def _existing(folder: Path | None, *links: Link) -> list[Link]:
    if folder is None:
        return []
    return [Link(link.text, quote(link.address)) for link in links if (folder / link.address).is_file()]
