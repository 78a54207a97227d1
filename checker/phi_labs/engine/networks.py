"""Networks of an engine: one for each run of several hosts, with no way out."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping

import docker.errors
import docker.types

from phi_labs.engine.connection import Connection, told
from phi_labs.engine.words import PROJECT, label_filter
from phi_labs.errors import EngineError, MissingObject

# A /28 per run out of this range: Docker's default pools end at the 29th network.
NETWORK_POOL = ipaddress.IPv4Network("10.213.0.0/16")
NETWORK_PREFIX = 28


class Networks(Connection):
    """An engine's networks."""

    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """A bridge for one run, with no way out and no address of the machine on it; return its id.

        ``internal`` alone leaves the gateway address reachable; ``inhibit_ipv4`` keeps the bridge
        without any address, and an explicit /28 keeps the default pools free.
        """
        for subnet in self._free_subnets():
            pool = docker.types.IPAMPool(subnet=str(subnet))
            with told(f"create network {name}"):
                try:
                    answer = self._api.create_network(
                        name,
                        driver="bridge",
                        internal=True,
                        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
                        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                        labels={**PROJECT, **labels},
                        check_duplicate=True,
                    )
                except docker.errors.APIError as error:
                    if "overlaps" in str(error.explanation):
                        continue
                    raise
            identifier: str = answer["Id"]
            return identifier
        raise EngineError(
            f"no free /{NETWORK_PREFIX} in {NETWORK_POOL} for network {name}",
            "stop runs that are no longer needed: phi-labs stop --all",
        )

    def join(self, container: str, network: str, name: str) -> None:
        """Give a running container without a network one, where others find it by ``name``."""
        with told(f"join container {container[:12]} to a network"):
            # "none" is exclusive: it has to be left first.
            self._api.disconnect_container_from_network(container, "none")
            self._api.connect_container_to_network(container, network, aliases=[name])

    def networks(self, labels: Mapping[str, str]) -> list[tuple[str, str, Mapping[str, str]]]:
        """Our networks that carry all of ``labels``, as (id, name, labels)."""
        with told("list networks"):
            found = self._api.networks(filters={"label": label_filter(labels)})
        return [(item["Id"], item["Name"], item["Labels"] or {}) for item in found]

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone already is no error."""
        with self.one_removal(), contextlib.suppress(MissingObject), told(f"remove network {network[:12]}"):
            self._api.remove_network(network)

    def _free_subnets(self) -> Iterator[ipaddress.IPv4Network]:
        with told("list networks"):
            known = self._api.networks()
        taken = [
            ipaddress.ip_network(pool["Subnet"], strict=False)
            for item in known
            for pool in (item.get("IPAM", {}).get("Config") or [])
            if "Subnet" in pool and ":" not in pool["Subnet"]
        ]
        for subnet in NETWORK_POOL.subnets(new_prefix=NETWORK_PREFIX):
            if not any(subnet.overlaps(other) for other in taken):
                yield subnet
