"""The systems, filed by what a user does with them; one file a system."""
