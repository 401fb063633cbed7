"""Writes docs/client.svg: what `dist push` shows on a terminal, in the middle of a real run.

python scripts/client_picture.py
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from storagedriver_registry.client import RegistryClient
from storagedriver_registry.client.commands.progress import Bars
from storagedriver_registry.client.layouts import LocalFiles, OCILayout
from storagedriver_registry.client.transfer import RepositoryPlace, TransferEvent, copy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.client import make_image  # noqa: E402 - needs the path above
from benchmarks.registry_load._servers import Ours, on_files  # noqa: E402 - needs the path above

PICTURE = ROOT / "docs" / "client.svg"
LAYERS, LAYER_BYTES = 8, 24 << 20
WIDTH = 96


def main() -> None:
    """Run a server, push an image to it, and take the picture when half of it is there."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        make_image(folder / "image", LAYERS, LAYER_BYTES)
        with on_files(folder) as section, Ours(folder, section) as server:
            picture = asyncio.run(_pushed(folder / "image", server.url.removeprefix("http://")))
    PICTURE.write_text(picture, encoding="utf-8")


async def _pushed(image: Path, host: str) -> str:
    bars = Bars(Console(file=io.StringIO(), force_terminal=True, width=WIDTH))
    paper = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True)
    paper.print("$ dist push oci:image:v1 localhost:5000/team/image:v1", highlight=False)
    moved: dict[str, int] = {}
    taken = False

    def on_event(event: TransferEvent) -> None:
        nonlocal taken
        bars.on_event(event)
        moved[str(event.blob.digest)] = event.offset
        if not taken and sum(moved.values()) > LAYERS * LAYER_BYTES / 2:
            taken = True
            paper.print(bars.progress.get_renderable())

    async with RegistryClient(host) as registry:
        place = RepositoryPlace(registry.repository("team/image"), "v1")
        with bars.progress:
            await copy(OCILayout(LocalFiles(image), "v1"), place, on_event=on_event)
    picture = paper.export_svg(title="dist")
    # The reader's own font does: a picture fetches nothing from anywhere.
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    main()
