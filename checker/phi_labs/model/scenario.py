    initial: Labs | None = Field(
        default=None, description="labs started at opening; one for each learner if left out"
    )
