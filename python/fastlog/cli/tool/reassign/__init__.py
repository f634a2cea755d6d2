"""`fastlog topic reassign`: which replicas go where, having them go, and waiting until they are there."""
