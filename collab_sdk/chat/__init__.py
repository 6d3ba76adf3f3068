"""Everything that talks to a model. Nothing else in the project calls one."""
