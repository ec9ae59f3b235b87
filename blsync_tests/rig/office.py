"""LibreOffice, in which values are typed into workbooks as a person types them, without a screen.

A macro of its own enters a text in each cell: the program decides by the cell's format and by its
region (British: 31/10/2026 is a day) what was meant, as it does with what the keyboard enters.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from openpyxl.utils import get_column_letter

PATIENCE_SECONDS = 120
_MACRO = """
Function Named(name As String, value As Variant)
  Dim found(0) As New com.sun.star.beans.PropertyValue
  found(0).Name = name
  found(0).Value = value
  Named = found()
End Function

Sub Follow(steps As String)
  On Error Goto Failed
  source = FreeFile
  Open steps For Input As #source
  hidden = Named("Hidden", True)
  keeper = StarDesktop.loadComponentFromURL("private:factory/scalc", "_blank", 0, hidden)
  Do While Not Eof(source)
    Line Input #source, told
    part = Split(told, Chr(9))
    Select Case part(0)
    Case "open"
      book = StarDesktop.loadComponentFromURL(part(1), "_blank", 0, hidden)
      page = book.Sheets.getByIndex(0)
    Case "type"
      page.getCellRangeByName(part(1)).FormulaLocal = part(2)
    Case "save"
      book.storeToURL(part(1), Named("FilterName", "Calc MS Excel 2007 XML"))
      book.close(True)
    End Select
  Loop
  Close #source
  keeper.close(True)
  Exit Sub
Failed:
  target = FreeFile
  Open steps &amp; ".error" For Output As #target
  Print #target, "line " &amp; Erl &amp; ": " &amp; Error
  Close #target
End Sub
"""
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_PROFILE = {
    "basic/script.xlc": '<library:libraries xmlns:library="http://openoffice.org/2000/library">'
    '<library:library library:name="Standard" library:link="false"/></library:libraries>',
    "basic/Standard/script.xlb": '<library:library library:name="Standard" '
    'library:readonly="false" library:passwordprotected="false" '
    'xmlns:library="http://openoffice.org/2000/library"><library:element '
    'library:name="Typing"/></library:library>',
    "basic/Standard/Typing.xba": '<script:module script:name="Typing" script:language="StarBasic" '
    f'xmlns:script="http://openoffice.org/2000/script">{_MACRO}</script:module>',
    "registrymodifications.xcu": '<oor:items xmlns:oor="http://openoffice.org/2001/registry">'
    '<item oor:path="/org.openoffice.Setup/L10N"><prop oor:name="ooSetupSystemLocale" '
    'oor:op="fuse"><value>en-GB</value></prop></item>'
    '<item oor:path="/org.openoffice.Setup/Office"><prop oor:name="ooSetupInstCompleted" '
    'oor:op="fuse"><value>true</value></prop></item></oor:items>',
}
"""Files of a user's profile: the macro, where it is found, and the region. The profile says that it
is set up: the program would write its own macros over it.
"""


def program() -> str | None:
    """Return LibreOffice's path, None where there is none."""
    return shutil.which("soffice") or shutil.which("libreoffice")


def type_into(folder: Path, typed: Mapping[Path, Mapping[tuple[int, int], str]]) -> list[Path]:
    """Type texts into the cells (row and column, from 1) of workbooks, all in one run of the
    program, and return the copies that it saved in a folder, in the same order.
    """
    profile, steps = folder / "profile" / "user", folder / "steps"
    for name, content in _PROFILE.items():
        (profile / name).parent.mkdir(parents=True, exist_ok=True)
        (profile / name).write_text(_HEAD + content)
    saved = [folder / "saved" / path.name for path in typed]
    (folder / "saved").mkdir()
    lines = []
    for (path, cells), target in zip(typed.items(), saved, strict=True):
        lines.append(f"open\t{path.as_uri()}")
        for (row, column), text in cells.items():
            lines.append(f"type\t{get_column_letter(column)}{row}\t{text}")
        lines.append(f"save\t{target.as_uri()}")
    steps.write_text("\n".join(lines))
    command = [
        str(program()),
        f"-env:UserInstallation={profile.parent.as_uri()}",
        *("--headless", "--norestore", f'macro:///Standard.Typing.Follow("{steps}")'),
    ]
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    failed = steps.with_name("steps.error")
    told = failed.read_text() if failed.exists() else ran.stderr
    assert all(path.exists() for path in saved), told
    return saved
