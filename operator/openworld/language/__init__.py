"""The task language: reading definitions, static checks, expressions, schemas. Pure functions of values."""
