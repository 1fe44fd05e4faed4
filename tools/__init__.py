"""What maintainers run besides the tests."""
