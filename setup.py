"""What pyproject.toml cannot say: an installed package has the dbt project, which is no package.

A wheel holds, in `blsync/installed/`, what the program reads from the repository in a checkout
(`blsync.files.places`). An editable install goes on reading the repository.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
FILES = (
    *("dagster.yaml", "warehouse/dbt_project.yml", "warehouse/profiles.yml"),
    *("warehouse/macros", "warehouse/models", "warehouse/tests"),
)


class BuildWithProject(build_py):
    """Builds the packages, and puts the dbt project beside them."""

    def run(self) -> None:
        """Build, and copy the project's files."""
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / "blsync" / "installed"
        shutil.rmtree(place, ignore_errors=True)
        for source, target in self._project(place):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that are built, the project's among them."""
        place = Path(self.build_lib) / "blsync" / "installed"
        return [*super().get_outputs(include_bytecode), *(str(t) for _, t in self._project(place))]

    def _project(self, place: Path) -> list[tuple[Path, Path]]:
        named = (HERE / name for name in FILES)
        found = (p for path in named for p in ([path] if path.is_file() else path.rglob("*")))
        return [(path, place / path.relative_to(HERE)) for path in sorted(found) if path.is_file()]


setup(cmdclass={"build_py": BuildWithProject})
