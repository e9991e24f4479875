"""The tab of the scene: what is shown of it, and another one brought by the user."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import viser

from cli.viewer import upload
from cli.viewer.session import Session
from cli.viewer.stage import Guard, Stage
from ussim.errors import UssimError, one_line

_MOST_SAID = 4000


class SceneTab:
    """Fills the tab.

    Args:
        server: Of the page.
        session: Whose scene it is.
        stage: That shows it.
        scratch: Folder for what is uploaded.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, server: viser.ViserServer, session: Session, stage: Stage, scratch: Path, guard: Guard):
        self._gui, self._session, self._stage, self._guard = server.gui, session, stage, guard
        self._scratch, self._numbers = scratch, itertools.count()
        self._name = self._gui.add_markdown("")
        self._folder = self._gui.add_folder("Show")
        self._boxes: list[Any] = []
        with self._gui.add_folder("Bring your own"):
            self._gui.add_markdown("A mesh: STL, OBJ, PLY, GLB, or a .zip of them. A label volume: NIfTI, NRRD, MHA.")
            self._tissues = self._gui.add_text(
                "Tissues", "", hint="As in liver=liver, or of labels 1=soft_tissue 3=liver"
            )
            self._repair = self._gui.add_checkbox("Mend meshes", False)
            button = self._gui.add_upload_button("Upload")
            self._says = self._gui.add_markdown("")
        button.on_upload(guard(self._uploaded))
        refuse_large_uploads(server, self._refuse)
        self._show_scene()

    def _show_scene(self) -> None:
        self._name.content = f"**{self._session.scene.name}**"
        for box in self._boxes:
            box.remove()
        with self._folder:
            self._boxes = [self._gui.add_checkbox(group, is_on) for group, is_on in self._stage.groups.items()]
        for box, group in zip(self._boxes, self._stage.groups, strict=True):
            box.on_update(self._guard(lambda _, box=box, group=group: self._stage.show_group(group, box.value)))

    def _refuse(self, why: str) -> None:
        self._says.content = f"⚠ {one_line(why)}"

    def _uploaded(self, event: Any) -> None:
        file = event.target.value
        folder = self._scratch / f"upload_{next(self._numbers)}"
        lines: list[str] = []
        self._says.content = "checking …"
        try:
            pairs = upload.tissue_pairs(self._tissues.value)
            scene = upload.make_scene(file.name, file.content, folder, pairs, self._repair.value, lines.append)
            self._session.take_scene(scene)
        except UssimError as error:
            self._refuse(str(error))
            return
        self._stage.draw()
        self._show_scene()
        self._says.content = "```\n" + "\n".join(lines)[-_MOST_SAID:] + "\n```"


def refuse_large_uploads(server: viser.ViserServer, tell: Callable[[str], None]) -> None:
    """Refuse an upload that is too large before it arrives: viser keeps all of one in memory, and has no limit."""
    from viser import _messages

    def refuse(_client: int, message: _messages.FileTransferStartUpload) -> None:
        try:
            upload.require_size(message.filename, message.size_bytes)
        except UssimError as error:
            server.gui._current_file_upload_states.pop(message.transfer_uuid, None)  # its parts are dropped from now on
            tell(str(error))

    server.gui._websock_interface.register_handler(_messages.FileTransferStartUpload, refuse)
