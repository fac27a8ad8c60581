"""Rules that join several settings, a module for each concern."""
