"""Images: the distribution, the base of every lab, and the labs' own, each built once per content.

An image's tag holds a hash of everything that went into it, so asking "is it there?" is one
call and a changed file means another image. No registry is counted on: the distribution is
used if present, pulled if possible, else built from Debian's packages by mmdebstrap.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from phi_labs.engine.docker import LABEL_PREFIX, Engine
from phi_labs.errors import EngineError, UserError

Tell = Callable[[str], None]

SUITE = "bookworm"
DISTRIBUTION = f"debian:{SUITE}-slim"
BOOTSTRAPPED = f"phi-labs/distro:{SUITE}"
BASE = "phi-labs/base"
BASE_CONTEXT = Path(__file__).parent / "base"
BOOTSTRAP_DEADLINE = 1200.0
PROGRESS_WIDTH = 76
# Documentation is most of a minimal Debian's size and nobody reads it in a lab.
BOOTSTRAP_TRIM = [
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
]


@dataclass(frozen=True)
class Recipe:
    """What one image is built from: a folder, and the images below it.

    Attributes:
        extra: files and folders that are added to the context, under their own names.
    """

    repository: str
    context: Path
    extra: tuple[Path, ...] = ()
    below: Recipe | None = None

    def digest(self) -> str:
        """12 hex digits over every file's name, mode and bytes, and over the recipe below."""
        sha = hashlib.sha256(self.below.digest().encode() if self.below else b"")
        for name, path in self.files():
            sha.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0{path.stat().st_size}\0".encode())
            sha.update(path.read_bytes())
        return sha.hexdigest()[:12]

    @property
    def tag(self) -> str:
        """The image's full name."""
        return f"{self.repository}:{self.digest()}"

    def files(self) -> list[tuple[str, Path]]:
        """(name in the context, path) of every file, sorted."""
        inside = _taken(self.context, self.context)
        return inside + [item for extra in self.extra for item in _taken(extra, extra.parent)]

    def archive(self) -> bytes:
        """The build context as a tar; times and owners fixed, so that the engine's cache hits."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, path in self.files():
                info = tarfile.TarInfo(name)
                data = path.read_bytes()
                info.size = len(data)
                info.mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()


def _taken(place: Path, above: Path) -> list[tuple[str, Path]]:
    """(name below ``above``, path) of a file, or of each file in a folder, sorted."""
    paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    kept = (path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    return [(str(path.relative_to(above)), path) for path in kept]


def base_recipe() -> Recipe:
    """The base of every lab."""
    return Recipe(BASE, BASE_CONTEXT)


def lab_recipe(lab: str, host: str, context: Path) -> Recipe:
    """One host of a lab: its folder on top of the base."""
    return Recipe(f"phi-labs/lab-{lab}-{host}", context, below=base_recipe())


def ensure_image(engine: Engine, recipe: Recipe, lock: Path, tell: Tell) -> str:
    """Return the id of the recipe's image, building it and what is below it when missing.

    Args:
        lock: file whose lock keeps two builders apart.
        tell: called with one line of progress at a time.
    """
    tag = recipe.tag
    found = engine.image_id(tag)
    if found:
        return found
    with _locked(lock):
        return _build(engine, recipe, tell)


def _build(engine: Engine, recipe: Recipe, tell: Tell) -> str:
    tag = recipe.tag
    found = engine.image_id(tag)
    if found:
        return found
    if recipe.below is None:
        arguments = {"BASE": _ensure_distribution(engine, tell)}
    else:
        _build(engine, recipe.below, tell)
        arguments = {}
    tell(f"building image {tag}")
    arguments |= {key: os.environ[key] for key in ("http_proxy", "https_proxy") if key in os.environ}
    archive = recipe.archive() if recipe.below is None else _with_parent(recipe)
    for line in engine.build(archive, tag, arguments=arguments, labels={LABEL_PREFIX + "kind": "image"}):
        if line.startswith("Step "):
            tell(line if len(line) <= PROGRESS_WIDTH else line[: PROGRESS_WIDTH - 3] + "...")
    found = engine.image_id(tag)
    if found is None:
        raise EngineError(f"the engine built {tag} but does not show it", "phi-labs doctor")
    return found


def _with_parent(recipe: Recipe) -> bytes:
    """The context with ``FROM phi-labs/base`` pinned to the exact parent: no tag can go stale."""
    assert recipe.below is not None  # noqa: S101 - narrows the type
    parent = recipe.below.tag
    source = io.BytesIO(recipe.archive())
    result = io.BytesIO()
    with tarfile.open(fileobj=source) as old, tarfile.open(fileobj=result, mode="w") as new:
        for info in old:
            data = old.extractfile(info)
            content = data.read() if data else b""
            if info.name == "Dockerfile":
                content = content.replace(f"FROM {BASE}\n".encode(), f"FROM {parent}\n".encode())
                if f"FROM {parent}\n".encode() not in content:
                    raise UserError(
                        f"{recipe.context / 'Dockerfile'} does not start from {BASE}",
                        f"write the line: FROM {BASE}",
                    )
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return result.getvalue()


def _ensure_distribution(engine: Engine, tell: Tell) -> str:
    if engine.image_id(DISTRIBUTION):
        return DISTRIBUTION
    if engine.image_id(BOOTSTRAPPED):
        return BOOTSTRAPPED
    tell(f"looking for {DISTRIBUTION} in a registry")
    if engine.pull(DISTRIBUTION):
        return DISTRIBUTION
    return _bootstrap(engine, tell)


def _bootstrap(engine: Engine, tell: Tell) -> str:
    """Build the distribution from Debian's packages and import it."""
    program = _need_mmdebstrap(tell)
    tell("no registry answers: building the distribution from Debian packages (about 20 seconds)")
    with tempfile.TemporaryDirectory(prefix="phi-labs-") as folder:
        target = Path(folder) / "root.tar"
        mirror = [os.environ["PHI_LABS_MIRROR"]] if os.environ.get("PHI_LABS_MIRROR") else []
        argv = [program, "--variant=minbase", *BOOTSTRAP_TRIM, SUITE, str(target), *mirror]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=BOOTSTRAP_DEADLINE, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError("mmdebstrap did not finish in time", "is a Debian mirror reachable?") from error
        if done.returncode != 0:
            raise EngineError(
                "mmdebstrap could not build the distribution:\n" + "\n".join(done.stderr.splitlines()[-8:]),
                "is a Debian mirror reachable? PHI_LABS_MIRROR names another one",
            )
        tell("importing the distribution")
        engine.import_image(target, BOOTSTRAPPED)
    return BOOTSTRAPPED


def _need_mmdebstrap(tell: Tell) -> str:
    found = shutil.which("mmdebstrap")
    if found:
        return found
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0 and not os.environ.get("PHI_LABS_NO_INSTALL"):
        tell("installing mmdebstrap with apt")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for argv in ([apt, "update", "-qq"], [apt, "install", "-y", "-qq", "mmdebstrap"]):
            subprocess.run(
                argv, env=environment, capture_output=True, check=False, timeout=BOOTSTRAP_DEADLINE
            )
        found = shutil.which("mmdebstrap")
    if not found:
        raise EngineError(
            f"there is no image {DISTRIBUTION}, no registry answers, and mmdebstrap is not installed",
            "install it (apt-get install mmdebstrap) or load the image (docker load)",
        )
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
