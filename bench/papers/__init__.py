"""Papers and the statements in them: facts, recipes, golden records, claims."""
