"""Tests of the platform with the settings of the sandbox, and a repository that delivers."""
