"""For authors and trainers: applying attempts, and proving that a lab's grader tells right from wrong."""
