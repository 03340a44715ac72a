"""Many runs from one file, on any executor."""
