"""What ``python3 -I /agent`` runs in the probe."""

from phi_labs.probe.agent.conversation import main

main()
