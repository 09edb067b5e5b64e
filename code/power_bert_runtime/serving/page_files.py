"""The page at `/`: files as the build made them, with the headers that they need."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.responses import FileResponse, JSONResponse, RedirectResponse

from power_bert_runtime import UserError
from power_bert_runtime.serving.page_headers import OTHER_TYPE, PAGE_HEADERS, PAGE_TYPES

# The page asks for this list of models; a server's answer tells it to ask for the server's own.
_LIST = "/models.json"
# The page's own policy, of index.html, cannot say this.
_HEADERS = PAGE_HEADERS | {"Content-Security-Policy": "frame-ancestors 'none'"}


class PageFiles:
    """Files of the built page; without a page, `/` leads to the documentation.

    Args:
        folder: Folder that `bash run.sh web --build` made; None for no page.

    Raises:
        UserError: The folder holds no page.
    """

    def __init__(self, folder: Path | None) -> None:
        self._files: dict[str, Path] = {}
        if folder is not None:
            if not (folder / "index.html").is_file():
                raise UserError(f"{folder}: no page there (index.html); build it with: bash run.sh web --build")
            self._files = {
                f"/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()
            }
            self._files["/"] = folder / "index.html"

    @property
    def paths(self) -> frozenset[str]:
        """Paths of the page in URLs."""
        return frozenset({*self._files, _LIST, "/"})

    def add_routes(self, app: FastAPI) -> None:
        """Serve the files."""
        for path in self.paths:
            app.add_route(path, self._answer, methods=["GET"], include_in_schema=False)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path == _LIST:
            return JSONResponse({"server": True}, headers=_HEADERS)
        if path not in self._files:
            return RedirectResponse("docs")
        file = self._files[path]
        return FileResponse(file, headers=_HEADERS, media_type=PAGE_TYPES.get(file.suffix, OTHER_TYPE))
