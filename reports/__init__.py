"""Records in; markdown and plots out. Runs no model."""
