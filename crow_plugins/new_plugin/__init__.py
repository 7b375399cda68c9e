"""The package that `crow plugins new` writes, as templates."""
