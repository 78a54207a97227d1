"""The workshop's one open port: an SSH server that carries trainees to their own labs and nowhere else."""
