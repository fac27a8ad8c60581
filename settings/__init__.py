"""What a stack may set."""
