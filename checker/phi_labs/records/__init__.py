"""What must last: an append-only event log with a hash chain, and the cohort that is read from it."""
