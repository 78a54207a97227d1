"""Images of an engine: built, pulled, imported, saved, loaded, removed. What goes into ours is ``images``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from phi_labs.engine.connection import Connection, told
from phi_labs.engine.words import PROJECT, label_filter
from phi_labs.errors import EngineError, MissingObject

BUILD_DEADLINE = 1200.0


class ImageStore(Connection):
    """An engine's images."""

    def image_id(self, reference: str) -> str | None:
        """The id behind an image name, None when the engine has no such image."""
        try:
            with told(f"look up image {reference}"):
                answer: str = self._api.inspect_image(reference)["Id"]
        except MissingObject:
            return None
        return answer

    def build(
        self, context: bytes, tag: str, *, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Build an image from a tar context, yielding the engine's progress lines.

        Builds use the engine's own network so that apt works where bridges are filtered.

        Raises:
            EngineError: a step failed; the message holds its last lines.
        """
        tail: list[str] = []
        with told(f"build image {tag}"):
            events = self._api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels={**PROJECT, **labels},
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
                timeout=int(BUILD_DEADLINE),
            )
            for event in events:
                if "error" in event:
                    raise EngineError(
                        f"building image {tag} failed: {event['error'].strip()}",
                        "last lines:\n" + "".join(tail[-12:]),
                    )
                line = event.get("stream", "")
                if line.strip():
                    tail.append(line)
                    yield line.rstrip()

    def pull(self, reference: str) -> bool:
        """Pull an image from a registry; False when none can be reached or it is unknown there."""
        repository, _, tag = reference.partition(":")
        try:
            with told(f"pull image {reference}"):
                self._api.pull(repository, tag=tag or "latest")
        except EngineError:
            return False
        return self.image_id(reference) is not None

    def save_images(self, references: Sequence[str]) -> Iterator[bytes]:
        """An archive of images by full name, in chunks; layers that they share are in it once."""
        with told(f"save {len(references)} images"):
            # The SDK saves one image at a time, and every one with all its layers.
            url = self._api._url("/images/get")
            answer = self._api._get(url, params={"names": list(references)}, stream=True)
            self._api._raise_for_status(answer)
            yield from answer.iter_content(1 << 20)

    def load_images(self, archive: IO[bytes]) -> None:
        """Take the images of such an archive."""
        with told("load images"):
            for line in self._api.load_image(archive, quiet=True):
                if "error" in line:
                    raise EngineError(f"the engine refuses an image: {line['error']}", "phi-labs doctor")

    def import_image(self, tar: Path, reference: str) -> str:
        """Make an image of a root file system's tar; return its id."""
        repository, _, tag = reference.partition(":")
        with told(f"import image {reference}"), tar.open("rb") as data:
            self._api.import_image_from_data(data, repository=repository, tag=tag)
        identifier = self.image_id(reference)
        if identifier is None:
            raise EngineError(f"the engine did not keep the imported image {reference}")
        return identifier

    def images(self) -> list[str]:
        """Every image of ours: its first name, or its id when it lost its name to a newer one."""
        with told("list images"):
            found = self._api.images(filters={"label": label_filter({})})
        return [(item["RepoTags"] or [item["Id"]])[0].replace("<none>:<none>", item["Id"]) for item in found]

    def remove_image(self, reference: str) -> None:
        """Remove an image; one that is gone or still in use is left."""
        with contextlib.suppress(EngineError), self.one_removal(), told(f"remove image {reference}"):
            self._api.remove_image(reference)
