"""The attributes of each kind of resource, as the API spells them: one file for each group of kinds."""
