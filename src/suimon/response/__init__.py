"""What is done by itself about what goes on in the cloud, always through the acts of `resources`, as a user would."""
