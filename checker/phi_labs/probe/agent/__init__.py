"""The trusted reader: runs in the probe container, answers questions about lab containers.

One process per client. Requests are JSON lines on standard input, answers JSON lines on standard
output; ``capture`` streams an archive. It reaches a container's files through ``/proc/<pid>/root``
and never runs anything of the lab. Standard library only: this folder is copied into the probe's
image and run with ``python3 -I``; there it is all that there is of ``phi_labs``.

Every path below a lab's root is resolved with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
or relative to directory descriptors with O_NOFOLLOW; opens never block (FIFOs, leases).
"""
