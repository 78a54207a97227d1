"""What runs inside a lab for the gateway: the way to its sshd, and the root console. Plain sh, few words.

The machine is the trainee's: nothing here is trusted, and nothing here is worth attacking.
"""

from __future__ import annotations

import secrets

# Joins us to sshd. When we are gone, whoever killed us, `cat` ends; only then is sshd told. sshd hangs up
# on sessions with a terminal itself, but leaves a command without one running (`ssh LAB sleep 1000`), so:
# note the commands that belong to an sshd before it hears of the end, and hang up on those that are
# orphans afterwards. Other connections' commands keep their sshd; `nohup` means what it says.
# When it is sshd that ends first, or is not there, `cat` would wait for us: everything but this shell goes.
TO_SSHD = r"""
trap : TERM
exec 3<&0 4>&1
commands=$({
    {
        cat <&3
        for place in /proc/[0-9]*; do
            { read -r line <"$place/stat"; } 2>/dev/null || continue
            set -- ${line##*) }
            [ "$4" = "${place#/proc/}" ] && [ "$5" = 0 ] || continue
            { read -r parent <"/proc/$2/comm" && read -r own <"$place/comm"; } 2>/dev/null || continue
            [ "$parent" = sshd ] && [ "$own" != sshd ] && echo "$4 $2" >&5
        done
    } | { nc -N 127.0.0.1 22 >&4 || echo "nothing listens on port 22" >&2; kill -TERM 0; }
} 5>&1)
[ -n "$commands" ] || exit 0
for pause in 0.05 0.2 1; do
    sleep "$pause"
    echo "$commands" | while read -r pid parent; do
        { read -r line <"/proc/$pid/stat"; } 2>/dev/null || continue
        set -- ${line##*) }
        [ "$2" != "$parent" ] && kill -HUP "-$pid" && kill -CONT "-$pid"
    done
done 2>/dev/null
"""

# Whatever the trainee did to accounts and paths, this finds a shell if there is one left.
ROOT_SHELL = (
    "cd /root 2>/dev/null; export HOME=/root TERM=$1 PHI_RESCUE=$2 "
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; "
    "[ -x /bin/bash ] && exec /bin/bash; exec /bin/sh"
)

# The engine leaves a console running when its terminal is gone. This waits for our end of file, then hangs
# up on everything that still has that terminal; what was started as a daemon has none.
WATCH_CONSOLE = r"""
cat >/dev/null
hang_up() {
    for place in $(grep -lsF "PHI_RESCUE=$1" /proc/[0-9]*/environ); do
        place=${place%/environ}
        { read -r line <"$place/stat"; } 2>/dev/null || continue
        set -- "$1" "$2" ${line##*) }
        [ "$7" != 0 ] && kill "-$2" "${place#/proc/}" 2>/dev/null
    done
}
hang_up "$1" HUP
sleep 1
hang_up "$1" KILL
"""


def to_sshd() -> list[str]:
    """The command that joins its standard input and output to the machine's sshd."""
    return ["/bin/sh", "-c", TO_SSHD]


def console(terminal: str) -> tuple[list[str], list[str]]:
    """The commands of a root console and of its watch; ``terminal`` is its type."""
    token = secrets.token_hex(8)
    shell = ["/bin/sh", "-c", ROOT_SHELL, "rescue", terminal or "dumb", token]
    return shell, ["/bin/sh", "-c", WATCH_CONSOLE, "watch", token]
