"""Everything for a machine without internet, in one file."""
