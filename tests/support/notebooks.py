"""Running a notebook in a kernel of this Python, and reading what it prints and draws."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

if TYPE_CHECKING:
    from nbformat import NotebookNode


FOLDER = Path(__file__).parents[2] / "notebooks"

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Run before and after a notebook, in its kernel: keep every figure, and tell what is drawn in it.
KEEP_FIGURES = """
import matplotlib.pyplot
def _keep(make, kept):
    def figure(*arguments, **options):
        kept.append(make(*arguments, **options))
        return kept[-1]
    return figure
_figures = []
matplotlib.pyplot.figure = _keep(matplotlib.pyplot.figure, _figures)
"""

TELL_FIGURES = """
import json
def _tell(ax):
    return {
        "title": ax.get_title(), "x": ax.get_xlabel(), "y": ax.get_ylabel(),
        "bars": {bars.get_label(): [float(value) for value in bars.datavalues] for bars in ax.containers},
        "lines": {line.get_label(): [[*line.get_xdata()], [*line.get_ydata()]] for line in ax.lines},
    }
print(json.dumps([_tell(ax) for figure in _figures for ax in figure.axes], default=str))
"""


class Executed:
    """The output of a notebook: text, tables and plots."""

    def __init__(self, path: Path, database_url: str, outputs: list[NotebookNode], drawn: str) -> None:
        self.path, self.database_url, self.outputs = path, database_url, outputs
        self.text = "".join(each.text for each in outputs if each.get("name") == "stdout")
        self.axes: list[dict[str, Any]] = json.loads(drawn)

    def drawn(self, title: str) -> dict[str, Any]:
        """Return the plot whose title begins with this text."""
        (ax,) = [ax for ax in self.axes if ax["title"].startswith(title)]
        return ax


def execute(path: Path, database_url: str, folder: Path = FOLDER, *, keep_figures: bool = True) -> Executed:
    """Run a notebook; raises CellExecutionError for a cell that fails."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    if keep_figures:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(KEEP_FIGURES))  # type: ignore[no-untyped-call]
    notebook.cells.append(nbformat.v4.new_code_cell(TELL_FIGURES if keep_figures else "print([])"))  # type: ignore[no-untyped-call]
    run_cells(notebook, folder)
    *cells, last = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    # What a cell prints may come in several pieces.
    return Executed(path, database_url, outputs, "".join(piece.text for piece in last.outputs))


class ThisPython(KernelSpecManager):
    """Knows this very Python, and not the one that happens to be registered by the name in a notebook."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, language="python", display_name=kernel_name)


def run_cells(notebook: NotebookNode, folder: Path) -> None:
    kernel = AsyncKernelManager(kernel_spec_manager=ThisPython())
    client = NotebookClient(notebook, km=kernel, timeout=60, resources={"metadata": {"path": str(folder)}})
    # Without this it leaves the sockets of a kernel that it was given to the garbage collector.
    client.execute(cleanup_kc=True)
