"""Congress's API under `/policy/v1`, for its own client, and what Congress hadn't: modes, violations, history."""
