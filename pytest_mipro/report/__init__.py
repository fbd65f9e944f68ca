"""What people and machines are shown of results and plans."""
