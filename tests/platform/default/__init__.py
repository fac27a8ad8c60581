"""Tests of the platform as it is without further settings."""
